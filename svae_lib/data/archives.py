"""Members of archives that name a place outside of them are refused."""

from __future__ import annotations

from pathlib import Path, PurePosixPath, PureWindowsPath

from ..support.checks import InputError


def refuse_unsafe_path(name: str, archive: Path) -> None:
    """Raise InputError if a member of an archive names a place outside of it."""
    parts = PurePosixPath(name.replace("\\", "/")).parts
    if name.startswith(("/", "\\")) or PureWindowsPath(name).drive or ".." in parts:
        raise InputError(
            f"{archive} is refused: its member {name!r} points outside the archive, which "
            "genuine data never do."
        )
