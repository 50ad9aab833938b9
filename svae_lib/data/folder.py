"""Any folder of images: ``load("folder:PATH")``, ``load("folder:PATH?size=32&channels=1")``."""

from __future__ import annotations

import hashlib
import os
import urllib.parse
import warnings
from collections import Counter
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch

from ..support.checks import InputError, check_counts, check_positive, check_seed
from ..support.files import expand
from .decoding import SUFFIXES, is_hidden, printable
from .image_sets import ImageSets
from .places import cache_folder
from .preparation import OnBroken, Recipe, folder_source, prepare

PREFIX = "folder:"
OPTIONS = {"size": int, "channels": int, "test": float, "seed": int, "on_broken": str}
SMALLEST, LARGEST = 8, 1024  # pixels
TRAIN_PARTS = ("train", "training")  # names of folders, in any case
TEST_PARTS = ("test", "testing", "val", "valid", "validation")  # the first there is taken
UNREAD = (  # endings of pictures, with .avif and .webp where Pillow lacks them
    "ai arw avif cr2 cr3 dng eps exr hdr heic heif ico j2k jp2 jxl nef orf pef psd qoi raf raw rw2 "
    "svg tga webp xcf"
)

Files = list[tuple[str, str]]  # names in the folder, with / on every system, and classes


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

    Its subfolders are classes (files in deeper folders belong to the class above). If it has the
    subfolders train and test (or val), these are the two parts; otherwise a random share of each
    class is the test part: a hash of the seed and a file's name decides, so adding or removing a
    file moves at most two others. Both parts are shuffled, so that the first images of each are a
    fair sample of all classes. Hidden files and folders are left out, and links to folders are
    followed.

    Files of any common kind are converted: 16 bits are scaled to 8, transparent pixels turn white,
    and of several pictures in a file the first is taken. 32-bit pixels and files of more than 89
    million pixels or 512 MiB are refused. The images are decoded once, and kept without loss beside
    the other prepared data until the files change.

    Args:
        path: the folder.
        size: height and width in pixels.
        channels: 1 (greyscale) or 3 (RGB).
        test: share of the images to test on, in (0, 1).
        seed: for the random split and order.
        on_broken: "refuse" stops at a file that is not an image and names it, "skip" leaves it out.
        name: of the result; "folder:PATH" by default.
    """
    folder = expand(path)
    _check_options(folder, size, channels, test, seed, on_broken)
    train, held_out = (_shuffled(part, seed) for part in _parts(folder, test, seed, on_broken))
    names, classes = zip(*train, *held_out, strict=True)
    images, good = prepare(
        folder_source(folder, names),
        Recipe(int(size), int(channels)),  # a NumPy integer is not for JSON
        cache_folder("prepared"),
        "folder",
        on_broken=on_broken,
    )
    label_names = sorted(set(classes))
    labels = torch.tensor([label_names.index(label) for label in classes])[good]
    split = int(good[: len(train)].sum())
    if split == 0 or split == len(labels):
        raise InputError(f"{folder}: without the broken images one part of the split is empty.")
    title = printable(folder.resolve().name)
    return ImageSets(
        name=printable(name or f"{PREFIX}{folder}"),
        train=images[:split],
        test=images[split:],
        train_labels=labels[:split],
        test_labels=labels[split:],
        label_names=tuple(map(printable, label_names)),
        source=f"Images of the folder {title}, central squares of {size}x{size}.",
    )


def load_folder_spec(name: str, root: str | os.PathLike[str] | None = None) -> ImageSets:
    """Load ``folder:PATH?option=value&option=value``; PATH is relative to ``root`` if given."""
    path, _, query = name.removeprefix(PREFIX).partition("?")
    if not path:
        raise InputError(f"{name!r} names no folder: write folder:PATH.")
    options: dict[str, Any] = {}
    for option, value in urllib.parse.parse_qsl(query, keep_blank_values=True):
        if option not in OPTIONS:
            raise InputError(
                f"{name!r}: unknown option {option!r}; the known ones are {', '.join(OPTIONS)}."
            )
        try:
            options[option] = OPTIONS[option](value)
        except ValueError as error:
            raise InputError(f"{name!r}: an option is no number ({error}).") from None
    return load_folder(_place(path, root), name=name, **options)


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


def _parts(folder: Path, test: float, seed: int, on_broken: OnBroken = "refuse") -> list[Files]:
    """The files to train on and those to test on."""
    files = image_names(folder, on_broken)
    if len(files) < 2:
        raise InputError(
            f"{folder} holds {len(files)} images; at least two are needed, one to train on and "
            f"one to test on. Known are the endings {', '.join(sorted(SUFFIXES))}."
        )
    counts = Counter(file.split("/")[0] if "/" in file else "" for file in files)
    parts = _first(counts, TRAIN_PARTS), _first(counts, TEST_PARTS)
    if all(parts):
        if beside := sorted(counts.keys() - {*parts}):
            count = sum(counts[top] for top in beside)
            where = ", ".join(f"{counts[top]} in {top or '.'}/" for top in beside)
            _warn(f"{folder}: {count} images outside {_and(*parts)} are left out ({where}).")
        return [_within(files, f"{part}/") for part in parts]
    _check_names(folder, files)
    return _random_split(_within(files, ""), test, seed)


def image_names(folder: Path, on_broken: OnBroken = "refuse") -> list[str]:
    """Names of all images in a folder and those below it, sorted."""
    names, unreadable = _walk(folder)
    if unreadable:
        text = printable(f"{unreadable[0].filename} cannot be read ({unreadable[0].strerror})")
        if on_broken == "refuse":
            raise InputError(f"{text}: make it readable, or leave it out with on_broken=skip.")
        _warn(f"left out: {text}.")
    endings = Counter(PurePosixPath(name).suffix.lower() for name in names)
    if unread := sorted(endings.keys() & {f".{ending}" for ending in UNREAD.split()} - SUFFIXES):
        count = sum(endings[ending] for ending in unread)
        _warn(f"{folder}: {count} files are left out ({', '.join(unread)}): save them as PNG.")
    return sorted(name for name in names if PurePosixPath(name).suffix.lower() in SUFFIXES)


def _walk(folder: Path) -> tuple[list[str], list[OSError]]:
    """Files below a folder, and the errors from folders that cannot be read.

    Links to folders are followed, and each folder is entered only once.
    """
    names: list[str] = []
    unreadable: list[OSError] = []
    entered: set[str] = set()
    for place, below, files in os.walk(folder, onerror=unreadable.append, followlinks=True):
        real = os.path.realpath(place)
        if real in entered:
            below.clear()  # a link back to where we have been
            continue
        entered.add(real)
        below[:] = sorted(
            (name for name in below if not is_hidden(name)),
            key=lambda name: (Path(place, name).is_symlink(), name),  # its own name comes first
        )
        above = Path(place).relative_to(folder)
        names += [(above / name).as_posix() for name in files if not is_hidden(name)]
    return names, unreadable


def _first(folders: Iterable[str], names: tuple[str, ...]) -> str:
    """The folder whose name comes first in ``names``, in any case (lower case first), or ""."""
    found = (folder for folder in folders if folder.lower() in names)
    return min(found, key=lambda name: (names.index(name.lower()), name.swapcase()), default="")


def _check_names(folder: Path, files: list[str]) -> None:
    """Refuse train/ and test/ at another depth; warn if only one is there, and becomes a class."""
    found: dict[str, set[str]] = {}  # names of parts, by the folder that holds them
    for place in {above for file in files for above in PurePosixPath(file).parents}:
        if place.name.lower() in TRAIN_PARTS + TEST_PARTS:
            found.setdefault(place.parent.as_posix(), set()).add(place.name)
    names = set().union(*found.values())
    if _has_both(names):
        holder = min(found, key=lambda place: (not _has_both(found[place]), place))
        raise InputError(
            printable(f"{folder} has {_and(*names)} too deep, as in {holder}/: ")
            + "put train/ and test/ at the top, with the classes in them, or name a folder with "
            "both at its top."
        )
    if names:
        _warn(f"{folder}: without its counterpart, {_and(*names)} is no part of its own.")


def _has_both(names: Iterable[str]) -> bool:
    return bool(_first(names, TRAIN_PARTS) and _first(names, TEST_PARTS))


def _and(*folders: str) -> str:
    return " and ".join(f"{folder}/" for folder in sorted(folders))


def _warn(text: str) -> None:
    warnings.warn(printable(text), stacklevel=5)


def _within(files: list[str], prefix: str) -> Files:
    """The files below ``prefix``; their class is the next folder, or "images" without one."""
    names = [file for file in files if file.startswith(prefix)]
    classes = [name.removeprefix(prefix).rpartition("/")[0].split("/")[0] for name in names]
    return [(name, label or "images") for name, label in zip(names, classes, strict=True)]


def _shuffled(files: Files, seed: int) -> Files:
    return [files[i] for i in np.random.default_rng(seed).permutation(len(files))]


def _random_split(files: Files, test: float, seed: int) -> list[Files]:
    """A random share of each class for the test part, with at least one image in each part.

    The files of a class are ordered by a hash of their names, which no other file can change. A
    class of n images should have test * n of them in the test part: whole shares first, then the
    largest remainders. So the total is right, and adding a file moves hardly any other.
    """
    draw = {name: hashlib.sha256(os.fsencode(f"{seed}/{name}")).digest() for name, _ in files}
    members: dict[str, list[str]] = {}
    for name, label in files:
        members.setdefault(label, []).append(name)
    beyond_share: dict[str, float] = {}  # of the class, once this file and those before it are in
    for names in members.values():
        for count, name in enumerate(sorted(names, key=draw.__getitem__), start=1):
            beyond_share[name] = count - test * len(names)
    order = sorted(draw, key=lambda name: (beyond_share[name], draw[name]))
    count = min(max(round(test * len(order)), 1), len(order) - 1)
    drawn = set(order[:count])
    return [[file for file in files if (file[0] in drawn) == part] for part in (False, True)]
