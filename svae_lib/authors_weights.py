"""Reading the weights that the Split VAE's authors publish: Keras' HDF5 files.

Keras numbers its layers in the order of their creation, from wherever the counter stood
(``conv2d_23`` may be the first). Sorted by kind and number, they line up with this library's
modules, which are created in the same order.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import h5py
import numpy as np
import torch
from torch import Tensor, nn

from .models import SplitVAE
from .support.checks import InputError

_KINDS: dict[str, type[nn.Module] | tuple[type[nn.Module], ...]] = {
    "conv2d": nn.Conv2d,
    "conv2d_transpose": nn.ConvTranspose2d,
    "dense": nn.Linear,
    "batch_normalization": (nn.BatchNorm1d, nn.BatchNorm2d),
}
_LAYER = re.compile(r"(conv2d_transpose|conv2d|dense|batch_normalization)(?:_(\d+))?")


def load_keras_weights(model: SplitVAE, path: str | os.PathLike[str]) -> None:
    """Fill ``model`` in place with the weights of the authors' Keras model.

    Args:
        model: a SplitVAE of the same configuration as the file's model, with two components.
        path: file written by the ``save_weights("....hdf5")`` of Keras 2 (TensorFlow to 2.15).

    Raises:
        InputError: the file is not such a file, or does not fit; the message names the first
            layer that differs, and the model is left as it was.
    """
    layers = _read_layers(Path(path))
    new_state: list[tuple[Tensor, Tensor]] = []
    for kind, types in _KINDS.items():
        modules = [(n, m) for n, m in model.named_modules() if isinstance(m, types)]
        found = layers.get(kind, [])
        for (name, module), (keras_name, arrays) in zip(modules, found, strict=False):
            for target, array in _converted(module, arrays, name, keras_name):
                if target.shape != array.shape:
                    raise InputError(
                        f"{path} does not fit this model: layer {keras_name} holds "
                        f"{tuple(array.shape)} where {name} needs {tuple(target.shape)}."
                    )
                new_state.append((target, array))
        if len(modules) != len(found):
            first = (
                f"{modules[len(found)][0]} has no counterpart"
                if len(modules) > len(found)
                else f"layer {found[len(modules)][0]} is one too many"
            )
            raise InputError(
                f"{path} does not fit this model: it has {len(found)} layers of kind {kind} "
                f"where the model has {len(modules)}; {first}."
            )
    with torch.no_grad():
        for target, array in new_state:
            target.copy_(array)


_Layers = dict[str, list[tuple[str, dict[str, np.ndarray]]]]


def _read_layers(path: Path) -> _Layers:
    """All layers with weights, by kind, in the order of their numbers."""
    numbered: dict[str, dict[int, tuple[str, dict[str, np.ndarray]]]] = {}

    def visit(name: str, item: h5py.Dataset | h5py.Group) -> None:
        parts = name.split("/")
        match = _LAYER.fullmatch(parts[-2]) if len(parts) > 1 else None
        if isinstance(item, h5py.Dataset) and match:
            kind, number = match.group(1), int(match.group(2) or 0)
            layer = numbered.setdefault(kind, {}).setdefault(number, (parts[-2], {}))
            layer[1][parts[-1].split(":")[0]] = item[()]

    try:
        with h5py.File(path, "r") as file:
            file.visititems(visit)
    except FileNotFoundError:
        raise InputError(f"{path} does not exist.") from None
    except OSError as error:
        raise InputError(f"{path} is not a readable HDF5 file ({error}).") from None
    if not numbered:
        raise InputError(
            f'{path} holds no layers as Keras 2\'s save_weights("....hdf5") names them; '
            "files of Keras 3 (.weights.h5) are arranged otherwise."
        )
    return {kind: [layers[n] for n in sorted(layers)] for kind, layers in numbered.items()}


def _converted(
    module: nn.Module, arrays: dict[str, np.ndarray], name: str, keras_name: str
) -> list[tuple[Tensor, Tensor]]:
    """Pairs of the module's tensor and the file's array in PyTorch's order of dimensions."""
    names = {"gamma": "weight", "beta": "bias"}
    names |= {"moving_mean": "running_mean", "moving_variance": "running_var"}
    if not isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
        names = {"kernel": "weight", "bias": "bias"}
    if missing := sorted(set(names) - set(arrays)):
        raise InputError(f"layer {keras_name} lacks {', '.join(missing)}, which {name} needs.")
    pairs = []
    for keras, ours in names.items():
        array = torch.from_numpy(np.asarray(arrays[keras], dtype=np.float32))
        if keras == "kernel":  # (H, W, in, out) to (out, in, H, W); a transposed one likewise
            array = array.permute(3, 2, 0, 1) if array.ndim == 4 else array.T
        pairs.append((getattr(module, ours), array))
    return pairs
