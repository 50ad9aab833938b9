"""Files that are written whole or not at all, hashes, locks, and the files that come along."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import platformdirs
from filelock import FileLock, Timeout

from .checks import InputError
from .records import from_json, to_json

_LOST = (errno.EIO, errno.ENOSPC, errno.EDQUOT)  # errors of a flush after which data are lost


def expand(path: str | os.PathLike[str]) -> Path:
    """The path, with ~ and ~user replaced by home folders."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise InputError(f"{path} names a home folder that does not exist.") from None


@contextmanager
def atomic_path(target: str | os.PathLike[str], *, overwrite: bool = False) -> Iterator[Path]:
    """Yield a temporary path beside ``target`` that takes its name once the block succeeds.

    A reader sees the old file or the new one, never a part: the temporary file is flushed to
    disk and renamed. When the block raises (a full disk, an interrupt), nothing is left behind.
    A target that cannot be written is refused before the block runs, if that is known by then.
    Without ``overwrite``, FileExistsError is raised even if the file appeared while the block ran.
    """
    target = expand(target)
    _check_free(target, overwrite)
    target.parent.mkdir(parents=True, exist_ok=True)
    name = f".{target.stem[:40]}.{secrets.token_hex(4)}.partial{target.suffix}"
    temporary = target.with_name(name)
    try:
        temporary.open("xb").close()  # with the permissions that new files have here
        yield temporary
        flush(temporary)
        if overwrite:
            temporary.replace(target)
        else:
            _publish(temporary, target)
    except OSError as error:
        if str(error.filename) == str(temporary):
            error.filename = str(target)  # the name that the user knows
        raise
    finally:
        with suppress(OSError):  # the error that is already being raised says more
            temporary.unlink()


def _check_free(target: Path, overwrite: bool) -> None:
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, "This is a folder, not a file", str(target))
    if target.exists() and not overwrite:
        raise FileExistsError(f"{target} exists already; choose another name or allow overwriting.")


def check_writable(target: str | os.PathLike[str], *, overwrite: bool = False) -> None:
    """Raise OSError, before any work is done, if a file cannot be written; leave nothing behind."""
    target = expand(target)
    _check_free(target, overwrite)
    folder = next(folder for folder in target.parents if folder.exists())
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(target)) from None


def _publish(temporary: Path, target: Path) -> None:
    """Give a file its name, unless another process has taken that in the meantime."""
    try:
        try:
            os.link(temporary, target)
        except FileExistsError:
            raise
        except OSError:  # a file system without hard links
            target.open("xb").close()
            temporary.replace(target)
    except FileExistsError:
        raise FileExistsError(
            f"{target} exists by now: another process has written it in the meantime."
        ) from None


def flush(path: Path) -> None:
    """Flush a file to disk, if the file system can."""
    with path.open("r+b") as file:  # Windows flushes writable handles only
        try:
            os.fsync(file.fileno())
        except OSError as error:
            if error.errno in _LOST:
                raise


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
    try:
        content = Path(path).read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path} does not exist.") from None
    return from_json(content, wanted, path)


@contextmanager
def claimed(lock: Path) -> Iterator[bool]:
    """Hold the lock file ``lock`` in the block; yields False where another process holds it.

    On a file system without locks it yields True, with a warning.
    """
    handle = FileLock(lock)
    mine = True
    try:
        handle.acquire(timeout=0)
    except Timeout:
        mine = False
    except (NotImplementedError, OSError) as error:
        if isinstance(error, OSError) and error.errno not in _NO_LOCKS:
            raise
        warnings.warn(
            f"the disk of {lock.parent} has no file locks ({error}): make sure that no other "
            "process writes there.",
            stacklevel=3,
        )
    try:
        yield mine
    finally:
        handle.release()


_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL)


def is_leftover(path: Path) -> bool:
    """Whether a file is a lock, or was left half written by a process that was killed."""
    unfinished = path.name.startswith(".") and ".partial" in path.name
    return unfinished or path.name.startswith(".lock") or path.suffix == ".lock"


def user_cache() -> Path:
    """The library's folder among the system's caches, on Linux ~/.cache/svae.

    The variable XDG_CACHE_HOME moves it, on every system. The folder need not exist yet.
    """
    if named := os.environ.get("XDG_CACHE_HOME"):
        return expand(named) / "svae"
    with suppress(RuntimeError):  # no home folder; older releases then return "~/.cache"
        found = platformdirs.user_cache_path("svae", appauthor=False)
        if found.is_absolute():
            return found
    raise InputError("there is no home folder to keep files in: name a folder with XDG_CACHE_HOME.")


def file_hash(path: str | os.PathLike[str], algorithm: str) -> str:
    """Hash of a file's bytes in hexadecimal; ``algorithm`` is "md5" or "sha256"."""
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with Path(path).open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def sha256(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file's bytes, as 64 hexadecimal digits."""
    return file_hash(path, "sha256")


def embedded(name: str) -> Path:
    """Path of a file that comes with the course, such as ``"mnist-5k.npz"``.

    A wheel carries it inside the package; a checkout (editable install) has it in ``data/``, and
    recorded tables in ``results/``.
    """
    package = Path(__file__).parents[1]
    for place in (package / "_embedded", package.parent / "data", package.parent):
        if (place / name).exists():
            return place / name
    raise InputError(f"the embedded file {name} is missing: install svae_lib again.")
