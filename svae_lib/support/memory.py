"""Memory that the C library keeps for the next step, instead of returning it to the system.

glibc returns large freed blocks to the system at once. The next step asks for as many again, and
the system hands them out page by page, each filled with zeros. Training and scoring need tensors of
the same sizes in every step, so freed memory is kept until they end: see mallopt(3). Other C
libraries are left alone.
"""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from threading import Lock

# Parameters of mallopt, and their values afterwards: where glibc's own adaptation ends up.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4
_KEEP = {_TRIM_THRESHOLD: -1, _MMAP_MAX: 0}
_USUAL = {_TRIM_THRESHOLD: 64 << 20, _MMAP_THRESHOLD: 32 << 20, _MMAP_MAX: 1 << 16}

_lock = Lock()
_users = 0


@contextmanager
def kept_memory() -> Iterator[None]:
    """Context in which the process keeps the memory that it frees, and returns it at the end.

    Peak memory may be somewhat higher than without it (docs/speed.md has measurements). Contexts
    may be nested, and may overlap between threads: the last to end returns the memory.
    """
    global _users
    libc = _glibc()
    if libc is None:
        yield
        return
    with _lock:
        _users += 1
        if _users == 1:
            _set(libc, _KEEP)
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if _users == 0:
                _set(libc, _USUAL)
                libc.malloc_trim(0)


def _set(libc: ctypes.CDLL, options: dict[int, int]) -> None:
    for option, value in options.items():
        libc.mallopt(option, value)


@cache
def _glibc() -> ctypes.CDLL | None:
    """The C library of this process, if it is glibc."""
    return ctypes.CDLL(None) if platform.libc_ver()[0] == "glibc" else None
