"""Generate the notebooks of the course from notebooks/source/NN_name.py (jupytext, py:percent).

    python scripts/build_notebooks.py              generate all; execute what has changed
    python scripts/build_notebooks.py 01 03        only these
    python scripts/build_notebooks.py --no-execute learners' notebooks only
    python scripts/build_notebooks.py --execute    execute all solutions again
    python scripts/build_notebooks.py --check      write nothing; fail when a file is out of date

Each source gives notebooks/NN_name.ipynb (for learners: stubs, no outputs) and
notebooks/solutions/NN_name.ipynb (solved, with outputs). docs/writing_notebooks.md explains how a
source is written. The same source gives the same bytes, but for outputs.
"""

from __future__ import annotations

import argparse
import configparser
import copy
import hashlib
import json
import os
import platform
import re
import sys
import textwrap
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = ROOT / "notebooks"
SOURCES = NOTEBOOKS / "source"
SOLUTIONS = NOTEBOOKS / "solutions"
VERSION = ROOT / "svae_lib" / "_version.py"
ONE_THREAD = "1 CPU thread"
MINUTES = ROOT / "benchmarks" / "results" / "notebook_minutes.json"

PROFILES = ("smoke", "laptop", "gpu")
QUESTION = "**What do you expect?**"
SLIDE_TYPES = ("slide", "subslide", "fragment", "notes", "skip")
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
LARGEST = 1_500_000
"""Bytes that a solved notebook may have."""

# What the library imports: module, package. Neither torch, which a start cell never touches, nor
# anything that depends on torch.
NEEDED = {
    "IPython": "ipython",
    "PIL": "pillow",
    "h5py": "h5py",
    "ipywidgets": "ipywidgets",
    "jinja2": "jinja2",
    "matplotlib": "matplotlib",
    "msgspec": "msgspec",
    "numpy": "numpy",
    "platformdirs": "platformdirs",
    "pooch": "pooch",
    "safetensors": "safetensors",
    "sklearn": "scikit-learn",
    "tqdm": "tqdm",
    "tyro": "tyro",
}

START = """\
# Start cell: installs what is missing, and leaves torch as it is. Run it first.
import subprocess, sys
from importlib.util import find_spec
REPOSITORY, VERSION = "{repository}", "{version}"
NEEDED = {needed}
def pip_install(*arguments):
    subprocess.check_call([sys.executable, "-m", "pip", "install", "-q", *arguments])
if find_spec("svae_lib") is None:
    if not REPOSITORY:
        raise ModuleNotFoundError(
            "The course's library is not installed. Open this notebook from a copy of the course "
            "(make lab), or write the address of its git repository into REPOSITORY above.")
    pip_install("--no-deps", f"git+{{REPOSITORY}}@v{{VERSION}}")
if missing := [name for module, name in NEEDED.items() if find_spec(module) is None]:
    pip_install(*missing)
import svae_lib, torch
if torch.cuda.is_available() and find_spec("pytorch_fid") is None:
    pip_install("--no-deps", "pytorch-fid")  # canonical FID; what it needs is there
if (found := svae_lib.__version__) != VERSION:
    age = "older" if [*map(int, found.split("."))] < [*map(int, VERSION.split("."))] else "newer"
    print(f"The library ({{found}}) is {{age}} than this notebook ({{VERSION}}). Use the same.")"""


class SourceError(Exception):
    """A notebook's source breaks a convention; the message names the notebook and the cell."""


@dataclass(frozen=True)
class Course:
    """The settings of notebooks/source/course.cfg."""

    repository: str
    version: str
    """Of the library; the repository has a tag of this name, with a v before it."""

    @property
    def colab(self) -> str | None:
        """Beginning of the notebooks' addresses on Colab, for repositories on GitHub."""
        found = re.fullmatch(r"https://github\.com/([\w.-]+/[\w.-]+?)(\.git)?/?", self.repository)
        if not found:
            return None
        return f"https://colab.research.google.com/github/{found[1]}/blob/v{self.version}/notebooks"


def read_course(path: Path = SOURCES / "course.cfg") -> Course:
    """Read the repository's address, and the library's version."""
    parser = configparser.ConfigParser()
    parser.read_string(path.read_text(encoding="utf-8"))
    written = re.search(r'__version__ = "([\d.]+)"', VERSION.read_text(encoding="utf-8"))
    assert written is not None, f"{VERSION} names no version of numbers"
    return Course(parser["course"]["repository"].strip().rstrip("/"), written[1])


# ---------------------------------------------------------------- from a source to two notebooks


def build(source: Path, course: Course, minutes: dict[str, Any], *, solved: bool) -> NotebookNode:
    """One version of a notebook, without outputs."""
    name = source.stem
    written = jupytext.read(source, fmt="py:percent").cells
    cells = []
    for number, cell in enumerate(written):
        where = f"{name}, cell {number + 1}"
        text = cell.source
        if cell.cell_type == "markdown":
            if number == 0:
                text = _with_header(text, name, course, minutes, solved, where)
            elif not solved and _is_answer(written, number):
                text = _folded(text)
            text = _links(text) if solved else text
        else:
            text = _code(text, solved, where)
        automatic = slide_type(cell, written[number - 1] if number else None)
        metadata = _metadata(cell.metadata, automatic)
        cells.append(_cell(cell.cell_type, text, metadata, cell.source))
        if number == 0:
            cells.append(_cell("code", _start(course), _metadata({"tags": ["skip"]}), "start"))
    _make_ids_unique(cells)
    notebook = nbformat.v4.new_notebook(cells=cells, metadata=copy.deepcopy(METADATA))
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    return notebook


def _cell(kind: str, text: str, metadata: dict[str, Any], original: str) -> NotebookNode:
    """A cell whose id comes from its source: it stays when other cells change."""
    identifier = hashlib.sha256(f"{kind}\n{original}".encode()).hexdigest()[:12]
    make = nbformat.v4.new_markdown_cell if kind == "markdown" else nbformat.v4.new_code_cell
    return make(text, metadata=metadata, id=identifier)


_PREDICTION = re.compile(r"sv\.course\.(predict|quiz)\(\"[^\"]+\"\)")


def asks(cell: NotebookNode) -> bool:
    """Whether a cell only asks: for a prediction, or a quiz."""
    return cell.get("cell_type") == "code" and bool(_PREDICTION.fullmatch(cell.source.strip()))


def _is_answer(cells: Sequence[NotebookNode], number: int) -> bool:
    """Whether a text is the first after a prediction and its experiment: it says what happened."""
    if cells[number].source.startswith("#"):
        return False
    before = number - 1
    while before > 0 and cells[before].cell_type == "code":
        if asks(cells[before]) and before < number - 1:
            return True
        before -= 1
    return False


def _folded(text: str) -> str:
    """An answer that a learner unfolds, once the prediction is made and the experiment has run.

    What follows the answer in its cell, from the next heading or question on, stays visible.
    """
    summary = "<b>What happened, and why</b>: predict and run the cells above first"
    end = re.search(rf"\n\n(?=#+ |{re.escape(QUESTION)})", text)
    answer, rest = (text[: end.start()], text[end.start() :]) if end else (text, "")
    return f"<details><summary>{summary}</summary>\n\n{answer}\n\n</details>{rest}"


def _make_ids_unique(cells: Iterable[NotebookNode]) -> None:
    seen: dict[str, int] = {}
    for cell in cells:
        count = seen[cell.id] = seen.get(cell.id, 0) + 1
        if count > 1:
            cell.id = f"{cell.id}-{count}"


def slide_type(cell: NotebookNode, before: NotebookNode | None) -> str | None:
    """Where slides begin, if a cell has no slide tag of its own; None: it goes on with the last.

    A heading begins a slide, a lower one a subslide, and so does the answer to a question; imports
    and references are left out.
    """
    first = cell.source.lstrip().partition("\n")[0]
    if cell.cell_type == "markdown":
        if heading := re.match(r"(#+) (.*)", first):
            if heading[2] == "References":
                return "skip"
            return "slide" if len(heading[1]) <= 2 else "subslide"
        return None
    if asks(cell):
        return "skip"  # a show of hands does the same
    if before is not None and (QUESTION in before.source or asks(before)):
        return "subslide"
    return "skip" if first.startswith(("import ", "from ")) and not _has_output(cell) else None


def _has_output(cell: NotebookNode) -> bool:
    """Whether a code cell draws something."""
    return "sv.plots." in cell.source


def _metadata(written: dict[str, Any], automatic: str | None = None) -> dict[str, Any]:
    """Keep a cell's tags; a slide tag becomes what slide makers read."""
    tags = list(written.get("tags", []))
    slides = [tag for tag in tags if tag in SLIDE_TYPES] or ([automatic] if automatic else [])
    kept: dict[str, Any] = {}
    if slides:
        kept["slideshow"] = {"slide_type": slides[0]}
    if others := [tag for tag in tags if tag not in SLIDE_TYPES]:
        kept["tags"] = others
    return kept


def _start(course: Course) -> str:
    entries = " ".join(f'"{module}":~"{package}",' for module, package in NEEDED.items())
    lines = textwrap.wrap(entries, 100, break_on_hyphens=False)
    body = "\n    ".join(("{", *lines)).replace("~", " ").rstrip(",") + "}"
    return START.format(repository=course.repository, version=course.version, needed=body)


def _with_header(
    text: str, name: str, course: Course, minutes: dict[str, Any], solved: bool, where: str
) -> str:
    """Fill in the times, the link to the other version and the Colab button."""
    for placeholder in ("{{minutes}}", "{{versions}}"):
        if text.count(placeholder) != 1:
            raise SourceError(f"{where}: the first cell must contain {placeholder} once.")
    other = (
        f"This is the solved version; [the exercises are here]({name}.ipynb)."
        if solved
        else f"Stuck? [The solved version is here](solutions/{name}.ipynb)."
    )
    if course.colab:
        folder = "solutions/" if solved else ""
        badge = "https://colab.research.google.com/assets/colab-badge.svg"
        other += f" [![Open in Colab]({badge})]({course.colab}/{folder}{name}.ipynb)"
    text = text.replace("{{versions}}", other)
    return text.replace("{{minutes}}", minutes_sentence(minutes.get(name, {})))


def minutes_sentence(measured: dict[str, Any]) -> str:
    """The measured times of a notebook in words; profiles that were never measured are left out."""
    parts = [
        f"{profile}: {_duration(measured[profile]['seconds'])} ({measured[profile]['device']})"
        for profile in PROFILES
        if profile in measured
    ]
    return "; ".join(parts or ["not measured yet"]) + "."


def _duration(seconds: float) -> str:
    if seconds < 60:
        return "under a minute"
    return f"about {seconds / 60:.0f} min"


# The [text] of a link may itself be an image.
_LINK = re.compile(r"(\]\()(?!https?:|mailto:|#|data:|attachment:)([^)\s]+)(\))")


def _links(text: str) -> str:
    """Links are written as seen from notebooks/; a solved notebook lies one folder deeper."""
    return _LINK.sub(lambda m: f"{m[1]}../{m[2]}{m[3]}", text)


_BEGIN, _END = "# BEGIN SOLUTION", "# END SOLUTION"


def _code(text: str, solved: bool, where: str) -> str:
    """Resolve the solution marks of a code cell."""
    result: list[str] = []
    solution: list[str] | None = None
    for line in text.splitlines():
        mark = line.strip()
        if mark == _BEGIN:
            if solution is not None:
                raise SourceError(f"{where}: {_BEGIN} inside a solution.")
            solution, indent = [], line[: len(line) - len(line.lstrip())]
        elif mark == _END:
            if solution is None:
                raise SourceError(f"{where}: {_END} without {_BEGIN}.")
            result += _solution(solution, indent, solved, where)
            solution = None
        else:
            (result if solution is None else solution).append(line)
    if solution is not None:
        raise SourceError(f"{where}: {_BEGIN} without {_END}.")
    return "\n".join(result)


_STUB = "# STUB:"


def _solution(lines: Sequence[str], indent: str, solved: bool, where: str) -> list[str]:
    stubs = [line for line in lines if line.strip().startswith(_STUB)]
    if solved:
        return [line for line in lines if line not in stubs]
    if stubs:
        return [line.replace(f"{_STUB} ", "", 1).replace(_STUB, "", 1) for line in stubs]
    if not indent:
        raise SourceError(f"{where}: a solution outside a function needs a line '{_STUB} ...'.")
    return [f"{indent}return None  # your turn"]


# ---------------------------------------------------------------- files


def dump(notebook: NotebookNode) -> str:
    """A notebook as text, the same for the same content."""
    return nbformat.writes(notebook, version=4) + "\n"


def _write(path: Path, text: str) -> None:
    """Replace a file whole; leave it alone when nothing changes."""
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.partial")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
    print(f"wrote {path.relative_to(ROOT)}")


def read_minutes() -> dict[str, Any]:
    """Measured times: notebook, profile, then seconds and device; empty without the file."""
    return json.loads(MINUTES.read_text(encoding="utf-8")) if MINUTES.exists() else {}


def record_minutes(name: str, profile: str, seconds: float) -> None:
    """Add a measured time, with the machine that it was measured on."""
    everything = read_minutes()
    everything.setdefault(name, {})[profile] = {
        "seconds": round(seconds, 1),
        "clock": "processor" if device_in_words() == ONE_THREAD else "wall",
        "device": device_in_words(),
        "python": platform.python_version(),
        "torch": _torch_version(),
    }
    text = json.dumps(everything, indent=2, sort_keys=True) + "\n"
    _write(MINUTES, text)


def device_in_words() -> str:
    """The processor that the notebooks compute on, in a few words."""
    import torch

    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    count = torch.get_num_threads()  # the kernel inherits what limits them here
    return ONE_THREAD if count == 1 else f"{count} CPU threads"


def _torch_version() -> str:
    import torch

    return torch.__version__


# ---------------------------------------------------------------- execution


def execute(notebook: NotebookNode, profile: str) -> tuple[NotebookNode, float]:
    """Execute a notebook in a fresh kernel; return it with outputs, and the seconds it took.

    With a single thread on the CPU these are the kernel's processor seconds: what it takes on an
    idle core, whatever else this machine is doing. Otherwise they are the clock's.

    Raises:
        CellExecutionError: a cell failed that is not tagged raises-exception.
    """
    kernel = os.environ | {"SVAE_PROFILE": profile, "SVAE_PROGRESS": "off"}
    kernel["PYTHONPATH"] = os.pathsep.join(filter(None, (str(ROOT), kernel.get("PYTHONPATH"))))
    client = NotebookClient(
        copy.deepcopy(notebook),
        timeout=None,
        kernel_name="python3",
        resources={"metadata": {"path": str(NOTEBOOKS)}},
        record_timing=False,
    )
    started, used = time.perf_counter(), _processor_seconds()
    done = client.execute(env=kernel)
    seconds = time.perf_counter() - started
    if device_in_words() == ONE_THREAD:
        # The kernel has ended, and is counted; Windows counts nothing.
        seconds = _processor_seconds() - used or seconds
    for cell in done.cells:
        if cell.cell_type == "code":
            cell.outputs = [o for o in map(_tidy, cell.outputs) if o is not None]
    done.metadata = copy.deepcopy(METADATA)
    return done, seconds


def _processor_seconds() -> float:
    """Processor time of the programs that this one has started and that have ended."""
    used = os.times()
    return used.children_user + used.children_system


_WIDGET = "application/vnd.jupyter.widget-view+json"


def _tidy(output: NotebookNode) -> NotebookNode | None:
    """Drop progress bars, live widgets and stack frames, which mean nothing in a stored notebook.

    Of a widget that brings a picture for those who see nothing live, the picture stays.
    """
    if output.output_type == "stream" and output.name == "stderr":
        lines = re.split(r"(?<=[\r\n])", output.text)
        output.text = "".join(line for line in lines if not _is_progress(line))
        if not output.text:
            return None
    if output.get("data", {}).pop(_WIDGET, None) and "text/html" not in output.data:
        return None
    if output.output_type == "error":  # the frames above the last line name this machine's folders
        output.traceback = [f"{output.ename}: {output.evalue}"]
    return output


def _is_progress(line: str) -> bool:
    return not line.strip() or bool(re.search(r"\d+%\||\d+(\.\d+)?(it|step|s)/", line))


def _same_code(stored: NotebookNode, built: NotebookNode) -> bool:
    """Whether stored outputs are those of the code that was built now."""
    old, new = _computing(stored), _computing(built)
    executed = any(c.outputs for c in old)
    # The start cell depends on the repository's address, and has no outputs to grow stale.
    return executed and [c.source for c in old[1:]] == [c.source for c in new[1:]]


def _graft(stored: NotebookNode, built: NotebookNode) -> None:
    """Give a freshly built notebook the outputs of a stored one with the same code."""
    for before, after in zip(_computing(stored), _computing(built), strict=True):
        after.outputs = before.outputs
    for count, cell in enumerate((c for c in built.cells if c.cell_type == "code"), start=1):
        cell.execution_count = count
        if asks(cell):
            cell.outputs = [_asked(cell)]


def _computing(notebook: NotebookNode) -> list[NotebookNode]:
    """Code cells that compute something: those that only ask show the same for everybody."""
    return [c for c in notebook.cells if c.cell_type == "code" and not asks(c)]


def _asked(cell: NotebookNode) -> NotebookNode:
    """What a cell that asks shows where nothing is live."""
    from svae_lib import course

    what, name = re.findall(r"course\.(\w+)\(\"([^\"]+)\"", cell.source)[0]
    shown = getattr(course, what)(name)
    data = {"text/html": shown._repr_html_(), "text/plain": repr(shown)}
    return nbformat.v4.new_output("execute_result", data, execution_count=cell.execution_count)


def _without_outputs(notebook: NotebookNode) -> NotebookNode:
    bare = copy.deepcopy(notebook)
    for cell in bare.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return bare


# ---------------------------------------------------------------- the command


def sources(names: Sequence[str] = ()) -> list[Path]:
    """The sources, in order; ``names`` chooses by the beginning of a name."""
    every = sorted(SOURCES.glob("[0-9][0-9]_*.py"))
    return [s for s in every if not names or s.stem.startswith(tuple(names))]


def out_of_date(source: Path, course: Course) -> list[str]:
    """What does not follow from a source, in words; outputs are not compared."""
    minutes, found = read_minutes(), []
    learners, solution = NOTEBOOKS / f"{source.stem}.ipynb", SOLUTIONS / f"{source.stem}.ipynb"
    built = build(source, course, minutes, solved=False)
    if not learners.exists() or learners.read_text(encoding="utf-8") != dump(built):
        found.append(f"notebooks/{learners.name} differs from its source")
    built = build(source, course, minutes, solved=True)
    if not solution.exists():
        found.append(f"notebooks/solutions/{solution.name} is missing")
        return found
    stored = nbformat.read(solution, as_version=4)
    if dump(_without_outputs(stored)) != dump(built):
        found.append(f"notebooks/solutions/{solution.name} differs from its source")
    if not any(cell.outputs for cell in stored.cells if cell.cell_type == "code"):
        found.append(f"notebooks/solutions/{solution.name} was never executed")
    return found


def generate(source: Path, course: Course, profile: str, run: bool | None) -> None:
    """Write both versions of a notebook.

    Args:
        source: the notebook's source.
        course: settings.
        profile: how much an execution computes.
        run: execute the solution; None does so when its code has changed.

    Raises:
        SourceError: the solved notebook is too large.
    """
    name = source.stem
    _write(NOTEBOOKS / f"{name}.ipynb", dump(build(source, course, read_minutes(), solved=False)))
    target = SOLUTIONS / f"{name}.ipynb"
    stored = nbformat.read(target, as_version=4) if target.exists() else None
    built = build(source, course, read_minutes(), solved=True)
    current = stored is not None and _same_code(stored, built)
    if run is False and not current:
        print(f"notebooks/solutions/{name}.ipynb is out of date: execute it with --execute {name}")
        return
    if run or not current:
        print(f"executing {name} (profile {profile}) ...", flush=True)
        stored, seconds = execute(built, profile)
        record_minutes(name, profile, seconds)
        # The time just measured belongs into the headers of both versions.
        learners = build(source, course, read_minutes(), solved=False)
        _write(NOTEBOOKS / f"{name}.ipynb", dump(learners))
        built = build(source, course, read_minutes(), solved=True)
        if not _same_code(stored, built):
            raise SourceError(f"{name}: the source changed while it was executed; run again.")
    assert stored is not None
    _graft(stored, built)
    text = dump(built)
    if len(text.encode()) > LARGEST:
        raise SourceError(f"solutions/{name}.ipynb has {len(text.encode())} bytes: show less.")
    _write(target, text)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the return value is its exit status."""
    os.environ["SVAE_PROGRESS"] = "off"  # a learner's own progress is not the course's
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", help="beginnings of names, such as 01; default: all")
    parser.add_argument("--check", action="store_true", help="write nothing; fail when out of date")
    parser.add_argument("--profile", choices=PROFILES, default="laptop", help="for the execution")
    run = parser.add_mutually_exclusive_group()
    run.add_argument("--execute", dest="run", action="store_true", default=None)
    run.add_argument("--no-execute", dest="run", action="store_false")
    chosen = parser.parse_args(arguments)
    course = read_course()
    try:
        if chosen.check:
            found = [line for s in sources(chosen.names) for line in out_of_date(s, course)]
            print("\n".join(found) if found else "All notebooks follow from their sources.")
            return 1 if found else 0
        for source in sources(chosen.names):
            generate(source, course, chosen.profile, chosen.run)
    except (SourceError, CellExecutionError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
