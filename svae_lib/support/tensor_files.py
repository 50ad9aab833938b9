"""The course's file format: a safetensors file whose header says what the tensors are.

Written whole, read without pickle. The header is JSON: the format's version, what is in the file, a
SHA-256 of the tensors, so that damage is noticed, and what the caller adds.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from .._version import __version__
from .checks import InputError
from .files import atomic_path

FORMAT = 1


class DamagedFile(InputError):
    """A file that was cut short, changed, or never written by this library."""


def write_tensors(
    path: str | os.PathLike[str],
    what: str,
    tensors: dict[str, Tensor],
    header: dict[str, Any],
    *,
    overwrite: bool = False,
) -> None:
    """Write tensors, and a header of JSON-able facts, to a file that holds ``what``.

    Raises:
        InputError: the header holds what JSON does not, such as a tensor.
        FileExistsError: the file exists and ``overwrite`` is False.
        OSError: it cannot be written; nothing is left behind.
    """
    full = {"format": FORMAT, "what": what, "library": __version__, "sha256": digest(tensors)}
    text = _as_json(full | header)
    with atomic_path(path, overwrite=overwrite) as temporary:
        try:
            save_file(tensors, temporary, metadata={"svae_lib": text})
        except SafetensorError as error:  # a full disk, for one
            raise OSError(f"{path} could not be written ({error}); nothing was changed.") from None


def _as_json(header: dict[str, Any]) -> str:
    try:
        return json.dumps(header)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"a file's header must be text, numbers, lists and dictionaries ({error}): "
            "turn tensors and arrays into lists with tolist()."
        ) from None


def read_header(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The header alone, without reading the tensors.

    Raises:
        InputError: the file is missing, damaged or of another format.
    """
    if not Path(path).is_file():
        raise InputError(f"{path} does not exist or is no file.")
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {})["svae_lib"])
    except (SafetensorError, KeyError, json.JSONDecodeError) as error:
        raise DamagedFile(
            f"{path} is damaged or was not written by svae_lib ({error!r})."
        ) from None
    if not isinstance(header, dict):
        raise DamagedFile(f"{path} is damaged: its header is no dictionary.")
    if header.get("format") != FORMAT:
        raise InputError(
            f"{path} has format {header.get('format')}, this library reads {FORMAT}: "
            f"it was written by svae_lib {header.get('library')}."
        )
    if missing := [key for key in ("what", "sha256") if key not in header]:
        raise DamagedFile(f"{path} is damaged: its header lacks {' and '.join(missing)}.")
    return header


def read_tensors(
    path: str | os.PathLike[str], what: str
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and header of a file that holds ``what``.

    Raises:
        InputError: the file is missing, damaged, of another format, or holds something else.
    """
    header = read_header(path)
    if header["what"] != what:
        raise InputError(f"{path} holds a {header['what']}, not a {what}.")
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    if digest(tensors) != header["sha256"]:
        raise DamagedFile(f"{path} is damaged: its weights do not match their SHA-256.")
    return tensors, header


def digest(tensors: dict[str, Tensor]) -> str:
    """SHA-256 of tensors on the CPU, their names included: 64 hexadecimal digits."""
    sha = hashlib.sha256()
    for name in sorted(tensors):
        sha.update(name.encode())
        sha.update(tensors[name].contiguous().flatten().view(torch.uint8).numpy().data)
    return sha.hexdigest()


def storable(tensors: Mapping[str, Tensor], dtype: torch.dtype | None = None) -> dict[str, Tensor]:
    """A ``state_dict``, say, on the CPU and without gaps; floating point in ``dtype`` if given."""
    stored = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    if dtype is None:
        return stored
    return {
        # The running statistics stay exact: there are few, and their range may be large.
        name: x.to(dtype) if x.is_floating_point() and "running_" not in name else x
        for name, x in stored.items()
    }
