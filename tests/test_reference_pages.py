"""The library's reference is made of its docstrings, whole and without dead references."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SCRIPT = ROOT / "scripts" / "build_reference.py"


def build(script: Path, out: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command, env = [sys.executable, script, "--out", out], os.environ | environment
    return subprocess.run(command, capture_output=True, text=True, timeout=300, env=env)


def test_pages_stand_in_the_order_of_the_readmes_map() -> None:
    sys.path.insert(0, str(SCRIPT.parent))
    from build_reference import layers
    from test_imports import order

    assert [name for _, modules in layers() for name in modules] == [
        f"svae_lib.{name}" for name in order()
    ]


@pytest.fixture(scope="module")
def pages(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("reference") / "pages"
    done = build(SCRIPT, out)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(out / "index.html")
    return out


@pytest.mark.thorough
def test_every_module_has_a_page(pages: Path) -> None:
    modules = {
        f"svae_lib.{path.stem}"
        for path in (ROOT / "svae_lib").iterdir()
        if (path.suffix == ".py" or (path / "__init__.py").exists()) and path.stem[0] != "_"
    }
    assert {path.stem for path in pages.glob("svae_lib.*.html")} == modules
    index = (pages / "index.html").read_text(encoding="utf-8")
    assert all(f'href="{module}.html"' in index for module in modules)


@pytest.mark.thorough
def test_shapes_errors_and_fields_are_told(pages: Path) -> None:
    def text(module: str) -> str:
        page = (pages / f"svae_lib.{module}.html").read_text(encoding="utf-8")
        return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", page))

    assert "Raises: InputError" in text("objective")
    assert "reconstructions, the same shape" in text("objective")
    whole = "First value of gamma: 1 as in the authors"  # not "Type: First value of gamma"
    assert whole in text("presets")
    assert "fid(" in text("fid") and "load_celeba(" in text("data")


@pytest.mark.thorough
def test_the_pages_need_no_network(pages: Path) -> None:
    fetching = re.compile(r'<(?:script|link|img)[^>]+(?:src|href)="(https?:[^"]+)')
    for page in pages.glob("*.html"):
        assert not fetching.findall(page.read_text(encoding="utf-8")), page.name


@pytest.mark.thorough
def test_a_reference_to_nothing_is_an_error_and_leaves_the_old_pages(tmp_path: Path) -> None:
    """The script beside a library of one module, whose docstring names what is not there."""
    script, package = tmp_path / "scripts" / SCRIPT.name, tmp_path / "svae_lib"
    for folder in (script.parent, package, tmp_path / "pages"):
        folder.mkdir()
    script.write_text(SCRIPT.read_text(encoding="utf-8"), encoding="utf-8")
    (package / "__init__.py").write_text('"""A library."""\n__version__ = "0"\n')
    (package / "one.py").write_text('"""See :func:`svae_lib.one.lost`."""\n')
    (tmp_path / "README.md").write_text(
        "It imports only from those below it:\n```\none      a module\n```\n"
    )
    old = tmp_path / "pages" / "index.html"
    old.write_text("kept")
    done = build(script, old.parent, PYTHONPATH=str(tmp_path))
    assert done.returncode != 0 and "holds other files" in done.stderr
    assert old.read_text() == "kept" and "Traceback" not in done.stderr
    done = build(script, old, PYTHONPATH=str(tmp_path))
    assert done.returncode != 0 and "is a file" in done.stderr and old.read_text() == "kept"
    (old.parent / "objects.inv").touch()
    done = build(script, old.parent, PYTHONPATH=str(tmp_path))
    assert done.returncode != 0 and "svae_lib.one.lost" in done.stderr
    assert old.read_text() == "kept"
    (package / "one.py").write_text('"""See :mod:`svae_lib.one`."""\n')
    assert build(script, old.parent, PYTHONPATH=str(tmp_path)).returncode == 0
    assert old.read_text() != "kept"
