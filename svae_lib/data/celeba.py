"""CelebA: 202,599 aligned photographs of faces, cropped and resized to 64x64.

Its host often answers with a page about a quota instead of the file; then the zip must be
downloaded by hand. Neither the zip nor the folder of its images is changed: the 64x64 images go
into an array of 2.5 GB, in a file of its own.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath

import torch

from ..support.checks import InputError
from .decoding import is_hidden
from .download import Patience, RemoteFile, fetch_all
from .image_sets import ImageSets
from .places import cache_folder, own_folder
from .preparation import OnBroken, Recipe, Source, folder_source, prepare, zip_source

SOURCE = (
    "CelebA's aligned photographs of celebrities (Z. Liu, P. Luo, X. Wang, X. Tang, 2015; for "
    "non-commercial research only), rows 45-172 and columns 25-152, resized bilinearly to 64x64."
)
COUNT = 202_599
VALID_START, TEST_START = 162_770, 182_637  # in the order of the file names
# the authors' crop (rows 45:173, columns 25:153) as left, top, right, bottom
RECIPE = Recipe(size=64, channels=3, box=(25, 45, 153, 173))
ARCHIVE = RemoteFile(
    "img_align_celeba.zip",
    (
        "https://drive.usercontent.google.com/download"
        "?id=0B7EVK8r0v71pZjFTYXZWM3FlRnM&export=download&confirm=t",
        "https://graal.ift.ulaval.ca/public/celeba/img_align_celeba.zip",
    ),
    "00d2c5bc6d35e252742224ab0c1e8fcb",  # as published, and in torchvision
)
FOLDER = "img_align_celeba"
PLACES = tuple(  # below the user's folder, in any case; some copies have the folder twice
    f"{above}{name}"
    for above in ("", "celeba/", "celeba/img/")
    for name in (f"{FOLDER}/{FOLDER}", FOLDER, ARCHIVE.name)
)
ADVICE = (
    "The file is offered at https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html "
    "(Align&Cropped Images), where a browser can fetch it. Without CelebA, load('toy-faces') "
    "draws faces that need no download."
)


def load_celeba(
    root: str | os.PathLike[str] | None = None,
    *,
    on_broken: OnBroken = "refuse",
    patience: Patience | None = None,
) -> ImageSets:
    """CelebA: uint8 (162770, 3, 64, 64) and (19962, 3, 64, 64), memory-mapped.

    The files are sorted by name and split as the data set's authors do. Their validation part,
    162,770 to 182,636, is in neither of our two parts, since the course tunes nothing on it. All
    images have label 0.

    Args:
        root: folder that holds img_align_celeba.zip or the folder img_align_celeba, in upper or
            lower case; nothing is downloaded when it is given.
        on_broken: "refuse" or "skip" files that cannot be read.
        patience: with slow servers.
    """
    place = _find(root)
    if place is None:
        folder = cache_folder("downloads") / "celeba"
        (place,) = fetch_all([ARCHIVE], folder, "celeba", ADVICE, patience)
    if place.is_dir():
        names = [entry.name for entry in os.scandir(place)]
        return _prepare(folder_source(place, _images(place, names)), on_broken)
    try:
        archive = zipfile.ZipFile(place)
    except (zipfile.BadZipFile, NotImplementedError, UnicodeDecodeError) as error:
        raise InputError(
            f"{place} is damaged or no zip file ({error}); the genuine one has the "
            f"{ARCHIVE.hash_text}."
        ) from None
    with archive:
        for name in archive.namelist():
            refuse_unsafe_path(name, place)
        return _prepare(zip_source(archive, _images(place, archive.namelist())), on_broken)


def refuse_unsafe_path(name: str, archive: Path) -> None:
    """Raise InputError if the name of an archive's member points outside the archive."""
    parts = PurePosixPath(name.replace("\\", "/")).parts
    if name.startswith(("/", "\\")) or PureWindowsPath(name).drive or ".." in parts:
        raise InputError(
            f"{archive} is refused: its member {name!r} points outside the archive, which "
            "genuine data never do."
        )


def _find(root: str | os.PathLike[str] | None) -> Path | None:
    """The zip or the folder of images in the user's folder, or None."""
    own = own_folder(root)
    if own is None:
        return None
    if own.name.lower() == FOLDER and _below(own, "000001.jpg"):
        return own
    for place in PLACES:
        if found := _below(own, place):
            return found
    if root is None:
        return None
    raise InputError(
        f"{own} does not hold CelebA: put {ARCHIVE.name} ({ARCHIVE.hash_text}) into it, or the "
        f"folder {FOLDER} with its images. {ADVICE}"
    )


def _below(folder: Path, path: str) -> Path | None:
    """What a path in a folder leads to, ignoring upper and lower case."""
    for name in path.split("/"):
        entries = os.scandir(folder) if folder.is_dir() else ()
        found = sorted(entry.name for entry in entries if entry.name.lower() == name)
        if not found:
            return None
        folder /= found[0]
    return folder


def _images(place: Path, names: Sequence[str]) -> list[str]:
    """The image files among ``names``, sorted; all of them must be there."""
    images = [name for name in names if name.lower().endswith(".jpg") and not is_hidden(name)]
    if len(images) != COUNT:
        raise InputError(
            f"{place} is incomplete or not CelebA: it holds {len(images)} .jpg files instead of "
            f"{COUNT}, and the split into train and test goes by their order."
        )
    return sorted(images, key=lambda name: PurePosixPath(name).name.lower())


def _prepare(source: Source, on_broken: OnBroken) -> ImageSets:
    images, good = prepare(source, RECIPE, cache_folder("prepared"), "celeba", on_broken=on_broken)
    train, before_test = (int(good[:stop].sum()) for stop in (VALID_START, TEST_START))
    return ImageSets(
        name="celeba",
        train=images[:train],
        test=images[before_test:],
        train_labels=torch.zeros(train, dtype=torch.int64),
        test_labels=torch.zeros(len(images) - before_test, dtype=torch.int64),
        label_names=("face",),
        source=SOURCE,
    )
