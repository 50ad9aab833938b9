"""Files written whole or not at all, JSON and the dataclasses it came from, hashes and locks."""

from __future__ import annotations

import hashlib
import json
import math
import os
import secrets
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import platformdirs
from filelock import FileLock, Timeout

from .checks import InputError

T = TypeVar("T")
# JSON lacks these numbers. pydantic stores them under the same names (ser_json_inf_nan="strings").
_NOT_FINITE = {"Infinity": math.inf, "-Infinity": -math.inf, "NaN": math.nan}


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
        temporary.touch()
        granted = temporary.stat().st_mode
        yield temporary
        temporary.chmod(granted)  # safetensors lets nobody but the owner read its files
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
    """Read a JSON file as a value of the type ``wanted``: :func:`convert`.

    An :class:`InputError` says if it is missing, is not JSON, or does not fit the type.
    """
    if not Path(path).exists():
        raise InputError(f"{path} does not exist.")
    return from_json(Path(path).read_bytes(), wanted, path)


def to_json(value: Any, indent: int | None = None) -> str:
    """JSON of dictionaries, lists, text and numbers; infinity and NaN become strings."""

    def named(x: Any) -> Any:
        return json.dumps(float(x)) if isinstance(x, float) and not math.isfinite(x) else x

    try:
        return json.dumps(_each(value, named), indent=indent)
    except TypeError as error:
        raise InputError(
            f"facts must be text, numbers, lists and dictionaries ({error}): "
            "turn tensors and arrays into lists with tolist()."
        ) from None


def from_json(text: str | bytes, wanted: Any, source: str | os.PathLike[str]) -> Any:
    """What :func:`to_json` wrote, as the type ``wanted``: see :func:`convert`."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{source} is not valid JSON ({error}); it may be damaged.") from None
    numbered = _each(value, lambda x: _NOT_FINITE.get(x, x) if isinstance(x, str) else x)
    return convert(numbered, wanted, source)


def convert(value: Any, wanted: type[T], source: str | os.PathLike[str]) -> T:
    """A value of the type ``wanted``, made of dictionaries, lists, text and numbers.

    Types must match: True is not a number and 3.0 not an integer, but an integer may stand for a
    float. A dataclass's own checks run too. A wrong, missing or surplus field raises an
    :class:`InputError` that names the file ``source`` and the field.
    """
    try:
        found = msgspec.convert(value, wanted, strict=True)
    except msgspec.ValidationError as error:
        reason, _, place = str(error).partition(" - at `$")
        field = place.strip("`.").replace("[...]", "") or "its content"
        raise InputError(f"{source} does not fit this version: {field}: {reason}") from None
    if surplus := _surplus(value, msgspec.to_builtins(found)):
        raise InputError(f"{source} does not fit this version: it has no field {surplus}.")
    return found


def _each(value: Any, change: Callable[[Any], Any]) -> Any:
    """The same dictionaries and lists with everything else in them changed."""
    if isinstance(value, dict):
        return {key: _each(item, change) for key, item in value.items()}
    return [_each(x, change) for x in value] if isinstance(value, list | tuple) else change(value)


def _surplus(given: Any, known: Any) -> str | None:
    """The first field that was given but is not known, with its place: "model.size"."""
    if isinstance(given, list) and isinstance(known, list):
        return next(filter(None, map(_surplus, given, known)), None)
    if isinstance(given, dict) and isinstance(known, dict):
        for key, value in given.items():
            if key not in known:
                return str(key)
            if inner := _surplus(value, known[key]):
                return f"{key}.{inner}"
    return None


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
