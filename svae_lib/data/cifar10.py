"""CIFAR-10: 50,000 + 10,000 colour photographs of 32x32 in ten classes.

The binary version is read in preference to the Python version, whose batches are pickles: those
are opened with an unpickler that can build nothing but arrays, lists and dictionaries.
Archives are read in place, never unpacked to disk.
"""

from __future__ import annotations

import hashlib
import io
import os
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ..support.checks import InputError
from .archives import read_members
from .download import DownloadError, Patience, RemoteFile, check_hash, fetch_all
from .image_sets import ImageSets
from .places import cache_folder, own_folder

SOURCE = (
    "CIFAR-10's 50,000 training and 10,000 test photographs (A. Krizhevsky, 2009), selected from "
    "the 80 million tiny images."
)
LABEL_NAMES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)
PER_BATCH = 10_000
BYTES_PER_IMAGE = 3 * 32 * 32
BATCHES = (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch")  # the last: test

_HOSTS = ("https://www.cs.toronto.edu/~kriz/", "https://cave.cs.toronto.edu/kriz/")
BINARY_ARCHIVE = RemoteFile(  # hashes as published on the data set's page
    "cifar-10-binary.tar.gz",
    tuple(f"{host}cifar-10-binary.tar.gz" for host in _HOSTS),
    "c32a1d4ab5d03f1284b67883e8d87530",
)
PYTHON_ARCHIVE = RemoteFile(
    "cifar-10-python.tar.gz",
    tuple(f"{host}cifar-10-python.tar.gz" for host in _HOSTS),
    "c58f30108f718f92721af3b95e74349a",
)
PYTHON_MD5 = {  # as published, and in torchvision
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    "test_batch": "40351d587109b95175f43aff81a1287e",
}
SUBFOLDERS = (".", "cifar10", "cifar-10", "CIFAR10")
LARGEST_BATCH = 40_000_000  # bytes; the genuine ones have 31 million

Batch = tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]


def load_cifar10(
    root: str | os.PathLike[str] | None = None, patience: Patience | None = None
) -> ImageSets:
    """CIFAR-10: uint8 (50000, 3, 32, 32) and (10000, 3, 32, 32).

    Args:
        root: folder with cifar-10-batches-bin, cifar-10-batches-py (torchvision's layout) or
            one of the archives; nothing is downloaded when it is given.
        patience: with slow servers.

    Raises:
        InputError: files missing, damaged, unsafe, or not to be downloaded.
    """
    place = _find(root)
    if place is None:
        place = _download(patience)
    batches = [_parse(name, content) for name, content in _contents(place).items()]
    images = torch.from_numpy(np.concatenate([images for images, _ in batches]))
    labels = torch.from_numpy(np.concatenate([labels for _, labels in batches]))
    split = len(images) - len(batches[-1][0])
    return ImageSets(
        name="cifar10",
        train=images[:split],
        test=images[split:],
        train_labels=labels[:split],
        test_labels=labels[split:],
        label_names=LABEL_NAMES,
        source=SOURCE,
    )


def _find(root: str | os.PathLike[str] | None) -> Path | None:
    """The folder or archive that holds the batches in the user's folder, or None."""
    own = own_folder(root)
    if own is None:
        return None
    for folder in (own / below for below in SUBFOLDERS):
        for place in (folder / "cifar-10-batches-bin", folder / "cifar-10-batches-py", folder):
            if any((place / name).is_file() for name in ("data_batch_1", "data_batch_1.bin")):
                return place
        for archive in (BINARY_ARCHIVE, PYTHON_ARCHIVE):
            if (folder / archive.name).is_file():
                return folder / archive.name
    if root is None:
        return None
    raise InputError(
        f"{own} does not hold CIFAR-10: put {BINARY_ARCHIVE.name} ({BINARY_ARCHIVE.hash_text}) or "
        f"{PYTHON_ARCHIVE.name} ({PYTHON_ARCHIVE.hash_text}) into it, or the folder "
        "cifar-10-batches-bin or cifar-10-batches-py; or leave root out to download it."
    )


def _download(patience: Patience | None) -> Path:
    """The archive of the binary version, or else of the Python version."""
    folder = cache_folder("downloads") / "cifar10"
    if not (folder / BINARY_ARCHIVE.name).exists() and (folder / PYTHON_ARCHIVE.name).exists():
        return folder / PYTHON_ARCHIVE.name
    try:
        return fetch_all([BINARY_ARCHIVE], folder, "cifar10", patience=patience)[0]
    except DownloadError as error:
        try:
            return fetch_all([PYTHON_ARCHIVE], folder, "cifar10", patience=patience)[0]
        except DownloadError:
            raise error from None


def _contents(place: Path) -> dict[str, bytes]:
    """The six batches by file name, in the order of ``BATCHES``."""
    if place.is_dir():
        suffix = ".bin" if (place / "data_batch_1.bin").is_file() else ""
        names = [name + suffix for name in BATCHES]
        files: Mapping[str, bytes] = {
            name: (place / name).read_bytes() for name in names if (place / name).is_file()
        }
    else:
        archive = BINARY_ARCHIVE if place.name == BINARY_ARCHIVE.name else PYTHON_ARCHIVE
        names = [name + (".bin" if archive is BINARY_ARCHIVE else "") for name in BATCHES]
        check_hash(place, archive)
        files = read_members(place, set(names), LARGEST_BATCH)
    missing = [name for name in names if name not in files]
    if missing:
        raise InputError(f"{place} is incomplete: {', '.join(missing)} missing.")
    return {name: files[name] for name in names}


def _parse(name: str, content: bytes) -> Batch:
    """Images uint8 (10000, 3, 32, 32) and labels int64 (10000,) of one batch."""
    if name.endswith(".bin"):
        if len(content) != PER_BATCH * (1 + BYTES_PER_IMAGE):
            raise InputError(f"{name} is cut short or no batch: it has {len(content)} bytes.")
        rows = np.frombuffer(content, np.uint8).reshape(PER_BATCH, 1 + BYTES_PER_IMAGE)
        pixels, labels = rows[:, 1:], rows[:, 0].astype(np.int64)
    else:
        _check_md5(name, content)
        pixels, labels = _from_pickle(name, content)
    if labels.min() < 0 or labels.max() >= len(LABEL_NAMES):
        raise InputError(f"{name} is damaged: it has labels outside 0-9.")
    return pixels.reshape(PER_BATCH, 3, 32, 32), labels


def _check_md5(name: str, content: bytes) -> None:
    found = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if found != PYTHON_MD5[name]:
        raise InputError(f"{name} is damaged: its MD5 is {found}, expected {PYTHON_MD5[name]}.")


class _PlainUnpickler(pickle.Unpickler):
    """Rebuilds containers, numbers, strings and NumPy arrays, and refuses all else."""

    _ALLOWED = {  # noqa: RUF012 - a constant
        # NumPy's own function for empty arrays, under the names it has had
        ("numpy.core.multiarray", "_reconstruct"): np.zeros(0).__reduce__()[0],
        ("numpy._core.multiarray", "_reconstruct"): np.zeros(0).__reduce__()[0],
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
    }

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._ALLOWED:
            raise InputError(f"a pickle that calls {module}.{name} is refused: it is not data.")
        return self._ALLOWED[module, name]

    def persistent_load(self, pid: Any) -> Any:
        raise InputError("a pickle with persistent objects is refused: it is not data.")


def read_plain_pickle(content: bytes) -> Any:
    """Open a pickle of plain data; strings of Python 2 come as bytes.

    Raises:
        InputError: it wants to call anything that plain data do not need, or is damaged.
    """
    try:
        return _PlainUnpickler(io.BytesIO(content), encoding="bytes").load()
    except InputError:
        raise
    except Exception as error:  # a damaged pickle may raise nearly anything
        raise InputError(f"the pickle is damaged ({type(error).__name__}: {error}).") from None


def _from_pickle(name: str, content: bytes) -> Batch:
    batch = read_plain_pickle(content)
    pixels = batch.get(b"data") if isinstance(batch, dict) else None
    labels = batch.get(b"labels") if isinstance(batch, dict) else None
    if (
        not isinstance(pixels, np.ndarray)
        or pixels.dtype != np.uint8
        or pixels.shape != (PER_BATCH, BYTES_PER_IMAGE)
        or not isinstance(labels, list)
        or len(labels) != PER_BATCH
        or not all(isinstance(label, int) for label in labels)
    ):
        raise InputError(f"{name} is no batch of {PER_BATCH} images with their labels.")
    return pixels, np.array(labels, np.int64)
