"""Any folder of images: ``load("folder:PATH")``, ``load("folder:PATH?size=32&channels=1")``."""

from __future__ import annotations

import hashlib
import os
import urllib.parse
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import cast

import numpy as np
import torch

from ..support.checks import InputError, check_counts, check_positive, check_seed
from ..support.files import expand
from .image_sets import ImageSets
from .places import cache_folder
from .preparation import FolderSource, OnBroken, Recipe, prepare

PREFIX = "folder:"
SUFFIXES = frozenset(
    {
        ".bmp",
        ".gif",
        ".jfif",
        ".jpe",
        ".jpeg",
        ".jpg",
        ".png",
        ".ppm",
        ".pgm",
        ".tif",
        ".tiff",
        ".webp",
    }
)
TRAIN_PARTS = ("train", "training")  # names of folders, in any case
TEST_PARTS = ("test", "testing", "val", "valid", "validation")  # the first there is taken
OPTIONS = "size, channels, test, seed, on_broken"
SMALLEST, LARGEST = 8, 1024  # pixels


@dataclass(frozen=True)
class _Split:
    """Files of one part, with the class of each."""

    names: list[str]
    classes: list[str]


def load_folder(
    path: str | os.PathLike[str],
    *,
    size: int = 64,
    channels: int = 3,
    test: float = 0.1,
    seed: int = 0,
    on_broken: OnBroken = "refuse",
    name: str | None = None,
) -> ImageSets:
    """Images of a folder, cropped to their central square and resized.

    Folders in it are classes (files of deeper folders belong to the class above). If it has
    the folders train and test (or val), these are the two parts; else a share of each class,
    drawn at random, is the test part. Both parts are shuffled, so that the first images of each
    are a fair sample of all classes. The images are decoded once and kept, without loss, in an
    array beside the other prepared data; a change of the files makes a new one.

    Hidden files and folders are left out, and links to folders are followed. Whether a file is
    drawn depends on a hash of the seed and its name in the folder: a file more or less moves at
    most two others between the parts, such as one that makes room for it in its class.

    Files of any common kind are converted: 16 bits are scaled to 8, transparent pixels turn white,
    a file of several pictures gives its first. Floating-point pixels are refused.

    Args:
        path: the folder.
        size: height and width in pixels.
        channels: 1 (greyscale) or 3 (RGB).
        test: share of the images to test on, in (0, 1).
        seed: of the random split and order.
        on_broken: "refuse" stops at a file that is no image and names it, "skip" leaves it out.
        name: of the result; "folder:PATH" by default.

    Raises:
        InputError: no such folder, fewer than two images, a broken one, a bad option.
    """
    folder = expand(path)
    _check_options(folder, size, channels, test, seed, on_broken)
    train, held_out = (_shuffled(part, seed) for part in _parts(folder, test, seed))
    names = train.names + held_out.names
    prepared = prepare(
        FolderSource(folder, names),
        Recipe(int(size), int(channels)),  # a NumPy integer is not for JSON
        cache_folder("prepared"),
        "folder",
        on_broken=on_broken,
    )
    good = [file not in prepared.broken for file in names]
    label_names = tuple(sorted(set(train.classes + held_out.classes)))
    indices = [label_names.index(label) for label in train.classes + held_out.classes]
    labels = torch.tensor(indices)[torch.tensor(good)]
    split = sum(good[: len(train.names)])
    if split == 0 or split == len(labels):
        raise InputError(f"{folder}: without the broken images one part of the split is empty.")
    return ImageSets(
        name=name or f"{PREFIX}{folder}",
        train=prepared.images[:split],
        test=prepared.images[split:],
        train_labels=labels[:split],
        test_labels=labels[split:],
        label_names=label_names,
        source=f"Images of the folder {folder.resolve().name}, central squares of {size}x{size}.",
    )


def load_folder_spec(name: str, root: str | os.PathLike[str] | None = None) -> ImageSets:
    """Load ``folder:PATH?option=value&option=value``, PATH relative to ``root`` if given.

    Raises:
        InputError: unknown options or unusable values, and all of :func:`load_folder`.
    """
    path, _, query = name.removeprefix(PREFIX).partition("?")
    if not path:
        raise InputError(f"{name!r} names no folder: write folder:PATH.")
    given = dict(urllib.parse.parse_qsl(query, keep_blank_values=True))
    unknown = sorted(given.keys() - set(OPTIONS.split(", ")))
    if unknown:
        raise InputError(f"{name!r}: unknown option {unknown[0]!r}; the known ones are {OPTIONS}.")
    try:
        size, channels, seed = (
            int(given.get(option, default))
            for option, default in (("size", "64"), ("channels", "3"), ("seed", "0"))
        )
        test = float(given.get("test", "0.1"))
    except ValueError as error:
        raise InputError(f"{name!r}: an option is no number ({error}).") from None
    return load_folder(
        _place(path, root),
        size=size,
        channels=channels,
        test=test,
        seed=seed,
        on_broken=cast(OnBroken, given.get("on_broken", "refuse")),
        name=name,
    )


def absolute_spec(name: str, root: str | os.PathLike[str] | None = None) -> str:
    """``folder:PATH?options`` with PATH absolute: the same folder wherever it is loaded from."""
    path, mark, query = name.removeprefix(PREFIX).partition("?")
    return f"{PREFIX}{_place(path, root).resolve()}{mark}{query}" if path else name


def _place(path: str, root: str | os.PathLike[str] | None) -> Path:
    return Path(root or ".") / expand(path)


def _check_options(
    folder: Path, size: int, channels: int, test: float, seed: int, on_broken: str
) -> None:
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder.")
    check_counts(size=size, channels=channels)
    check_seed(seed)
    check_positive(or_zero=True, test=test)
    if not SMALLEST <= size <= LARGEST:
        raise InputError(f"size must be {SMALLEST} to {LARGEST} pixels, not {size}.")
    if channels not in (1, 3):
        raise InputError(f"channels must be 1 (greyscale) or 3 (RGB), not {channels}.")
    if not 0 < test < 1:
        raise InputError(f"test is the share of test images, between 0 and 1, not {test}.")
    if on_broken not in ("refuse", "skip"):
        raise InputError(f'on_broken must be "refuse" or "skip", not {on_broken!r}.')


def picture_files(folder: Path) -> list[str]:
    """Names of all picture files below a folder, from it on and sorted; hidden ones left out."""
    return sorted(
        path.relative_to(folder).as_posix()
        for path in _walk(folder)
        if path.suffix.lower() in SUFFIXES and not _hidden(path.relative_to(folder))
    )


def _parts(folder: Path, test: float, seed: int) -> tuple[_Split, _Split]:
    files = picture_files(folder)
    if len(files) < 2:
        raise InputError(
            f"{folder} holds {len(files)} images; at least two are needed, one to train on and "
            f"one to test on. Known are the endings {', '.join(sorted(SUFFIXES))}."
        )
    tops = sorted({PurePosixPath(file).parts[0] for file in files if "/" in file})
    train, held_out = _named(tops, TRAIN_PARTS), _named(tops, TEST_PARTS)
    if train and held_out:
        parts = _within(files, f"{train[0]}/"), _within(files, f"{held_out[0]}/")
        left_out = len(files) - sum(len(part.names) for part in parts)
        if left_out:
            warnings.warn(
                f"{folder}: {left_out} images outside {train[0]}/ and {held_out[0]}/ are left out.",
                stacklevel=4,
            )
        return parts
    below = sorted({PurePosixPath(file).parts[1] for file in files if file.count("/") > 1})
    if _named(below, TRAIN_PARTS) and _named(below, TEST_PARTS):
        raise InputError(
            f"{folder} has its parts {_named(below, TRAIN_PARTS)[0]}/ and "
            f"{_named(below, TEST_PARTS)[0]}/ one level deeper, in {tops[0]}/: put train/ and "
            "test/ at the top, with the classes inside."
        )
    return _random_split(_within(files, ""), test, seed)


def _named(folders: list[str], names: tuple[str, ...]) -> list[str]:
    """Those of the folders with one of these names in any case, in the order of the names."""
    found = [folder for folder in folders if folder.lower() in names]
    return sorted(found, key=lambda folder: (names.index(folder.lower()), folder != folder.lower()))


def _walk(folder: Path) -> Iterator[Path]:
    """All files below a folder; links to folders are followed, each folder is entered once."""
    entered: set[str] = set()
    for place, below, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        if real in entered:
            below.clear()  # a link back to where we have been
            continue
        entered.add(real)
        below[:] = sorted(
            (name for name in below if not _hidden(Path(name))),
            key=lambda name: (Path(place, name).is_symlink(), name),  # its own name comes first
        )
        yield from (Path(place, name) for name in names)


def _hidden(path: Path) -> bool:
    """Whether a file, or a folder that it is in, is none of the user's images."""
    return any(part.startswith(".") or part == "__MACOSX" for part in path.parts)


def _within(files: list[str], prefix: str) -> _Split:
    """The files below ``prefix``; their class is the next folder, or "images" without one."""
    names = [file for file in files if file.startswith(prefix)]
    parts = [PurePosixPath(file.removeprefix(prefix)).parts for file in names]
    return _Split(names, [part[0] if len(part) > 1 else "images" for part in parts])


def _shuffled(files: _Split, seed: int) -> _Split:
    """The same files in random order."""
    order = np.random.default_rng(seed).permutation(len(files.names))
    return _Split([files.names[i] for i in order], [files.classes[i] for i in order])


def _random_split(files: _Split, test: float, seed: int) -> tuple[_Split, _Split]:
    """A share of each class at random for the test part, at least one image in each part.

    The order in a class is that of a hash of each file's name, which no other file can change. A
    class of n images should have test * n of them in the test part: whole shares first, then the
    largest remainders, so that the total is right and a file more moves hardly any other.
    """
    draw = {name: hashlib.sha256(os.fsencode(f"{seed}/{name}")).digest() for name in files.names}
    members: dict[str, list[str]] = {}
    for name, label in zip(files.names, files.classes, strict=True):
        members.setdefault(label, []).append(name)
    beyond_share: dict[str, float] = {}  # of the class, once this file and those before it are in
    for names in members.values():
        for count, name in enumerate(sorted(names, key=draw.__getitem__), start=1):
            beyond_share[name] = count - test * len(names)
    order = sorted(files.names, key=lambda name: (beyond_share[name], draw[name]))
    count = min(max(round(test * len(order)), 1), len(order) - 1)
    return _only(files, set(order[count:])), _only(files, set(order[:count]))


def _only(files: _Split, names: set[str]) -> _Split:
    """Those of the files that have these names."""
    pairs = zip(files.names, files.classes, strict=True)
    kept = [(name, label) for name, label in pairs if name in names]
    return _Split([name for name, _ in kept], [label for _, label in kept])
