"""From many image files to one memory-mapped array, in threads.

The images go to disk as they are decoded, so memory does not grow with their number. The array
gets its name when it is complete; the name contains a hash of everything that decides its content.
"""

import hashlib
import json
import math
import os
import threading
import warnings
import zipfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from ..support.checks import InputError
from ..support.files import atomic_path, read_json, write_json
from ..support.progress import counter
from .decoding import decode, printable, read_file, reason
from .download import make_once

VERSION = 3  # raise it when the same files give other pixels
BLOCK = 32  # images for each thread at a time: so many wait in memory to be written
MOST_THREADS = 8
OnBroken = Literal["refuse", "skip"]


@dataclass(frozen=True)
class Recipe:
    """How a file becomes an image of the array: see :func:`svae_lib.data.decoding.decode`."""

    size: int
    channels: int = 3
    box: tuple[int, int, int, int] | None = None


@dataclass(frozen=True)
class Source:
    """Image files in the order of the array, and a hash that changes with them."""

    names: Sequence[str]
    read: Callable[[str], bytes]  # a name to the file's content; called from several threads
    fingerprint: str


def folder_source(folder: Path, names: Sequence[str]) -> Source:
    """Files in a folder and its subfolders, identified by path, size and time of change."""
    digest = hashlib.sha256(os.fsencode(folder.resolve()))
    for name in names:
        try:
            status = (folder / name).stat()
        except OSError:  # a link to nowhere, which is a broken file when it comes to reading
            status = (folder / name).lstat()
        seen = f"\0{status.st_size}\0{status.st_mtime_ns}"
        digest.update(b"\n" + os.fsencode(name) + seen.encode())
    return Source(names, lambda name: read_file(folder / name), digest.hexdigest())


def zip_source(archive: zipfile.ZipFile, names: Sequence[str]) -> Source:
    """Members of a zip archive, which is not unpacked and must stay open."""
    digest, lock = hashlib.sha256(), threading.Lock()
    for name in names:
        member = archive.getinfo(name)
        digest.update(f"{name}\0{member.file_size}\0{member.CRC}\n".encode())

    def read(name: str) -> bytes:
        with lock:  # an archive counts its open members, which is not safe in threads
            return archive.read(name)

    return Source(names, read, digest.hexdigest())


def prepare(
    source: Source, recipe: Recipe, folder: Path, label: str, on_broken: OnBroken = "refuse"
) -> tuple[Tensor, Tensor]:
    """The images of a source as one array, which is made once and then found again.

    Args:
        source: of the files; the array keeps their order.
        recipe: for decoding them.
        folder, label: where the array is kept, and how its name begins.
        on_broken: "refuse" raises where a file is not an image, "skip" leaves it out.

    Returns:
        The images, uint8 (N, C, size, size), memory-mapped: read from disk when used, while changes
        stay in memory. And for each file whether it is among them, bool (files,).
    """
    key = json.dumps([VERSION, asdict(recipe), source.fingerprint])
    name = f"{label}-{recipe.size}px-{hashlib.sha256(key.encode()).hexdigest()[:16]}"
    array, noted = folder / f"{name}.npy", folder / f"{name}.json"
    make_once(array, lambda: _make(source, recipe, array, noted, label, on_broken))
    broken = read_json(noted, dict[str, dict[str, str]])["broken"]
    _refuse(broken, on_broken)
    if broken:
        warnings.warn(f"left out: {_first(broken)}.", stacklevel=3)
    try:
        images = torch.from_numpy(np.load(array, mmap_mode="c", allow_pickle=False))
    except (ValueError, EOFError) as error:
        told = f"{array} is damaged ({error}): delete it, and it is made again from the images."
        raise InputError(told) from None
    good = torch.tensor([printable(name) not in broken for name in source.names])
    return images[: good.sum()], good


def _make(
    source: Source, recipe: Recipe, array: Path, noted: Path, label: str, on_broken: OnBroken
) -> None:
    """Decode the files, block by block, and write the array and the list of broken files."""
    how, broken = asdict(recipe), {}
    shape = (len(source.names), recipe.channels, recipe.size, recipe.size)
    threads = min(torch.get_num_threads(), MOST_THREADS)

    def decoded(name: str) -> bytes | str:
        """The image's values, or the reason why there are none."""
        try:
            return decode(source.read(name), **how).tobytes()
        except Exception as error:  # whatever a decoder raises
            return reason(error)

    with (
        atomic_path(array) as partial,
        partial.open("wb") as file,
        counter(len(source.names), f"preparing {label}", "image") as bar,
        ThreadPoolExecutor(threads) as pool,
    ):
        header = {"descr": "|u1", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        end = file.tell() + math.prod(shape)
        for start in range(0, len(source.names), threads * BLOCK):
            names = source.names[start : start + threads * BLOCK]
            for name, image in zip(names, pool.map(decoded, names), strict=True):
                if isinstance(image, str):
                    broken[printable(name)] = image
                else:
                    file.write(image)
            _refuse(broken, on_broken)
            bar.update(len(names))
        if len(broken) == len(source.names):
            raise InputError(f"not one of the files is an image: {_first(broken)}.")
        file.truncate(end)  # broken files leave rows free at the end
        write_json(noted, {"broken": broken}, overwrite=True)


def _refuse(broken: dict[str, str], on_broken: OnBroken) -> None:
    if broken and on_broken == "refuse":
        raise InputError(
            f"{_first(broken)}. Replace it; of a folder of your own, broken images can be left out "
            '(folder:PATH?on_broken=skip, or load_folder with on_broken="skip").'
        )


def _first(broken: dict[str, str]) -> str:
    name, why = min(broken.items())
    others = f" (and {len(broken) - 1} more)" if len(broken) > 1 else ""
    return f"{name}{others} is broken: {why}"
