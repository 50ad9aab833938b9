"""From many image files to one memory-mapped array, on all cores.

The images go to disk in blocks as they are decoded, so memory does not grow with their number.
A journal lists the finished blocks: an interrupted preparation goes on where it stopped. The
array takes its final name when it is complete; that name contains a hash of all that decides
its content.
"""

from __future__ import annotations

import errno
import hashlib
import io
import json
import math
import os
import queue
import shutil
import subprocess
import sys
import threading
import warnings
import zipfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import torch
from torch import Tensor

from ..support.checks import InputError
from ..support.files import atomic_path, read_json, write_json
from ..support.progress import counter
from . import decoding
from .places import one_at_a_time, writing

VERSION = 2  # raise it when the same files give other pixels
BLOCK = 128  # images that are decoded and written together
MOST_WORKERS = 8  # each takes some 50 MB
WORTH_WORKERS = 4  # blocks; fewer are done sooner than processes start
OnBroken = Literal["refuse", "skip"]


@dataclass(frozen=True)
class Recipe:
    """How a file becomes an image of the array.

    Attributes:
        size: height and width in pixels.
        channels: 1 or 3; colour and greyscale files are converted.
        box: left, top, right, bottom (exclusive) of the part to keep, in pixels; without it,
            the largest square around the centre.
    """

    size: int
    channels: int = 3
    box: tuple[int, int, int, int] | None = None


class Source(Protocol):
    """Image files, wherever they are."""

    names: Sequence[str]

    def locate(self, name: str) -> decoding.Locator:
        """Where a file is, for :func:`svae_lib.data.decoding.read`."""

    def fingerprint(self) -> str:
        """A hash that changes with the files."""


class FolderSource:
    """Image files in a folder and the folders below it."""

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        self.folder = folder
        self.names = names

    def locate(self, name: str) -> decoding.Locator:
        """Path of one file."""
        return str(self.folder / name)

    def fingerprint(self) -> str:
        """Hash of the folder's path, and of the files' names, sizes and times of change."""
        digest = hashlib.sha256(f"{self.folder.resolve()}\n".encode())
        for name in self.names:
            digest.update(f"{name}\0{_size_and_time(self.folder / name)}\n".encode())
        return digest.hexdigest()


def _size_and_time(path: Path) -> str:
    """A file's size and time of change, or why there are none (as for a link to nowhere)."""
    try:
        status = path.stat()
    except OSError as error:  # it is a broken image, to be named with the others
        return str(error.strerror)
    return f"{status.st_size}\0{status.st_mtime_ns}"


class ZipSource:
    """Image files in a zip archive, which is not unpacked.

    The archive may be closed, and its large list of members forgotten, before the work begins.
    """

    def __init__(self, archive: zipfile.ZipFile, names: Sequence[str]) -> None:
        self.path = str(archive.filename)
        self.names = names
        self._row = {name: row for row, name in enumerate(names)}
        self._places = np.empty((len(names), 4), np.int64)
        digest = hashlib.sha256()
        for row, name in enumerate(names):
            member = archive.getinfo(name)
            packed = member.compress_size, member.compress_type
            self._places[row] = member.header_offset, *packed, member.CRC
            digest.update(f"{name}\0{member.file_size}\0{member.CRC}\n".encode())
        self._digest = digest.hexdigest()

    def locate(self, name: str) -> decoding.Locator:
        """Place of one member in the archive."""
        return [self.path, *self._places[self._row[name]].tolist()]

    def fingerprint(self) -> str:
        """Hash of names, sizes and checksums, as the archive lists them."""
        return self._digest


@dataclass(frozen=True)
class Prepared:
    """Images on disk.

    Attributes:
        images: uint8 tensor (N, C, size, size), memory-mapped: read from disk when used;
            changes stay in memory.
        broken: the files that were left out, with the reason.
    """

    images: Tensor
    broken: dict[str, str]


def prepare(
    source: Source,
    recipe: Recipe,
    folder: Path,
    label: str,
    *,
    on_broken: OnBroken = "refuse",
    workers: int | None = None,
    progress: bool = True,
) -> Prepared:
    """Decode, crop and resize all files of a source, once; later calls find the result.

    Small processes do the work, whatever the script or notebook that calls. Of several callers
    that want the same array at once, one makes it and the others wait.

    Args:
        source: the files, in the order of the result.
        recipe: what becomes of each.
        folder: where the array is kept.
        label: how its file name begins.
        on_broken: "refuse" stops at a file that is no image, "skip" leaves it out.
        workers: processes; 0 does without. By default one per core, at most ``MOST_WORKERS``,
            and none for few images.
        progress: show a bar.

    Warns:
        UserWarning: broken files were left out, named.

    Raises:
        InputError: a broken file, named; no space on the disk; a damaged array.
    """
    key = json.dumps([VERSION, asdict(recipe), source.fingerprint()])
    name = f"{label}-{recipe.size}px-{hashlib.sha256(key.encode()).hexdigest()[:16]}"
    array = folder / f"{name}.npy"
    if not array.exists():
        with one_at_a_time(array):
            if not array.exists():
                if workers is None:
                    workers = _count_workers(len(source.names))
                _Job(source, recipe, array).make(on_broken, workers, progress)
    return _load(array, on_broken)


def _count_workers(images: int) -> int:
    if images <= WORTH_WORKERS * BLOCK:
        return 0
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return min(cores or 1, MOST_WORKERS)


class _Worker:
    """A process that runs :mod:`svae_lib.data.decoding`."""

    def __init__(self) -> None:
        command = [sys.executable, decoding.__file__]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)

    def do(self, task: dict[str, Any]) -> dict[str, Any]:
        """Hand over a task and wait for the answer."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        answer = ""
        with suppress(BrokenPipeError):
            self.process.stdin.write(json.dumps(task) + "\n")
            self.process.stdin.flush()
            answer = self.process.stdout.readline()
        if not answer.endswith("\n"):
            raise InputError(
                "a process that decodes images has ended unexpectedly, perhaps for want of "
                "memory. Try again: what is done so far is kept."
            )
        return dict(json.loads(answer))

    def close(self) -> None:
        """End the process."""
        with suppress(BrokenPipeError):
            self.process.communicate()


@contextmanager
def _workers(count: int) -> Iterator[Callable[[dict[str, Any]], dict[str, Any]]]:
    """Yield a function that has a task done by a free worker, for ``count`` threads to call."""
    free: queue.SimpleQueue[_Worker] = queue.SimpleQueue()
    started: list[_Worker] = []
    try:
        for _ in range(count):
            started.append(_Worker())
            free.put(started[-1])

        def do(task: dict[str, Any]) -> dict[str, Any]:
            worker = free.get()
            try:
                return worker.do(task)
            finally:
                free.put(worker)

        yield do if count else decoding.do
    finally:
        for worker in started:
            worker.close()


class _Job:
    """One array in the making: a partial file with room for all images, and its journal."""

    def __init__(self, source: Source, recipe: Recipe, array: Path) -> None:
        self.source = source
        self.recipe = recipe
        self.array = array
        self.partial = array.with_name(f".{array.stem}.partial")
        self.journal = array.with_name(f".{array.stem}.journal")
        self.shape = (len(source.names), recipe.channels, recipe.size, recipe.size)
        self.header = _header(self.shape)
        self.done: set[int] = set()
        self.broken: dict[str, str] = {}
        self.lock = threading.Lock()

    def make(self, on_broken: OnBroken, workers: int, progress: bool) -> None:
        """Make the array, or go on where an earlier run has stopped."""
        self._start()
        self._run(on_broken, workers, progress)
        self._finish()

    def _start(self) -> None:
        """Make room on the disk, or read from the journal what an earlier run has done."""
        size = len(self.header) + math.prod(self.shape)
        with writing(self.array.parent):
            if self.partial.exists() and self.partial.stat().st_size == size:
                self._read_journal()
                return
            if shutil.disk_usage(self.array.parent).free < size:
                raise OSError(errno.ENOSPC, f"{size / 1e9:.2f} GB are needed, less is free")
            self.journal.unlink(missing_ok=True)
            with self.partial.open("wb") as file:
                file.write(self.header)
                file.truncate(size)

    def _read_journal(self) -> None:
        if not self.journal.exists():
            return
        for line in self.journal.read_text(encoding="utf-8").splitlines():
            try:
                entry = json.loads(line)
            except json.JSONDecodeError:
                continue  # where a run was killed; that block is done again
            self.done.add(entry["block"])
            self.broken.update(entry["broken"])

    def _run(self, on_broken: OnBroken, workers: int, progress: bool) -> None:
        """Do the blocks that are left.

        On an error or an interrupt, the blocks being worked on are still finished and entered.
        """
        self._refuse_broken(on_broken)
        total = len(self.source.names)
        blocks = [block for block in range(math.ceil(total / BLOCK)) if block not in self.done]
        left = sum(len(self._names(block)) for block in blocks)
        what = f"preparing {self.array.stem.rsplit('-', 1)[0]}"
        bar = counter(total, what, "image", show=progress, initial=total - left)
        with bar, _workers(workers) as do, ThreadPoolExecutor(max(workers, 1)) as pool:
            futures = [pool.submit(self._do, block, do) for block in blocks]
            try:
                for future in as_completed(futures):
                    bar.update(future.result())
                    self._refuse_broken(on_broken)
            finally:
                pool.shutdown(cancel_futures=True)

    def _refuse_broken(self, on_broken: OnBroken) -> None:
        if self.broken and on_broken == "refuse":
            raise InputError(_broken_text(self.broken))

    def _names(self, block: int) -> Sequence[str]:
        return self.source.names[block * BLOCK : (block + 1) * BLOCK]

    def _do(self, block: int, do: Callable[[dict[str, Any]], dict[str, Any]]) -> int:
        """Have one block done and enter it in the journal; return its number of images."""
        names = self._names(block)
        answer = do(
            {
                "files": {name: self.source.locate(name) for name in names},
                "recipe": asdict(self.recipe),
                "target": str(self.partial),
                "offset": len(self.header) + block * BLOCK * math.prod(self.shape[1:]),
            }
        )
        if "error" in answer:
            raise InputError(f"cannot write to {self.partial}: {answer['error']}.")
        entry = json.dumps({"block": block, "broken": answer["broken"]})
        with self.lock, writing(self.journal), self.journal.open("a", encoding="utf-8") as file:
            file.write(f"{entry}\n")
            self.broken.update(answer["broken"])
        return len(names)

    def _finish(self) -> None:
        """Leave out the broken images and give the array its name."""
        if len(self.broken) == self.shape[0]:
            raise InputError(f"not one of the files is an image: {_broken_text(self.broken)}")
        with writing(self.array.parent):
            write_json(_notes(self.array), {"broken": self.broken}, overwrite=True)
            with atomic_path(self.array) as temporary:
                if self.broken:
                    self._copy_good(temporary)
                else:
                    self.partial.replace(temporary)
            self.partial.unlink(missing_ok=True)
            self.journal.unlink(missing_ok=True)

    def _copy_good(self, target: Path) -> None:
        images = np.load(self.partial, mmap_mode="r", allow_pickle=False)
        good = [index for index, name in enumerate(self.source.names) if name not in self.broken]
        with target.open("wb") as file:
            file.write(_header((len(good), *self.shape[1:])))
            for start in range(0, len(good), BLOCK):
                file.write(images[good[start : start + BLOCK]].tobytes())
        del images  # so that the partial file can be removed on every system


def _header(shape: tuple[int, ...]) -> bytes:
    """How a .npy file of this shape and of unsigned bytes begins."""
    buffer = io.BytesIO()
    fields = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(buffer, fields)
    return buffer.getvalue()


def _notes(array: Path) -> Path:
    return array.with_suffix(".json")


def _load(array: Path, on_broken: OnBroken) -> Prepared:
    broken = read_json(_notes(array))["broken"]
    if broken:
        if on_broken == "refuse":
            raise InputError(_broken_text(broken))
        warnings.warn(f"left out: {_first_broken(broken)}.", UserWarning, stacklevel=4)
    try:
        images = np.load(array, mmap_mode="c", allow_pickle=False)
    except (ValueError, OSError) as error:
        raise InputError(
            f"{array} is damaged ({error}). Delete it; it is made again from the images."
        ) from None
    return Prepared(torch.from_numpy(images), broken)


def _broken_text(broken: dict[str, str]) -> str:
    return (
        f"{_first_broken(broken)}. Repair or remove it, or leave broken images out with "
        'on_broken="skip" (folder:PATH?on_broken=skip, load_folder, load_celeba).'
    )


def _first_broken(broken: dict[str, str]) -> str:
    name, reason = min(broken.items())
    others = f" (and {len(broken) - 1} more)" if len(broken) > 1 else ""
    return f"{name}{others} is broken: {reason}"
