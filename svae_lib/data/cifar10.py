"""CIFAR-10: 50,000 + 10,000 colour photographs of 32x32 in ten classes, read by torchvision.

The batches are pickles, so they are opened only after their published MD5 has been checked.
Archives are unpacked into a temporary folder, once their own MD5 has been checked.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..support.checks import InputError
from .download import Patience, RemoteFile, check_hash, fetch_all
from .image_sets import ImageSets
from .places import cache_folder, own_folder, writing

SOURCE = (
    "CIFAR-10's 50,000 training and 10,000 test photographs (A. Krizhevsky, 2009), selected from "
    "the 80 million tiny images."
)
LABEL_NAMES = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)
ARCHIVE = RemoteFile(
    "cifar-10-python.tar.gz",
    (
        "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
        "https://cave.cs.toronto.edu/kriz/cifar-10-python.tar.gz",
    ),
    "c58f30108f718f92721af3b95e74349a",  # as published on the data set's page
    largest=200_000_000,
)
BINARY_ARCHIVE = RemoteFile("cifar-10-binary.tar.gz", (), "c32a1d4ab5d03f1284b67883e8d87530")
BATCHES = (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch")  # the last: test
PER_BATCH, ROW = 10_000, 1 + 3 * 32 * 32  # images; bytes of a label and an image
SUBFOLDERS = (".", "cifar10", "cifar-10", "CIFAR10")


def load_cifar10(
    root: str | os.PathLike[str] | None = None, patience: Patience | None = None
) -> ImageSets:
    """CIFAR-10: uint8 (50000, 3, 32, 32) and (10000, 3, 32, 32).

    Args:
        root: folder with cifar-10-batches-py (torchvision's layout), cifar-10-batches-bin or
            one of the archives; nothing is downloaded when it is given.
        patience: with slow servers.

    Raises:
        InputError: files are missing or damaged, or cannot be downloaded.
    """
    place = _find(root)
    if place is None:
        folder = cache_folder("downloads") / "cifar10"
        place = folder / BINARY_ARCHIVE.name  # what earlier versions downloaded
        if not place.exists():
            (place,) = fetch_all([ARCHIVE], folder, "cifar10", patience=patience)
    if place.is_dir():
        return _read(place)
    from torchvision.datasets.utils import extract_archive  # here: its import takes seconds

    check_hash(place, BINARY_ARCHIVE if place.name == BINARY_ARCHIVE.name else ARCHIVE)
    with tempfile.TemporaryDirectory() as temporary:
        with writing(Path(temporary)):
            extract_archive(place, temporary)
        return _read(next(Path(temporary).iterdir()))  # the archives hold one folder


def _find(root: str | os.PathLike[str] | None) -> Path | None:
    """The folder or archive that holds the batches in the user's folder, or None."""
    own = own_folder(root)
    if own is None:
        return None
    for folder in (own / below for below in SUBFOLDERS):
        for place in (folder / "cifar-10-batches-bin", folder / "cifar-10-batches-py", folder):
            if any((place / name).is_file() for name in ("data_batch_1", "data_batch_1.bin")):
                return place
        for archive in (BINARY_ARCHIVE, ARCHIVE):
            if (folder / archive.name).is_file():
                return folder / archive.name
    if root is None:
        return None
    raise InputError(
        f"{own} does not hold CIFAR-10: put {ARCHIVE.name} ({ARCHIVE.hash_text}) into it, or the "
        "folder cifar-10-batches-py; or leave root out to download it."
    )


def _read(folder: Path) -> ImageSets:
    """The six batches of a folder, binary or pickled."""
    read = _read_binary if (folder / "data_batch_1.bin").is_file() else _read_pickled
    train, test, train_labels, test_labels = read(folder)
    return ImageSets("cifar10", train, test, train_labels, test_labels, LABEL_NAMES, SOURCE)


def _read_pickled(folder: Path) -> tuple[Tensor, ...]:
    from torchvision import datasets
    from torchvision.datasets.utils import check_integrity

    class Batches(datasets.CIFAR10):  # type: ignore[misc]
        base_folder = folder.name

    try:
        parts = [Batches(folder.parent, train=train) for train in (True, False)]
    except RuntimeError:
        meta = (Batches.meta["filename"], Batches.meta["md5"])
        told = ", ".join(
            f"{name} (MD5 {md5})"
            for name, md5 in (*Batches.train_list, *Batches.test_list, meta)
            if not check_integrity(folder / name, md5)
        )
        raise InputError(f"{folder} is incomplete or damaged: replace {told}.") from None
    images = [torch.from_numpy(part.data).permute(0, 3, 1, 2) for part in parts]
    return *images, *(torch.tensor(part.targets) for part in parts)


def _read_binary(folder: Path) -> tuple[Tensor, ...]:
    """For each image: a label, then 1024 red, 1024 green and 1024 blue values."""
    batches = []
    for name in BATCHES:
        path = folder / f"{name}.bin"
        values = np.fromfile(path, np.uint8) if path.is_file() else np.empty(0, np.uint8)
        if values.size != PER_BATCH * ROW or values[::ROW].max() >= len(LABEL_NAMES):
            raise InputError(f"{path} is missing, damaged, or no batch of CIFAR-10.")
        batches.append(torch.from_numpy(values.reshape(PER_BATCH, ROW)))
    parts = torch.cat(batches[:-1]), batches[-1]
    images = [rows[:, 1:].reshape(-1, 3, 32, 32).contiguous() for rows in parts]
    return *images, *(rows[:, 0].long() for rows in parts)
