"""Files that are written whole or not at all, hashes, locks, and the files that come along."""

from __future__ import annotations

import hashlib
import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import platformdirs
from filelock import FileLock, Timeout

from .checks import InputError
from .records import from_json, to_json


def expand(path: str | os.PathLike[str]) -> Path:
    """The path, with ~ and ~user replaced by home folders."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise InputError(f"{path} names a home folder that does not exist.") from None


@contextmanager
def atomic_path(target: str | os.PathLike[str], *, overwrite: bool = False) -> Iterator[Path]:
    """Yield a temporary path beside ``target`` that takes its name once the block succeeds.

    A reader sees the old file or the new one, never a part. When the block raises (a full disk,
    an interrupt), nothing is left behind. A target that cannot be written is refused before the
    block runs, and, without ``overwrite``, one that appears meanwhile afterwards.
    """
    target = expand(target)
    check_writable(target, overwrite=overwrite)
    target.parent.mkdir(parents=True, exist_ok=True)
    name = f".{target.stem[:40]}.{secrets.token_hex(4)}.partial{target.suffix}"
    temporary = target.with_name(name)
    try:
        yield temporary
        with temporary.open("r+b") as file:  # Windows flushes writable handles only
            os.fsync(file.fileno())
        check_writable(target, overwrite=overwrite)  # it may have appeared in the meantime
        temporary.replace(target)
    finally:
        with suppress(OSError):  # the error that is already being raised says more
            temporary.unlink()


def check_writable(target: str | os.PathLike[str], *, overwrite: bool = False) -> None:
    """Raise OSError, before any work is done, if a file cannot be written; leave nothing behind."""
    target = expand(target)
    if target.is_dir():
        raise IsADirectoryError(f"{target} is a folder, not a file.")
    if target.exists() and not overwrite:
        raise FileExistsError(f"{target} exists already; choose another name or allow overwriting.")
    folder = next(folder for folder in target.parents if folder.exists())
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(target)) from None


def write_text(target: str | os.PathLike[str], text: str, *, overwrite: bool = False) -> None:
    """Write ``text`` as UTF-8, atomically: :func:`atomic_path`."""
    with atomic_path(target, overwrite=overwrite) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(target: str | os.PathLike[str], value: Any, *, overwrite: bool = False) -> None:
    """Write ``value`` as indented JSON, atomically; infinity and NaN are kept, as strings."""
    write_text(target, to_json(value, indent=2) + "\n", overwrite=overwrite)


def read_json(path: str | os.PathLike[str], wanted: Any = Any) -> Any:
    """Read a JSON file as a value of the type ``wanted``: :func:`svae_lib.support.records.convert`.

    An :class:`InputError` says if it is missing, is not JSON, or does not fit the type.
    """
    if not Path(path).exists():
        raise InputError(f"{path} does not exist.")
    return from_json(Path(path).read_bytes(), wanted, path)


@contextmanager
def claimed(lock: Path) -> Iterator[bool]:
    """Hold the lock file ``lock`` in the block; yields False where another process holds it."""
    try:
        held = FileLock(lock).acquire(timeout=0)
    except Timeout:
        yield False
        return
    with held:
        yield True


def user_cache() -> Path:
    """The library's folder among the system's caches, on Linux ~/.cache/svae.

    The variable XDG_CACHE_HOME moves it, on every system. The folder need not exist yet.
    """
    if named := os.environ.get("XDG_CACHE_HOME"):
        return expand(named) / "svae"
    return platformdirs.user_cache_path("svae", appauthor=False)


def file_hash(path: str | os.PathLike[str], algorithm: str = "sha256") -> str:
    """Hash of a file's bytes in hexadecimal; ``algorithm`` is "md5" or "sha256"."""
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with Path(path).open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def embedded(name: str) -> Path:
    """Path of a file that comes with the course, such as ``"mnist-5k.npz"``."""
    package = Path(__file__).parents[1]
    # A wheel has it inside the package; a checkout in data/, and recorded tables in results/.
    for place in (package / "_embedded", package.parent / "data", package.parent):
        if (place / name).exists():
            return place / name
    raise InputError(f"the embedded file {name} is missing: install svae_lib again.")
