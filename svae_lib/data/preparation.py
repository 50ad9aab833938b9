"""From many image files to one memory-mapped array, in threads.

The images go to disk as they are decoded, so memory does not grow with their number. Notes beside
them say how many are done: an interrupted preparation goes on from there. The array takes its
name when it is complete; that name contains a hash of all that decides its content.
"""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import shutil
import threading
import warnings
import zipfile
from collections.abc import Callable, Container, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from numpy.lib.format import open_memmap
from torch import Tensor

from ..support.checks import InputError
from ..support.files import atomic_path, read_json, write_json
from ..support.progress import counter
from .decoding import decode, printable, read_file, read_member, reason
from .places import one_at_a_time, writing

VERSION = 3  # raise it when the same files give other pixels
BLOCK = 64  # images that a thread decodes before it reports
BLOCKS_PER_NOTE = 32
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
    """Image files, wherever they are.

    Attributes:
        names: of the files, in the order of the array.
        read: the content of the file of a name; called from several threads.
        fingerprint: a hash that changes with the files.
    """

    names: Sequence[str]
    read: Callable[[str], bytes]
    fingerprint: str

    def without(self, broken: Container[str]) -> npt.NDArray[np.bool_]:
        """False (files,) for each broken file, which is called by its printable name."""
        return np.array([printable(name) not in broken for name in self.names])


def folder_source(folder: Path, names: Sequence[str]) -> Source:
    """Files in a folder and those below it, told apart by path, size and time of change."""
    digest = hashlib.sha256(os.fsencode(folder.resolve()))
    for name in names:
        try:
            status = (folder / name).stat()
            seen = f"{status.st_size}\0{status.st_mtime_ns}"
        except OSError as error:  # a link to nowhere: a broken image, named with the others
            seen = str(error.strerror)
        digest.update(b"\n" + os.fsencode(name) + f"\0{seen}".encode())
    return Source(names, lambda name: read_file(folder / name), digest.hexdigest())


def zip_source(archive: zipfile.ZipFile, names: Sequence[str]) -> Source:
    """Members of a zip archive, which is not unpacked and must stay open."""
    digest, lock = hashlib.sha256(), threading.Lock()
    for name in names:
        member = archive.getinfo(name)
        digest.update(f"{name}\0{member.file_size}\0{member.CRC}\n".encode())

    def read(name: str) -> bytes:
        with lock:  # an archive counts its open members, which is not safe in threads
            return read_member(archive, name)

    return Source(names, read, digest.hexdigest())


@dataclass(frozen=True)
class Prepared:
    """Images on disk.

    Attributes:
        images: uint8 tensor (N, C, size, size), memory-mapped: read from disk when used;
            changes stay in memory.
        good: bool tensor (files,), False for the broken files, which are left out.
    """

    images: Tensor
    good: Tensor


@dataclass
class _Notes:
    done: int = 0  # files, from the first one on
    broken: dict[str, str] = field(default_factory=dict)  # those that are no images: the reason


def prepare(
    source: Source,
    recipe: Recipe,
    folder: Path,
    label: str,
    *,
    on_broken: OnBroken = "refuse",
    threads: int | None = None,
    progress: bool = True,
) -> Prepared:
    """The images of a source as one array, which is made once and then found again.

    Another process that prepares the same images is waited for.

    Args:
        source: of the files; the array keeps their order.
        recipe: for decoding them.
        folder: where the array is kept.
        label: begins the array's name.
        on_broken: "refuse" raises at the first file that is no image, "skip" leaves such out.
        threads: for decoding; by default as many as PyTorch has, up to ``MOST_THREADS``.
        progress: whether to count the images on standard error.

    Raises:
        InputError: a broken file, none that is not, or a disk that is full or not writable.
    """
    key = json.dumps([VERSION, asdict(recipe), source.fingerprint])
    name = f"{label}-{recipe.size}px-{hashlib.sha256(key.encode()).hexdigest()[:16]}"
    array = folder / f"{name}.npy"
    if not array.exists():
        with one_at_a_time(array):
            if not array.exists():
                bar = counter(len(source.names), f"preparing {label}", "image", show=progress)
                with bar:
                    _decode_all(source, recipe, array, on_broken, threads, bar.update)
                _publish(array, source)
    broken = _read_notes(array).broken
    _check(broken, on_broken)
    if broken:
        warnings.warn(f"left out: {_first(broken)}.", stacklevel=3)
    try:
        images = np.load(array, mmap_mode="c", allow_pickle=False)
    except (ValueError, OSError) as error:
        raise InputError(
            f"{array} is damaged ({error}). Delete it; it is made again from the images."
        ) from None
    return Prepared(torch.from_numpy(images), torch.from_numpy(source.without(broken)))


def _decode_all(
    source: Source,
    recipe: Recipe,
    array: Path,
    on_broken: OnBroken,
    threads: int | None,
    report: Callable[[int], object],
) -> None:
    """Fill the partial array, from where an earlier run has stopped."""
    total = len(source.names)
    with writing(array.parent):
        images, notes = _open(array, (total, recipe.channels, recipe.size, recipe.size))
    report(notes.done)
    stop = threading.Event()

    def work(start: int) -> dict[str, str]:
        broken = {}
        for index in range(start, min(start + BLOCK, total)):
            if stop.is_set():
                break
            name = source.names[index]
            try:
                content = source.read(name)
                images[index] = decode(content, recipe.size, recipe.channels, recipe.box)
            except Exception as error:  # whatever a decoder raises is this file's reason
                broken[printable(name)] = reason(error)
        return broken

    def note() -> None:
        with writing(array.parent):
            images.flush()  # first: the notes must not promise more than the disk holds
            write_json(_notes(array), asdict(notes), overwrite=True)

    with ThreadPoolExecutor(threads or min(torch.get_num_threads(), MOST_THREADS)) as pool:
        try:
            _check(notes.broken, on_broken)
            blocks = pool.map(work, range(notes.done, total, BLOCK))
            for number, broken in enumerate(blocks, start=1):
                _check(broken, on_broken)
                notes.broken |= broken
                count = min(BLOCK, total - notes.done)
                notes.done += count
                report(count)
                if number % BLOCKS_PER_NOTE == 0:
                    note()
        finally:  # an interrupt waits for the images that the threads are at, no longer
            stop.set()
            pool.shutdown(cancel_futures=True)
            note()


def _publish(array: Path, source: Source) -> None:
    """Leave out the broken images and give the array its name."""
    partial, broken = _partial(array), _read_notes(array).broken
    rows = np.flatnonzero(source.without(broken))
    if len(rows) == 0:
        raise InputError(f"not one of the files is an image: {_first(broken)}.")
    with writing(array.parent), atomic_path(array) as temporary:
        if broken:
            images = open_memmap(partial, "r")
            good = open_memmap(temporary, "w+", np.uint8, (len(rows), *images.shape[1:]))
            for start in range(0, len(rows), BLOCK):
                good[start : start + BLOCK] = images[rows[start : start + BLOCK]]
            del images, good  # Windows neither renames nor removes a file that is mapped
        else:
            partial.replace(temporary)
    partial.unlink(missing_ok=True)


def _partial(array: Path) -> Path:
    return array.with_name(f".{array.stem}.partial")


def _notes(array: Path) -> Path:
    return array.with_suffix(".json")


def _read_notes(array: Path) -> _Notes:
    notes: _Notes = read_json(_notes(array), _Notes)
    return notes


def _open(array: Path, shape: tuple[int, ...]) -> tuple[Any, _Notes]:
    """What an interrupted run has left, or else an empty array with its room on the disk."""
    partial = _partial(array)
    with suppress(OSError, ValueError):  # not there, or damaged
        images, notes = open_memmap(partial, "r+"), _read_notes(array)
        if images.shape == shape and images.dtype == np.uint8 and notes.done <= shape[0]:
            return images, notes
    size = math.prod(shape)
    if shutil.disk_usage(array.parent).free < size:
        raise OSError(errno.ENOSPC, f"{size / 1e9:.2f} GB are needed, less is free")
    _notes(array).unlink(missing_ok=True)
    images = open_memmap(partial, "w+", np.uint8, shape)
    if hasattr(os, "posix_fallocate"):  # else a disk that fills up meanwhile kills the process
        with partial.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, images.offset + size)
    return images, _Notes()


def _check(broken: dict[str, str], on_broken: OnBroken) -> None:
    if broken and on_broken == "refuse":
        raise InputError(
            f"{_first(broken)}. Repair or remove it, or leave broken images out with "
            'on_broken="skip" (folder:PATH?on_broken=skip, load_folder, load_celeba).'
        )


def _first(broken: dict[str, str]) -> str:
    name, why = min(broken.items())
    others = f" (and {len(broken) - 1} more)" if len(broken) > 1 else ""
    return f"{name}{others} is broken: {why}"
