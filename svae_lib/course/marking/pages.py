"""Marks as a table for the lecturer, and as a page for each student."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import jinja2

from ...support.checks import InputError
from ...support.files import check_writable, write_text
from .. import exercises
from .grading import Marked

_PAGE = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined).from_string(
    """\
<!DOCTYPE html>
<html lang="en-GB">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Marks: {{ student }}</title>
<style>
body { font: 18px/1.5 sans-serif; color: #222; max-width: 46em; margin: 2em auto; padding: 0 1em; }
table { border-collapse: collapse; } th, td { padding: .3em .8em .3em 0; text-align: left;
vertical-align: top; border-bottom: 1px solid #ddd; }
</style>
</head>
<body>
<h1>{{ student }}</h1>
{% for marked in handed_in %}
<h2>{{ marked.handed_in.file }}</h2>
{% for remark in marked.remarks %}
<p>{{ remark }}</p>
{% endfor %}
{% if marked.marks %}
<p>Exercises: {{ marked.total }} of {{ marked.marks | length }}. Predictions filled in:
{{ marked.handed_in.predictions | length }} of {{ marked.handed_in.asked | length }}.
{% for name in marked.handed_in.asked %}
<code>{{ name }}</code>
{{- ": missing" if name not in marked.handed_in.predictions }}{{ "." if loop.last else "," }}
{% endfor %}
</p>
<table>
<thead><tr><th scope="col">exercise</th><th scope="col">points</th><th scope="col">what was
found</th></tr></thead>
<tbody>
{% for name, mark in marked.marks.items() %}
<tr><td><code>{{ name }}</code></td><td>{{ mark.points }}</td><td>{{ mark.message }}
{%- if not mark.points %}<br>Hint: {{ hints[name] }}{% endif %}</td></tr>
{% endfor %}
</tbody>
</table>
{% endif %}
{% endfor %}
</body>
</html>
"""
)


def check_free(out: Path, pages: Path, students: Iterable[str], *, overwrite: bool) -> None:
    """Raise, before any work is done, if a table or a page could not be written.

    Raises:
        OSError: a file exists and ``overwrite`` is False, or a folder cannot be written.
        InputError: two students' pages would have the same name.
    """
    paths = [out]
    taken: dict[str, str] = {}
    for student in students:
        name = page_name(student)
        if name.lower() in taken:
            raise InputError(
                f"{taken[name.lower()]!r} and {student!r} would share the page {name}: "
                "rename what one of them handed in."
            )
        taken[name.lower()] = student
        paths.append(pages / name)
    for path in paths:
        check_writable(path, overwrite=overwrite)


def page_name(student: str) -> str:
    """Name of a student's page: the letters, digits, - and _ of the student's name."""
    return (re.sub(r"[^\w-]+", "_", student).strip("_") or "student") + ".html"


def table(graded: Sequence[Marked]) -> str:
    """The marks as CSV: a line for each notebook, and a column for each exercise in any of them."""
    names = [n for n in exercises.names() if any(n in m.marks for m in graded)]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        ["student", "file", "notebook", *names, "total", "of", "predictions", "asked", "remark"]
    )
    for marked in graded:
        handed = marked.handed_in
        points = [marked.marks[n].points if n in marked.marks else "" for n in names]
        stopped = [
            f"{name}: {mark.message}"
            for name, mark in marked.marks.items()
            if mark.status in ("error", "missing")
        ]
        writer.writerow(
            [
                _text(handed.student),
                _text(handed.file),
                handed.notebook,
                *points,
                marked.total,
                len(marked.marks),
                len(handed.predictions),
                len(handed.asked),
                _text("; ".join([*marked.remarks, *stopped])),
            ]
        )
    return text.getvalue()


def _text(text: str) -> str:
    """A text that no spreadsheet takes for a formula, since the students choose it."""
    text = " ".join(text.split())
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text


def page(student: str, graded: Sequence[Marked]) -> str:
    """A student's page: what was found in each function, with a hint for each that is not right."""
    hints = {exercise.name: exercise.hints[0] for exercise in exercises.registry().values()}
    return _PAGE.render(student=student, handed_in=graded, hints=hints)


def write(
    out: Path, pages: Path, graded: Sequence[Marked], of: int, *, overwrite: bool = False
) -> tuple[Path, Path]:
    """Write the table, and a page for each student; where they are now.

    Args:
        out: the table. If grading was stopped, an earlier one stays, and this goes beside it.
        pages: folder of the pages.
        graded: the notebooks with their marks.
        of: how many notebooks there were to grade.
        overwrite: replace what is there.

    Raises:
        OSError: as :func:`check_free`.
    """
    if len(graded) < of and out.exists():
        out = out.with_suffix(f".partial{out.suffix}")
        pages = pages.with_name(f"{pages.name}.partial")
    write_text(out, table(graded), overwrite=overwrite)
    for student in dict.fromkeys(marked.handed_in.student for marked in graded):
        own = [marked for marked in graded if marked.handed_in.student == student]
        write_text(pages / page_name(student), page(student, own), overwrite=overwrite)
    return out, pages
