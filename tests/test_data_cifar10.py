"""CIFAR-10 from small stand-in files in all its layouts, and archives and pickles that attack."""

from __future__ import annotations

import hashlib
import io
import pickle
import struct
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from svae_lib.data import cifar10
from svae_lib.data.archives import read_members, refuse_unsafe_path
from svae_lib.data.cifar10 import BATCHES, load_cifar10, read_plain_pickle
from svae_lib.data.download import Patience
from svae_lib.support.checks import InputError

COUNT = 20  # images per batch


def python2_pickle(pixels: np.ndarray, labels: list[int]) -> bytes:
    """A batch as Python 2 and the NumPy of its time pickled it (protocol 2, byte strings)."""

    def text(value: bytes) -> bytes:  # BINSTRING, which Python 3 does not write
        return b"T" + struct.pack("<i", len(value)) + value

    def number(value: int) -> bytes:
        return b"J" + struct.pack("<i", value)

    shape = number(pixels.shape[0]) + number(pixels.shape[1]) + b"\x86"
    dtype = b"cnumpy\ndtype\n(" + text(b"u1") + number(0) + number(1) + b"tR"
    dtype += b"(" + number(3) + text(b"|") + b"NNN" + number(-1) * 2 + number(0) + b"tb"
    array = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n" + number(0) + b"\x85"
    array += text(b"b") + b"tR(" + number(1) + shape + dtype + b"\x89" + text(pixels.tobytes())
    array += b"tb"
    listed = b"](" + b"".join(number(label) for label in labels) + b"e"
    pairs = text(b"data") + array + text(b"labels") + listed
    pairs += text(b"batch_label") + text(b"training batch 1 of 5")
    return b"\x80\x02}(" + pairs + b"u."


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, tuple]:
    """Six random batches by name; the module's constants are made to fit them."""
    monkeypatch.delenv("SVAE_DATA", raising=False)
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(cifar10, "PER_BATCH", COUNT)
    monkeypatch.setattr(cifar10, "cache_folder", lambda name: tmp_path / "cache" / name)
    rng = np.random.default_rng(0)
    made = {
        name: (
            rng.integers(0, 256, (COUNT, 3072), dtype=np.uint8),
            rng.integers(0, 10, COUNT).tolist(),
        )
        for name in BATCHES
    }
    hashes = {name: hashlib.md5(python2_pickle(*batch)).hexdigest() for name, batch in made.items()}
    monkeypatch.setattr(cifar10, "PYTHON_MD5", hashes)
    return made


def binary(pixels: np.ndarray, labels: list[int]) -> bytes:
    return np.concatenate([np.array(labels, np.uint8)[:, None], pixels], 1).tobytes()


def files(batches: dict[str, tuple], python: bool) -> dict[str, bytes]:
    if python:
        return {name: python2_pickle(*batch) for name, batch in batches.items()}
    return {f"{name}.bin": binary(*batch) for name, batch in batches.items()}


def write_tar(path: Path, members: dict[str, bytes]) -> None:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))


def place(
    folder: Path, batches: dict[str, tuple], layout: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = "py" in layout
    content = files(batches, python)
    (folder / layout).parent.mkdir(parents=True, exist_ok=True)
    if not layout.endswith(".tar.gz"):
        (folder / layout).mkdir()
        for name, inside in content.items():
            (folder / layout / name).write_bytes(inside)
        return
    write_tar(folder / layout, {f"cifar-10-batches/{name}": c for name, c in content.items()})
    constant = "PYTHON_ARCHIVE" if python else "BINARY_ARCHIVE"
    digest = hashlib.md5((folder / layout).read_bytes()).hexdigest()
    monkeypatch.setattr(cifar10, constant, replace(getattr(cifar10, constant), digest=digest))


@pytest.mark.parametrize(
    "layout",
    [
        "cifar-10-batches-bin",
        "cifar-10-batches-py",
        "cifar-10-binary.tar.gz",
        "cifar-10-python.tar.gz",
        "cifar10/cifar-10-batches-py",
    ],
)
def test_layouts(
    batches: dict[str, tuple], tmp_path: Path, layout: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    place(tmp_path, batches, layout, monkeypatch)
    sets = load_cifar10(tmp_path)
    assert sets.train.shape == (5 * COUNT, 3, 32, 32)
    assert sets.test.shape == (COUNT, 3, 32, 32)
    pixels, labels = batches["data_batch_2"]
    # the format: 1024 red values row by row, then green, then blue
    image = pixels[7].reshape(3, 32, 32)
    assert np.array_equal(sets.train[COUNT + 7], image)
    assert sets.train_labels[COUNT : 2 * COUNT].tolist() == labels
    assert np.array_equal(sets.test.flatten(1), batches["test_batch"][0])
    assert sets.label_names[3] == "cat"


def test_missing_batch_is_named(
    batches: dict[str, tuple], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place(tmp_path, batches, "cifar-10-batches-bin", monkeypatch)
    (tmp_path / "cifar-10-batches-bin" / "data_batch_4.bin").unlink()
    with pytest.raises(InputError, match=r"data_batch_4\.bin missing"):
        load_cifar10(tmp_path)


def test_short_batch_is_named(
    batches: dict[str, tuple], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place(tmp_path, batches, "cifar-10-batches-bin", monkeypatch)
    short = tmp_path / "cifar-10-batches-bin" / "data_batch_4.bin"
    short.write_bytes(short.read_bytes()[:-1])
    with pytest.raises(InputError, match=r"data_batch_4\.bin is cut short"):
        load_cifar10(tmp_path)


def test_impossible_label_is_refused(
    batches: dict[str, tuple], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches["data_batch_1"][1][3] = 10
    place(tmp_path, batches, "cifar-10-batches-bin", monkeypatch)
    with pytest.raises(InputError, match="outside 0-9"):
        load_cifar10(tmp_path)


def test_changed_pickle_is_refused_unopened(
    batches: dict[str, tuple], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place(tmp_path, batches, "cifar-10-batches-py", monkeypatch)
    (tmp_path / "cifar-10-batches-py" / "test_batch").write_bytes(b"\x80\x02}.")
    with pytest.raises(InputError, match="test_batch is damaged: its MD5"):
        load_cifar10(tmp_path)


def test_changed_archive_is_refused(
    batches: dict[str, tuple], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place(tmp_path, batches, "cifar-10-binary.tar.gz", monkeypatch)
    archive = tmp_path / "cifar-10-binary.tar.gz"
    archive.write_bytes(archive.read_bytes() + b"\0")
    with pytest.raises(InputError, match=cifar10.BINARY_ARCHIVE.digest):
        load_cifar10(tmp_path)


def test_offline_and_empty_root(
    batches: dict[str, tuple], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match="does not hold CIFAR-10") as caught:
        load_cifar10(tmp_path)
    assert cifar10.BINARY_ARCHIVE.digest in str(caught.value)
    for constant in ("BINARY_ARCHIVE", "PYTHON_ARCHIVE"):
        archive = replace(getattr(cifar10, constant), urls=("http://127.0.0.1:9/",))
        monkeypatch.setattr(cifar10, constant, archive)
    with pytest.raises(InputError, match=cifar10.BINARY_ARCHIVE.digest):
        load_cifar10(patience=Patience(timeout=0.5, rounds=1))


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "../up", "a/../../up", "C:\\x", "\\\\host\\x", "a\\..\\..\\up"]
)
def test_archive_that_climbs_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / "bad.tar.gz"
    write_tar(path, {"data_batch_1.bin": b"fine", name: b"bad"})
    with pytest.raises(InputError, match="outside the archive"):
        read_members(path, {"data_batch_1.bin"}, 100)
    assert [entry.name for entry in tmp_path.iterdir()] == ["bad.tar.gz"]


def test_harmless_names_pass() -> None:
    for name in ("a/b.jpg", "./a/b", "a..b/c..jpg"):
        refuse_unsafe_path(name, Path("x.zip"))


def test_damaged_and_oversized_archives(tmp_path: Path) -> None:
    path = tmp_path / "a.tar.gz"
    write_tar(path, {"x": bytes(range(256)) * 40})
    with pytest.raises(InputError, match="more than 10 bytes"):
        read_members(path, {"x"}, 10)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InputError, match="damaged"):
        read_members(path, {"x"}, 10**6)


class Attack:
    """Calls a function of another module when unpickled by pickle.load."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return Path.touch, (self.path,)


def test_malicious_pickle_is_refused(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    content = pickle.dumps({"data": Attack(trace)}, protocol=2)
    with pytest.raises(InputError, match="is refused"):
        read_plain_pickle(content)
    assert not trace.exists()
    pickle.loads(content)  # the attack itself does work
    assert trace.exists()


@pytest.mark.parametrize(
    "call",
    [
        b"cos\nsystem\n(S'true'\ntR.",
        b"cbuiltins\neval\n(S'1'\ntR.",
        b"cnumpy\nload\n(S'x'\ntR.",
        b"cnumpy.core.multiarray\nfromfile\n(S'x'\ntR.",
        b"c_codecs\nencode\n(S'x'\ntR.",
        b"Pid\n.",
    ],
)
def test_pickle_may_call_nothing_else(call: bytes) -> None:
    with pytest.raises(InputError, match="is refused"):
        read_plain_pickle(call)


@pytest.mark.parametrize("content", [b"", b"nonsense", b"\x80\x02}(", b"."])
def test_damaged_pickle(content: bytes) -> None:
    with pytest.raises(InputError, match="pickle is damaged"):
        read_plain_pickle(content)


def test_pickle_of_something_else_is_refused(
    batches: dict[str, tuple], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels, labels = batches["data_batch_1"]
    contents = {
        "data_batch_1": python2_pickle(pixels[:, :10], labels),
        "data_batch_2": python2_pickle(pixels, labels[:3]),
        "data_batch_3": b"\x80\x02].",
    }
    for name, content in contents.items():
        digest = hashlib.md5(content).hexdigest()
        monkeypatch.setitem(cifar10.PYTHON_MD5, name, digest)
        with pytest.raises(InputError, match=f"{name} is no batch"):
            cifar10._parse(name, content)
