"""The decks: they need no network, hide solutions, and nothing runs out of a slide."""

from __future__ import annotations

import base64
import importlib
import io
import itertools
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import nbformat
import pytest
from in_browser import ROOT, Watched, chromium, in_a_browser
from PIL import Image

sys.path.insert(0, str(ROOT / "scripts"))
builder: Any = importlib.import_module("build_notebooks")
slides: Any = importlib.import_module("build_slides")
layout: Any = importlib.import_module("slide_layout")
lectures: Any = importlib.import_module("build_lecture")

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


def test_a_table_has_no_empty_headers() -> None:
    cell = nbformat.v4.new_markdown_cell("| | a |\n|---|---|\n| b | c |")
    page = slides.render(layout.lay_out([layout.Part(cell, 20)]), "A table")
    assert "<th>a</th>" in page and "<th></th>" not in page


def _part(height: int, **more: Any) -> Any:
    return layout.Part(nbformat.v4.new_markdown_cell("text"), height, **more)


def _slide_types(parts: list[Any]) -> list[str]:
    cells = layout.lay_out(parts, usable=100)
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
    if not layout.belong_together(solved, learners):
        pytest.skip("the solution is out of date: tests/test_notebooks.py fails")
    parts = layout.parts_of(solved, learners)
    sizes = [(layout._picture(part.cell.outputs[0]), part.least) for part in parts if part.least]
    letters = {size: (least - 16) / size[1] * layout.LETTERS for size, least in sizes}
    assert {k: v for k, v in letters.items() if v < layout.LEGIBLE - 0.1} == {}
    assert len(parts) > 20
    too_high = [p for p in parts if (p.least or p.height) > layout.CROWDED * layout.USABLE]
    assert [p.cell.source or p.cell.outputs[0].get("text") for p in too_high] == []
    decks = itertools.pairwise(layout.lay_out(parts))
    feet = [a for a, b in decks if b.metadata["slideshow"]["slide_type"] != "-"]
    assert not [c.source for c in feet if c.source.startswith("#") and c.cell_type == "markdown"]
    lines = [line for p in parts for o in p.cell.get("outputs", []) for line in _lines(o)]
    assert max(map(len, lines), default=0) <= layout.TABLE_COLUMNS


def _lines(output: Any) -> list[str]:
    return str(output.get("text", "")).splitlines()


def test_no_letters_are_small() -> None:
    template = (ROOT / "scripts" / "slides.html.j2").read_text(encoding="utf-8")
    sizes = re.findall(r"font(?:-size)?:\s*([\d.]+)px", template)
    assert len(sizes) >= 3 and min(map(float, sizes)) >= layout.LEGIBLE


def _printed(text: str) -> list[str]:
    lines: list[str] = layout._printed(nbformat.v4.new_output("stream", text=text))
    return lines


def test_rows_of_tables_stay_whole_while_there_is_room() -> None:
    line = f"{'-' * 20}  {'-' * 70}  -----"
    assert _printed(line) == [line]
    assert len(_printed("word " * 22)) == 2
    # Gaps between columns are narrowed before a row is broken.
    wide = [f"{'name':<60}{'value':>60}", f"{'a longer name':<60}{'1.0':>60}"]
    narrow = _printed("\n".join(wide))
    assert [line.split() for line in narrow] == [line.split() for line in wide]
    assert len({len(line) for line in narrow}) == 1 and len(_printed("ab  " * 60)) > 1


def test_long_outputs_and_tables_are_not_made_smaller() -> None:
    output = nbformat.v4.new_output("stream", text="x\n" * 60)
    parts = list(layout._output_parts([output]))
    assert len(parts) > 1 and all(part.height <= layout.USABLE for part in parts)
    table = nbformat.v4.new_markdown_cell("| a |\n|---|\n| b |")
    short = _part(20)
    for cell, slides_ in ((table, ["subslide", "subslide"]), (short.cell, ["subslide", "-"])):
        cells = layout.lay_out([short, layout.Part(cell, 95)], usable=100)
        assert [c.metadata["slideshow"]["slide_type"] for c in cells] == slides_


def test_pictures_are_never_shrunk_below_legible_letters() -> None:
    for width, height in ((640, 300), (900, 390), (915, 452)):
        (part,) = layout._output_parts([_picture(width, height)])
        assert (part.least - 16) / height * layout.LETTERS > layout.LEGIBLE - 0.1


def test_a_heading_moves_on_with_the_cell_below_it() -> None:
    cells = [nbformat.v4.new_markdown_cell(s) for s in ("# A", "text\n\n## Exercise")]
    cells.append(nbformat.v4.new_code_cell("\n".join(["x = 1"] * 14)))
    notebook = nbformat.v4.new_notebook(cells=cells)
    heading = layout.parts_of(notebook, notebook)[2]
    assert heading.cell.source == "## Exercise" and heading.company > 14 * layout.CODE_LINE


def test_a_heading_within_a_cell_begins_a_slide_like_one_at_its_top() -> None:
    text = "What happened.\n\n## 3. The next\n\nText.\n\n### Exercise 1: `f`\n\nDo it."
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(text)])
    found = [part.begins for part in slides.parts_of(notebook, notebook)]
    assert found == [None, "slide", None, "subslide", None]


def test_code_is_shown_where_it_is_short_and_teaches() -> None:
    def shown(source: str, outputs: list[Any]) -> bool:
        cell = nbformat.v4.new_code_cell(source, outputs=outputs)
        return any(part.cell.source == source for part in layout._code_parts(cell))

    printed = nbformat.v4.new_output("stream", text="1\n")
    ten = "\n".join(f"x{i} = {i}" for i in range(10))
    assert shown(ten, []) and shown(ten, [printed])
    assert not shown(ten, [_picture(80, 40)]) and shown("x = 1", [_picture(80, 40)])
    assert not shown(f"{ten}\n{ten}", [])
    assert not shown("assert x == 1\n\nif learning:\n    assert y", [])
    assert shown("x = 1\nassert x == 1", [])


def test_text_is_estimated_by_what_is_read() -> None:
    line = layout.TEXT_LINE
    assert layout._text_height("a" * 200) - layout._text_height("a" * 20) == 2 * line
    assert layout._text_height("[a](" + "b" * 200 + ")") == layout._text_height("a")
    assert layout._text_height("- a\n- b\n- c") > layout._text_height("a\nb\nc")


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


# ---------------------------------------------------------------- lectures


@contextmanager
def up_to_date() -> Iterator[None]:
    """Skip what needs solutions that fit their notebooks, where one does not."""
    try:
        yield
    except slides.SlidesError as error:
        if "versions differ" not in str(error):
            raise
        pytest.skip("a solution is out of date: tests/test_notebooks.py fails")


def _cells(lecture: Any) -> list[Any]:
    with up_to_date():
        found: list[Any] = lectures._cells(lecture, ROOT / "notebooks")
    return found


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_a_lecture_has_the_slides_of_its_plan(number: int) -> None:
    lecture = lectures.read_lecture(number)
    cells = _cells(lecture)
    groups = lectures._grouped(cells)
    assert len({cell.id for cell in cells}) == len(cells)
    assert lecture.rows[0].first == 2
    for row, following in itertools.pairwise(lecture.rows):
        assert following.first == row.last + 1
    for row in lecture.rows:
        of_row = groups[row.first - 1 : row.last]
        assert of_row[0][0].metadata["slideshow"]["slide_type"] == "slide"
        for group in of_row:
            notes = [c for c in group if c.metadata["slideshow"]["slide_type"] == "notes"]
            assert len(notes) == 1 and row.minutes in notes[0].source
            assert lectures.without_links(row.mind) in notes[0].source
        asked = re.findall(r"\[(\d\.\d+)\]", row.ask)
        questions = [c for g in of_row for c in g if "question" in c.metadata.get("tags", [])]
        assert len(questions) >= len(asked) and all(name in notes[0].source for name in asked)
        if not row.sections:
            assert row.last == row.first + len(asked)
    text = " ".join(c.source for c in cells)
    assert "question_bank.md" not in text and "](../" not in text


@pytest.fixture
def learners_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lectures are made of the learners' notebooks, which need no execution."""

    def both(name: str, notebooks: Path) -> tuple[Any, Any]:
        notebook = nbformat.read(notebooks / f"{name}.ipynb", as_version=4)
        return notebook, notebook

    monkeypatch.setattr(lectures, "both_versions", both)


@pytest.mark.usefixtures("learners_alone")
def test_plans_name_sections_that_are_there() -> None:
    for number in (1, 2, 3, 4):
        lecture = lectures.read_lecture(number)
        assert len(lectures._cells(lecture, ROOT / "notebooks")) > 3 * len(lecture.rows)


@pytest.mark.usefixtures("learners_alone")
@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_headings_of_a_lecture_skip_no_level(number: int) -> None:
    cells = lectures._cells(lectures.read_lecture(number), ROOT / "notebooks")
    found = [re.match("#* ?", c.source) for c in cells if c.cell_type == "markdown"]
    levels = [len(f[0]) - 1 for f in found if f and f[0].startswith("#")]
    assert levels[0] == 1 and all(b <= a + 1 for a, b in itertools.pairwise(levels))


@pytest.mark.usefixtures("learners_alone")
@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_a_lecture_is_estimated_to_fit_its_minutes(number: int) -> None:
    page = lectures.TEACHING.read_text(encoding="utf-8")
    pattern = (
        rf"^\| {number} \| ([\d,]+) \| (\d+) \| (\d+) \| (\d+), (\d+) min \| (\d+) \| (.*) \|$"
    )
    (row,) = re.findall(pattern, page, re.MULTILINE)
    words, spoken, exercises, questions, asking, pause = (int(n.replace(",", "")) for n in row[:6])
    estimate, minutes = map(int, row[6].split(" of "))
    assert spoken == round(words / 130) and asking == 2 * questions
    assert estimate == spoken + exercises + asking + pause <= minutes <= 90

    lecture = lectures.read_lecture(number)
    decks: dict[int, Any] = {}
    parts = [p for row in lecture.rows for p in lectures._parts(row, decks, ROOT / "notebooks")]
    texts = [part.cell.source for part in parts if part.cell.cell_type == "markdown"]
    linked = sum(len(re.findall(r"\[\d+\.\d+\]\(", row.ask)) for row in lecture.rows)
    assert abs(questions - linked - sum("What do you expect?" in text for text in texts)) <= 1
    read = re.sub(
        r"\$\$.*?\$\$|<details>.*?</summary>|(?m:^\|.*?$)", "", "\n".join(texts), flags=re.S
    )
    assert abs(words / len(re.sub(r"\$[^$]*\$", "x", read).split()) - 1) < 0.1


def test_a_row_shows_the_sections_that_it_names_and_no_others() -> None:
    row = lectures.Row("0-5", "deck 2, sections 1, 4.1 and 5 without 5.2: deck 9", "", "")
    assert lectures._find_sections(row, None) == 2
    shown = [s for s in ("1", "1.3", "4", "4.1", "4.2", "5", "5.1", "5.2", "") if row.shows(2, s)]
    assert shown == ["1", "1.3", "4.1", "5", "5.1"] and not row.shows(1, "1")


def test_a_question_comes_first_where_the_plan_says_before() -> None:
    lecture = lectures.read_lecture(3)
    (row,) = (row for row in lecture.rows if "*before* the bars" in row.ask)
    groups = lectures._grouped(_cells(lecture))
    assert "question" in groups[row.first - 1][0].metadata.get("tags", [])
    assert "question" not in groups[row.first][0].metadata.get("tags", [])


def test_plans_that_name_what_is_not_there_are_refused(decks: Path, tmp_path: Path) -> None:
    plan = "# Teaching\n\n## Lecture 1: a\n\n| 0-9 | {} | | |\n\n## End\n"
    for show, said in (
        ("section 1", "before any deck"),
        ("deck 7, section 99", "no section 99"),
        ("deck 7, section 1 without 1.9", "no section 1.9"),
        ("deck 8, section 1", "no solved notebook 8"),
    ):
        (tmp_path / "plan.md").write_text(plan.format(show), encoding="utf-8")
        with pytest.raises(slides.SlidesError, match=said):
            notebooks = decks.parent / "notebooks"
            lectures.build(1, tmp_path / "out", notebooks, tmp_path / "plan.md")
    with pytest.raises(slides.SlidesError, match="no lecture 9"):
        lectures.build(9, tmp_path / "out")


def test_plan_and_handout_stand_beside_the_deck(tmp_path: Path) -> None:
    with up_to_date():
        deck, plan, handout = lectures.build(4, tmp_path)
    for path in (deck, plan, handout):
        found = References(path.read_text(encoding="utf-8"))
        for address in found.loaded + found.linked:
            file = address.split("#")[0]
            assert address.startswith("data:") or (tmp_path / file).is_file(), address
    numbers = re.findall(r'<a href="lecture_4.html#/\d+">(\d+)', plan.read_text(encoding="utf-8"))
    assert len(numbers) == len(lectures.read_lecture(4).rows)
    assert deck.read_text(encoding="utf-8").count('class="notes"') >= int(numbers[-1])


# ---------------------------------------------------------------- in a browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as started:
        yield started


@pytest.fixture
def show(browser: Any) -> Iterator[Callable[..., Any]]:
    """Open a deck without network and wait until it is laid out; it may not complain."""
    shown: list[Watched] = []

    def start(address: str, width: int = 1280, height: int = 720) -> Any:
        size = {"width": width, "height": height}
        one = Watched(browser, "file:", viewport=size, offline=True)
        shown.append(one)
        one.page.goto(address)
        one.page.wait_for_function("!globalThis.Reveal || document.body.dataset.slides")
        return one.page

    yield start
    for one in shown:
        one.close()


def told(page: Any) -> dict[str, float]:
    """What a deck found out about itself."""
    found = {"equations": page.locator("mjx-container").count()}
    for name in ("slides", "smallest", "scrolls", "errors"):
        found[name] = float(page.evaluate("name => document.body.dataset[name]", name))
    return found


def in_chromium(test: Any) -> Any:
    """Mark a test that opens decks in a browser."""
    return pytest.mark.thorough(pytest.mark.timeout(1800)(in_a_browser(test)))


def with_a_menu(page: Any) -> Any:
    """Open the page again, now that MathJax's menu has stored that it needs files not here."""
    page.evaluate("""() => localStorage.setItem("MathJax-Menu-Settings", '{"explorer": true}')""")
    page.reload()
    page.evaluate("MathJax.startup.promise.then(() => undefined)")
    page.wait_for_function("!globalThis.Reveal || document.body.dataset.slides")
    return page


@in_chromium
def test_without_network_equations_are_set_and_slides_fit(decks: Path, show: Any) -> None:
    found = told(with_a_menu(show((decks / "07_toy.html").as_uri())))
    assert found["slides"] == 4 and found["equations"] == 2 and found["errors"] == 0
    assert found["smallest"] == 1 and found["scrolls"] == 0


@in_chromium
def test_without_javascript_slides_stand_below_each_other(decks: Path, browser: Any) -> None:
    one = Watched(browser, "file:", java_script_enabled=False)
    one.page.goto((decks / "07_toy.html").as_uri())
    heading = one.page.get_by_role("heading", name="1. A picture").first
    picture = one.page.get_by_alt_text("A black picture")
    assert heading.is_visible() and picture.is_visible()
    assert picture.bounding_box()["y"] > heading.bounding_box()["y"] > 100
    one.close()


@in_chromium
def test_keys_turn_the_slides_and_open_the_notes(decks: Path, show: Any) -> None:
    page = show((decks / "07_toy.html").as_uri())
    for key, place in (("ArrowRight", 1), (" ", 2), ("ArrowLeft", 1), ("Home", 0)):
        page.keyboard.press(key)
        page.wait_for_function("place => Reveal.getSlidePastCount() === place", arg=place)
    with page.expect_popup() as notes:
        page.keyboard.press("s")
    notes.value.get_by_text("Upcoming").first.wait_for()


@in_chromium
def test_a_deck_scrolls_on_a_phone(decks: Path, show: Any) -> None:
    assert told(show((decks / "07_toy.html").as_uri(), 500, 400))["scrolls"] == 1


@in_chromium
def test_a_deck_prints_one_page_per_slide(decks: Path, show: Any) -> None:
    page = show((decks / "07_toy.html").as_uri() + "?print-pdf")
    page.locator(".pdf-page").last.wait_for()  # printing before gives an empty page
    printed = page.pdf(prefer_css_page_size=True, print_background=True)
    assert len(re.findall(rb"/Type\s*/Page[^s]", printed)) == 4


LETTERS = """
() => [...document.querySelectorAll(".slides section:not(.stack)")].flatMap((slide, number) => {
  const scale = Number(slide.dataset.scale);
  const all = (what) => [...slide.querySelectorAll(what)].filter((e) => e.offsetHeight);
  const font = (e) => parseFloat(getComputedStyle(e).fontSize) * scale;
  return [
    ...all("pre, table, table *").map((e) => [number + 1, e.tagName, font(e), 0]),
    ...all("img").map((e) => [
      number + 1, "IMG", e.offsetWidth * scale, e.offsetHeight * scale, e.naturalWidth,
    ]),
  ];
})"""


@in_chromium
def test_letters_are_legible_on_every_slide_of_every_deck(tmp_path: Path, show: Any) -> None:
    """18 px on a slide of 1280 x 720."""
    with up_to_date():
        decks = [*slides.build([], tmp_path), lectures.build(1, tmp_path)[0]]
    small, seen = [], 0
    for deck in decks:
        page = show(deck.as_uri())
        for number, kind, *size in page.evaluate(LETTERS):
            seen += 1
            letters = size[0] / size[2] * layout.LETTERS if kind == "IMG" else size[0]
            if letters < layout.LEGIBLE - 0.1:
                small.append((deck.name, number, kind, *size))
        page.close()
    assert seen > 200 and small == []


@in_chromium
def test_a_lecture_numbers_its_slides_as_its_plan_does(tmp_path: Path, show: Any) -> None:
    with up_to_date():
        deck, plan, handout = lectures.build(2, tmp_path)
    links = re.findall(r'href="lecture_2.html#(/\d+)">(\d+)', plan.read_text(encoding="utf-8"))
    page = show(deck.as_uri())
    for place, number in links:
        page.goto("about:blank")
        page.goto(f"{deck.as_uri()}#{place}")
        page.wait_for_function("document.body.dataset.slides")
        assert page.evaluate("Reveal.getSlidePastCount() + 1") == int(number)
        assert page.evaluate("Reveal.getSlideNotes()")
    plain = with_a_menu(show(plan.as_uri()))
    assert plain.locator("mjx-container").count() and "\\(" not in plain.inner_text("main")
    printed = with_a_menu(show(handout.as_uri()))
    assert printed.locator("mjx-container").count() > 20
    shown = printed.evaluate(
        "[...document.querySelectorAll('.slides > section > section')]"
        ".filter((e) => e.offsetHeight > 20).length"
    )
    assert len(links) == len(lectures.read_lecture(2).rows) and shown > int(links[-1][1])
    paper = printed.pdf(format="A4", print_background=True)
    assert len(re.findall(rb"/Type\s*/Page[^s]", paper)) < shown / 3
    printed.emulate_media(media="print")
    space = "[...document.querySelectorAll('pre')].map((e) => getComputedStyle(e).whiteSpace)"
    assert {*printed.evaluate(space)} == {"pre-wrap"}


@in_chromium
def test_a_real_deck_fits(tmp_path: Path, show: Any) -> None:
    (deck,) = slides.build(["01"], tmp_path)
    found = told(show(deck.as_uri()))
    assert found["slides"] > 20 and found["equations"] > 50 and found["errors"] == 0
    assert found["smallest"] >= 0.8
