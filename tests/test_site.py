"""The web site: what is folded, what the explorer computes, and what a real browser sees."""

from __future__ import annotations

import base64
import html
import io
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
import torch
from in_browser import PATIENCE, ROOT, Watched, chromium, violations
from PIL import Image

import svae_lib as sv

pytest.importorskip("myst_nb", reason="the extra 'site' is not installed")
pytest.importorskip("pydata_sphinx_theme", reason="the extra 'site' is not installed")

sys.path.insert(0, str(ROOT / "scripts"))

import build_notebooks
import build_site
import explorer_models
import serve_site
import site_pages
import site_words

EXPLORER = ROOT / "scripts" / "explorer"
PHONE = {"width": 390, "height": 844}
PAGES = (
    "index.html",
    "notebooks/index.html",
    "notebooks/01_vanilla_vae.html",
    "notebooks/04_sigma_map.html",
    "explorer.html",
    "docs/question_bank.html",
    "docs/results.html",
    "docs/glossary.html",
    "docs/teaching.html",
    "lectures/index.html",
    "lectures/lecture_1.html",
    "reference/index.html",
    "reference/svae_lib.objective.html",
    "_modules/index.html",
    "_modules/svae_lib/objective.html",
    "genindex.html",
    "search.html?q=sigma",
    "errata.html",
    "404.html",
    "citation.html",
    "slides/index.html",
    "slides/02_balancing_the_elbo.html",
    "slides/lecture_1.html",
    "slides/lecture_1_plan.html",
    "slides/lecture_1_handout.html",
)
"""One of each kind at least; learners' notebooks are no pages: tests/test_lab.py opens one."""
NOTEBOOKS = [path.stem for path in sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))]
MENU = """() => localStorage.setItem("MathJax-Menu-Settings", '{"explorer": true}')"""
"""What MathJax's menu stores when its accessibility is switched on: it asks for files not here."""
READY = "async () => { await document.fonts.ready; await globalThis.MathJax?.startup?.promise }"
THREE = [[[0.3, 0.2], [0.7, 0.2], [0.45, 0.45], [0.7, 0.7], [0.3, 0.85]]]

needs_runtime = pytest.mark.skipif(
    not (build_site.RUNTIME / build_site.RUNTIME_FILES[0]).exists(),
    reason="onnxruntime-web is not installed (make site)",
)
needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")


# ---------------------------------------------------------------- notebooks


def page_and_versions(name: str) -> tuple[Any, Any, Any]:
    solved: Any = nbformat.read(ROOT / "notebooks" / "solutions" / f"{name}.ipynb", as_version=4)
    learners: Any = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4)
    return build_site.page_of(solved, learners), solved, learners


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_exercises_are_folded_with_stub_hints_and_solution(name: str) -> None:
    page, solved, learners = page_and_versions(name)
    texts = [cell.source for cell in page.cells]
    assert not any("Start cell" in text for text in texts)
    for cell, stub in zip(solved.cells, learners.cells, strict=True):
        if cell.cell_type != "code" or cell.source == stub.source or "Start cell" in cell.source:
            continue
        (shown,) = [text for text in texts if cell.source in text]
        seen, _, behind = shown.partition("<details>")
        assert stub.source in seen and cell.source not in seen
        assert behind.index(cell.source) > behind.index("<summary>Solution</summary>")
    asked = "\n".join(cell.source for cell in solved.cells)
    for exercise in sv.exercises.registry().values():
        if f'sv.exercises.check("{exercise.name}"' in asked and exercise.notebook == name:
            hints = "\n".join(texts)
            assert all(f"<details><summary>Hint {i}" in hints for i in (1, len(exercise.hints)))
            assert all(html.escape(hint) in hints for hint in exercise.hints)


def test_the_words_of_an_entry() -> None:
    assert site_words.forms("ELBO") == ["ELBO"]
    both = ["active latent variable", "inactive latent variable"]
    assert [f.lower() for f in site_words.forms("Active, inactive latent variable")] == both
    assert site_words.forms("Precision, recall") == ["Precision and recall"]
    assert site_words.forms("Mix (in scores)") == []


def test_a_page_for_each_lecture_with_its_decks_and_homework() -> None:
    decks = {n: (f"{n:02}.html", f"Deck {n}") for n in range(10)}
    pages = site_pages.lectures(decks)
    assert list(pages) == [f"lecture_{n}" for n in (1, 2, 3, 4)]
    for page in pages.values():
        assert page["aim"] and page["homework"] and page["plan"].startswith("| minute |")
        assert "Homework" not in page["plan"] and "](question" not in page["plan"]
    assert all(f"{n:02}.html" in pages["lecture_1"]["decks"] for n in (0, 1, 2))
    assert "reparameterise" in pages["lecture_1"]["exercises"]
    assert "sign_test" not in pages["lecture_1"]["exercises"]


def test_errata_come_from_what_was_fixed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    log = "# Changes\n\n## Unreleased\n\n### Added\n- A page.\n\n## 0.2.0 - 2027-01-01\n\n"
    log += "### Fixed\n- A sign.\n\n## 0.1.0 - 2026-11-22\n\nFirst.\n"
    (tmp_path / "CHANGELOG.md").write_text(log)
    monkeypatch.setattr(site_pages, "ROOT", tmp_path)
    told = site_pages.errata()
    assert "## Version 0.1.0" in told and "A sign." in told
    assert "A page." not in told and "## Version 0.2.0" not in told


@pytest.mark.parametrize("address", ["", "https://github.com/some-one/split-vae"])
def test_pages_link_to_the_repository_where_its_address_is_set(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    course = build_notebooks.Course(address and f"{address}.git", "0.1.0")
    monkeypatch.setattr(build_notebooks, "read_course", lambda: course)
    build_site.write_landing(tmp_path)
    build_site.write_documents(tmp_path)
    index, errata = ((tmp_path / f"{name}.md").read_text() for name in ("index", "errata"))
    assert (f"[take a copy]({address})" in index) == bool(address)
    assert (f"[report it]({address}/issues)" in errata) == bool(address)
    picture = f'"property=og:image": {address}/raw/v0.1.0/docs/pictures/faces.png\n'
    assert (picture in index) == bool(address)
    assert "take a copy" in index and "report it" in errata and "[how to cite](" in index
    assert "{{" not in index + errata


# ---------------------------------------------------------------- what the explorer computes


def node(module: str, expression: str) -> Any:
    script = f"import * as m from './{module}'; console.log(JSON.stringify({expression}))"
    command = ["node", "--input-type=module", "--eval", script]
    done = subprocess.run(command, cwd=EXPLORER, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def reference_digit(strokes: list[list[list[float]]]) -> np.ndarray:
    """The drawing in 32 x 32, written anew: densely sampled strokes instead of segments."""
    radius, box, centre = 1.2, 20, 16

    def render(lines: list[np.ndarray]) -> np.ndarray:
        rows, columns = np.mgrid[:32, :32]
        pixels = np.stack((columns, rows), axis=-1)[..., None, :]
        nearest = np.full((32, 32), np.inf)
        for line in lines:
            ends = np.concatenate((line, line[-1:]))
            t = np.linspace(0, 1, 2001)[:, None]
            for a, b in itertools.pairwise(ends):
                away = np.linalg.norm(pixels - (a + t * (b - a)), axis=-1).min(axis=-1)
                nearest = np.minimum(nearest, away)
        return np.clip(radius + 0.5 - nearest, 0, 1)

    lines = [np.array(stroke, dtype=float) for stroke in strokes]
    points = np.concatenate(lines)
    low, high = points.min(axis=0), points.max(axis=0)
    scale = (box - 2 * radius - 1) / max(*(high - low), 0.1)
    lines = [(line - (low + high) / 2) * scale + centre for line in lines]
    image = render(lines)
    rows, columns = np.mgrid[:32, :32]
    mass = np.array([(image * columns).sum(), (image * rows).sum()]) / image.sum()
    return render([line + centre - mass for line in lines])


@needs_node
@pytest.mark.parametrize("strokes", [THREE, [[[0.5, 0.1], [0.5, 0.9]]], [[[0.2, 0.2]]]])
def test_a_drawing_becomes_a_digit_like_mnists(strokes: list[list[list[float]]]) -> None:
    ours = node("digit.js", f"Array.from(m.digitOf({json.dumps(strokes)}))")
    image = np.array(ours).reshape(32, 32)
    np.testing.assert_allclose(image, reference_digit(strokes), atol=5e-3)
    rows, columns = np.mgrid[:32, :32]
    for places in (rows, columns):  # as in the data: pixel 16 on average
        assert (image * places).sum() / image.sum() == pytest.approx(16, abs=0.1)
    height, width = (np.ptp(np.nonzero(image.any(axis=axis))[0]) + 1 for axis in (1, 0))
    assert max(height, width) <= 21


@needs_node
def test_nothing_drawn_is_no_digit() -> None:
    assert node("digit.js", "m.digitOf([])") is None


@needs_node
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("options", "arguments"),
    [
        ({}, {}),
        ({"constant": 0.3}, {"sigma": 0.3}),
        ({"sharpness": 4}, {"sharpness": 4.0}),
        ({"sharpness": 0}, {"sharpness": 0.0}),
        ({"swap": True, "sharpness": 2}, {"swap": True, "sharpness": 2.0}),
    ],
)
def test_the_page_mixes_as_the_library_does(options: Any, arguments: Any, channels: int) -> None:
    generator = torch.Generator().manual_seed(0)
    sigma = torch.rand(1, 1, 4, 4, generator=generator)
    x1, x2 = torch.rand(2, 1, channels, 4, 4, generator=generator)
    images, weights = torch.stack((x1, x2), 1), torch.stack((sigma, 1 - sigma), 1)
    ours = sv.sampling.mix(
        sv.models.Decoded((weights * images).sum(1), images, weights), **arguments
    )
    parts = {"sigma": sigma, "x1": x1, "x2": x2}
    values = json.dumps({name: value.flatten().tolist() for name, value in parts.items()})
    theirs = node("split.js", f"m.mix({values}, {json.dumps(options)})")
    torch.testing.assert_close(torch.tensor(theirs["x"]), ours.x_hat.flatten())
    torch.testing.assert_close(torch.tensor(theirs["sigma"]), ours.sigma_map.flatten())


@needs_node
def test_the_page_has_the_librarys_kl_divergence() -> None:
    mu, log_var = torch.randn(2, 1, 5, generator=torch.Generator().manual_seed(1))
    theirs = node("split.js", f"m.klDivergence({mu[0].tolist()}, {log_var[0].tolist()})")
    assert theirs == pytest.approx(sv.kl_divergence(mu, log_var).item(), rel=1e-5)


def test_what_is_told_of_a_model_was_measured() -> None:
    model = sv.load_trained("quick", "split-vae").eval()
    train, test, _ = explorer_models.images_of("digits")
    train, test = train[::2], test[::2]
    told = explorer_models.about(model, train, test, explorer_models.SHOWN[0])
    with torch.no_grad():
        spread = model.encode(test.float() / 255)[0].var(dim=0, correction=0)
    assert sorted(told["order"]) == list(range(told["latent_dim"]))
    falling = spread[told["order"]]
    assert (falling.diff() <= 1e-4).all()
    torch.testing.assert_close(torch.tensor(told["variance_of_means"]), spread, atol=1e-4, rtol=0)
    z = torch.tensor(told["mixture"])
    assert z.shape == (explorer_models.SAMPLES, told["latent_dim"])
    assert (z.var(dim=0) / spread).log().abs().max() < 1  # like the means that it was fitted to
    assert told["kind"] in ("syntactic", "semantic", "mixed", "unclear", "none")


def test_test_digits_are_stored_whole() -> None:
    _, test, called = explorer_models.images_of("digits")
    stored = explorer_models.stored(test, called, "digits")
    wanted = [f"a {digit}" for digit in range(10)]
    assert [d["name"] for d in stored] == wanted * explorer_models.DIGITS_OF_A_KIND
    with Image.open(io.BytesIO(base64.b64decode(stored[0]["png"]))) as file:
        first = torch.from_numpy(np.array(file))[None]
    assert (test == first).flatten(1).all(dim=1).any()


# ---------------------------------------------------------------- what is refused; the server


def test_other_files_are_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("kept")
    assert build_site.main(["--out", str(tmp_path)]) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]


def test_a_missing_runtime_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build_site, "RUNTIME", tmp_path)
    with pytest.raises(build_site.SiteError, match="npm"):
        build_site.write_explorer(tmp_path / "source", wanted=True)


@pytest.fixture
def serve() -> Iterator[Callable[[Path], str]]:
    running = []

    def start(folder: Path) -> str:
        server = serve_site.server(folder)
        running.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"http://localhost:{server.server_port}/"

    yield start
    for server in running:
        server.shutdown()
        server.server_close()


def test_the_server_sends_the_types_that_browsers_want(tmp_path: Path, serve: Any) -> None:
    wanted = {"a.wasm": "application/wasm", "a.mjs": "text/javascript", "a.js": "text/javascript"}
    for name in wanted:
        (tmp_path / name).touch()
    base = serve(tmp_path)
    for name, kind in wanted.items():
        with urllib.request.urlopen(base + name, timeout=10) as answer:
            assert answer.headers["Content-Type"].startswith(kind)


# ---------------------------------------------------------------- a real browser


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site made for this run, or the one in the folder that SVAE_SITE names."""
    if made := os.environ.get("SVAE_SITE"):
        return Path(made)
    return build_site.build(tmp_path_factory.mktemp("site") / "pages").parent


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as started:
        yield started


class Visit(Watched):
    """A page of the site, and the bytes of all that it loaded."""

    def __init__(self, browser: Any, base: str, **context: Any) -> None:
        super().__init__(browser, base, **context)
        self.bytes: dict[str, int] = {}
        self.page.on("requestfinished", self._came)

    def _came(self, request: Any) -> None:
        self.bytes[request.url] = request.sizes()["responseBodySize"]

    def open(self, path: str) -> Any:
        self.page.goto(self.base + path)
        self.page.evaluate(READY)
        self.page.wait_for_timeout(500)  # for requests that come late
        if path.startswith("explorer"):
            self.page.wait_for_selector("#ex-body:not([hidden])")
            self.page.wait_for_function("document.getElementById('ex-numbers').textContent")
        elif path.startswith("slides/"):  # decks, which say when they are laid out; and others
            self.page.wait_for_function("!globalThis.Reveal || document.body.dataset.slides")
        return self.page


@pytest.fixture
def visit(browser: Any, site: Path, serve: Any) -> Iterator[Callable[..., Visit]]:
    visits: list[Visit] = []
    base = serve(site)

    def start(**context: Any) -> Visit:
        visits.append(Visit(browser, base, **context))
        return visits[-1]

    yield start
    for one in visits:
        one.close()


def pixels(page: Any, part: str) -> list[int]:
    """The red values of one of the five pictures."""
    names = ("input", "sigma", "x1", "x2", "x")
    canvas = page.locator("#ex-pictures canvas").nth(names.index(part))
    values: list[int] = canvas.evaluate(
        "c => Array.from(c.getContext('2d').getImageData(0, 0, c.width, c.height).data)"
        ".filter((_, i) => i % 4 === 0)"
    )
    return values


def settled(page: Any) -> None:
    """Wait until the page has painted what it was told so far."""
    page.wait_for_function("document.getElementById('ex-pictures').dataset.busy === 'false'")


def changed(page: Any, part: str, before: list[int]) -> list[int]:
    """Wait until a picture is another one, and return it."""
    until = time.monotonic() + PATIENCE / 1000
    while pixels(page, part) == before:
        assert time.monotonic() < until, f"{part} has not changed"
        page.wait_for_timeout(50)
    settled(page)
    return pixels(page, part)


def choose(page: Any, model: str) -> None:
    page.locator("#ex-model").select_option(model)
    page.wait_for_function("document.getElementById('ex-status').textContent === ''")
    settled(page)


def draw(page: Any) -> None:
    pad = page.locator("#ex-pad")
    pad.scroll_into_view_if_needed()
    box = pad.bounding_box()
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in THREE[0]]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=4)
    page.mouse.up()


@pytest.fixture(scope="module")
def explorer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The explorer's page alone, with one model: made in seconds."""
    folder = tmp_path_factory.mktemp("explorer")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(explorer_models, "SHOWN", explorer_models.SHOWN[:1])
        build_site.write_explorer(folder, wanted=True)
    # As the site's: a second model, to choose, and an element around all with the page's name.
    models = folder / "_static" / "explorer" / "models"
    (first,) = json.loads((models / "models.json").read_text(encoding="utf-8"))
    for path in models.glob(f"{first['file']}*"):
        shutil.copy(path, path.with_name(path.name.replace(first["file"], "other")))
    listed = json.dumps([first, first | {"file": "other", "name": "Other"}])
    (models / "models.json").write_text(listed, encoding="utf-8")
    head = '<!doctype html><html lang="en"><title>Explorer</title><link rel="icon" href="data:,">'
    body = (EXPLORER / "explorer.html").read_text(encoding="utf-8")
    (folder / "explorer.html").write_text(
        f'{head}<main id="explorer">{body}</main>', encoding="utf-8"
    )
    return folder


@needs_runtime
def test_a_digit_is_drawn_split_and_rebuilt(browser: Any, explorer: Path, serve: Any) -> None:
    one = Visit(browser, serve(explorer), viewport=PHONE)
    page = one.open("explorer.html")
    before = pixels(page, "input")
    draw(page)
    drawn, rebuilt = changed(page, "input", before), pixels(page, "x")
    assert np.corrcoef(drawn, rebuilt)[0, 1] > 0.7
    page.locator("#ex-sliders input").first.fill("3")
    changed(page, "x", rebuilt)
    one.close()


INPUT = "#ex-pictures canvas >> nth=0"


@pytest.fixture(scope="module")
def alone(browser: Any, explorer: Path) -> Iterator[Visit]:
    """The open page; digit.js tells it what it is asked, and how often."""
    server = serve_site.server(explorer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    visit = Visit(browser, f"http://localhost:{server.server_port}/", has_touch=True)
    code = (EXPLORER / "digit.js").read_text(encoding="utf-8")
    begins = "export function digitOf(strokes) {"
    assert begins in code
    code = code.replace(begins, f"{begins} (globalThis.asked ??= []).push(strokes);")
    visit.page.route(
        "**/digit.js", lambda route: route.fulfill(body=code, content_type="text/javascript")
    )
    visit.open("explorer.html")
    yield visit
    visit.close()
    server.shutdown()
    server.server_close()


@pytest.mark.thorough
@needs_runtime
class TestExplorerAlone:
    """What needs no other page of the site."""

    def test_clear_and_the_prior_leave_no_input(self, alone: Visit) -> None:
        page = alone.page
        for button in ("#ex-clear", "#ex-prior"):
            draw(page)
            settled(page)
            assert page.get_attribute(INPUT, "aria-label").endswith("your drawing")
            assert any(pixels(page, "input"))
            page.locator(button).click()
            settled(page)
            assert page.get_attribute(INPUT, "aria-label") == "input of the encoder: none"
            assert not any(pixels(page, "input"))

    def test_a_fast_pointer_and_a_second_finger(self, alone: Visit) -> None:
        page = alone.page
        page.evaluate(
            """() => {
                const pad = document.getElementById("ex-pad");
                const box = pad.getBoundingClientRect();
                pad.setPointerCapture = () => {}; // no such pointers
                const tell = (kind, pointerId, x, y) => pad.dispatchEvent(new PointerEvent(kind, {
                    pointerId, isPrimary: pointerId === 1, button: 0,
                    clientX: box.left + x * box.width, clientY: box.top + y * box.height,
                }));
                document.getElementById("ex-clear").click();
                globalThis.asked = [];
                tell("pointerdown", 1, 0.2, 0.2);
                tell("pointerdown", 2, 0.8, 0.2);
                for (let i = 0; i < 100; i++) {
                    tell("pointermove", 1, 0.2, 0.2 + i / 200);
                    tell("pointermove", 2, 0.8, 0.2 + i / 200);
                }
                tell("pointerup", 2, 0.8, 0.7);
                tell("pointermove", 1, 0.2, 0.8);
                tell("pointerup", 1, 0.2, 0.8);
                delete pad.setPointerCapture;
            }"""
        )
        page.wait_for_function("globalThis.asked.length")
        settled(page)
        asked = page.evaluate("globalThis.asked")
        assert len(asked) <= 3  # once a run, not once an event
        (stroke,) = asked[-1]
        assert len(stroke) == 102 and {round(x, 2) for x, _ in stroke} == {0.2}

    def test_a_model_that_does_not_come_can_be_chosen_again(self, alone: Visit) -> None:
        page = alone.page
        used, before = page.locator("#ex-model").input_value(), pixels(page, "x")
        page.route("**/other.decoder*", lambda route: route.abort())
        page.locator("#ex-model").select_option("other")
        said = page.get_by_text("check the connection and choose again")
        said.wait_for()
        assert page.locator("#ex-model").input_value() == used and pixels(page, "x") == before
        page.unroute("**/other.decoder*")
        alone.errors.clear()  # Chromium tells of the file, too
        choose(page, "other")
        assert page.locator("#ex-model").input_value() == "other" and not said.is_visible()

    def test_back_leaves_every_slider_as_it_is_said(self, alone: Visit) -> None:
        page = alone.page
        page.locator("#ex-sharp").fill("4")
        page.goto("about:blank")
        page.go_back()
        page.wait_for_selector("#ex-body:not([hidden])")
        settled(page)
        for slider in page.locator("#explorer input[type=range]").all():
            said = slider.evaluate("e => Number(e.nextElementSibling.value)")
            assert float(slider.input_value()) == pytest.approx(said, abs=0.03)
        assert page.locator("#ex-sharp").input_value() == "1"

    def test_a_phone_held_sideways_shows_more_than_the_pictures(self, alone: Visit) -> None:
        alone.page.set_viewport_size({"width": 844, "height": 390})
        style = "e => getComputedStyle(e).position"
        assert alone.page.locator(".ex-strip").evaluate(style) == "static"

    @pytest.mark.parametrize("lost", ["ort.wasm.bundle", "threaded.wasm", "models.json"])
    def test_a_start_that_fails_shows_no_controls(self, alone: Visit, lost: str) -> None:
        page = alone.page
        page.route(f"**/*{lost}*", lambda route: route.abort())
        page.reload()
        page.get_by_text("check the connection and load this page again").wait_for()
        assert not page.locator("#ex-body").is_visible()
        page.unroute(f"**/*{lost}*")
        alone.errors.clear()
        again = """async () => {
            const { loadModel } = await import(new URL("_static/explorer/models.js", location));
            return (await loadModel("other")).latent_dim;
        }"""
        assert page.evaluate(again)  # as the next choice would


@pytest.mark.thorough
@pytest.mark.timeout(1800)
@needs_runtime
class TestInChromium:
    def test_size_and_parts(self, site: Path) -> None:
        files = [path for path in site.rglob("*") if path.is_file()]
        assert sum(path.stat().st_size for path in files) < 80_000_000
        index = (site / "searchindex.js").read_text(encoding="utf-8")
        assert all(f'"{page}"' in index for page in ("notebooks/07_fid", "docs/glossary"))
        assert '"reference/svae_lib.fid"' in index

    def test_heads_of_pages(self, site: Path) -> None:
        for name in ("index", "explorer"):
            page = (site / f"{name}.html").read_text(encoding="utf-8")
            for named in ('name="description"', 'property="og:title"', 'property="og:description"'):
                assert re.search(rf"<meta [^>]*{named}", page)
            assert "{{" not in page and page.count('id="explorer"') == (name == "explorer")
        index = (site / "index.html").read_text(encoding="utf-8")
        assert "<title>The Split-VAE course</title>" in index

    @pytest.mark.parametrize("path", PAGES)
    @pytest.mark.parametrize("scheme", ["light", "dark"])
    def test_no_error_no_request_elsewhere_nothing_inaccessible(
        self, visit: Any, path: str, scheme: str
    ) -> None:
        assert not violations(visit(color_scheme=scheme).open(path))

    @pytest.mark.parametrize("path", PAGES)
    def test_a_phone_needs_no_sideways_scrolling(self, visit: Any, path: str) -> None:
        page = visit(viewport=PHONE, has_touch=True).open(path)
        for width in (PHONE["width"], 360):
            page.set_viewport_size(PHONE | {"width": width})
            assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
        cut = "[...document.querySelectorAll('span.math')].map((e) => getComputedStyle(e).overflow)"
        assert {*page.evaluate(cut)} <= {"visible"}
        if path.startswith("notebooks/0"):
            page.reload()
            page.evaluate(READY)
            page.wait_for_timeout(500)
            assert not violations(page)  # wide formulas scroll, by keyboard, too

    def test_a_dark_page_is_printed_light(self, visit: Any) -> None:
        page = visit(color_scheme="dark").open("docs/glossary.html")
        tell = "what => (dispatchEvent(new Event(what)), document.documentElement.dataset.theme)"
        assert page.evaluate("document.documentElement.dataset.theme") == "dark"
        assert [page.evaluate(tell, f"{w}print") for w in ("before", "after")] == ["light", "dark"]

    def test_an_address_that_is_not_there_leads_home(self, visit: Any, site: Path) -> None:
        one = visit()
        body = (site / "404.html").read_text(encoding="utf-8")
        one.page.route("**/gone*", lambda route: route.fulfill(body=body, content_type="text/html"))
        one.page.goto(one.base + "notebooks/gone.html")
        for name in ("index.html", "search.html"):
            one.page.locator(f'a[href="/{name}"]').wait_for()
        one.errors.clear()  # there is no notebooks/searchindex.js

    def test_mathematics_is_set_and_exercises_unfold(self, visit: Any) -> None:
        page = visit().open("notebooks/01_vanilla_vae.html")
        page.evaluate(MENU)
        page.reload()
        page.locator("mjx-container").nth(10).wait_for(state="attached")
        assert not page.locator("mjx-container:not([display])[tabindex]").count()
        solution = page.locator(".exercise details", has_text="Solution").first
        assert not solution.locator("pre").is_visible()
        solution.locator("summary").click()
        solution.locator("pre").wait_for()

    def test_a_word_of_the_glossary_is_explained_by_pointer_and_keyboard(self, visit: Any) -> None:
        page = visit().open("notebooks/02_balancing_the_elbo.html")
        box = page.locator("#term-box")
        word = page.locator("a.term", has_text="ELBO").first
        word.hover()
        box.wait_for(state="visible")
        assert "Evidence lower bound" in box.inner_text()
        near, link = box.bounding_box(), word.bounding_box()
        assert abs(near["x"] - link["x"]) < 300 and abs(near["y"] - link["y"]) < 300
        box.locator("mjx-container").first.wait_for()
        page.keyboard.press("Escape")
        box.wait_for(state="hidden")
        page.mouse.move(0, 0)
        page.keyboard.press("Tab")
        page.locator("a.term", has_text="variance law").first.focus()
        box.get_by_text("rescaling the variable").wait_for()
        page.keyboard.press("Enter")
        page.wait_for_url("**/docs/glossary.html#term-variance-law")
        assert page.locator("#term-variance-law").is_visible()

    def test_search_finds_notebooks_documents_and_library(self, visit: Any) -> None:
        page = visit().open("search.html?q=sharpen")
        for part in ("notebooks", "reference"):
            page.locator(f'#search-results li a[href*="{part}/"]').first.wait_for()

    def test_each_model_is_small_and_loaded_when_chosen(self, visit: Any) -> None:
        one = visit()
        page = one.open("explorer.html")
        loaded = {url: size for url, size in one.bytes.items() if "/runtime/" not in url}
        assert sum(loaded.values()) < 5_000_000
        assert not any("/faces" in url for url in loaded)
        choose(page, "faces-split-vae")
        faces = [size for url, size in one.bytes.items() if "/faces" in url]
        assert len(faces) == 4 and sum(faces) < 5_000_000

    def test_a_face_is_split_in_colour(self, visit: Any) -> None:
        page = visit().open("explorer.html")
        choose(page, "faces-split-vae")
        assert not page.locator("#ex-pad").is_visible()
        face, rebuilt = np.array(pixels(page, "input")), np.array(pixels(page, "x"))
        assert face.size == 64 * 64 and np.corrcoef(face, rebuilt)[0, 1] > 0.9
        colours = page.locator("#ex-pictures canvas").first.evaluate(
            "c => Array.from(c.getContext('2d').getImageData(32, 32, 1, 1).data)"
        )
        assert len(set(colours[:3])) > 1
        page.locator("#ex-sliders input").first.fill("2")
        changed(page, "x", rebuilt.tolist())
        choose(page, "quick-split-vae")
        assert page.locator("#ex-pad").is_visible() and len(pixels(page, "input")) == 32 * 32

    def test_a_slider_and_the_mixer_change_the_pictures(self, visit: Any) -> None:
        page = visit().open("explorer.html")
        assert "KL divergence" in page.inner_text("#ex-numbers")
        for part in ("x", "sigma"):
            before = pixels(page, part)
            page.locator("#ex-sliders input").first.focus()
            for _ in range(20):
                page.keyboard.press("ArrowRight")
            changed(page, part, before)
        before, first, second = (pixels(page, part) for part in ("x", "x1", "x2"))
        page.locator("#ex-swap").check()
        mixed = changed(page, "x", before)
        assert (pixels(page, "x1"), pixels(page, "x2")) == (second, first)
        page.locator("#ex-reset").click()
        assert changed(page, "x", mixed) == before

    def test_images_may_come_faster_than_they_are_encoded(self, visit: Any) -> None:
        page = visit().open("explorer.html")
        page.evaluate(
            """async () => {
                for (let i = 0; i < 40; i++) {
                    document.getElementById(i % 5 ? "ex-image" : "ex-prior").click();
                    await new Promise((go) => setTimeout(go, 20));
                }
            }"""
        )
        choose(page, "faces-split-vae")
        assert len(pixels(page, "input")) == 64 * 64

    @pytest.mark.parametrize("button", ["#ex-prior", "#ex-mixture", "#ex-zero", "#ex-image"])
    def test_buttons_draw_anew(self, visit: Any, button: str) -> None:
        page = visit().open("explorer.html")
        before = pixels(page, "x")
        page.locator(button).click()
        changed(page, "x", before)

    def test_the_page_computes_what_torch_does(self, visit: Any) -> None:
        page = visit().open("explorer.html")
        for shown in explorer_models.SHOWN:
            model = sv.load_trained(shown.preset, "split-vae").eval()
            z = sv.sampling.prior_latents(1, model.config.latent_dim, seed=3)
            with torch.no_grad():
                ours = model.decode(z)
                mu, _ = model.encode(ours.x_hat)
            theirs = page.evaluate(
                """async ([name, z, image]) => {
                    const { loadModel } = await import(
                        new URL("_static/explorer/models.js", location.href).href);
                    const model = await loadModel(name);
                    const out = await model.decode(Float32Array.from(z));
                    const { mu } = await model.encode(Float32Array.from(image));
                    return [out.x, out.x1, out.x2, out.sigma, mu].map((v) => Array.from(v));
                }""",
                [f"{shown.preset}-split-vae", z[0].tolist(), ours.x_hat.flatten().tolist()],
            )
            for found, wanted in zip(
                theirs, (ours.x_hat, ours.x1, ours.x2, ours.sigma_map, mu), strict=True
            ):
                torch.testing.assert_close(
                    torch.tensor(found), wanted.flatten(), atol=5e-3, rtol=0, check_dtype=False
                )

    def test_a_finger_draws(self, visit: Any) -> None:
        page = visit(viewport=PHONE, has_touch=True).open("explorer.html")
        before = pixels(page, "input")
        page.locator("#ex-pad").tap()
        changed(page, "input", before)

    def test_a_digit_can_be_drawn_by_keyboard(self, visit: Any) -> None:
        page = visit().open("explorer.html")
        before = pixels(page, "x")
        page.locator("#ex-pad").focus()
        for key in (" ", *["ArrowDown"] * 12, *["ArrowRight"] * 6):
            page.keyboard.press(key)
        changed(page, "x", before)

    def test_another_model_splits_the_same_image(self, visit: Any) -> None:
        page = visit().open("explorer.html")
        image, sigma = pixels(page, "input"), pixels(page, "sigma")
        choose(page, "quick-seed-1-split-vae")
        assert pixels(page, "input") == image
        assert pixels(page, "sigma") != sigma

    def test_without_webassembly_the_page_says_so(self, visit: Any) -> None:
        one = visit()
        one.page.add_init_script("delete globalThis.WebAssembly")
        one.page.goto(one.base + "explorer.html")
        one.page.wait_for_function(
            "document.getElementById('ex-status').textContent.includes('lacks WebAssembly')"
        )
        assert not one.page.locator("#ex-body").is_visible()
