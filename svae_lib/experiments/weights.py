"""Weights alone, for networks that are built by hand: the file does not say how to build them.

The library's own models have :mod:`svae_lib.experiments.checkpoints`, whose files rebuild them.
"""

from __future__ import annotations

import os
from typing import Any

import torch
from torch import nn

from ..support.checks import InputError
from ..support.files import embedded
from ..support.tensor_files import read_tensors, storable, write_tensors


def save_weights(
    path: str | os.PathLike[str],
    network: nn.Module,
    *,
    about: dict[str, Any] | None = None,
    dtype: torch.dtype | None = None,
    overwrite: bool = False,
) -> None:
    """Write the weights of any network; the file does not say how to build it.

    Args:
        path: file to write, ``.safetensors`` by custom.
        network: its ``state_dict`` is written.
        about: JSON-able facts to keep in the header.
        dtype: store floating-point weights in this type, such as ``torch.float16``.
        overwrite: replace an existing file.

    Raises:
        FileExistsError: the file exists and ``overwrite`` is False.
        OSError: it cannot be written; nothing is left behind.
    """
    facts = {"about": about or {}}
    write_tensors(
        path, "set of weights", storable(network.state_dict(), dtype), facts, overwrite=overwrite
    )


def load_weights(network: nn.Module, path: str | os.PathLike[str]) -> None:
    """Fill a network that is built as the saved one was, and put it in evaluation mode.

    Raises:
        InputError: the file is missing, damaged, of another format, or of another network.
    """
    tensors, _ = read_tensors(path, "set of weights")
    here = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    there = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    names = sorted(here.keys() | there.keys())
    if different := [name for name in names if here.get(name) != there.get(name)]:
        raise InputError(
            f"{path} holds the weights of another network: {different[0]} is "
            f"{there.get(different[0], 'missing')} there and {here.get(different[0], 'missing')} "
            "here. Build the network as the saved one was, or train it."
        )
    network.load_state_dict(tensors)
    network.eval()


def load_trained_weights(network: nn.Module, name: str) -> None:
    """Fill a network that a notebook builds by hand with weights that come with the course.

    Args:
        network: built as in the notebook.
        name: such as "01-autoencoder": the notebook, and what the network is.

    Raises:
        InputError: the course has no such weights, or they are of another network.
    """
    folder = embedded("trained") / "by_hand"
    path = folder / f"{name}.safetensors"
    if not path.exists():
        there = ", ".join(sorted(p.stem for p in folder.glob("*.safetensors")))
        raise InputError(f"the course has no weights {name}; it has {there or 'none'}.")
    load_weights(network, path)
