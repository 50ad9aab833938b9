"""Where files are looked for, and where downloads and prepared copies go."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

from ..support.checks import InputError
from ..support.files import expand, user_cache

VARIABLE = "SVAE_DATA"
SHARED = Path("/usr/share/datasets")  # where Debian's packages put data sets


def own_folder(root: str | os.PathLike[str] | None) -> Path | None:
    """The folder of data that is there: ``root``, else what SVAE_DATA names, else the system's."""
    named = (os.environ.get(VARIABLE) or None) if root is None else root
    folder = expand(SHARED if named is None else named)
    if folder.is_dir():
        return folder
    if named:
        origin = VARIABLE if root is None else "root"
        raise InputError(f"{origin} names {folder}, which is not a folder.")
    return None


def cache_folder(kind: str) -> Path:
    """Folder for "downloads" or "prepared" data: in a checkout's data/, or else in the cache."""
    checkout = Path(__file__).resolve().parents[2]
    if (checkout / "pyproject.toml").exists() and os.access(checkout / "data", os.W_OK):
        return checkout / "data" / kind
    return user_cache() / kind


def make_once(target: Path, make: Callable[[], None]) -> None:
    """Call ``make`` for a file, unless it is there; meanwhile, other processes wait for it.

    A hidden lock file stays beside the file; what a killed process left there is removed. An
    InputError says where the disk is full or cannot be written.
    """
    if target.exists():
        return
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(target.with_name(f".{target.name}.lock")):
            if not target.exists():
                for leftover in target.parent.glob(f".{target.stem[:40]}.*partial*"):
                    leftover.unlink()  # of a process that was killed
                make()
    except OSError as error:
        raise InputError(
            f"cannot write to {target.parent}: {error.strerror or error}. Free some space there or "
            "make it writable; where there is no checkout, XDG_CACHE_HOME names another folder."
        ) from error
