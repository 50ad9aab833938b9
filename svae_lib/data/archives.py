"""Refuse archives whose members name a place outside the archive."""

from __future__ import annotations

from pathlib import Path, PurePosixPath, PureWindowsPath

from ..support.checks import InputError


def refuse_unsafe_path(name: str, archive: Path) -> None:
    """Raise InputError if the name of an archive's member points outside the archive."""
    parts = PurePosixPath(name.replace("\\", "/")).parts
    if name.startswith(("/", "\\")) or PureWindowsPath(name).drive or ".." in parts:
        raise InputError(
            f"{archive} is refused: its member {name!r} points outside the archive, which "
            "genuine data never do."
        )
