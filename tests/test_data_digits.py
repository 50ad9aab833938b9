"""MNIST and Fashion-MNIST from small stand-in files, and Fashion-MNIST itself where it is."""

from __future__ import annotations

import gzip
import hashlib
import os
import struct
import threading
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch

from svae_lib import data
from svae_lib.data import download
from svae_lib.data.digits import FASHION_MNIST, MNIST, IdxSet, load_idx_set
from svae_lib.support.checks import InputError

STEMS = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


def idx(array: np.ndarray) -> bytes:
    header = b"\0\0\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(np.uint8).tobytes()


@pytest.fixture
def contents() -> list[bytes]:
    """Unpacked files of a data set with 30 + 20 images."""
    rng = np.random.default_rng(0)
    train, test = (rng.integers(0, 256, (count, 28, 28)) for count in (30, 20))
    labels = [np.arange(count) % 10 for count in (30, 20)]
    return [idx(array) for array in (train, labels[0], test, labels[1])]


@pytest.fixture
def kind(contents: list[bytes], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> IdxSet:
    """The stand-in for MNIST, with no mirror within reach and a cache of its own."""
    monkeypatch.delenv("SVAE_DATA", raising=False)
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(download, "ROUNDS", 1)
    monkeypatch.setattr(download, "cache_folder", lambda name: tmp_path / "cache" / name)
    hashes = tuple(hashlib.sha256(content).hexdigest() for content in contents)
    monkeypatch.setattr(download, "SHARED", tmp_path / "share")
    return replace(MNIST, sha256=hashes, mirrors=("http://127.0.0.1:9/",))


def place(folder: Path, contents: list[bytes], packed: bool = True, dots: bool = False) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for stem, content in zip(STEMS, contents, strict=True):
        name = stem.replace("-idx", ".idx") if dots else stem
        if packed:
            (folder / f"{name}.gz").write_bytes(gzip.compress(content))
        else:
            (folder / name).write_bytes(content)
    return folder


@pytest.mark.parametrize("below", ["MNIST/raw", "MNIST", "mnist", "raw", "."])
def test_layouts(kind: IdxSet, contents: list[bytes], tmp_path: Path, below: str) -> None:
    place(tmp_path / "mine" / below, contents)
    sets = load_idx_set(kind, tmp_path / "mine")
    assert sets.name == "mnist"
    assert sets.train.shape == (30, 1, 32, 32)
    assert sets.test.shape == (20, 1, 32, 32)
    expected = np.frombuffer(contents[2], np.uint8, offset=16).reshape(20, 28, 28)
    assert np.array_equal(sets.test[:, 0, 2:-2, 2:-2], expected)
    assert sets.test.sum() == int(expected.sum(dtype=np.int64))
    assert sets.train_labels.tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9] * 3


@pytest.mark.parametrize(("packed", "dots"), [(True, True), (False, True), (False, False)])
def test_spellings(
    kind: IdxSet, contents: list[bytes], tmp_path: Path, packed: bool, dots: bool
) -> None:
    place(tmp_path / "mine", contents, packed, dots)
    assert len(load_idx_set(kind, tmp_path / "mine").test) == 20


def test_variable_names_the_folder(
    kind: IdxSet, contents: list[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place(tmp_path / "mine" / "MNIST" / "raw", contents)
    monkeypatch.setenv("SVAE_DATA", str(tmp_path / "mine"))
    assert len(load_idx_set(kind).train) == 30
    monkeypatch.setenv("SVAE_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(InputError, match=r"SVAE_DATA names .*nowhere"):
        load_idx_set(kind)


def test_shared_folder_of_the_system(
    kind: IdxSet, contents: list[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place(tmp_path / "share" / "mnist", contents)
    assert len(load_idx_set(kind).train) == 30
    (tmp_path / "other").mkdir()
    monkeypatch.setenv("SVAE_DATA", str(tmp_path / "other"))  # with other sets than this one
    assert len(load_idx_set(kind).train) == 30
    with pytest.raises(InputError, match="does not hold mnist"):
        load_idx_set(kind, tmp_path / "other")


def test_offline_says_what_to_place_where(kind: IdxSet, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        load_idx_set(kind)
    message = str(caught.value)
    for file in kind.files:
        assert f"{file.name} (MD5 {file.digest})" in message
    assert str(tmp_path / "cache" / "downloads" / "mnist") in message


def test_root_without_the_files(kind: IdxSet, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not hold mnist") as caught:
        load_idx_set(kind, tmp_path)
    for file in kind.files:
        assert f"{file.name} (MD5 {file.digest})" in str(caught.value)
    with pytest.raises(InputError, match="not a folder"):
        load_idx_set(kind, tmp_path / "nowhere")


def test_root_with_a_part_of_the_files(kind: IdxSet, contents: list[bytes], tmp_path: Path) -> None:
    place(tmp_path / "mine", contents)
    (tmp_path / "mine" / f"{STEMS[3]}.gz").unlink()
    with pytest.raises(InputError, match=f"does not hold mnist.*{STEMS[3]}"):
        load_idx_set(kind, tmp_path / "mine")


def test_other_data_in_the_same_layout_are_refused(
    kind: IdxSet, contents: list[bytes], tmp_path: Path
) -> None:
    place(tmp_path / "mine", [*contents[:2], contents[0], contents[1]])
    with pytest.raises(InputError, match=f"expected {kind.sha256[2]}") as caught:
        load_idx_set(kind, tmp_path / "mine")
    assert STEMS[2] in str(caught.value)


@pytest.mark.parametrize("end", [b"", b"\xff" * 20])
def test_damaged_gzip_is_named(
    kind: IdxSet, contents: list[bytes], tmp_path: Path, end: bytes
) -> None:
    folder = place(tmp_path / "mine", contents)
    damaged = folder / f"{STEMS[0]}.gz"
    damaged.write_bytes(damaged.read_bytes()[:1000] + end)
    with pytest.raises(InputError, match=f"{STEMS[0]}.gz is damaged"):
        load_idx_set(kind, folder)


def test_what_torchvision_offers_is_what_we_check() -> None:
    for kind in (MNIST, FASHION_MNIST):
        assert [file.name for file in kind.files] == [f"{stem}.gz" for stem in STEMS]
        assert [len(file.digest) for file in kind.files] == [32] * 4
        assert [len(digest) for digest in kind.sha256] == [64] * 4
    assert not set(MNIST.sha256) & set(FASHION_MNIST.sha256)


def test_download_and_a_second_load(
    kind: IdxSet, contents: list[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over HTTP from one folder into the cache; the second time without a server."""
    web = place(tmp_path / "web", contents)
    files = [(path.name, hashlib.md5(path.read_bytes()).hexdigest()) for path in web.iterdir()]
    in_order = [(f"{stem}.gz", dict(files)[f"{stem}.gz"]) for stem in STEMS]
    monkeypatch.setattr(kind.reader, "resources", in_order)
    handler = partial(SimpleHTTPRequestHandler, directory=str(web))
    monkeypatch.setattr(SimpleHTTPRequestHandler, "log_message", lambda *_: None)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        kind = replace(kind, mirrors=(f"http://127.0.0.1:{server.server_port}/",))
        first = load_idx_set(kind)
        server.shutdown()
    assert torch.equal(load_idx_set(kind).train, first.train)
    cached = (tmp_path / "cache" / "downloads" / "mnist").glob("[!.]*")
    assert sorted(path.name for path in cached) == sorted(dict(files))


def test_fashion_mnist_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = os.environ.get("SVAE_FASHION_MNIST", str(download.SHARED / "fashion-mnist"))
    if not Path(folder).is_dir():
        pytest.skip(
            "needs the four files of Fashion-MNIST: install Debian's package "
            "dataset-fashion-mnist, or name their folder in SVAE_FASHION_MNIST"
        )
    monkeypatch.delenv("SVAE_DATA", raising=False)
    sets = data.load("fashion-mnist", folder)
    assert sets.train.shape == (60_000, 1, 32, 32)
    assert sets.test.shape == (10_000, 1, 32, 32)
    assert torch.bincount(sets.train_labels).tolist() == [6000] * 10
    assert torch.bincount(sets.test_labels).tolist() == [1000] * 10
    # published mean of the 28x28 training pixels: 0.2860
    mean = sets.train[..., 2:-2, 2:-2].double().mean() / 255
    assert mean == pytest.approx(0.2860, abs=5e-5)
    assert sets.label_names[9] == "ankle boot"
