"""The decks: they need no network, hide solutions, and nothing runs out of a slide."""

from __future__ import annotations

import base64
import importlib
import io
import itertools
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import nbformat
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))
builder: Any = importlib.import_module("build_notebooks")
slides: Any = importlib.import_module("build_slides")

SOURCE = (
    """\
# %% [markdown]
# # 7 · Toy
#
# **Objectives.** After this notebook you can read [the glossary](../docs/glossary.md).
#
# **Time.** {{minutes}}
#
# {{versions}}

# %%
import secret_setup

# %% [markdown]
# ## 1. A picture
#
# Given $x$, and as in [notebook 7](07_toy.ipynb),
#
# $$\\\\mathbb{E}\\\\, x = \\\\frac12 .$$
#
# **What do you expect?** Black or white?

# %%
# A_LONG_CELL
"""
    + "\n".join(f"line_{i} = {i}" for i in range(20))
    + """
sv.plots.show(line_0)

# %% [markdown]
# ### Exercise 1: `double`

# %%
def double(x):
    # BEGIN SOLUTION
    return THE_SOLUTION
    # END SOLUTION

# %% [markdown]
# ## References
#
# - A_REFERENCE
"""
)


@pytest.fixture(scope="module")
def decks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the deck of one small notebook."""
    folder = tmp_path_factory.mktemp("course")
    source = folder / "07_toy.py"
    source.write_text(SOURCE.replace("\\\\", "\\"), encoding="utf-8")
    course = builder.Course("https://github.com/some-one/split-vae", "main")
    learners, solved = (builder.build(source, course, {}, solved=s) for s in (False, True))
    code = [c for c in solved.cells if c.cell_type == "code"]
    code[2].outputs = [_picture(900, 400)]
    code[3].outputs = [nbformat.v4.new_output("stream", text="double: correct.\n")]
    notebooks = folder / "notebooks"
    (notebooks / "solutions").mkdir(parents=True)
    nbformat.write(learners, notebooks / "07_toy.ipynb")
    nbformat.write(solved, notebooks / "solutions" / "07_toy.ipynb")
    slides.build([], folder / "decks", notebooks)
    return folder / "decks"


def _picture(width: int, height: int) -> Any:
    file = io.BytesIO()
    Image.new("L", (width, height)).save(file, "PNG")
    data = base64.b64encode(file.getvalue()).decode()
    page = f'<img alt="A black picture" width="{width}" src="data:image/png;base64,{data}">'
    return nbformat.v4.new_output("display_data", {"text/html": page, "text/plain": "Figure"})


@pytest.fixture(scope="module")
def page(decks: Path) -> str:
    return (decks / "07_toy.html").read_text(encoding="utf-8")


class References(HTMLParser):
    """What a page loads, what it links to, and the text of its sections."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.linked: list[str] = []
        self.feed(page)
        self.loaded += re.findall(r"url\([\"']?([^)\"']+)[\"']?\)", page)
        self.loaded += re.findall(r"@import\s+[\"']([^\"']+)", page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("src", "srcset", "poster", "data") and value is not None:
                self.loaded.append(value)
            elif name == "href" and value is not None:
                (self.linked if tag == "a" else self.loaded).append(value)


@pytest.mark.parametrize("name", ["07_toy.html", "index.html", "reveal/reveal.css"])
def test_all_that_is_loaded_is_a_file_beside_the_deck(decks: Path, name: str) -> None:
    path = decks / name
    found = References(path.read_text(encoding="utf-8"))
    loaded = [address for address in found.loaded if not address.startswith("data:")]
    if name.startswith("07"):
        assert len(loaded) >= 8  # two style sheets, two scripts, four fonts
    for address in loaded + found.linked:
        assert not re.match(r"[a-z]+:|//", address), address
        assert (path.parent / address).is_file(), address


def test_the_licences_of_what_is_copied_are_there(decks: Path) -> None:
    assert "MIT" in (decks / "reveal" / "LICENSE").read_text() or "Permission is hereby" in (
        decks / "reveal" / "LICENSE"
    ).read_text(encoding="utf-8")
    assert "Apache" in (decks / "mathjax" / "LICENSE").read_text(encoding="utf-8")


def test_solutions_are_hidden_and_stubs_shown(page: str) -> None:
    assert "THE_SOLUTION" not in page and "correct." not in page
    assert "your turn" in page


def test_long_code_setup_and_references_are_left_out(page: str) -> None:
    for word in ("A_LONG_CELL", "secret_setup", "A_REFERENCE", "Start cell", "colab"):
        assert word not in page
    assert 'alt="A black picture"' in page


def test_a_question_and_its_answer_are_on_different_slides(page: str) -> None:
    sections = re.split(r"<section", page)
    asked = [s for s in sections if "What do you expect?" in s]
    assert len(asked) == 1 and "celltag_question" in asked[0]
    assert "A black picture" not in asked[0]
    after = sections[sections.index(asked[0]) + 1]
    assert "A black picture" in after and "1. A picture" in after  # under the section's name


def test_links_between_notebooks_lead_to_decks_and_others_are_words(page: str) -> None:
    assert 'href="07_toy.html"' in page
    assert "the glossary" in page and "glossary.md" not in page


def test_index_lists_the_decks(decks: Path) -> None:
    assert '<a href="07_toy.html">7 · Toy</a>' in (decks / "index.html").read_text(encoding="utf-8")


def _part(height: int, **more: Any) -> Any:
    return slides.Part(nbformat.v4.new_markdown_cell("text"), height, **more)


def _slide_types(parts: list[Any]) -> list[str]:
    cells = slides.lay_out(parts, usable=100)
    return [c.metadata["slideshow"]["slide_type"] for c in cells]


def test_a_slide_takes_parts_as_long_as_they_fit() -> None:
    assert _slide_types([_part(40), _part(50), _part(20)]) == ["subslide", "-", "subslide"]
    assert _slide_types([_part(40), _part(20, begins="slide")]) == ["subslide", "slide"]
    assert _slide_types([_part(10, ends=True), _part(10)]) == ["subslide", "subslide"]
    # What needs company moves on with it; a short beginning may be crowded instead of alone.
    assert _slide_types([_part(50), _part(20, company=40)]) == ["subslide", "subslide"]
    assert _slide_types([_part(20), _part(95)]) == ["subslide", "-"]


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks" / "solutions").glob("*.ipynb")))
def test_every_slide_of_the_course_is_estimated_to_fit(path: Path) -> None:
    solved = nbformat.read(path, as_version=4)
    learners = nbformat.read(ROOT / "notebooks" / path.name, as_version=4)
    if not slides.belong_together(solved, learners):
        pytest.skip("the solution is out of date: tests/test_notebooks.py fails")
    parts = slides.parts_of(solved, learners)
    assert len(parts) > 20
    too_high = [p for p in parts if (p.least or p.height) > slides.CROWDED * slides.USABLE]
    assert [p.cell.source or p.cell.outputs[0].get("text") for p in too_high] == []
    decks = itertools.pairwise(slides.lay_out(parts))
    feet = [a for a, b in decks if b.metadata["slideshow"]["slide_type"] != "-"]
    assert not [c.source for c in feet if c.source.startswith("#") and c.cell_type == "markdown"]
    lines = [line for p in parts for o in p.cell.get("outputs", []) for line in _lines(o)]
    assert max(map(len, lines), default=0) <= slides.WIDE_COLUMNS


def _lines(output: Any) -> list[str]:
    return str(output.get("text", "")).splitlines()


def test_no_letters_are_small() -> None:
    template = (ROOT / "scripts" / "slides.html.j2").read_text(encoding="utf-8")
    sizes = re.findall(r"font(?:-size)?:\s*([\d.]+)px", template)
    assert len(sizes) >= 4 and min(map(float, sizes)) >= 15


def test_rows_of_tables_stay_whole_while_there_is_room() -> None:
    def printed(text: str) -> list[str]:
        return slides._printed(nbformat.v4.new_output("stream", text=text)).splitlines()

    line = f"{'-' * 20}  {'-' * 80}  -----"
    assert printed(line) == [line]
    assert len(printed("word " * 22)) == 2 and len(printed("a  " * 60)) == 2


def test_a_heading_moves_on_with_the_cell_below_it() -> None:
    cells = [nbformat.v4.new_markdown_cell(s) for s in ("# A", "text\n\n## Exercise")]
    cells.append(nbformat.v4.new_code_cell("\n".join(["x = 1"] * 14)))
    notebook = nbformat.v4.new_notebook(cells=cells)
    heading = slides.parts_of(notebook, notebook)[2]
    assert heading.cell.source == "## Exercise" and heading.company > 14 * slides.CODE_LINE


def test_a_heading_within_a_cell_begins_a_slide_like_one_at_its_top() -> None:
    text = "What happened.\n\n## 3. The next\n\nText.\n\n### Exercise 1: `f`\n\nDo it."
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(text)])
    found = [part.begins for part in slides.parts_of(notebook, notebook)]
    assert found == [None, "slide", None, "subslide", None]


def test_code_is_shown_where_it_is_short_and_teaches() -> None:
    def shown(source: str, outputs: list[Any]) -> bool:
        cell = nbformat.v4.new_code_cell(source, outputs=outputs)
        return any(part.cell.source == source for part in slides._code_parts(cell))

    printed = nbformat.v4.new_output("stream", text="1\n")
    ten = "\n".join(f"x{i} = {i}" for i in range(10))
    assert shown(ten, []) and shown(ten, [printed])
    assert not shown(ten, [_picture(80, 40)]) and shown("x = 1", [_picture(80, 40)])
    assert not shown(f"{ten}\n{ten}", [])
    assert not shown("assert x == 1\n\nif learning:\n    assert y", [])
    assert shown("x = 1\nassert x == 1", [])


def test_text_is_estimated_by_what_is_read() -> None:
    line = slides.TEXT_LINE
    assert slides._text_height("a" * 200) - slides._text_height("a" * 20) == 2 * line
    assert slides._text_height("[a](" + "b" * 200 + ")") == slides._text_height("a")
    assert slides._text_height("- a\n- b\n- c") > slides._text_height("a\nb\nc")


def test_versions_that_differ_are_refused(tmp_path: Path) -> None:
    (tmp_path / "solutions").mkdir()
    for folder, text in ((tmp_path, "a"), (tmp_path / "solutions", "b")):
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(text, id=text)])
        nbformat.write(notebook, folder / "01_a.ipynb")
    with pytest.raises(slides.SlidesError, match=r"01_a: .* make notebooks"):
        slides.build([], tmp_path / "out", tmp_path)
    with pytest.raises(slides.SlidesError, match="no solved notebook 42"):
        slides.build(["42"], tmp_path / "out", tmp_path)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(slides, "ASSETS", (("no-such-package", "a.js", "a.js"),))
    with pytest.raises(slides.SlidesError, match=r"no-such-package.*\[slides\]"):
        slides.copy_assets(tmp_path)
    monkeypatch.setattr(slides, "ASSETS", (("nbformat", "no-such-file.js", "a.js"),))
    with pytest.raises(slides.SlidesError, match="another version"):
        slides.copy_assets(tmp_path)


# ---------------------------------------------------------------- in a browser

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")


def browse(page: str, profile: Path, *options: str, size: str = "1280,720") -> str:
    """What a browser without network prints of a page."""
    command = [
        str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}",
        "--host-resolver-rules=MAP * ~NOTFOUND", f"--window-size={size}",
        "--virtual-time-budget=200000", *options, page,
    ]  # fmt: skip
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout


def found_in(page: Path, profile: Path, size: str = "1280,720") -> dict[str, float]:
    """What a deck found out about itself."""
    dom = browse(page.as_uri(), profile, "--dump-dom", size=size)
    body = re.search(r"<body[^>]*>", dom)
    assert body is not None
    return {k: float(v) for k, v in re.findall(r'data-(\w+)="([\d.]+)"', body[0])} | {
        "equations": dom.count("<mjx-container")
    }


in_a_browser = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium to look at the decks with")


@pytest.mark.thorough
@in_a_browser
def test_without_network_equations_are_set_and_slides_fit(decks: Path, tmp_path: Path) -> None:
    found = found_in(decks / "07_toy.html", tmp_path)
    assert found["slides"] == 4 and found["equations"] == 2 and found["errors"] == 0
    assert found["smallest"] == 1 and found["scrolls"] == 0


@pytest.mark.thorough
@in_a_browser
def test_a_deck_scrolls_on_a_phone(decks: Path, tmp_path: Path) -> None:
    assert found_in(decks / "07_toy.html", tmp_path, size="500,400")["scrolls"] == 1


@pytest.mark.thorough
@in_a_browser
def test_a_deck_prints_one_page_per_slide(decks: Path, tmp_path: Path) -> None:
    printed = tmp_path / "deck.pdf"
    page = (decks / "07_toy.html").as_uri() + "?print-pdf"
    pages = 0
    for _ in range(5):  # a busy browser may print before the deck is laid out: an empty page
        browse(page, tmp_path / "profile", f"--print-to-pdf={printed}", "--no-pdf-header-footer")
        pages = len(re.findall(rb"/Type\s*/Page[^s]", printed.read_bytes()))
        if pages > 1:
            break
    assert pages == 4


@pytest.mark.thorough
@in_a_browser
def test_a_real_deck_fits(tmp_path: Path) -> None:
    (page,) = slides.build(["01"], tmp_path / "decks")
    found = found_in(page, tmp_path / "profile")
    assert found["slides"] > 20 and found["equations"] > 50 and found["errors"] == 0
    assert found["smallest"] >= 0.8
