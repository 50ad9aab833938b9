"""MNIST and Fashion-MNIST: 60,000 + 10,000 greyscale images of 28x28, in four IDX files.

Found in torchvision's layout, in a flat folder, plain or gzip, and for Fashion-MNIST where
Debian's package dataset-fashion-mnist puts it; otherwise downloaded.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import torch

from ..support.checks import InputError
from .download import Patience, RemoteFile, fetch_all, with_hashes
from .idx import read_idx
from .image_sets import ImageSets, pad
from .places import cache_folder, own_folder

# order: images and labels to train on, images and labels to test on
STEMS = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


@dataclass(frozen=True)
class IdxSet:
    """One data set in IDX files.

    Attributes:
        name: as :func:`svae_lib.data.load` knows it.
        mirrors: where ``STEMS`` + ".gz" can be downloaded.
        md5: of the packed files, as published (and in torchvision), in the order of ``STEMS``.
        sha256: of their unpacked content, computed from files whose MD5 was right.
        folders: where the files may be below the user's folder.
        shared: folders of the system that may hold them.
        label_names: the ten classes.
        source: a sentence on the origin.
    """

    name: str
    mirrors: tuple[str, ...]
    md5: tuple[str, ...]
    sha256: tuple[str, ...]
    folders: tuple[str, ...]
    shared: tuple[str, ...]
    label_names: tuple[str, ...]
    source: str

    @property
    def files(self) -> list[RemoteFile]:
        """What to download."""
        return [
            RemoteFile(f"{stem}.gz", tuple(f"{mirror}{stem}.gz" for mirror in self.mirrors), md5)
            for stem, md5 in zip(STEMS, self.md5, strict=True)
        ]


MNIST = IdxSet(
    name="mnist",
    mirrors=(
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ),
    md5=(
        "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "d53e105ee54ea40749a09fcbcd1e9432",
        "9fb629c4189551a2d022fa330f9573f3",
        "ec29112dd5afa0611ce80d1b7f02629c",
    ),
    sha256=(
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
    folders=("MNIST/raw", "MNIST", "mnist", "raw", "."),
    shared=(),
    label_names=tuple("0123456789"),
    source=(
        "MNIST's 60,000 training and 10,000 test digits (Y. LeCun, C. Cortes, C. Burges), "
        "zero-padded to 32x32."
    ),
)

FASHION_MNIST = IdxSet(
    name="fashion-mnist",
    mirrors=(
        "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    ),
    md5=(
        "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "25c81989df183df01b3e8a0aad5dffbe",
        "bef4ecab320f06d8554ea6380940ec79",
        "bb300cfdad3c16e7a12a480ee83cd310",
    ),
    sha256=(
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    ),
    folders=(
        "FashionMNIST/raw",
        "FashionMNIST",
        "fashion-mnist",
        "usr/share/datasets/fashion-mnist",
        "raw",
        ".",
    ),
    shared=("/usr/share/datasets/fashion-mnist",),
    label_names=(
        "T-shirt/top",
        "trouser",
        "pullover",
        "dress",
        "coat",
        "sandal",
        "shirt",
        "sneaker",
        "bag",
        "ankle boot",
    ),
    source=(
        "Fashion-MNIST's 60,000 training and 10,000 test pictures of Zalando's articles "
        "(H. Xiao, K. Rasul, R. Vollgraf, 2017, MIT licence), zero-padded to 32x32."
    ),
)


def load_mnist(root: str | os.PathLike[str] | None = None) -> ImageSets:
    """MNIST: uint8 (60000, 1, 32, 32) and (10000, 1, 32, 32)."""
    return load_idx_set(MNIST, root)


def load_fashion_mnist(root: str | os.PathLike[str] | None = None) -> ImageSets:
    """Fashion-MNIST: uint8 (60000, 1, 32, 32) and (10000, 1, 32, 32)."""
    return load_idx_set(FASHION_MNIST, root)


def load_idx_set(
    kind: IdxSet, root: str | os.PathLike[str] | None = None, patience: Patience | None = None
) -> ImageSets:
    """Find, or download, and read the four files.

    Args:
        kind: which data set.
        root: folder that holds the files; nothing is downloaded when it is given.
        patience: with slow servers.

    Raises:
        InputError: files missing, damaged, or not to be downloaded.
    """
    paths = _find(kind, root)
    if paths is None:
        folder = cache_folder("downloads") / kind.name
        paths = fetch_all(kind.files, folder, kind.name, patience=patience)
    arrays = [
        torch.from_numpy(read_idx(path, sha256).copy())
        for path, sha256 in zip(paths, kind.sha256, strict=True)
    ]
    return ImageSets(
        name=kind.name,
        train=pad(arrays[0][:, None]),
        test=pad(arrays[2][:, None]),
        train_labels=arrays[1].long(),
        test_labels=arrays[3].long(),
        label_names=kind.label_names,
        source=kind.source,
    )


def _find(kind: IdxSet, root: str | os.PathLike[str] | None) -> list[Path] | None:
    """The four files in the user's folder or the system's, or None if they must be fetched."""
    own = own_folder(root)
    folders = [own / below for below in kind.folders] if own else []
    if root is None:
        folders += [Path(shared) for shared in kind.shared]
    for folder in folders:
        found = [_file(folder, stem) for stem in STEMS]
        paths = [path for path in found if path is not None]
        if len(paths) == len(STEMS):
            return paths
        if paths:
            missing = [f for f, path in zip(kind.files, found, strict=True) if path is None]
            raise InputError(
                f"{folder} holds a part of {kind.name}: add {with_hashes(missing)}, packed or not."
            )
    if root is not None:
        raise InputError(
            f"{own} does not hold {kind.name}: put {with_hashes(kind.files)}, packed or not, into "
            f"it or into one of {', '.join(kind.folders[:-1])} below it; or leave root out to "
            "download them."
        )
    return None


def _file(folder: Path, stem: str) -> Path | None:
    """The file of this name, packed or not; "images.idx3" is a common other spelling."""
    other = stem.replace("-idx", ".idx")
    names = (f"{stem}.gz", stem, f"{other}.gz", other)
    return next((folder / name for name in names if (folder / name).is_file()), None)
