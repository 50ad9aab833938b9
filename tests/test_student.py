"""The learners' zip: no solutions in it, and the course still works from it."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))
student: Any = importlib.import_module("build_student")


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The zip, unpacked."""
    folder = tmp_path_factory.mktemp("student")
    student.build(folder / "course.zip")
    with zipfile.ZipFile(folder / "course.zip") as archive:
        archive.extractall(folder)
    return folder / "split-vae-course"


def solutions(notebook: str) -> list[str]:
    """What stands between the marks of solutions in a notebook's source, less the stubs."""
    text = (ROOT / "notebooks" / "source" / f"{notebook}.py").read_text(encoding="utf-8")
    found = []
    for body in re.findall(r"# BEGIN SOLUTION\n(.*?)# END SOLUTION", text, re.DOTALL):
        lines = [line for line in body.splitlines() if "# STUB:" not in line]
        found.append("\n".join(lines).strip())
    return found


def test_no_solution_is_in_a_notebook_or_a_page(course: Path) -> None:
    names = [path.relative_to(course).as_posix() for path in course.rglob("*")]
    assert not [name for name in names if "solutions" in name or "teaching" in name]
    assert [name for name in names if "source" in name] == [
        "notebooks/source", "notebooks/source/course.cfg",
    ]  # fmt: skip
    notebooks = sorted((course / "notebooks").glob("*.ipynb"))
    assert len(notebooks) == len(list((ROOT / "notebooks" / "source").glob("*.py")))
    for path in notebooks:
        cells = nbformat.read(path, as_version=4).cells
        asked = "\n".join(c.source for c in cells if "exercises.check(" in c.source)
        bodies = solutions(path.stem)
        assert bodies and not [body for body in bodies if body in asked]
        assert not any(cell.get("outputs") for cell in cells)
    bank = (course / "docs" / "question_bank.md").read_text(encoding="utf-8")
    assert "<details>" not in bank and bank.count('<a id="q') > 40


def test_links_between_pages_and_notebooks_still_lead_somewhere(course: Path) -> None:
    pages = [*(course / "docs").glob("*.md"), *(course / "notebooks").glob("*.ipynb")]
    pages.append(course / "README.md")
    broken = []
    for path in pages:
        text = path.read_text(encoding="utf-8")
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
            local = not re.match(r"[a-z]+:|data:|\$|\\", target)
            if local and not (path.parent / target).exists():
                broken.append(f"{path.name}: {target}")
    assert not broken


def test_no_page_speaks_of_what_is_left_out(course: Path) -> None:
    left_out = r"solutions|with answers|unfold an answer|\bscripts/build|CONTRIBUTING|CHANGELOG"
    said = []
    for path in [*course.glob("*.md"), *(course / "docs").glob("*.md")]:
        text = path.read_text(encoding="utf-8")
        said += [f"{path.name}: {found}" for found in re.findall(left_out, text, re.IGNORECASE)]
        made = set(re.findall(r"(?m)(?:^ *|`)make ([a-z-]+)", text)) - set(student.TARGETS)
        said += [f"{path.name}: make {target}" for target in sorted(made)]
    for path in (course / "notebooks").glob("*.ipynb"):
        text = path.read_text(encoding="utf-8")
        said += re.findall(r"solutions are there|solved version", text)
    assert not said
    assert not (course / "docs" / "publish.md").exists()


def test_every_sentence_that_the_zip_rewords_stands_on_a_page() -> None:
    pages = "".join(path.read_text("utf-8") for path in (ROOT / "docs").glob("*.md"))
    pages += (ROOT / "scripts" / "build_speed.py").read_text("utf-8")  # writes one, not always all
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        pages += "".join(cell.source for cell in nbformat.read(path, as_version=4).cells)
    assert [words for words in student.REWORDED if words not in pages] == []


def test_no_page_at_the_top_tells_to_do_what_the_zip_cannot(course: Path) -> None:
    for name in ("README.md", "START.md"):
        text = (course / name).read_text(encoding="utf-8")
        assert set(re.findall(r"(?m)(?:^ *|`)make ([a-z-]+)", text)) <= set(student.TARGETS)
        assert "pytest" not in text and "tests]" not in text
    assert "\n## The library\n" in (course / "README.md").read_text(encoding="utf-8")
    assert (course / "docs" / "self_study.md").exists()


def test_the_library_finds_its_data_and_the_makefile_its_targets(course: Path) -> None:
    code = "import svae_lib as sv; print(sv.__file__, sv.data.load('mnist-5k').name)"
    command = [sys.executable, "-c", code]
    found = subprocess.run(
        command, cwd=course, env={"PYTHONPATH": str(course), "PATH": ""},
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert str(course) in found and "mnist-5k" in found
    makefile = (course / "Makefile").read_text(encoding="utf-8")
    targets = re.findall(r"^([a-z-]+):", makefile, re.MULTILINE)
    assert sorted(targets) == sorted(student.TARGETS) and "scripts/build" not in makefile


def test_the_same_course_makes_the_same_zip_and_nothing_is_overwritten(tmp_path: Path) -> None:
    one, two = tmp_path / "one.zip", tmp_path / "two.zip"
    for out in (one, two):
        assert student.main(["--out", str(out)]) == 0
    assert one.read_bytes() == two.read_bytes()
    assert student.main(["--out", str(one)]) == 1
