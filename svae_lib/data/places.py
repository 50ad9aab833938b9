"""Where files are looked for, and where downloads and prepared copies go."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

from ..support.checks import InputError
from ..support.files import expand, user_cache

VARIABLE = "SVAE_DATA"


def own_folder(root: str | os.PathLike[str] | None) -> Path | None:
    """The folder that the user named: ``root``, else the variable SVAE_DATA, else None.

    Raises:
        InputError: it does not exist.
    """
    named = root if root is not None else os.environ.get(VARIABLE) or None
    if named is None:
        return None
    folder = expand(named)
    if not folder.is_dir():
        origin = "root" if root is not None else VARIABLE
        raise InputError(f"{origin} names {folder}, which is not a folder.")
    return folder


def cache_folder(kind: str) -> Path:
    """Folder for "downloads" or "prepared" data: in a checkout's data/, or else in the cache.

    It need not exist yet.
    """
    checkout = Path(__file__).resolve().parents[2]
    if (checkout / "pyproject.toml").exists() and os.access(checkout / "data", os.W_OK):
        return checkout / "data" / kind
    return user_cache() / kind


@contextmanager
def writing(place: Path) -> Iterator[None]:
    """Turn a disk error (full, not writable) into an InputError that names the place."""
    try:
        yield
    except OSError as error:
        raise InputError(
            f"cannot write to {place}: {error.strerror or error}. Free some space there or make "
            "it writable; XDG_CACHE_HOME (where there is no checkout) or TMPDIR names another "
            "folder."
        ) from error


@contextmanager
def one_at_a_time(target: Path) -> Iterator[None]:
    """Context in which one process or thread makes the file ``target`` while the others wait.

    Inside it, check again whether the file is there by now. Its folder is made if need be, and a
    hidden lock file stays beside ``target``.

    Raises:
        InputError: the folder cannot be written.
    """
    with writing(target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
        held = FileLock(target.with_name(f".{target.name}.lock")).acquire()
    with held:
        yield
