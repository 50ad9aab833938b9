"""Make a zip of the course for learners, without solutions.

    python scripts/build_student.py --out split-vae-course.zip

It holds the learners' notebooks, the library with its data and records, and the pages of docs/
that are not the lecturer's. The question bank loses its answers. The library still holds a right
version of each exercise's function, which its checks compare with: who looks for them finds them.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from svae_lib.support.files import atomic_path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
ALSO = ("pyproject.toml", "environment.yml")
LECTURERS = ("teaching.md", "writing_notebooks.md", "publish.md")
TARGETS = ("help", "setup", "run", "lab", "clean")
"""Of the Makefile; the others need files that are left out."""
REWORDED = {
    "; click to unfold an answer": "",
    "learners and lecturers: questions with answers, by notebook": "questions, by notebook",
    " `make reference` makes the\nlibrary's reference from its docstrings. [Changing the course]"
    "(../CONTRIBUTING.md) says how to add to\nany of this.": "",
    " Solve the exercises before you look at `solutions/`.": "",
    "Solutions are public. Use them when you are stuck, and say so: a wrong": "A wrong",
    "Answers are derived, unless they name a record: a stored solution in `notebooks/solutions`, "
    "or a table in `results/`. Your own runs may differ from these.\n\n": "",
    " The solved version of a notebook is\n  linked at its top.": "",
    "hints and solutions are there": "hints are there",
    " by `python scripts/build_results.py`": "",
    " by `python\nscripts/build_speed.py`; `make bench` measures again and calls it": "",
    ": `make bench BENCH=gpu_session` measures it": "",
}
"""Words of pages and notebooks about what is left out, and what stands there instead."""
PACKED = (".npz", ".safetensors", ".png")
"""What deflating hardly makes smaller."""
START = """\
# Start here

In this folder:

    make lab

installs the course into .venv and opens notebook 0. Without make:

    python3 -m venv .venv
    . .venv/bin/activate
    pip install --editable ".[course]"
    jupyter lab --LabApp.default_url=/lab/tree/notebooks/00_start_here.ipynb

On Windows, the first two lines are these:

    python -m venv .venv
    .venv\\Scripts\\activate

Hand in the notebooks as .ipynb files, with the names of functions as they are. Predictions: answer
in the call, as in sv.course.predict("01-random-codes", "b") (a click on a button is stored only
when the cell is run once more), and write your reason into a Markdown cell above it that begins
with "Prediction:".

docs/self_study.md has a plan for a week, and says what to do when something goes wrong.
"""


class StudentError(Exception):
    """The zip cannot be made; the message says why."""


def contents(root: Path = ROOT) -> Iterator[tuple[str, bytes]]:
    """Names and bytes of the files in the zip.

    Raises:
        StudentError: the learners' notebooks are not there.
    """
    yield "START.md", START.encode()
    build = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]
    included = [name.lstrip("/") for name in build["build"]["targets"]["sdist"]["include"]]
    for name in sorted({*included, *ALSO}):
        for path in sorted(_files(root / name)):
            data = path.read_bytes()
            if path == root / "README.md":
                data = _readme(_page(data.decode("utf-8"))).encode()
            yield path.relative_to(root).as_posix(), data
    notebooks = sorted((root / "notebooks").glob("[0-9][0-9]_*.ipynb"))
    if not notebooks:
        raise StudentError(f"{root / 'notebooks'} holds no notebooks: run make notebooks first.")
    for path in notebooks:
        yield f"notebooks/{path.name}", _notebook(path.read_text(encoding="utf-8")).encode()
    for path in sorted(_files(root / "docs")):
        if path.name not in LECTURERS:
            data = path.read_bytes()
            if path.suffix == ".md":
                data = _page(data.decode("utf-8")).encode()
            yield path.relative_to(root).as_posix(), data
    yield "Makefile", _makefile((root / "Makefile").read_text(encoding="utf-8")).encode()


def _files(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
    for inner in path.rglob("*"):
        hidden = any(part.startswith((".", "__pycache__")) for part in inner.parts[-4:])
        if inner.is_file() and not hidden:
            yield inner


def _notebook(text: str) -> str:
    """A learner's notebook without links to solved versions, and words about them."""
    notebook = json.loads(text)
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            source = "".join(cell["source"])
            source = re.sub(r"^.*\[The solved version is here\].*$\n?", "", source, flags=re.M)
            cell["source"] = _reworded(source).splitlines(keepends=True)
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


def _reworded(text: str) -> str:
    for words, instead in REWORDED.items():
        text = text.replace(words, instead)
    return text


def _page(text: str) -> str:
    """A page without answers, and without links to what is left out."""
    text = re.sub(r"<details><summary>Answer</summary>.*?</details>\n*", "", text, flags=re.S)
    text = _reworded(text)
    lost = "|".join(map(re.escape, LECTURERS))
    text = re.sub(rf"^\|[^\n]*\]\((?:{lost})[^\n]*\n", "", text, flags=re.M)  # rows of tables
    left_out = (
        rf"(?:(?:docs/)?(?:{lost})|\.\./notebooks/(?:solutions|source)|CONT|CHANGE|"
        r"\.\./(?:scripts|tests|benchmarks|CONT|CHANGE))"
    )
    return re.sub(rf"\[([^\]]*)\]\({left_out}[^)]*\)", r"\1", text)


def _readme(text: str) -> str:
    """The README without the commands whose files are left out."""
    kept = r"START.md says how to begin.\n\n\g<0>"
    text = re.sub(r"^## The command line$", kept, text, flags=re.M)
    text = re.sub(r"^\| (?:teach|change the course) \|.*\n", "", text, flags=re.M)
    return re.sub(r"^## Two commands$.*?(?=^START.md)", "", text, flags=re.M | re.S)


def _makefile(text: str) -> str:
    blocks = []
    for block in re.split(r"\n\n+", text):
        target = re.match(r"([a-z-]+|\$\(BROWSER_STAMP\)):", block)
        if not target or target[1] in TARGETS:
            blocks.append(block)
    kept = "\n\n".join(blocks).replace("[course,tests]", "[course]")
    return re.sub(r"^\.PHONY:.*$", f".PHONY: {' '.join(TARGETS)}", kept, flags=re.M) + "\n"


def build(out: Path, root: Path = ROOT, *, overwrite: bool = False) -> None:
    """Write the zip; the same files make the same bytes.

    Raises:
        StudentError: as :func:`contents`.
        OSError: it exists and ``overwrite`` is False, or cannot be written.
    """
    with atomic_path(out, overwrite=overwrite) as partial, zipfile.ZipFile(partial, "w") as archive:
        for name, data in contents(root):
            member = zipfile.ZipInfo(f"split-vae-course/{name}")
            member.external_attr = 0o644 << 16
            packed = name.endswith(PACKED)
            archive.writestr(member, data, zipfile.ZIP_STORED if packed else zipfile.ZIP_DEFLATED)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the return value is its exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "split-vae-course.zip")
    parser.add_argument("--overwrite", action="store_true")
    chosen = parser.parse_args(arguments)
    try:
        build(chosen.out, overwrite=chosen.overwrite)
    except (OSError, StudentError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"wrote {chosen.out} ({chosen.out.stat().st_size / 2**20:.0f} MB)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
