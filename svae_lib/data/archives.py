"""Archives are read in place and never unpacked to disk; strange ones are refused."""

from __future__ import annotations

import tarfile
import zlib
from pathlib import Path, PurePosixPath, PureWindowsPath

from ..support.checks import InputError


def read_members(path: Path, names: set[str], largest: int) -> dict[str, bytes]:
    """Contents of the plain files of these names (whatever their folder) in a tar archive.

    Args:
        path: the archive, compressed or not.
        names: which files.
        largest: bytes that none of them may exceed.

    Raises:
        InputError: the archive is damaged, or a member has an absolute or climbing path.
    """
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(path, "r:*") as archive:
            for member in archive:
                refuse_unsafe_path(member.name, path)
                name = PurePosixPath(member.name).name
                if name not in names or not member.isfile():
                    continue
                if member.size > largest:
                    raise InputError(f"{path}: {member.name} has more than {largest} bytes.")
                content = archive.extractfile(member)
                if content is not None:
                    found[name] = content.read()
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise InputError(f"{path} is damaged: it cannot be read as an archive ({error}).") from None
    return found


def refuse_unsafe_path(name: str, archive: Path) -> None:
    """Raise InputError if a member of an archive names a place outside of it."""
    parts = PurePosixPath(name.replace("\\", "/")).parts
    if name.startswith(("/", "\\")) or PureWindowsPath(name).drive or ".." in parts:
        raise InputError(
            f"{archive} is refused: its member {name!r} points outside the archive, which "
            "genuine data never do."
        )
