"""Files that are written whole or not at all, their hashes and locks, and the embedded ones."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from .checks import InputError


@contextmanager
def atomic_path(target: str | os.PathLike[str], *, overwrite: bool = False) -> Iterator[Path]:
    """Yield a temporary path beside ``target`` that takes its name once the block succeeds.

    A reader sees the old file or the new one, never a part: the temporary file is flushed to
    disk and renamed. When the block raises (a full disk, an interrupt), nothing is left behind.

    Raises:
        FileExistsError: ``target`` exists and ``overwrite`` is False.
    """
    target = Path(target)
    if target.exists() and not overwrite:
        raise FileExistsError(f"{target} exists already; choose another name or allow overwriting.")
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(
        dir=target.parent, prefix=f".{target.stem}.", suffix=f".partial{target.suffix}"
    )
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_text(target: str | os.PathLike[str], text: str, *, overwrite: bool = False) -> None:
    """Write ``text`` as UTF-8, atomically.

    Raises:
        FileExistsError: as :func:`atomic_path`.
    """
    with atomic_path(target, overwrite=overwrite) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(target: str | os.PathLike[str], value: Any, *, overwrite: bool = False) -> None:
    """Write ``value`` as indented JSON, atomically.

    Raises:
        FileExistsError: as :func:`atomic_path`.
        ValueError: NaN or infinity in it, which JSON does not have.
    """
    write_text(target, json.dumps(value, indent=2, allow_nan=False) + "\n", overwrite=overwrite)


def read_json(path: str | os.PathLike[str]) -> Any:
    """Read a JSON file.

    Raises:
        InputError: the file is missing or is not JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path} does not exist.") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not valid JSON ({error}); it may be damaged.") from None


@contextmanager
def claimed(lock: Path) -> Iterator[bool]:
    """Whether this process holds the file ``lock`` in the block: False where another one does."""
    handle = FileLock(lock)
    with suppress(Timeout):
        handle.acquire(timeout=0)
    try:
        yield handle.is_locked
    finally:
        handle.release()


def user_cache() -> Path:
    """The library's folder for what can be made again: ~/.cache/svae, or svae in XDG_CACHE_HOME.

    It need not exist yet.

    Raises:
        InputError: the user has no home folder.
    """
    if named := os.environ.get("XDG_CACHE_HOME"):
        return Path(named).expanduser() / "svae"
    try:
        return Path.home() / ".cache" / "svae"
    except RuntimeError:
        raise InputError(
            "there is no home folder to keep files in: name a folder with XDG_CACHE_HOME."
        ) from None


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

    Raises:
        InputError: neither place holds it.
    """
    package = Path(__file__).parents[1]
    for place in (package / "_embedded", package.parent / "data", package.parent):
        if (place / name).exists():
            return place / name
    raise InputError(f"the embedded file {name} is missing: install svae_lib again.")
