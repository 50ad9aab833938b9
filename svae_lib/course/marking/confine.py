"""Limits for a process that runs handed-in code; imports only Python's own modules.

:func:`confine` is called before anything else is imported: Linux restricts the calling thread and
what it starts later, so no thread may have started before.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from pathlib import Path

_CREATE, _ADD_RULE, _RESTRICT = 444, 445, 446  # the same on every architecture
_VERSION_FLAG = 1
_NO_NEW_PRIVILEGES = 38
_EXECUTE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 2, 1 << 3
_WRITE_FILE, _IOCTL = 1 << 1, 1 << 15
_ON_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | 1 << 14 | _IOCTL
"""Rights that a single file can have; the others are a folder's."""
_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15}
"""How many file rights each version of Landlock knows; from version 5 on, 16."""
_DEVICES = ("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom", "/dev/tty")
_SYSTEM = ("/usr", "/lib", "/lib32", "/lib64", "/bin", "/etc", "/proc", "/sys", "/opt", "/nix")
FILE_BYTES = 256 * 2**20
"""Largest file that handed-in code may write."""


def confine(folder: str, readable: list[str], memory: int) -> None:
    """Limit this process for good: memory, size of files, and on Linux which files it can reach.

    Args:
        folder: the only one in which it may write.
        readable: files and folders that it may read, besides the system's.
        memory: bytes that its own data may take.
    """
    if sys.platform == "win32":
        return
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_BYTES, FILE_BYTES))
    if sys.platform == "linux":  # elsewhere the kernel does not enforce it
        resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
        _landlock(folder, readable)


def landlock_version() -> int:
    """Version of the kernel's Landlock; 0 where there is none."""
    if sys.platform != "linux":
        return 0
    return max(0, int(_libc().syscall(_CREATE, None, 0, _VERSION_FLAG)))


def _landlock(folder: str, readable: list[str]) -> None:
    """Allow only reading, and writing in one folder; forbid TCP and signals where Landlock can.

    See "Landlock: unprivileged access control" in Linux's documentation.
    """
    version = landlock_version()
    if not version:
        return
    libc, handled = _libc(), (1 << _RIGHTS.get(version, 16)) - 1
    tcp, scoped = (3 if version >= 4 else 0), (3 if version >= 6 else 0)
    attributes = struct.pack("QQQ", handled, tcp, scoped)
    size = 8 if version < 4 else 16 if version < 6 else 24
    rules = libc.syscall(_CREATE, attributes, size, 0)
    if rules < 0:
        raise OSError(ctypes.get_errno(), "Landlock makes no rules")
    reading = _EXECUTE | _READ_FILE | _READ_DIR
    allowed = [(folder, handled), *((path, reading) for path in (*_SYSTEM, *readable))]
    allowed += [(device, _READ_FILE | _WRITE_FILE | _IOCTL) for device in _DEVICES]
    for path, rights in allowed:
        if not Path(path).exists():
            continue
        if not Path(path).is_dir():
            rights &= _ON_FILES
        opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
        rule = struct.pack("=Qi", rights & handled, opened)
        if libc.syscall(_ADD_RULE, rules, 1, rule, 0):
            raise OSError(ctypes.get_errno(), f"Landlock takes no rule for {path}")
        os.close(opened)
    libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    if libc.syscall(_RESTRICT, rules, 0):
        raise OSError(ctypes.get_errno(), "Landlock does not restrict this process")
    os.close(rules)


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
