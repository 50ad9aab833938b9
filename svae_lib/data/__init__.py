"""Images to train on: ``load(name)`` and one file per source.

``load("mnist-5k")`` needs no network; :func:`available` lists the other names.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from ..validation import InputError
from .image_sets import ImageSets, pad, to_float, to_uint8
from .mnist5k import load_mnist_5k
from .toy_faces import draw_faces, load_toy_faces

__all__ = ["ImageSets", "available", "draw_faces", "load", "pad", "to_float", "to_uint8"]

Loader = Callable[[str | os.PathLike[str] | None], ImageSets]

_LOADERS: dict[str, Loader] = {
    "mnist-5k": load_mnist_5k,
    "toy-faces": load_toy_faces,
}


def available() -> tuple[str, ...]:
    """The names that :func:`load` knows."""
    return tuple(_LOADERS)


def load(name: str, root: str | os.PathLike[str] | None = None) -> ImageSets:
    """Load a data set by its name.

    Args:
        name: one of :func:`available`.
        root: folder with files that are already on this machine, for sources that need any.

    Returns:
        Train and test images as uint8 tensors (N, C, H, W), with their labels.

    Raises:
        InputError: unknown name, or files that are missing or damaged.
    """
    if name not in _LOADERS:
        raise InputError(f"unknown data set {name!r}; the known ones are {', '.join(available())}.")
    return _LOADERS[name](root)
