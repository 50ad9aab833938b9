"""Read what was handed in: which notebook of the course it is, its code, its predictions."""

from __future__ import annotations

import ast
import json
import re
import symtable
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path

from ...data.decoding import is_hidden, printable
from ...support.checks import InputError
from .. import exercises, questions

LARGEST = 200 * 2**20
"""Size of the largest file that is read, in bytes."""
_WRITTEN = re.compile(r"^[^\w\n]*prediction[^\w\n]*(:|$)\W*\w", re.IGNORECASE | re.MULTILINE)
"""A prediction in a Markdown cell: "Prediction: ...", in any type, or below such a heading."""
_NO_PYTHON = (SyntaxError, ValueError, RecursionError, MemoryError)
_TARGET = r"\s*[A-Za-z_][\w, ]*="
_JUPYTER = re.compile(r"%%?[A-Za-z]|!|\?|[\w.]+\?\??$")
"""How a line begins that only Jupyter understands: %magic, !command, ?help, or help? as a whole."""


@dataclass(frozen=True)
class HandedIn:
    """One file, as it was when grading began."""

    student: str
    file: str
    """Its path within the folder."""
    cells: tuple[tuple[int, str], ...] = ()
    """Number and Python code of each code cell; all cells are counted, from 1."""
    notebook: str = ""
    """Which notebook of the course it is, such as "01_vanilla_vae"."""
    predictions: tuple[str, ...] = ()
    """Names of the predictions that are filled in."""
    problem: str = ""
    """Why it cannot be graded; "" if it can."""
    remarks: tuple[str, ...] = ()
    """What the lecturer should know of it."""

    @property
    def exercises(self) -> tuple[str, ...]:
        """Names of the exercises that it should hold."""
        return exercises.names(self.notebook) if self.notebook else ()

    @property
    def asked(self) -> tuple[str, ...]:
        """Names of the predictions that the notebook asks for."""
        return tuple(q.name for q in questions.registry().get(self.notebook[:2], ()))

    def like(self, name: str) -> str | None:
        """A function in the file whose name resembles ``name``; None if there is none."""
        defined = [
            node.name
            for _, code in self.cells
            for node in _statements(code)
            if isinstance(node, ast.FunctionDef | ast.ClassDef)
        ]
        others = [other for other in defined if other not in self.exercises]
        return next(iter(get_close_matches(name, others, 1, cutoff=0.5)), None)

    def with_library(self) -> list[str]:
        """Names of the exercises whose functions call the library: worth a closer look."""
        library, found = {"sv", "svae_lib"}, set()
        for _, code in self.cells:
            for node in _statements(code):
                bound, used = _names(node)
                text = ast.unparse(node)
                if isinstance(node, ast.Import | ast.ImportFrom):
                    origin = getattr(node, "module", None) or ""
                    library |= {
                        (alias.asname or alias.name).split(".")[0]
                        for alias in node.names
                        if (origin or alias.name).split(".")[0] == "svae_lib"
                    }
                elif used & library and not re.search(r"\bcheck\(", text):
                    found |= bound
                    library |= bound if re.search(r"\b(registry|reference)\b", text) else set()
        return [name for name in self.exercises if name in found | library]

    def needed(self) -> list[tuple[int, str]]:
        """The statements that the exercises' functions need, without training and pictures."""
        wanted = set(self.exercises)
        parts = [
            (number, node, *_names(node))
            for number, code in self.cells
            for node in _statements(code)
        ]
        kept: set[int] = set()
        grew = True
        while grew:
            grew = False
            for place, (_, node, bound, used) in enumerate(parts):
                needed = isinstance(node, ast.Import | ast.ImportFrom) or bound & wanted
                if place not in kept and needed:
                    kept.add(place)
                    wanted |= used
                    grew = True
        return [(parts[i][0], ast.unparse(parts[i][1])) for i in sorted(kept)]

    def unreadable(self) -> list[str]:
        """Which cells are no Python, and why: :meth:`needed` knows nothing of them."""
        found = []
        for number, code in self.cells:
            try:
                ast.parse(code)
            except _NO_PYTHON as error:
                found.append(f"cell {number}: {type(error).__name__}: {error}")
        return found


def read_folder(folder: Path) -> list[HandedIn]:
    """All notebooks of a folder: one for each student, or a folder for each.

    Raises:
        InputError: there is no such folder, or no notebook in it.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder: name the one with the handed-in notebooks.")
    paths = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() == ".ipynb"
        and path.is_file()
        and not is_hidden(path.relative_to(folder).as_posix())
    )
    if not paths:
        raise InputError(f"{folder} holds no notebooks (*.ipynb).")
    found = [_read(path, folder) for path in paths]
    graded = Counter((each.student, each.notebook) for each in found if each.notebook)
    return [
        replace(each, remarks=("handed in more than once: choose one",))
        if graded[each.student, each.notebook] > 1
        else each
        for each in found
    ]


def without_notebook(folder: Path, found: list[HandedIn]) -> list[str]:
    """What else was handed in: names of the files and folders that gave no notebook."""
    known = {each.file.split("/")[0] for each in found}
    names = [printable(path.name) for path in sorted(folder.iterdir())]
    return [name for name in names if name not in known and not is_hidden(name)]


def _read(path: Path, folder: Path) -> HandedIn:
    within = path.relative_to(folder)
    file = printable(within.as_posix())
    student = re.sub(r"\.ipynb$", "", file.split("/")[0], flags=re.IGNORECASE)
    if "solutions" in within.parent.parts:  # of a copy of the whole course
        return HandedIn(student, file, problem="A file in a folder named solutions: not graded.")
    try:
        if path.stat().st_size > LARGEST:
            raise ValueError(f"it has more than {LARGEST // 2**20} MB")
        cells = _cells(json.loads(path.read_bytes().decode("utf-8-sig")))
    except (OSError, ValueError, RecursionError) as error:
        why = "it is no JSON" if isinstance(error, json.JSONDecodeError) else str(error)
        return HandedIn(student, file, problem=f"This is no notebook ({why}): hand in the .ipynb.")
    code = [(i, _python(text)) for i, (kind, text, _) in enumerate(cells, 1) if kind == "code"]
    notebook = _which(code)
    if notebook is None:
        return HandedIn(
            student, file, problem="None of the course's exercises is in this notebook."
        )
    predictions = _predictions(cells, notebook)
    return HandedIn(student, file, tuple(code), notebook, predictions)


def _cells(content: object) -> list[tuple[str, str, str]]:
    """Kind, source and printed text of each cell.

    Raises:
        ValueError: this is not a notebook of format 4.
    """
    cells = content.get("cells") if isinstance(content, dict) else None
    if not isinstance(cells, list):
        raise ValueError("it has no list of cells")
    found = []
    for cell in cells:
        if not isinstance(cell, dict):
            raise ValueError("a cell is none")
        outputs = cell.get("outputs")
        shown = outputs if isinstance(outputs, list) else []
        kind = str(cell.get("cell_type"))
        if kind == "code" and "raises-exception" in str(cell.get("metadata")):
            kind = "raises"  # it shows an error on purpose
        found.append((kind, _text(cell.get("source")), json.dumps(shown)))
    return found


def _text(source: object) -> str:
    text = "".join(map(str, source)) if isinstance(source, list) else str(source or "")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _python(source: str) -> str:
    """A cell's code without what only Jupyter understands: %magics, !commands, ?help."""
    if _statements(source):
        return source
    if source.lstrip().startswith("%%"):
        first, _, rest = source.lstrip().partition("\n")
        return f"\n{rest}" if re.match(r"%%(time|timeit|capture|prun)\b", first) else ""
    lines: list[str] = []
    continued = False
    for line in source.split("\n"):
        line = re.sub(rf"^({_TARGET})?(\s*)%time\s+", r"\1\2", line)  # what is timed counts
        bare = line.strip()
        if continued or _JUPYTER.match(bare):
            line = "" if continued else line[: len(line) - len(line.lstrip())] + "pass"
            continued = bare.endswith("\\")
        lines.append(re.sub(rf"^({_TARGET})\s*(?:%[A-Za-z]|!).*", r"\1 None", line))
    return "\n".join(lines)


def _statements(code: str) -> list[ast.stmt]:
    try:
        return ast.parse(code).body
    except _NO_PYTHON:
        return []


def _which(cells: list[tuple[int, str]]) -> str | None:
    """The notebook of the course to which most of the code's exercises belong."""
    found: Counter[str] = Counter()
    for name, exercise in exercises.registry().items():
        pattern = rf"\b(?:def|class)\s+{name}\b|\bcheck\(\s*[\"']{name}[\"']|^{name}\s*="
        found[exercise.notebook] += sum(
            bool(re.search(pattern, code, re.MULTILINE)) for _, code in cells
        )
    notebook, count = found.most_common(1)[0]
    return notebook if count else None


def _predictions(cells: list[tuple[str, str, str]], notebook: str) -> tuple[str, ...]:
    """Which predictions are filled in, in any of the ways that the course offers.

    That is an answer in the call, written down or computed; the line "You said" in the output of a
    cell that ran again after the answer; or a prediction in a Markdown cell since the previous
    question.
    """
    filled, written = [], False
    known = {question.name: question for question in questions.registry().get(notebook[:2], ())}
    for kind, text, shown in cells:
        if kind == "markdown":
            written = written or bool(_WRITTEN.search(text))
            continue
        for name, answer in _asked(text):
            if name not in known:
                continue
            given = answer is not None and _is_answer(known[name], answer)
            if (given or written or "You said" in shown) and name not in filled:
                filled.append(name)
            written = False
    return tuple(filled)


def _is_answer(question: questions.Question, node: ast.expr) -> bool:
    try:
        answer = ast.literal_eval(node)
    except (*_NO_PYTHON, TypeError):
        return True  # it is computed
    return question.read(answer) is not None


def _asked(code: str) -> Iterator[tuple[str, ast.expr | None]]:
    for statement in _statements(_python(code)):
        for node in ast.walk(statement):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            named = {word.arg: word.value for word in node.keywords}
            given = [*node.args, *(named[word] for word in ("name", "answer") if word in named)]
            name = given[0] if given else None
            if node.func.attr == "predict" and isinstance(name, ast.Constant):
                yield str(name.value), given[1] if len(given) > 1 else None


def _names(statement: ast.stmt) -> tuple[set[str], set[str]]:
    """Names in the module's scope that a statement binds, and those that it uses."""
    try:
        table = symtable.symtable(ast.unparse(statement), "<cell>", "exec")
    except (SyntaxError, ValueError, RecursionError):
        return set(), set()
    symbols = table.get_symbols()
    bound = {
        s.get_name() for s in symbols if s.is_assigned() or s.is_imported() or s.is_namespace()
    }
    used = {s.get_name() for s in symbols if s.is_referenced()}
    waiting = list(table.get_children())
    while waiting:
        inner = waiting.pop()
        used |= {s.get_name() for s in inner.get_symbols() if s.is_global()}
        waiting += inner.get_children()
    return bound, used
