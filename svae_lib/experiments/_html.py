"""Writes one HTML page, complete in itself; and a table for the terminal."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jinja2
import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure

from .._version import __version__
from ..plots.figure import alt_text_of, img_tag
from ..support.checks import InputError
from ..support.files import write_text

Section = Literal["pictures", "curves", "diagnostics", "larger"]
_SECTIONS: dict[Section, str] = {
    "pictures": "Pictures",
    "curves": "Curves",
    "diagnostics": "Diagnostics",
    "larger": "What a larger model buys",
}
_NOTHING = "–"


class Table(NamedTuple):
    """A table with a caption; any tuple of the three will do."""

    columns: Sequence[str]
    """Headings; the first column names the rows."""
    rows: Sequence[Sequence[Any]]
    """Cells: text, numbers or None, as many in a row as there are columns."""
    caption: str
    """What the numbers are, and how they are to be read."""


class Panel(NamedTuple):
    """A figure of the report; any tuple of the first three or of all four will do."""

    heading: str
    figure: Figure
    explanation: str
    """What to see in it, in a sentence or two."""
    section: Section | None = None
    """Where it belongs; None: where its figure says, or among the pictures."""


def format_table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A table as plain text for the terminal: numbers to the right, words to the left.

    Args:
        columns: headings.
        rows: cells: text, numbers or None. Numbers of a column get equally many decimals.

    Raises:
        InputError: no columns, or a row of another length.
    """
    cells, numeric = _cells(columns, rows)
    lines = [list(columns), *cells]
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    ruler = "  ".join("-" * width for width in widths)

    def text(line: Sequence[str]) -> str:
        pairs = zip(line, widths, numeric, strict=True)
        return "  ".join(c.rjust(w) if right else c.ljust(w) for c, w, right in pairs).rstrip()

    return "\n".join([text(lines[0]), ruler, *map(text, cells)])


def write_report(
    path: str | os.PathLike[str],
    *,
    title: str,
    summary: str | Sequence[str],
    table: Table | tuple[Sequence[str], Sequence[Sequence[Any]], str],
    figures: Iterable[Panel | tuple[str, Figure, str] | tuple[str, Figure, str, Section]],
    made_of: Mapping[str, Mapping[str, Any]],
    overwrite: bool = False,
) -> Path:
    """Write one self-contained HTML file: no network, no other files, light and dark.

    In this order: what was done, the table, pictures, curves, diagnostics, larger
    models, how it was made.

    Args:
        path: the file, usually ``report.html``; written whole or not at all.
        title: heading and window title.
        summary: what was done and what came out: a paragraph, or several.
        table: columns, rows and caption.
        figures: heading, figure and explanation of each, and optionally its section. Figures of
            :mod:`svae_lib.plots`, or others with an attribute ``alt_text``.
        made_of: groups of facts by name, such as versions, seeds, or seconds per stage.
        overwrite: replace an earlier report.

    Returns:
        The path.

    Raises:
        InputError: a figure without alternative text, a table row of another length, an unknown
            section.
        FileExistsError: the file exists and ``overwrite`` is False.
        OSError: the file cannot be written.
    """
    path = Path(path)
    if path.exists() and not overwrite:  # before the work of drawing, not after it
        raise FileExistsError(f"{path} exists already; choose another name or allow overwriting.")
    html = _template().render(
        title=title,
        summary=[summary] if isinstance(summary, str) else list(summary),
        table=_HtmlTable.of(Table(*table)),
        sections=_sections([Panel(*panel) for panel in figures]),
        made_of={
            _sentence(name): {_sentence(key): fact(value) for key, value in facts.items()}
            for name, facts in made_of.items()
        },
        written=datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        version=__version__,
    )
    write_text(path, html, overwrite=overwrite)
    return path


# ------------------------------------------------------------------ what the template is given


class _Cell(NamedTuple):
    text: str
    numeric: bool


@dataclass(frozen=True)
class _HtmlTable:
    columns: list[_Cell]
    rows: list[list[_Cell]]
    caption: str

    @classmethod
    def of(cls, table: Table) -> _HtmlTable:
        cells, numeric = _cells(table.columns, table.rows)

        def line(texts: Sequence[str]) -> list[_Cell]:
            return [_Cell(*pair) for pair in zip(texts, numeric, strict=True)]

        return cls(line(table.columns), [line(row) for row in cells], table.caption)


class _Shown(NamedTuple):
    heading: str
    image: Markup
    explanation: str


def _sections(panels: Sequence[Panel]) -> dict[str, list[_Shown]]:
    """Panels as images under the titles of their sections; empty sections are left out."""
    found: dict[Section, list[_Shown]] = {section: [] for section in _SECTIONS}
    for panel in panels:
        section = panel.section or getattr(panel.figure, "section", "pictures")
        if section not in found:
            raise InputError(f"section must be one of {list(_SECTIONS)}, not {section!r}.")
        if not alt_text_of(panel.figure):
            raise InputError(f"the figure {panel.heading!r} has no alt_text: say what it shows.")
        image = Markup(img_tag(panel.figure, scale=2))  # made and escaped by img_tag
        found[section].append(_Shown(panel.heading, image, panel.explanation))
    return {_SECTIONS[section]: shown for section, shown in found.items() if shown}


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.j2")


# ------------------------------------------------------------------ cells and facts

_NUMBER = re.compile(r"[-−+]?[\d,]*\.?\d+(e[-+]?\d+)?( ?%| ± [\d.,]+)?")


def _cells(
    columns: Sequence[str], rows: Sequence[Sequence[Any]]
) -> tuple[list[list[str]], list[bool]]:
    """All cells as text, and which columns hold numbers."""
    if not columns:
        raise InputError("a table needs at least one column.")
    for row in rows:
        if len(row) != len(columns):
            raise InputError(f"{len(columns)} columns do not fit the row {list(row)}.")
    formatted = [_column([row[i] for row in rows]) for i in range(len(columns))]
    numeric = [_is_numeric(column) for column in formatted]
    return [list(row) for row in zip(*formatted, strict=True)], numeric


def _column(values: Sequence[Any]) -> list[str]:
    """Cells of a column; its fractions get as many decimals as the largest of them deserves."""
    fractions = [v for v in values if _is_fraction(v) and np.isfinite(v)]
    largest = max((abs(v) for v in fractions), default=0.0)
    decimals = 4 if largest < 1 else 2 if largest < 100 else 1
    return [_text(value, decimals) for value in values]


def _text(value: Any, decimals: int) -> str:
    if value is None or value == "":
        return _NOTHING
    if _is_fraction(value):
        return f"{value:.{decimals}f}" if np.isfinite(value) else _NOTHING
    return str(value)


def _is_fraction(value: Any) -> bool:
    return isinstance(value, float | np.floating)


def _is_numeric(column: Sequence[str]) -> bool:
    known = [text for text in column if text != _NOTHING]
    return bool(known) and all(_NUMBER.fullmatch(text) for text in known)


def fact(value: Any) -> str:
    """A fact for a reader: lists joined, fractions short, None as a dash."""
    if value is None or value == "":
        return _NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if _is_fraction(value):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {fact(item)}" for key, item in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return ", ".join(map(fact, value)) or _NOTHING
    return str(value)


def _sentence(name: str) -> str:
    """A key as words: ``batch_size`` becomes "batch size"."""
    return str(name).replace("_", " ")
