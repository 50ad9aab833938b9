"""CIFAR-10: 50,000 + 10,000 colour photographs of 32x32 in ten classes, read by torchvision.

The batches are pickles; torchvision opens them only after it has checked their published MD5. The
archive is unpacked into a temporary folder, once its own MD5 has been checked.
"""

import os
import tempfile
from pathlib import Path

import torch

from ..support.checks import InputError
from .download import RemoteFile, check_hash, find
from .image_sets import ImageSets

SOURCE = (
    "CIFAR-10's 50,000 training and 10,000 test photographs (A. Krizhevsky, 2009), selected from "
    "the 80 million tiny images."
)
ARCHIVE = RemoteFile(
    "cifar-10-python.tar.gz",
    (
        "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
        "https://cave.cs.toronto.edu/kriz/cifar-10-python.tar.gz",
    ),
    "c58f30108f718f92721af3b95e74349a",  # as published on the data set's page
)
BATCHES, FIRST = "cifar-10-batches-py", "data_batch_1"  # the archive's folder, and a file in it
PLACES = tuple(  # below the user's folder
    f"{above}{name}"
    for above in ("", "cifar10/", "cifar-10/", "CIFAR10/")
    for name in (f"{BATCHES}/{FIRST}", ARCHIVE.name)
)


def load_cifar10(root: str | os.PathLike[str] | None = None) -> ImageSets:
    """CIFAR-10: uint8 (50000, 3, 32, 32) and (10000, 3, 32, 32).

    Args:
        root: folder with cifar-10-batches-py (torchvision's layout) or cifar-10-python.tar.gz;
            nothing is downloaded when it is given.
    """
    place = find(ARCHIVE, PLACES, root, "cifar10", f"{ARCHIVE}, or the folder {BATCHES},")
    if place.name == FIRST:
        return _read(place.parent)
    from torchvision.datasets.utils import extract_archive  # here: its import takes seconds

    check_hash(place, ARCHIVE)
    try:
        with tempfile.TemporaryDirectory() as temporary:
            extract_archive(place, temporary)
            return _read(Path(temporary) / BATCHES)
    except OSError as error:
        told = f"cannot unpack {place} in {tempfile.gettempdir()}: {error.strerror or error}."
        raise InputError(f"{told} TMPDIR names another folder.") from error


def _read(folder: Path) -> ImageSets:
    from torchvision.datasets import CIFAR10

    try:
        parts = [CIFAR10(folder.parent, train=train) for train in (True, False)]
    except RuntimeError:
        raise InputError(
            f"{folder} is incomplete or damaged: replace it by the one in {ARCHIVE}."
        ) from None
    train, test = (torch.from_numpy(part.data).permute(0, 3, 1, 2) for part in parts)
    train_labels, test_labels = (torch.tensor(part.targets) for part in parts)
    names = tuple(parts[0].classes)
    return ImageSets("cifar10", train, test, train_labels, test_labels, names, SOURCE)
