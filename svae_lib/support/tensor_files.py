"""The course's file format: a safetensors file whose header says what the tensors are.

A file is written whole or not at all, and read without pickle. Its header is JSON: the format's
version, what is in the file, a SHA-256 of the tensors (to detect damage), and the caller's facts.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from .._version import __version__
from .checks import InputError
from .files import atomic_path, convert, from_json, to_json

T = TypeVar("T")
FORMAT = 1
_FRAME = ("format", "what", "library", "sha256")  # of every file's header


class DamagedFile(InputError):
    """A file that was cut short, changed, or not written by this library."""


def write_tensors(
    path: str | os.PathLike[str],
    what: str,
    tensors: dict[str, Tensor],
    facts: dict[str, Any],
    *,
    overwrite: bool = False,
) -> None:
    """Write tensors and facts about them as a file that holds ``what``; see ``atomic_path``."""
    frame = dict(zip(_FRAME, (FORMAT, what, __version__, digest(tensors)), strict=True))
    header = {"svae_lib": to_json(frame | facts)}
    with atomic_path(path, overwrite=overwrite) as temporary:
        try:
            save_file(tensors, temporary, metadata=header)
        except SafetensorError as error:  # a full disk, for one
            raise OSError(f"{path} could not be written ({error}); nothing was changed.") from None


def read_header(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The header alone, without reading the tensors."""
    if not Path(path).is_file():
        raise InputError(f"{path} does not exist or is not a file.")
    with _noticing_damage(path), safe_open(path, framework="pt") as file:
        text = (file.metadata() or {})["svae_lib"]
        header: dict[str, Any] = from_json(text, dict[str, Any], path)
        number, _, library, _ = (header[key] for key in _FRAME)
    if number != FORMAT:
        raise InputError(
            f"{path} has format {number}, this library reads {FORMAT}: "
            f"it was written by svae_lib {library}."
        )
    return header


def read_tensors(
    path: str | os.PathLike[str], what: str, wanted: type[T]
) -> tuple[dict[str, Tensor], T]:
    """The tensors in a file that holds ``what``, and its facts as the type ``wanted``."""
    header = read_header(path)
    if header["what"] != what:
        raise InputError(f"{path} holds a {header['what']}, not a {what}.")
    with _noticing_damage(path), safe_open(path, framework="pt") as file:
        facts = {key: value for key, value in header.items() if key not in _FRAME}
        typed = convert(facts, wanted, path)
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    if digest(tensors) != header["sha256"]:
        raise DamagedFile(f"{path} is damaged: its weights do not match their SHA-256.")
    return tensors, typed


@contextmanager
def _noticing_damage(path: str | os.PathLike[str]) -> Iterator[None]:
    try:
        yield
    except InputError as error:
        raise DamagedFile(str(error)) from None
    except (SafetensorError, KeyError, RuntimeError) as error:
        raise DamagedFile(f"{path} is damaged or was not written by svae_lib ({error}).") from None


def check_fit(
    path: str | os.PathLike[str], tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor]
) -> None:
    """Raise :class:`DamagedFile` unless names and shapes of the tensors are as expected."""
    for name in sorted(tensors.keys() | expected.keys()):
        there, here = (
            tuple(some[name].shape) if name in some else "missing" for some in (tensors, expected)
        )
        if there != here:
            raise DamagedFile(f"{path} does not fit: {name} is {there} there and {here} here.")


def digest(tensors: dict[str, Tensor]) -> str:
    """SHA-256 of tensors on the CPU, their names included: 64 hexadecimal digits."""
    sha = hashlib.sha256()
    for name in sorted(tensors):
        sha.update(name.encode())
        sha.update(tensors[name].contiguous().flatten().view(torch.uint8).numpy().data)
    return sha.hexdigest()


def storable(tensors: Mapping[str, Tensor], dtype: torch.dtype | None = None) -> dict[str, Tensor]:
    """Tensors, such as a ``state_dict``, contiguous on the CPU; floats in ``dtype`` if given.

    Running statistics stay exact: there are few, and their range may be large.
    """
    stored = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    if dtype is not None:
        for name, tensor in stored.items():
            if tensor.is_floating_point() and "running_" not in name:
                stored[name] = tensor.to(dtype)
    return stored
