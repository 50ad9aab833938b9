"""From many image files to one memory-mapped array, in threads.

The images go to disk as they are decoded, so memory does not grow with their number. After an
interrupt, the next run goes on from there. The array gets its name when it is complete; the name
contains a hash of everything that decides its content.
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
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from numpy.lib.format import open_memmap
from torch import Tensor

from ..support.checks import InputError
from ..support.files import read_json, write_json
from ..support.progress import counter
from .decoding import check_bytes, decode, printable, read_file, reason
from .places import one_at_a_time, writing

VERSION = 3  # raise it when the same files give other pixels
BLOCK = 64  # images that a thread decodes before it reports
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
        check_bytes(archive.getinfo(name).file_size)
        with lock:  # an archive counts its open members, which is not safe in threads
            return archive.read(name)

    return Source(names, read, digest.hexdigest())


def prepare(
    source: Source,
    recipe: Recipe,
    folder: Path,
    label: str,
    *,
    on_broken: OnBroken = "refuse",
    threads: int | None = None,
    progress: bool = True,
) -> tuple[Tensor, Tensor]:
    """The images of a source as one array, which is made once and then found again.

    If another process is preparing the same images, this one waits for it.

    Args:
        source: of the files; the array keeps their order.
        recipe: for decoding them.
        folder: where the array is kept, under a name that begins with ``label``.
        label: such as "celeba".
        on_broken: "refuse" raises at the first file that is not an image, "skip" leaves it out.
        threads: for decoding; by default as many as PyTorch has, up to ``MOST_THREADS``.
        progress: whether to count the images on standard error.

    Returns:
        The images, uint8 (N, C, size, size), memory-mapped: read from disk when used, while changes
        stay in memory. And for each file whether it is among them, bool (files,).
    """
    key = json.dumps([VERSION, asdict(recipe), source.fingerprint])
    name = f"{label}-{recipe.size}px-{hashlib.sha256(key.encode()).hexdigest()[:16]}"
    array, noted = folder / f"{name}.npy", folder / f"{name}.json"
    if not array.exists():
        with one_at_a_time(array):
            if not array.exists():
                bar = counter(len(source.names), f"preparing {label}", "image", show=progress)
                threads = threads or min(torch.get_num_threads(), MOST_THREADS)
                with bar, ThreadPoolExecutor(threads) as pool:
                    _make(source, recipe, array, noted, on_broken, pool, bar.update)
    broken = read_json(noted, dict[str, dict[str, str]])["broken"]
    _refuse(broken, on_broken)
    if broken:
        warnings.warn(f"left out: {_first(broken)}.", stacklevel=3)
    try:
        images = torch.from_numpy(np.load(array, mmap_mode="c", allow_pickle=False))
    except (ValueError, OSError) as error:
        raise InputError(
            f"{array} is damaged ({error}). Delete it; it is made again from the images."
        ) from None
    good = torch.tensor(_are_good(source, broken))
    return images[: good.sum()], good


def _make(
    source: Source,
    recipe: Recipe,
    array: Path,
    noted: Path,
    on_broken: OnBroken,
    pool: ThreadPoolExecutor,
    report: Callable[[int], object],
) -> None:
    """Make the array, or go on where an interrupt has left it."""
    partial, begun = (array.with_name(f".{array.stem}.{end}") for end in ("partial", "begun"))
    shape = (len(source.names), recipe.channels, recipe.size, recipe.size)
    with writing(array.parent):
        images = _room(partial, begun, shape)
    try:
        broken = _decode_all(images, source, recipe, on_broken, pool, report)
    except BaseException:  # not after a kill, which may leave half an image
        images.flush()
        begun.touch()
        raise
    with writing(array.parent):
        if broken:  # the next rows move up into theirs, which leaves free rows at the end
            rows = np.flatnonzero(_are_good(source, broken))
            for start in range(0, len(rows), BLOCK):
                good = images[rows[start : start + BLOCK]]
                images[start : start + len(good)] = good
        images.flush()
        del images  # Windows does not rename a file that is mapped
        write_json(noted, {"broken": broken}, overwrite=True)
        partial.replace(array)


def _room(partial: Path, begun: Path, shape: tuple[int, ...]) -> Any:
    """The array that an interrupted run has left, or else zeros, with disk space reserved."""
    with suppress(OSError, ValueError):  # not there, or damaged
        begun.unlink()
        if open_memmap(partial, "r").shape == shape:  # "r+" would lengthen a file cut short
            return open_memmap(partial, "r+")
    size = math.prod(shape)
    if shutil.disk_usage(partial.parent).free < size:
        raise OSError(errno.ENOSPC, f"{size / 1e9:.2f} GB are needed, less is free")
    images = open_memmap(partial, "w+", np.uint8, shape)
    if hasattr(os, "posix_fallocate"):  # else a disk that fills up meanwhile kills the process
        with partial.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, images.offset + size)
    return images


def _decode_all(
    images: npt.NDArray[np.uint8],
    source: Source,
    recipe: Recipe,
    on_broken: OnBroken,
    pool: ThreadPoolExecutor,
    report: Callable[[int], object],
) -> dict[str, str]:
    """Fill the rows that are still zeros; return the broken files, with the reasons."""
    stop, how, broken = threading.Event(), asdict(recipe), {}

    def decode_block(start: int) -> tuple[int, dict[str, str]]:
        names, found = source.names[start : start + BLOCK], {}
        for name, image in zip(names, images[start : start + BLOCK], strict=True):
            if stop.is_set():
                break
            if image.any():
                continue
            try:
                image[:] = decode(source.read(name), **how)
            except Exception as error:  # whatever a decoder raises is this file's reason
                found[printable(name)] = reason(error)
        return len(names), found

    try:
        for count, found in pool.map(decode_block, range(0, len(images), BLOCK)):
            broken.update(found)
            _refuse(broken, on_broken)
            report(count)
    finally:  # an interrupt waits for the images that the threads are at, no longer
        stop.set()
        pool.shutdown(cancel_futures=True)
    if len(broken) == len(images):
        raise InputError(f"not one of the files is an image: {_first(broken)}.")
    return broken


def _are_good(source: Source, broken: dict[str, str]) -> list[bool]:
    return [printable(name) not in broken for name in source.names]


def _refuse(broken: dict[str, str], on_broken: OnBroken) -> None:
    if broken and on_broken == "refuse":
        raise InputError(
            f"{_first(broken)}. Repair or remove it, or leave broken images out with "
            'on_broken="skip" (folder:PATH?on_broken=skip, load_folder, load_celeba).'
        )


def _first(broken: dict[str, str]) -> str:
    name, why = min(broken.items())
    others = f" (and {len(broken) - 1} more)" if len(broken) > 1 else ""
    return f"{name}{others} is broken: {why}"
