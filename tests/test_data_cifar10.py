"""CIFAR-10 from small stand-in files, and files that are not what they seem."""

from __future__ import annotations

import errno
import hashlib
import io
import pickle
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from torchvision import datasets

from svae_lib.data import cifar10, download
from svae_lib.data.cifar10 import load_cifar10
from svae_lib.support.checks import InputError

COUNT = 20  # images per batch
CLASSES = [f"class {number}" for number in range(10)]
BATCHES = (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch")  # the last: test


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, tuple]:
    """Six random batches by name; the constants, torchvision's too, are made to fit them."""
    monkeypatch.delenv("SVAE_DATA", raising=False)
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(download, "ROUNDS", 1)
    monkeypatch.setattr(download, "cache_folder", lambda name: tmp_path / "cache" / name)
    rng = np.random.default_rng(0)
    made = {
        name: (
            rng.integers(0, 256, (COUNT, 3072), dtype=np.uint8),
            rng.integers(0, 10, COUNT).tolist(),
        )
        for name in BATCHES
    }
    content = files(made)
    hashes = [[name, md5(content[name])] for name in BATCHES]
    monkeypatch.setattr(datasets.CIFAR10, "train_list", hashes[:-1])
    monkeypatch.setattr(datasets.CIFAR10, "test_list", hashes[-1:])
    meta = {**datasets.CIFAR10.meta, "md5": md5(content["batches.meta"])}
    monkeypatch.setattr(datasets.CIFAR10, "meta", meta)
    return made


def files(batches: dict[str, tuple]) -> dict[str, bytes]:
    meta = {"batches.meta": pickle.dumps({"label_names": CLASSES})}
    return meta | {
        name: pickle.dumps({"data": pixels, "labels": labels}, protocol=2)
        for name, (pixels, labels) in batches.items()
    }


def place(
    folder: Path, batches: dict[str, tuple], layout: str, monkeypatch: pytest.MonkeyPatch
) -> Path:
    path = folder / layout
    path.parent.mkdir(parents=True, exist_ok=True)
    if not layout.endswith(".tar.gz"):
        path.mkdir()
        for name, inside in files(batches).items():
            (path / name).write_bytes(inside)
        return path
    with tarfile.open(path, "w:gz") as archive:
        for name, inside in files(batches).items():
            entry = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            entry.size = len(inside)
            archive.addfile(entry, io.BytesIO(inside))
    known = replace(cifar10.ARCHIVE, digest=md5(path.read_bytes()))
    monkeypatch.setattr(cifar10, "ARCHIVE", known)
    return path


@pytest.mark.parametrize(
    ("layout", "root"),
    [
        ("cifar-10-batches-py", "."),
        ("cifar10/cifar-10-batches-py", "."),
        ("cifar-10-python.tar.gz", "."),
        ("cache/downloads/cifar10/cifar-10-python.tar.gz", None),
    ],
)
def test_layouts(
    batches: dict[str, tuple],
    tmp_path: Path,
    layout: str,
    root: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    place(tmp_path, batches, layout, monkeypatch)
    sets = load_cifar10(tmp_path / root if root else None)
    assert sets.train.shape == (5 * COUNT, 3, 32, 32)
    assert sets.test.shape == (COUNT, 3, 32, 32)
    assert sets.train.is_contiguous() and sets.test.is_contiguous()
    pixels, labels = batches["data_batch_2"]
    # the format: 1024 red values row by row, then green, then blue
    assert np.array_equal(sets.train[COUNT + 7], pixels[7].reshape(3, 32, 32))
    assert sets.train_labels[COUNT : 2 * COUNT].tolist() == labels
    assert np.array_equal(sets.test.flatten(1), batches["test_batch"][0])
    assert sets.label_names == tuple(CLASSES)


def test_missing_and_short_batches(
    batches: dict[str, tuple], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = place(tmp_path, batches, "cifar-10-batches-py", monkeypatch) / "data_batch_4"
    bad.write_bytes(bad.read_bytes()[:-1])
    with pytest.raises(InputError, match="incomplete or damaged"):
        load_cifar10(tmp_path)
    bad.unlink()
    with pytest.raises(InputError, match="incomplete or damaged"):
        load_cifar10(tmp_path)


class Attack:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("name", ["data_batch_1", "test_batch", "batches.meta"])
def test_changed_pickle_is_refused_unopened(
    batches: dict[str, tuple], tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = place(tmp_path, batches, "cifar-10-batches-py", monkeypatch)
    attack = pickle.dumps({"data": Attack(tmp_path / "trace"), "labels": []})
    (folder / name).write_bytes(attack)
    with pytest.raises(InputError, match="incomplete or damaged"):
        load_cifar10(tmp_path)
    assert not (tmp_path / "trace").exists()
    pickle.loads(attack)  # the attack itself does work
    assert (tmp_path / "trace").exists()


def test_changed_archive_is_refused_unopened(
    batches: dict[str, tuple], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = place(tmp_path, batches, "cifar-10-python.tar.gz", monkeypatch)
    digest = md5(archive.read_bytes())
    archive.write_bytes(archive.read_bytes() + b"\0")
    with pytest.raises(InputError, match=digest):
        load_cifar10(tmp_path)


def test_no_room_for_unpacking(
    batches: dict[str, tuple], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place(tmp_path, batches, "cifar-10-python.tar.gz", monkeypatch)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(datasets.utils, "extract_archive", full)
    with pytest.raises(InputError, match=r"cannot unpack .* No space left.*TMPDIR"):
        load_cifar10(tmp_path)


def test_offline_and_empty_root(
    batches: dict[str, tuple], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = replace(cifar10.ARCHIVE, urls=("http://127.0.0.1:9/",))
    monkeypatch.setattr(cifar10, "ARCHIVE", archive)
    for root in (tmp_path, None):
        with pytest.raises(InputError, match=archive.digest):
            load_cifar10(root)


def test_the_published_hash_is_torchvision_s() -> None:
    assert cifar10.ARCHIVE.digest == datasets.CIFAR10.tgz_md5
    assert cifar10.ARCHIVE.name == datasets.CIFAR10.filename
