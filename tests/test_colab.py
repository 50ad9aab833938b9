"""The start cell, for real: a fresh environment that has torch and Jupyter, and a notebook only.

The environment borrows torch, torchvision, Jupyter and most other packages from the one that runs
the tests, by links: gigabytes need not be installed twice. It has neither this library, nor tyro
and pytorch-fid, which Colab does not have.
"""

from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))
builder: Any = importlib.import_module("build_notebooks")

PUBLISHED = ("pyproject.toml", "README.md", "LICENSE", "CITATION.cff", "svae_lib", "results")
PUBLISHED += ("hatch_build.py", "notebooks/source/course.cfg")
PUBLISHED += ("data/README.md", "data/mnist-5k.npz", "data/trained")
TAG = f"v{builder.read_course().version}"
HIDDEN = ("svae_lib", "_svae_lib", "__editable__", "tyro", "pytorch_fid")
"""Beginnings of the names that the fresh environment does not have."""

pytestmark = [
    pytest.mark.thorough,
    pytest.mark.skipif(
        shutil.which("git") is None or os.name == "nt", reason="needs git, and links to files"
    ),
]


def environment() -> dict[str, str]:
    """This process's variables, without what leads to this checkout."""
    foreign = ("PYTHONPATH", "VIRTUAL_ENV", "SVAE_PROFILE", "SVAE_DATA")
    return {k: v for k, v in os.environ.items() if k not in foreign} | {"OMP_NUM_THREADS": "1"}


def run(command: list[str], cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=cwd, env=environment(), capture_output=True, text=True)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of a git repository on the local disk that holds this working tree."""
    folder = tmp_path_factory.mktemp("repository")
    for name in PUBLISHED:
        source = ROOT / name
        (folder / name).parent.mkdir(exist_ok=True, parents=True)
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, folder / name)
    git = ["git", "-c", "user.name=Test", "-c", "user.email=test@example.org"]
    git += ["-c", "init.defaultBranch=main", "-c", "commit.gpgsign=false"]
    for command in (
        ["init", "-q"], ["add", "."], ["commit", "-q", "-m", "The course"], ["tag", TAG],
    ):  # fmt: skip
        done = run(git + command, folder)
        assert done.returncode == 0, done.stderr
    return folder.as_uri()


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of the fresh environment."""
    folder = tmp_path_factory.mktemp("fresh")
    lent = folder / "lent"
    lent.mkdir()
    paths = {sysconfig.get_path(kind) for kind in ("purelib", "platlib")}
    for entry in (entry for path in paths for entry in Path(path).iterdir()):
        # Path files would lead to this checkout, or out of the folder of links.
        if not entry.name.startswith(HIDDEN) and entry.suffix != ".pth":
            (lent / entry.name).symlink_to(entry)
    venv.create(folder / "venv", with_pip=False)
    python = folder / "venv" / "bin" / "python"
    (installed_in(python) / "lent.pth").write_text(f"{lent}\n", encoding="utf-8")
    return python


def installed_in(python: Path) -> Path:
    """The folder that pip installs into."""
    return next((python.parent.parent / "lib").glob("python*")) / "site-packages"


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Skips where pip cannot download: the library is built with hatchling, and tyro is missing."""
    folder = tmp_path_factory.mktemp("probe")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "hatchling"]
    done = run([*command, "--retries", "0", "--timeout", "10", "--dest", str(folder)], folder)
    if done.returncode:
        pytest.skip("pip reaches no package index, so hatchling and tyro cannot be installed")


@pytest.fixture
def kernel(python: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a Jupyter kernel in the fresh environment."""
    folder = tmp_path / "jupyter" / "kernels" / "fresh"
    folder.mkdir(parents=True)
    launch = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    specification = {"argv": launch, "display_name": "Fresh", "language": "python"}
    (folder / "kernel.json").write_text(json.dumps(specification), encoding="utf-8")
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    return "fresh"


def start_cells(repository: str) -> list[NotebookNode]:
    """The first code cells of all notebooks."""
    course = builder.Course(repository, TAG[1:])
    notebooks = [builder.build(s, course, {}, solved=False) for s in builder.sources()]
    return [next(c for c in notebook.cells if c.cell_type == "code") for notebook in notebooks]


def test_all_notebooks_have_the_same_start_cell(repository: str) -> None:
    cells = start_cells(repository)
    assert len(cells) == 10
    assert len({cell.source for cell in cells}) == 1
    assert f'"{repository}", "{TAG[1:]}"' in cells[0].source


def test_without_an_address_the_cell_says_what_to_do(python: Path, tmp_path: Path) -> None:
    done = run([str(python), "-c", start_cells("")[0].source], tmp_path)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("ModuleNotFoundError: The course's library is not installed.")
    assert "REPOSITORY" in last and "make lab" in last
    assert not list(installed_in(python).glob("svae*"))  # and nothing was installed


TORCH = """\
import importlib.metadata, importlib.util
print(importlib.metadata.version("torch"), importlib.util.find_spec("torch").origin)"""

USE = """\
import json
import svae_lib as sv
sets = sv.data.load("mnist-5k")
model = sv.load_trained("quick", "split-vae")
x = sv.data.to_float(sets.test[:4])
out = sv.inference.reconstruct_all(model, sets.test[:4])
error = (out.x_hat - x).square().mean().item()
print(json.dumps({"file": sv.__file__, "images": len(sets.train), "error": error,
                  "exercises": sv.exercises.names("01_vanilla_vae")}))"""


def printed(cell: NotebookNode) -> str:
    return "".join(o.text for o in cell.outputs if o.output_type == "stream" and o.name == "stdout")


@pytest.mark.usefixtures("index")
def test_the_start_cell_installs_the_library_and_leaves_torch_alone(
    repository: str, python: Path, kernel: str, tmp_path: Path
) -> None:
    sources = [TORCH, start_cells(repository)[0].source, TORCH, USE]
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    notebook = nbformat.v4.new_notebook(cells=cells)
    alone = tmp_path / "alone"
    alone.mkdir()
    nbformat.write(notebook, alone / "01_vanilla_vae.ipynb")
    where = {"metadata": {"path": str(alone)}}
    client = NotebookClient(notebook, kernel_name=kernel, timeout=300, resources=where)
    done = client.execute(env=environment())

    before, _, after, use = map(printed, done.cells)
    assert before == after  # the same version in the same place
    found = json.loads(use)
    assert Path(found["file"]).is_relative_to(installed_in(python))
    assert found["images"] == 4000 and found["exercises"]
    assert found["error"] < 0.03  # the model that ships, with its weights
    installed = {path.name.split("-")[0] for path in installed_in(python).glob("*.dist-info")}
    # What was missing, and nothing else; older releases of tyro bring one more.
    assert installed - {"typeguard"} == {"svae_lib", "tyro"}

    gpu = "import torch; torch.cuda.is_available = lambda: True\n"
    uses = "\nfrom pytorch_fid.inception import InceptionV3"
    again = run([str(python), "-c", gpu + start_cells("")[0].source + uses], alone)
    assert again.returncode == 0, again.stderr  # no address needed
    more = {path.name.split("-")[0] for path in installed_in(python).glob("*.dist-info")}
    assert more - installed == {"pytorch_fid"}
