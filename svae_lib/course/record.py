"""What a learner has solved and predicted, in one small file that survives the kernel."""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import platformdirs
from filelock import FileLock

from ..support.checks import InputError
from ..support.files import expand, read_json, write_json
from .exercises import registry as exercises
from .questions import registry as questions

Kind = Literal["solved", "predicted", "answered"]
VARIABLE = "SVAE_PROGRESS"
"""Environment variable that names another file; "off" keeps nothing."""


def progress_file() -> Path | None:
    """Where progress is kept; None where it is switched off."""
    named = os.environ.get(VARIABLE)
    if named == "off":
        return None
    folder = platformdirs.user_data_path("svae", appauthor=False)
    return expand(named) if named else folder / "progress.json"


def recorded() -> dict[str, dict[str, Any]]:
    """What the file holds: by kind, by name. A damaged file counts as empty."""
    kept: dict[str, dict[str, Any]] = {"solved": {}, "predicted": {}, "answered": {}}
    path = progress_file()
    if path is None or not path.is_file():
        return kept
    try:
        found = read_json(path)
    except (InputError, OSError):
        found = None
    if isinstance(found, dict):
        kept |= {k: v for k, v in found.items() if k in kept and isinstance(v, dict)}
    return kept


def note(kind: Kind, name: str, value: Any) -> None:
    """Add one thing. A disk that cannot be written is no reason to stop a lesson: it warns."""
    path = progress_file()
    if path is None:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_name(f".{path.name}.lock"), timeout=5):
            kept = recorded()
            kept[kind][name] = value
            write_json(path, kept, overwrite=True)
    except (OSError, NotImplementedError) as error:
        warnings.warn(f"progress is not kept: {path} cannot be written ({error}).", stacklevel=3)


@dataclass(frozen=True)
class Progress:
    """How far a learner has come; shows itself as a table."""

    rows: tuple[tuple[str, int, int, int, int, int, int], ...]
    """Per notebook: its number, exercises solved and in all, predictions made and in all, quiz
    questions answered and in all."""
    file: Path | None

    def _cells(self) -> list[list[str]]:
        pairs = ("exercises solved", "predictions made", "quiz answered")
        lines = [["notebook", *pairs]]
        for number, *counts in self.rows:
            done = [f"{counts[i]} of {counts[i + 1]}" for i in (0, 2, 4)]
            lines.append([number, *done])
        return lines

    def __repr__(self) -> str:
        lines = ["  ".join(cell.ljust(17) for cell in line).rstrip() for line in self._cells()]
        kept = "not kept (SVAE_PROGRESS is off)" if self.file is None else f"kept in {self.file}"
        return "\n".join([*lines, kept])

    def _repr_html_(self) -> str:
        head, *body = self._cells()
        rows = "".join(f"<tr>{''.join(f'<td>{c}</td>' for c in line)}</tr>" for line in body)
        heads = "".join(f'<th scope="col">{c}</th>' for c in head)
        return f"<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>"


def progress() -> Progress:
    """What is solved, predicted and open, notebook by notebook."""
    kept, asked = recorded(), questions()
    tasks: dict[str, list[str]] = {}
    for exercise in exercises().values():
        tasks.setdefault(exercise.notebook[:2], []).append(exercise.name)
    numbers = sorted(tasks.keys() | {name[:2] for name in asked})
    rows = []
    for number in numbers:
        counts: list[int] = []
        predictions = [q.name for q in asked.get(number, ())]
        quiz = [q.name for q in asked.get(f"{number}-quiz", ())]
        for kind, names in (
            ("solved", tasks.get(number, [])),
            ("predicted", predictions),
            ("answered", quiz),
        ):
            counts += [sum(name in kept[kind] for name in names), len(names)]
        rows.append((number, *counts))
    return Progress(tuple(rows), progress_file())  # type: ignore[arg-type]
