"""CelebA: 202,599 aligned photographs of faces, cropped and resized to 64x64.

Its host often answers with a page about a quota instead of the file; then the zip must be
downloaded by hand. Neither the zip nor the folder of its images is changed: the 64x64 images go
into an array of 2.5 GB, in a file of its own.
"""

import os
import zipfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import torch

from ..support.checks import InputError
from .decoding import is_hidden
from .download import RemoteFile, cache_folder, find
from .image_sets import ImageSets
from .preparation import Recipe, Source, folder_source, prepare, zip_source

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
FOLDER, FIRST = "img_align_celeba", "000001.jpg"
PLACES = tuple(  # below the user's folder; some copies have the folder twice
    f"{above}{name}"
    for above in ("", "celeba/", "CelebA/", "CelebA/Img/")
    for name in (f"{FOLDER}/{FOLDER}/{FIRST}", f"{FOLDER}/{FIRST}", FIRST, ARCHIVE.name)
)
ADVICE = (
    "The file is offered at https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html "
    "(Align&Cropped Images), where a browser can fetch it. Without CelebA, load('toy-faces') "
    "draws faces that need no download."
)


def load_celeba(root: str | os.PathLike[str] | None = None) -> ImageSets:
    """CelebA: uint8 (162770, 3, 64, 64) and (19962, 3, 64, 64), memory-mapped.

    The files are sorted by name and split as the data set's authors do. Their validation part,
    162,770 to 182,636, is in neither of our two parts, as nothing is tuned on it. Labels are 0.

    Args:
        root: folder that holds img_align_celeba.zip or the folder img_align_celeba, or that folder
            itself; nothing is downloaded when it is given.
    """
    wanted = f"{ARCHIVE}, or the folder {FOLDER},"
    place = find(ARCHIVE, PLACES, root, "celeba", wanted, ADVICE)
    if place.name == FIRST:
        names = [path.name for path in place.parent.iterdir()]
        return _prepare(folder_source(place.parent, _images(place.parent, names)))
    try:
        archive = zipfile.ZipFile(place)
    except (zipfile.BadZipFile, NotImplementedError, UnicodeDecodeError) as error:
        raise InputError(
            f"{place} is damaged or no zip file ({error}); the genuine one is {ARCHIVE}."
        ) from None
    with archive:
        return _prepare(zip_source(archive, _images(place, archive.namelist())))


def _images(place: Path, names: Sequence[str]) -> list[str]:
    """The image files among ``names``, sorted; all of them must be there."""
    images = [name for name in names if name.lower().endswith(".jpg") and not is_hidden(name)]
    if len(images) != COUNT:
        raise InputError(
            f"{place} is incomplete or not CelebA: it holds {len(images)} .jpg files instead of "
            f"{COUNT}, and the split into train and test goes by their order."
        )
    return sorted(images, key=lambda name: PurePosixPath(name).name.lower())


def _prepare(source: Source) -> ImageSets:
    images, _ = prepare(source, RECIPE, cache_folder("prepared"), "celeba")
    labels = torch.zeros(COUNT, dtype=torch.int64)
    return ImageSets(
        name="celeba",
        train=images[:VALID_START],
        test=images[TEST_START:],
        train_labels=labels[:VALID_START],
        test_labels=labels[TEST_START:],
        label_names=("face",),
        source=SOURCE,
    )
