"""Where files are looked for and kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from svae_lib import data
from svae_lib.data import download
from svae_lib.support.checks import InputError


def test_root_goes_before_the_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SVAE_DATA", raising=False)
    monkeypatch.setattr(download, "SHARED", tmp_path / "share")
    assert download.own_folder(None) is None
    (tmp_path / "share").mkdir()
    assert download.own_folder(None) == tmp_path / "share"
    monkeypatch.setenv("SVAE_DATA", str(tmp_path))
    assert download.own_folder(None) == tmp_path
    (tmp_path / "root").mkdir()
    assert download.own_folder(tmp_path / "root") == tmp_path / "root"
    monkeypatch.chdir(tmp_path / "root")
    assert download.own_folder("") == Path()
    with pytest.raises(InputError, match="root names"):
        download.own_folder(tmp_path / "nowhere")


def test_cache_in_a_checkout_and_in_an_installation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "svae_lib" / "data" / "download.py"
    package.parent.mkdir(parents=True)
    monkeypatch.setattr(download, "__file__", str(package))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert download.cache_folder("downloads") == tmp_path / "xdg" / "svae" / "downloads"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert download.cache_folder("prepared") == tmp_path / "home" / ".cache" / "svae" / "prepared"
    (tmp_path / "data").mkdir()
    (tmp_path / "pyproject.toml").write_text("")
    assert download.cache_folder("prepared") == tmp_path / "data" / "prepared"


def test_errors_of_the_disk_name_the_place(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot write to") as caught:
        download.make_once(tmp_path / "file" / "new", lambda: None)
    assert str(tmp_path / "file") in str(caught.value)


def test_known_names() -> None:
    names = {
        "mnist-5k",
        "toy-faces",
        "toy-faces-32k",
        "mnist",
        "fashion-mnist",
        "cifar10",
        "celeba",
    }
    assert set(data.available()) == names
