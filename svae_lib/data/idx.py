"""The IDX format of MNIST and its relatives: a header of sizes, then the bytes."""

from __future__ import annotations

import gzip
import hashlib
import math
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..support.checks import InputError

LIMIT = 1 << 28  # bytes; MNIST's largest file has 47 million


def read_idx(path: Path, sha256: str) -> npt.NDArray[np.uint8]:
    """Read a file of unsigned bytes, plain or gzip.

    Args:
        path: the file.
        sha256: expected hash of the *unpacked* content, which does not depend on how, or
            whether, the file was packed.

    Returns:
        uint8 array of the shape that the header gives.

    Raises:
        InputError: damaged, cut short, or another file than expected.
    """
    content = _unpacked(path)
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise InputError(
            f"{path} is damaged or belongs to another data set: the SHA-256 of its unpacked "
            f"content is {found}, expected {sha256}."
        )
    if len(content) < 4 or content[:3] != b"\0\0\x08":
        raise InputError(f"{path} is no IDX file of unsigned bytes.")
    dimensions = content[3]
    start = 4 + 4 * dimensions
    shape = tuple(int(length) for length in np.frombuffer(content[4:start], ">u4"))
    if len(shape) != dimensions or len(content) - start != math.prod(shape):
        raise InputError(f"{path} is cut short: it should hold {math.prod(shape)} values.")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def _unpacked(path: Path) -> bytes:
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    try:
        with gzip.open(path) if packed else path.open("rb") as file:
            content = file.read(LIMIT + 1)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InputError(f"{path} is damaged: it cannot be unpacked ({error}).") from None
    if len(content) > LIMIT:
        raise InputError(f"{path} holds more than {LIMIT} bytes, so it cannot be MNIST's.")
    return bytes(content)
