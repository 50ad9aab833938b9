"""The HTML report and the terminal's table."""

from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image

from svae_lib import plots
from svae_lib.experiments.report import fact, format_table, write_report
from svae_lib.support.checks import InputError

COLUMNS = ["model", "image", "FID (LeNet)"]
ROWS = [["VAE", "x", 33.21], ["Split VAE", "x1", "9.50"], ["Split VAE", "mix", None]]
VOID = {"meta", "link", "img", "br"}


class Page(HTMLParser):
    """The page's elements in order, with their attributes and text; fails on bad nesting."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None], list[str]]] = []
        self.open: list[int] = []
        self.feed(html)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs), []))
        if tag not in VOID:
            self.open.append(len(self.elements) - 1)

    def handle_endtag(self, tag: str) -> None:
        assert self.elements[self.open.pop()][0] == tag

    def handle_data(self, data: str) -> None:
        for i in self.open:
            self.elements[i][2].append(data)

    def find(self, tag: str) -> list[tuple[dict[str, str | None], str]]:
        return [(a, " ".join("".join(t).split())) for name, a, t in self.elements if name == tag]

    def texts(self, tag: str) -> list[str]:
        return [text for _, text in self.find(tag)]


def grid(alt: str = "Four noises.") -> plots.AltFigure:
    return plots.image_grid(torch.rand(4, 1, 16, 16), alt=alt)


def curves() -> plots.AltFigure:
    return plots.training_curves({"step": [1.0, 2.0], "loss": [3.0, 2.0]}, keys=["loss"])


def write(path: Path, **changes: Any) -> Path:
    arguments: dict[str, Any] = {
        "title": "Two models",
        "summary": "What came out.",
        "table": (COLUMNS, ROWS, "Lower is better."),
        "figures": [("Loss", curves(), "Falls."), ("Samples", grid(), "Four of them.")],
        "made_of": {
            "versions": {"torch": "2.4"},
            "training": {"batch_size": 50, "grad_clip": None, "learning_rate": 0.003},
        },
    }
    write_report(path, **(arguments | changes))
    return path


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Page:
    path = write(tmp_path_factory.mktemp("report") / "report.html")
    return Page(path.read_text(encoding="utf-8"))


def test_sections_come_in_their_order(page: Page) -> None:
    sections = ["What was done", "Scores", "Pictures", "Curves", "How it was made"]
    assert page.texts("h2") == sections
    assert page.texts("h1") == ["Two models"]
    assert page.texts("title") == ["Two models"]
    assert page.texts("h3") == ["Samples", "Loss", "versions", "training"]
    links = [a["href"] for a, text in page.find("a") if text in sections]
    ids = {a.get("id") for a, _ in page.find("h2")}
    assert links == [f"#{name}" for name in ("done", "scores", "pictures", "curves", "made")]
    assert {link[1:] for link in links if link} == ids


def test_table_is_marked_up_for_screen_readers(page: Page) -> None:
    assert page.texts("caption") == ["Lower is better."]
    heads = page.find("th")
    assert [text for a, text in heads if a["scope"] == "col"] == COLUMNS
    assert [text for a, text in heads if a["scope"] == "row"] == ["VAE", "Split VAE", "Split VAE"]
    assert page.texts("td") == ["x", "33.21", "x1", "9.50", "mix", "–"]
    numeric = [text for a, text in page.find("td") if a.get("class") == "number"]
    assert numeric == ["33.21", "9.50", "–"]


def test_page_has_language_and_both_colour_schemes(page: Page) -> None:
    assert page.find("html")[0][0]["lang"] == "en"
    metas = {a.get("name"): a.get("content") for a, _ in page.find("meta")}
    assert metas["color-scheme"] == "light dark"
    assert "width=device-width" in str(metas["viewport"])
    assert "prefers-color-scheme: dark" in page.texts("style")[0]


def test_images_are_inside_with_their_texts(page: Page) -> None:
    found = page.find("img")
    assert [a["alt"] for a, _ in found] == ["Four noises.", curves().alt_text]
    for a, _ in found:
        kind, data = str(a["src"]).split(",", 1)
        assert kind == "data:image/png;base64"
        image = Image.open(io.BytesIO(base64.b64decode(data)))
        assert image.size[0] == 2 * int(str(a["width"]))  # sharp on dense screens


def test_nothing_is_loaded_from_elsewhere(tmp_path: Path) -> None:
    html = write(tmp_path / "report.html").read_text(encoding="utf-8")
    for value in re.findall(r"""(?:src|href|url)\s*[=(]\s*["']?([^"')\s>]+)""", html):
        assert value.startswith(("data:", "#"))
    assert "<script" not in html and "@import" not in html
    assert not re.search(r"https?://", html)


def test_facts_are_readable(page: Page) -> None:
    assert page.texts("dt") == ["torch", "batch size", "grad clip", "learning rate"]
    assert page.texts("dd") == ["2.4", "50", "–", "0.003"]


def test_everything_is_escaped(tmp_path: Path) -> None:
    evil = '<script>alert("&")</script>'
    path = write(
        tmp_path / "report.html",
        title=evil,
        summary=evil,
        table=([evil, "b"], [[evil, evil]], evil),
        figures=[(evil, grid(evil), evil)],
        made_of={evil: {evil: evil}},
    )
    parsed = Page(path.read_text(encoding="utf-8"))
    assert parsed.find("script") == []
    assert parsed.texts("h1") == parsed.texts("dd") == parsed.texts("td") == [evil]
    assert parsed.find("img")[0][0]["alt"] == evil


def test_any_figure_with_a_text_will_do(tmp_path: Path) -> None:
    figure = Figure(figsize=(2, 1))
    figure.subplots().plot([1, 2])
    with pytest.raises(InputError, match="'Mine' has no alt_text"):
        write(tmp_path / "report.html", figures=[("Mine", figure, "")])
    assert list(tmp_path.iterdir()) == []
    figure.alt_text = "A line that rises."  # type: ignore[attr-defined]
    html = write(tmp_path / "report.html", figures=[("Mine", figure, "")]).read_text("utf-8")
    assert 'alt="A line that rises."' in html


def test_an_earlier_report_is_kept_unless_told(tmp_path: Path) -> None:
    path = write(tmp_path / "new" / "report.html")  # the folder is made
    before = path.read_bytes()
    with pytest.raises(FileExistsError, match="exists already"):
        write(path, title="Other")
    assert path.read_bytes() == before
    write(path, title="Other", overwrite=True)
    assert "Other" in path.read_text(encoding="utf-8")


def test_a_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "report.html")
    before = path.read_bytes()

    def full(*args: Any, **kwargs: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="No space left"):
        write(path, overwrite=True)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


@pytest.mark.parametrize(
    ("table", "words"),
    [((COLUMNS, [["VAE"]], ""), "columns"), (([], [], ""), "column")],
)
def test_a_table_that_is_none_is_refused(tmp_path: Path, table: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        write(tmp_path / "report.html", table=table)
    assert list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------ the terminal's table


def test_terminal_table_aligns() -> None:
    assert format_table(COLUMNS, ROWS).splitlines() == [
        "model      image  FID (LeNet)",
        "---------  -----  -----------",
        "VAE        x            33.21",
        "Split VAE  x1            9.50",
        "Split VAE  mix              –",
    ]


def test_words_stay_left_and_a_table_may_be_empty() -> None:
    lines = format_table(["name", "n", "kid"], [["x1", 1, "0.1 ± 0.2"], ["2 models", 20, None]])
    assert lines.splitlines()[2:] == ["x1         1  0.1 ± 0.2", "2 models  20          –"]
    assert format_table(["a", "b"], []).splitlines() == ["a  b", "-  -"]


def test_facts() -> None:
    facts = [True, None, "", 0.1234567, "text", 12345]
    assert [fact(value) for value in facts] == ["yes", "–", "–", "0.1235", "text", "12345"]
