"""Writes one HTML page, complete in itself; and a table for the terminal."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup
from matplotlib.figure import Figure

from .._version import __version__
from ..plots.figure import alt_text_of, img_tag
from ..support.checks import InputError
from ..support.files import check_writable, write_text

Pictures = Iterable[tuple[str, Figure, str]]
"""Heading, figure and explanation of each."""
_SECTIONS = {"pictures": "Pictures", "curves": "Curves", "diagnostics": "Diagnostics"}
_LARGER = "What a larger model buys"
_NOTHING = "–"
_NUMBER = re.compile(r"[-−+]?[\d,]*\.?\d+(e[-+]?\d+)?( ?%| ± [\d.,]+)?")


def format_table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A table as plain text for the terminal: numbers to the right, words to the left.

    Args:
        columns: headings, at least one.
        rows: cells: text, numbers or None, as many in a row as there are columns.
    """
    cells, numeric = _cells(columns, rows)
    widths = [max(map(len, column)) for column in zip(columns, *cells, strict=True)]

    def text(line: Sequence[str]) -> str:
        pairs = zip(line, widths, numeric, strict=True)
        return "  ".join(c.rjust(w) if right else c.ljust(w) for c, w, right in pairs).rstrip()

    ruler = "  ".join("-" * width for width in widths)
    return "\n".join([text(columns), ruler, *map(text, cells)])


def write_report(
    path: Path,
    *,
    title: str,
    summary: str,
    table: tuple[Sequence[str], Sequence[Sequence[Any]], str],
    figures: Pictures,
    larger: Pictures = (),
    made_of: Mapping[str, Mapping[str, Any]],
    overwrite: bool = False,
) -> None:
    """Write one HTML file that needs no network and no other files; whole or not at all.

    The table is columns, rows and caption. Figures are those of :mod:`svae_lib.plots`, or others
    with an attribute ``alt_text``; ``larger`` holds those of larger models, at the end. ``made_of``
    holds facts by name in groups, such as versions.
    """
    check_writable(path, overwrite=overwrite)  # before the work of drawing
    columns, rows, caption = table
    cells, numeric = _cells(columns, rows)
    html = _template().render(
        title=title,
        summary=summary,
        columns=columns,
        rows=cells,
        numeric=numeric,
        caption=caption,
        sections=_sections(figures, larger),
        made_of={
            _words(name): {_words(key): fact(value) for key, value in facts.items()}
            for name, facts in made_of.items()
        },
        written=datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        version=__version__,
    )
    write_text(path, html, overwrite=overwrite)


def _sections(figures: Pictures, larger: Pictures) -> dict[str, list[tuple[str, Markup, str]]]:
    """Heading, image and explanation of each figure under the title of its section."""
    of_figures = [(_SECTIONS[getattr(panel[1], "section", "pictures")], panel) for panel in figures]
    found: dict[str, list[tuple[str, Markup, str]]] = {}
    for section, (heading, figure, explanation) in (*of_figures, *((_LARGER, p) for p in larger)):
        if not alt_text_of(figure):
            raise InputError(f"the figure {heading!r} has no alt_text: say what it shows.")
        image = Markup(img_tag(figure, scale=2))  # made and escaped by img_tag
        found.setdefault(section, []).append((heading, image, explanation))
    return {title: found[title] for title in (*_SECTIONS.values(), _LARGER) if title in found}


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.j2")


def _cells(
    columns: Sequence[str], rows: Sequence[Sequence[Any]]
) -> tuple[list[list[str]], list[bool]]:
    """All cells as text, and which columns hold numbers."""
    if not columns:
        raise InputError("a table needs at least one column.")
    for row in rows:
        if len(row) != len(columns):
            raise InputError(f"{len(columns)} columns do not fit the row {list(row)}.")
    cells = [[fact(value) for value in row] for row in rows]
    return cells, [_is_numeric(row[i] for row in cells) for i in range(len(columns))]


def _is_numeric(column: Iterable[str]) -> bool:
    known = [text for text in column if text != _NOTHING]
    return bool(known) and all(_NUMBER.fullmatch(text) for text in known)


def fact(value: Any) -> str:
    """A fact for a reader: lists joined, fractions short, None as a dash."""
    if value is None or value == "":
        return _NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):  # NumPy's float64, too
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {fact(item)}" for key, item in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return ", ".join(map(fact, value)) or _NOTHING
    return str(value)


def _words(name: str) -> str:
    """A key as words: ``batch_size`` becomes "batch size"."""
    return str(name).replace("_", " ")
