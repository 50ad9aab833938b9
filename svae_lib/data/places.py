"""Where files are looked for, and where downloads and prepared copies go."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

from filelock import FileLock

from ..support.checks import InputError
from ..support.files import expand, user_cache

VARIABLE = "SVAE_DATA"


def own_folder(root: str | os.PathLike[str] | None) -> Path | None:
    """The folder that the user named: ``root``, else the variable SVAE_DATA, else None."""
    named = root if root is not None else os.environ.get(VARIABLE) or None
    if named is None:
        return None
    folder = expand(named)
    if not folder.is_dir():
        origin = "root" if root is not None else VARIABLE
        raise InputError(f"{origin} names {folder}, which is not a folder.")
    return folder


def own_file(
    root: str | os.PathLike[str] | None, places: Iterable[str], missing: str
) -> Path | None:
    """The first of ``places`` that is in the user's folder; None if it must be downloaded.

    An InputError ends with ``missing`` where ``root`` is given and holds none of them.
    """
    own = own_folder(root)
    for place in places if own else ():
        if (own / place).is_file():
            return own / place
    if root is None:
        return None
    raise InputError(f"{own} does not hold {missing}")


def cache_folder(kind: str) -> Path:
    """Folder for "downloads" or "prepared" data: in a checkout's data/, or else in the cache.

    It need not exist yet.
    """
    checkout = Path(__file__).resolve().parents[2]
    if (checkout / "pyproject.toml").exists() and os.access(checkout / "data", os.W_OK):
        return checkout / "data" / kind
    return user_cache() / kind


def make_once(target: Path, make: Callable[[], None]) -> None:
    """Call ``make`` for a file, unless it is there; meanwhile, other processes wait for it.

    A hidden lock file stays beside the file. An InputError says where the disk is full or cannot
    be written.
    """
    if target.exists():
        return
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(target.with_name(f".{target.name}.lock")):
            if not target.exists():
                make()
    except OSError as error:
        raise InputError(
            f"cannot write to {target.parent}: {error.strerror or error}. Free some space there or "
            "make it writable; where there is no checkout, XDG_CACHE_HOME names another folder."
        ) from error
