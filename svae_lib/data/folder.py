"""Any folder of images: ``load("folder:PATH")``, ``load("folder:PATH?size=32&channels=1")``.

:class:`Pictures` reads a folder at the pictures' own sizes: for scores, not for training.
"""

import hashlib
import math
import os
import urllib.parse
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
import torch
from torch import Tensor

from ..support.checks import InputError, check_counts, check_seed
from ..support.files import expand
from .decoding import SUFFIXES, decode, is_hidden, printable, read_file, reason
from .download import cache_folder, own_folder
from .image_sets import ImageSets
from .preparation import OnBroken, Recipe, folder_source, prepare

PREFIX = "folder:"
TRAIN_PARTS = ("train", "training")  # names of folders, in any case
TEST_PARTS = ("test", "testing", "val", "valid", "validation")  # the first there is taken
UNREAD = (  # endings of pictures, with .avif and .webp where Pillow lacks them
    ".arw .avif .cr2 .cr3 .dng .exr .heic .heif .ico .jp2 .jxl .nef .psd .raw .svg .tga .webp"
)

Files = list[tuple[str, str]]  # names in the folder, with / on every system, and classes


class Options(msgspec.Struct, forbid_unknown_fields=True):
    """What may follow ``folder:PATH?``; :func:`load_folder` says what it means."""

    size: Annotated[int, msgspec.Meta(ge=8, le=1024)] = 64
    channels: Literal[1, 3] = 3
    test: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.1
    seed: Annotated[int, msgspec.Meta(ge=0, lt=2**32)] = 0
    on_broken: OnBroken = "refuse"


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
    file moves at most two others. Copies of one image may land in both parts: remove them first.
    Both parts are shuffled, so that the first images of each are a fair sample of all classes.
    Hidden files and folders are left out, and links to folders are followed.

    Files of any common kind are converted: 16 bits are scaled to 8, transparent pixels turn white,
    and of several pictures in a file the first is taken. 32-bit pixels and images of more than 89
    million pixels are refused. The images are decoded once, and kept without loss beside the other
    prepared data until the files change.

    Args:
        path: the folder.
        size: height and width in pixels, 8 to 1024.
        channels: 1 (greyscale) or 3 (RGB).
        test: share of the images to test on, in (0, 1).
        seed: for the random split and order.
        on_broken: "refuse" stops at a file that is not an image and names it, "skip" leaves it out.
        name: of the result; "folder:PATH" by default.
    """
    folder = expand(path)
    given = {"size": size, "channels": channels, "test": test, "seed": seed, "on_broken": on_broken}
    options = _options(given)
    train, held_out = (
        [part[i] for i in np.random.default_rng(options.seed).permutation(len(part))]
        for part in _parts(folder, options.test, options.seed)
    )
    names, classes = zip(*train, *held_out, strict=True)
    source, recipe = folder_source(folder, names), Recipe(options.size, options.channels)
    images, good = prepare(source, recipe, cache_folder("prepared"), "folder", options.on_broken)
    label_names = sorted(set(classes))
    labels = torch.tensor([label_names.index(label) for label in classes])[good]
    split = int(good[: len(train)].sum())
    title, side = folder.resolve().name, options.size
    return ImageSets(
        name=printable(name or f"{PREFIX}{folder}"),
        train=images[:split],
        test=images[split:],
        train_labels=labels[:split],
        test_labels=labels[split:],
        label_names=tuple(map(printable, label_names)),
        source=printable(f"Images of the folder {title}, central squares of {side}x{side}."),
    )


def load_folder_spec(name: str, root: str | os.PathLike[str] | None = None) -> ImageSets:
    """Load ``folder:PATH?option=value&option=value``; :func:`absolute` says where PATH starts."""
    path, query = _parsed(name)
    if not path:
        raise InputError(f"{name!r} names no folder: write folder:PATH.")
    options = _options(dict(urllib.parse.parse_qsl(query, keep_blank_values=True)))
    return load_folder(_place(path, root), name=name, **msgspec.structs.asdict(options))


def absolute(name: str, root: str | os.PathLike[str] | None = None) -> str:
    """The name under which :func:`load` finds the same images from any working directory.

    A relative PATH starts from ``root``; without one, from the working directory, or from the
    folder that SVAE_DATA names if only that one holds it.
    """
    path, query = _parsed(name)
    if not (name.startswith(PREFIX) and path):
        return name
    place = _place(path, root).resolve()
    return f"{PREFIX}{place}?{query}" if query else f"{PREFIX}{place}"


def _place(path: str, root: str | os.PathLike[str] | None) -> Path:
    place = Path(root or ".") / expand(path)
    own = None if place.exists() else own_folder(root)
    return own / path if own and (own / path).exists() else place


def _parsed(name: str) -> tuple[str, str]:
    """PATH and options of ``folder:PATH?options``; a "?" without a "=" after it is in PATH."""
    whole = name.removeprefix(PREFIX)
    path, mark, query = whole.rpartition("?")
    return (path, query) if mark and "=" in query else (whole, "")


def _options(given: dict[str, Any]) -> Options:
    """Options given as numbers or as text, once their names and ranges are checked."""
    given = {k: v.item() if isinstance(v, np.generic) else v for k, v in given.items()}
    try:
        return msgspec.convert(given, Options, strict=False)
    except msgspec.ValidationError as error:
        raise InputError(
            f"{error}. A folder's options are size (8 to 1024 pixels), channels (1 or 3), test "
            "(the share of test images, between 0 and 1), seed and on_broken (refuse or skip)."
        ) from None


def _parts(folder: Path, test: float, seed: int) -> list[Files]:
    """The files to train on and those to test on."""
    files = image_names(folder)
    if len(files) < 2:
        raise InputError(
            f"{folder} holds {len(files)} images; at least two are needed, one to train on and "
            f"one to test on. Known are the endings {', '.join(sorted(SUFFIXES))}."
        )
    tops = {file.split("/")[0] for file in files if "/" in file}
    train, held_out = _first(tops, TRAIN_PARTS), _first(tops, TEST_PARTS)
    if train and held_out:
        parts = [_within(files, f"{part}/") for part in (train, held_out)]
        if beside := len(files) - sum(map(len, parts)):
            _warn(f"{folder}: {beside} images outside {train}/ and {held_out}/ are left out.")
        return parts
    _check_names(folder, files)
    return _random_split(_within(files, ""), test, seed)


def image_names(folder: Path) -> list[str]:
    """Names of all images in a folder and those below it, with / on every system, sorted.

    Links to folders are followed, and each folder is entered only once.
    """

    def refuse(error: OSError) -> None:
        text = f"{error.filename} cannot be read ({error.strerror}): make it readable or remove it."
        raise InputError(printable(text))

    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder.")
    names: list[str] = []
    entered: set[str] = set()
    for place, below, files in os.walk(folder, onerror=refuse, followlinks=True):
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
    endings = {name: PurePosixPath(name).suffix.lower() for name in names}
    if unread := [name for name in names if endings[name] in {*UNREAD.split()} - SUFFIXES]:
        _warn(f"{folder}: {len(unread)} files are left out ({unread[0]}, ...): save them as PNG.")
    return sorted(name for name in names if endings[name] in SUFFIXES)


def _first(folders: Iterable[str], names: tuple[str, ...]) -> str:
    """The folder whose name, in any case, comes first in ``names``, or ""."""
    found = [folder for folder in folders if folder.lower() in names]
    return min(found, key=lambda folder: (names.index(folder.lower()), folder), default="")


def _check_names(folder: Path, files: list[str]) -> None:
    """Refuse train/ and test/ at another depth; warn if only one is there, and becomes a class."""
    above = {place for file in files for place in PurePosixPath(file).parents}
    parts = sorted(place for place in above if place.name.lower() in TRAIN_PARTS + TEST_PARTS)
    if len({place.name.lower() in TRAIN_PARTS for place in parts}) == 2:
        raise InputError(
            printable(f"{folder} has parts too deep, as {parts[0]}/: put train/ and test/ at its ")
            + "top, with the classes in them, or name a folder with both at its top."
        )
    if parts:
        _warn(f"{folder}: without its counterpart, {parts[0]}/ is no part of its own.")


def _warn(text: str) -> None:
    warnings.warn(printable(text), stacklevel=4)


def _within(files: list[str], prefix: str) -> Files:
    """The files below ``prefix``; their class is the next folder, or "images" without one."""
    names = [file for file in files if file.startswith(prefix)]
    classes = [name.removeprefix(prefix).rpartition("/")[0].split("/")[0] for name in names]
    return [(name, label or "images") for name, label in zip(names, classes, strict=True)]


def _random_split(files: Files, test: float, seed: int) -> list[Files]:
    """A random share of each class for the test part, with at least one image in each part.

    The files of a class are ordered by a hash of their names, which no other file can change. A
    class of n images should have test * n of them in the test part: whole shares first, then the
    largest remainders. So the total is right, and adding a file moves hardly any other.
    """
    draw = {name: hashlib.sha256(os.fsencode(f"{seed}/{name}")).digest() for name, _ in files}
    sizes = Counter(label for _, label in files)
    drawn_so_far: Counter[str] = Counter()
    beyond_share: dict[str, float] = {}  # of the class, once this file and those before it are in
    for name, label in sorted(files, key=lambda file: draw[file[0]]):
        drawn_so_far[label] += 1
        beyond_share[name] = drawn_so_far[label] - test * sizes[label]
    order = sorted(draw, key=lambda name: (beyond_share[name], draw[name]))
    count = min(max(round(test * len(order)), 1), len(order) - 1)
    drawn = set(order[:count])
    return [[file for file in files if (file[0] in drawn) == part] for part in (False, True)]


class Pictures:
    """The pictures in a folder and its subfolders; :meth:`batches` reads them.

    Args:
        folder: hidden files and folders in it are left out, and links to folders are followed.
        batch_size: pictures in a batch, at most.
        seed: of the random order, so that the first pictures are a fair sample of all.
    """

    def __init__(
        self, folder: str | os.PathLike[str], *, batch_size: int = 50, seed: int = 0
    ) -> None:
        check_counts(batch_size=batch_size)
        check_seed(seed)
        self.folder, self.batch_size = expand(folder), batch_size
        files = image_names(self.folder)
        self._files = [files[i] for i in np.random.default_rng(seed).permutation(len(files))]

    def __len__(self) -> int:
        return len(self._files)

    def batches(self, channels: int) -> Iterator[Tensor]:
        """Batches of pictures, each of one size: uint8 (N, C, H, W), with C = ``channels``, 1 or 3.

        Each picture is turned upright and converted as in :func:`svae_lib.data.load_folder`, but
        neither cropped nor resized. A file that is not a picture raises an InputError.
        """
        waiting: dict[tuple[int, ...], list[Tensor]] = defaultdict(list)
        for name in self._files:
            try:
                pixels = decode(read_file(self.folder / name), None, channels)
            except Exception as error:  # whatever a decoder raises
                told = f"{self.folder / name} cannot be read as a picture: {reason(error)}."
                raise InputError(told) from None
            picture = torch.from_numpy(pixels.copy())
            waiting[picture.shape].append(picture)
            fullest = max(waiting, key=lambda shape: len(waiting[shape]))
            held = sum(map(len, waiting.values()))
            values = sum(len(pictures) * math.prod(shape) for shape, pictures in waiting.items())
            # Where nearly every picture has a size of its own, or is large, not all can wait.
            full = len(waiting[fullest]) == self.batch_size or held == 4 * self.batch_size
            if full or values > 2**24:  # 64 MB as float32
                yield torch.stack(waiting.pop(fullest))
        for pictures in waiting.values():
            yield torch.stack(pictures)
