"""Make the deck of a lecture from its plan in docs/teaching.md, with notes, a plan and a handout.

    python scripts/build_lecture.py 1              lecture 1, in slides/
    python scripts/build_lecture.py 1 --out DIR    elsewhere

A row of the plan names what to show: "deck 2, sections 1 and 4.1", or "section 5 without 5.2" of
the deck named last. Its slides are followed by those of the questions that the row asks; where the
plan says "before" or "first" behind a question, its slide comes before them.

    lecture_1.html            the deck; S opens the speaker's view, with what to ask and to mind
    lecture_1_plan.html       the plan, with the numbers of each row's slides
    lecture_1_handout.html    all slides, to be printed small
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import jinja2
import nbformat
from build_slides import NOTEBOOKS, ROOT, SlidesError, both_versions, copy_assets, render
from nbformat import NotebookNode
from question_bank import Item, read_bank, to_html, without_links
from slide_layout import Part, lay_out, parts_of

TEACHING = ROOT / "docs" / "teaching.md"
NUMBER = r"\d+(?:\.\d+)?"
NUMBERS = rf"{NUMBER}(?:(?:, | and ){NUMBER})*"


@dataclass
class Row:
    """A row of a lecture's plan."""

    minutes: str
    show: str
    ask: str
    mind: str
    sections: list[tuple[int, str]] = field(default_factory=list)
    """Deck and number of each section that it shows."""
    without: list[tuple[int, str]] = field(default_factory=list)
    first: int = 0
    last: int = 0
    """Numbers of its slides in the lecture's deck."""
    at: str = ""
    """Address of the first of them within the deck."""

    def shows(self, deck: int, section: str) -> bool:
        """Whether a section is shown: itself, or the one that it is a part of."""
        whole = section.split(".")[0]
        named = {(deck, section), (deck, whole)}
        return not named & {*self.without} and bool(named & {*self.sections})


@dataclass(frozen=True)
class Lecture:
    """A lecture as docs/teaching.md plans it."""

    number: int
    title: str
    aim: str
    rows: list[Row]
    homework: str


def read_lecture(number: int, path: Path = TEACHING) -> Lecture:
    """The plan of a lecture.

    Raises:
        SlidesError: there is no such lecture.
    """
    text = path.read_text(encoding="utf-8")
    lectures = re.findall(r"^## Lecture (\d+)[^:\n]*: (.*?)\n(.*?)(?=^## )", text, re.M | re.S)
    found = {int(number): (title, body) for number, title, body in lectures}
    if number not in found:
        known = ", ".join(map(str, sorted(found)))
        raise SlidesError(f"{path.name} plans no lecture {number}; it plans {known}.")
    title, body = found[number]
    rows, deck = [], None
    for cells in re.findall(r"^\| (\d+-\d+) \|" + r"([^|\n]*)\|" * 3 + "$", body, re.M):
        row = Row(*(cell.strip() for cell in cells))
        deck = _find_sections(row, deck)
        rows.append(row)
    aim = re.search(r"\bAim: (.*?)(?= Decks?\b|\n)", body)
    homework = re.search(r"^Homework: (.*)$", body, re.M)
    return Lecture(number, title, aim[1] if aim else "", rows, homework[1] if homework else "")


def _find_sections(row: Row, deck: int | None) -> int | None:
    """Fill in which sections a row shows; the deck that the next row goes on with."""
    pattern = (
        rf"(?:deck|notebook) (\d+)(?=, sections?\b)|\bsections? ({NUMBERS})|without ({NUMBERS})"
    )
    for named, shown, left_out in re.findall(pattern, row.show):
        if named:
            deck = int(named)
        elif deck is None:
            raise SlidesError(f"{row.minutes}: the plan names a section before any deck.")
        else:
            listed = [(deck, n) for n in re.findall(NUMBER, shown or left_out)]
            (row.sections if shown else row.without).extend(listed)
    return deck


def build(
    number: int, out: Path, notebooks: Path = NOTEBOOKS, teaching: Path = TEACHING
) -> list[Path]:
    """Write a lecture's deck, plan and handout, and what they need; returns the pages.

    Raises:
        SlidesError: no such lecture, or its plan names a section that no notebook has.
    """
    lecture = read_lecture(number, teaching)
    copy_assets(out)
    cells = _cells(lecture, notebooks)
    name, title = f"lecture_{number}", f"Lecture {number}: {lecture.title}"
    pages = {
        f"{name}.html": render(cells, title),
        f"{name}_plan.html": _plan(lecture, f"{name}.html"),
        f"{name}_handout.html": render(cells, title, "handout.html.j2"),
    }
    for file, text in pages.items():
        (out / file).write_text(text, encoding="utf-8")
        print(f"wrote {file}")
    return [out / file for file in pages]


def _cells(lecture: Lecture, notebooks: Path) -> list[NotebookNode]:
    """The deck's cells; the rows learn the numbers of their slides."""
    bank = read_bank()
    title = f"# Lecture {lecture.number}: {lecture.title}\n\nAim: {without_links(lecture.aim)}"
    cells = [_slide(title)]
    decks: dict[int, list[Part]] = {}
    for row in lecture.rows:
        before, after = [], []
        for question, behind in re.findall(r"\[(\d+\.\d+)\]\([^)]*\)(?=(.{0,12}))", row.ask):
            early = re.match(r"\W*(before|first)\b", behind)
            (before if early else after).append(bank[question])
        parts = _parts(row, decks, notebooks)
        if not parts and not row.sections:
            made = [_slide(f"## {without_links(row.show)}")]
        else:
            made = lay_out(parts)
            for cell in made:
                if cell.cell_type == "markdown":  # other decks need not be there
                    cell.source = re.sub(r"\[([^\]]*)\]\(\d\d_\w+\.html[^)]*\)", r"\1", cell.source)
        slides = _grouped([*map(_question, before), *made, *map(_question, after)])
        slides[0][0].metadata["slideshow"]["slide_type"] = "slide"
        row.first = 1 + sum(_begins(cell) for cell in cells)
        row.last = row.first + len(slides) - 1
        row.at = f"#/{sum(c.metadata['slideshow']['slide_type'] == 'slide' for c in cells)}"
        note = _notes(row, [*before, *after])
        cells += [cell for slide in slides for cell in (*slide, _slide(note, "notes"))]
    if lecture.homework:
        cells.append(_slide(f"## Homework\n\n{without_links(lecture.homework)}"))
    _step_by_step(cells)
    return cells


def _step_by_step(cells: Sequence[NotebookNode]) -> None:
    """Raise headings that skip a level, such as a section shown without the one that it is in."""
    level = 0
    for cell in cells:
        own = re.match(r"#+(?= )", cell.source)
        if cell.cell_type == "markdown" and own:
            level = min(len(own[0]), level + 1)
            cell.source = "#" * level + cell.source[own.end() :]


def _parts(row: Row, decks: dict[int, list[Part]], notebooks: Path) -> list[Part]:
    """The parts of the sections that a row shows, in the row's order of decks."""
    shown: list[Part] = []
    for deck in dict.fromkeys(deck for deck, _ in row.sections):
        if deck not in decks:
            found = sorted((notebooks / "solutions").glob(f"{deck:02d}_*.ipynb"))
            if not found:
                raise SlidesError(f"{row.minutes}: there is no solved notebook {deck}.")
            decks[deck] = parts_of(*both_versions(found[0].stem, notebooks))
        known = {part.section for part in decks[deck]}
        for named in (s for d, s in [*row.sections, *row.without] if d == deck):
            if named not in known:
                raise SlidesError(f"{row.minutes}: notebook {deck} has no section {named}.")
        shown += [part for part in decks[deck] if row.shows(deck, part.section)]
    return shown


def _grouped(cells: Sequence[NotebookNode]) -> list[list[NotebookNode]]:
    slides: list[list[NotebookNode]] = []
    for cell in cells:
        if _begins(cell):
            slides.append([])
        slides[-1].append(cell)
    return slides


def _begins(cell: NotebookNode) -> bool:
    return cell.metadata["slideshow"]["slide_type"] in ("slide", "subslide")


def _slide(text: str, kind: str = "slide") -> NotebookNode:
    cell = nbformat.v4.new_markdown_cell(text)
    cell.metadata["slideshow"] = {"slide_type": kind}
    return cell


def _question(item: Item) -> NotebookNode:
    cell = _slide(without_links(f"{item.question}\n\n{item.lettered}"), "subslide")
    cell.metadata["tags"] = ["question"]
    return cell


def _notes(row: Row, asked: Sequence[Item]) -> str:
    """What the speaker's view shows beside each slide of a row."""
    said = [f"**Minutes {row.minutes}.** {row.show}"]
    for label, text in (("Ask", row.ask), ("Mind", row.mind)):
        said += [f"**{label}:** {text}"] if text else []
    for item in asked:
        said.append(f"**{item.name}** {item.question}\n\n*Answer:*\n\n{item.answer}")
    return without_links("\n\n".join(said))


_PLAN = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined).from_string(
    """\
<!DOCTYPE html>
<html lang="en-GB">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Lecture {{ lecture.number }}: plan</title>
<link rel="icon" href="data:,">
<style>
body { font: 17px/1.45 sans-serif; color: #222; max-width: 64em; margin: 2em auto; padding: 0 1em; }
.scrolls { overflow-x: auto; } table { border-collapse: collapse; min-width: 44em; }
a { color: #0a5a9c; }
th, td { padding: .35em .8em .35em 0; text-align: left; vertical-align: top;
border-bottom: 1px solid #ccc; } td:first-child, td:nth-child(2) { white-space: nowrap; }
tr { break-inside: avoid; }
</style>
<script>window.MathJax = {options: {enableMenu: false}};</script>
<script>localStorage.removeItem("MathJax-Menu-Settings");</script>
<script src="mathjax/tex-svg.js" defer></script>
</head>
<body>
<main>
<h1>Lecture {{ lecture.number }}: {{ lecture.title }}</h1>
<p>Aim: {{ to_html(lecture.aim) | safe }}</p>
<div class="scrolls" tabindex="0" role="region" aria-label="Plan">
<table>
<thead><tr>{% for head in ("minute", "slides", "show", "ask", "mind") %}
<th scope="col">{{ head }}</th>{% endfor %}</tr></thead>
<tbody>
{% for row in lecture.rows %}
<tr><td>{{ row.minutes }}</td>
<td><a href="{{ deck }}{{ row.at }}">{{ row.first }}{% if row.last > row.first %}-{{ row.last }}
{%- endif %}</a></td>
{% for cell in (row.show, row.ask, row.mind) %}<td>{{ to_html(cell) | safe }}</td>{% endfor %}</tr>
{% endfor %}
</tbody>
</table>
</div>
{% if lecture.homework %}<p>Homework: {{ to_html(lecture.homework) | safe }}</p>{% endif %}
</main>
</body>
</html>
"""
)


def _plan(lecture: Lecture, deck: str) -> str:
    return _PLAN.render(lecture=lecture, deck=deck, to_html=to_html)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the return value is its exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("lecture", type=int, help="number of the lecture in docs/teaching.md")
    parser.add_argument("--out", type=Path, default=ROOT / "slides", help="folder of the decks")
    chosen = parser.parse_args(arguments)
    try:
        pages = build(chosen.lecture, chosen.out)
    except SlidesError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"open {pages[0]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
