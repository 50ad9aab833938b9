"""Images to train on: ``load(name)`` and one file per source.

``load("mnist-5k")`` and ``load("toy-faces")`` need no network; :func:`available` lists the other
names. ``load("folder:PATH")`` takes any folder of images.
"""

import os
from collections.abc import Callable
from functools import partial

from ..support.checks import InputError
from .celeba import load_celeba
from .cifar10 import load_cifar10
from .digits import FASHION_MNIST, MNIST, load_idx_set, load_mnist_5k
from .folder import PREFIX, absolute, load_folder, load_folder_spec
from .image_sets import ImageSets, pad, to_float, to_uint8
from .toy_faces import draw_faces, load_toy_faces

__all__ = [
    "LOADERS",
    "ImageSets",
    "absolute",
    "available",
    "draw_faces",
    "load",
    "load_celeba",
    "load_cifar10",
    "load_folder",
    "pad",
    "to_float",
    "to_uint8",
]

LOADERS: dict[str, Callable[[str | os.PathLike[str] | None], ImageSets]] = {
    "mnist-5k": load_mnist_5k,
    "toy-faces": load_toy_faces,
    "toy-faces-32k": partial(load_toy_faces, name="toy-faces-32k"),
    "mnist": partial(load_idx_set, MNIST),
    "fashion-mnist": partial(load_idx_set, FASHION_MNIST),
    "cifar10": load_cifar10,
    "celeba": load_celeba,
}
"""Loaders by name, called with :func:`load`'s ``root``; you may add your own."""


def available() -> tuple[str, ...]:
    """The names that :func:`load` knows, besides ``folder:PATH``."""
    return tuple(LOADERS)


def load(name: str, root: str | os.PathLike[str] | None = None) -> ImageSets:
    """Load a data set by its name.

    Files are looked for in ``root``, or else in the folder that the variable SVAE_DATA names,
    and are downloaded if they are not there (never when ``root`` is given).

    Args:
        name: one of :func:`available`, or ``folder:PATH`` with options as in
            ``folder:PATH?size=32&channels=1&test=0.2&seed=1&on_broken=skip``.
        root: folder with files that are already on this machine.

    Returns:
        Train and test images as uint8 tensors (N, C, H, W), with their labels.

    Raises:
        InputError: unknown name, or files that are missing, damaged or cannot be downloaded.
    """
    if not isinstance(name, str):
        raise InputError(
            f"name must be text, not {name!r}: for a folder of images write "
            f"{f'{PREFIX}{name}'!r}, or use svae_lib.data.load_folder."
        )
    if name.startswith(PREFIX):
        return load_folder_spec(name, root)
    if name not in LOADERS:
        raise InputError(
            f"unknown data set {name!r}; the known ones are {', '.join(available())} and "
            f"{PREFIX}PATH."
        )
    return LOADERS[name](root)
