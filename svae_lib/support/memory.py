"""Memory that glibc keeps for the next step, instead of returning it to the system: mallopt(3).

Training and scoring need tensors of the same sizes in every step. The system would hand out their
memory page by page again, each filled with zeros.
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
    """Context in which the process keeps the memory that it frees; the last to end returns it.

    Peak memory may be somewhat higher (measured in docs/speed.md). Does nothing without glibc.
    """
    global _users
    with _lock:
        _users += 1
        if _users == 1:
            _set(_KEEP)
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if _users == 0:
                _set(_USUAL)


def _set(options: dict[int, int]) -> None:
    if libc := _glibc():
        for option, value in options.items():
            libc.mallopt(option, value)
        if options is _USUAL:
            libc.malloc_trim(0)


@cache
def _glibc() -> ctypes.CDLL | None:
    """The C library of this process, if it is glibc."""
    return ctypes.CDLL(None) if platform.libc_ver()[0] == "glibc" else None
