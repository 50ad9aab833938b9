"""Reading the weights that the Split VAE's authors publish: Keras' HDF5 files.

Keras numbers its layers in the order of their creation, though not always from 0 (``conv2d_23`` may
be the first). Sorted by kind and number, they line up with this library's modules, which are
created in the same order.
"""

import os
import re
from pathlib import Path

import h5py
import numpy as np
import torch
from torch import Tensor, nn

from .models import SplitVAE
from .support.checks import InputError
from .support.files import expand

_KINDS: dict[str, type[nn.Module] | tuple[type[nn.Module], ...]] = {
    "conv2d": nn.Conv2d,
    "conv2d_transpose": nn.ConvTranspose2d,
    "dense": nn.Linear,
    "batch_normalization": (nn.BatchNorm1d, nn.BatchNorm2d),
}
_LAYER = re.compile(r"(conv2d_transpose|conv2d|dense|batch_normalization)(?:_([0-9]{1,9}))?")
_NAMES = {"kernel": "weight", "bias": "bias"}
_NORM_NAMES = {
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}

_Layer = tuple[str, dict[str, h5py.Dataset]]
"""Keras' name of a layer, and what the file holds of it."""


def load_keras_weights(model: SplitVAE, path: str | os.PathLike[str]) -> None:
    """Fill ``model`` in place with the weights of the authors' Keras model.

    Where the file does not fit, :class:`InputError` says where, and the model is left as it was.

    Args:
        model: a SplitVAE of the same configuration as the file's model, with two components.
        path: file written by the ``save_weights("....hdf5")`` of Keras 2 (TensorFlow to 2.15).
    """
    path = expand(path)
    if not path.is_file():
        raise InputError(f"{path} does not exist or is not a file.")
    try:
        with h5py.File(path, "r") as file:
            new_state = _matched(model, _layers(file, path), path)
    except InputError:
        raise
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        raise InputError(f"{path} is not a readable HDF5 file ({error}).") from None
    with torch.no_grad():
        for target, array in new_state:
            target.copy_(array)


def _layers(file: h5py.File, path: Path) -> dict[str, list[_Layer]]:
    """All layers with weights, by kind, in the order of their numbers. Links are not followed."""
    numbered: dict[str, dict[int, _Layer]] = {}

    def visit(name: str | bytes, item: h5py.Dataset | h5py.Group) -> None:
        parts = os.fsdecode(name).split("/")  # bytes where they are not UTF-8
        match = _LAYER.fullmatch(parts[-2]) if len(parts) > 1 else None
        if not (isinstance(item, h5py.Dataset) and match):
            return
        layers = numbered.setdefault(match.group(1), {})
        _, arrays = layers.setdefault(int(match.group(2) or 0), (parts[-2], {}))
        weight = parts[-1].split(":")[0]
        if weight in arrays:
            raise InputError(f"{path} holds {weight} of the layer {parts[-2]} twice.")
        arrays[weight] = item

    file.visititems(visit)
    if not numbered:
        raise InputError(
            f'{path} holds no layers as Keras 2\'s save_weights("....hdf5") names them; '
            "files of Keras 3 (.weights.h5) are arranged otherwise."
        )
    return {kind: [layers[n] for n in sorted(layers)] for kind, layers in numbered.items()}


def _matched(
    model: SplitVAE, layers: dict[str, list[_Layer]], path: Path
) -> list[tuple[Tensor, Tensor]]:
    """Pairs of the model's tensor and its new values."""
    pairs = []
    for kind, types in _KINDS.items():
        modules = [(n, m) for n, m in model.named_modules() if isinstance(m, types)]
        found = layers.get(kind, [])
        for (name, module), layer in zip(modules, found, strict=False):
            pairs += _converted(module, layer, name, path)
        if len(modules) != len(found):
            raise InputError(
                f"{path} does not fit this model: it has {len(found)} layers of kind {kind} "
                f"where the model has {len(modules)}."
            )
    return pairs


def _converted(
    module: nn.Module, layer: _Layer, name: str, path: Path
) -> list[tuple[Tensor, Tensor]]:
    """Pairs of the module's tensor and the file's values in PyTorch's order of dimensions."""
    keras_name, arrays = layer
    names = _NORM_NAMES if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d) else _NAMES
    if missing := sorted(set(names) - set(arrays)):
        raise InputError(f"layer {keras_name} lacks {', '.join(missing)}, which {name} needs.")
    pairs = []
    for keras, ours in names.items():
        data, target = arrays[keras], getattr(module, ours)
        # Such data may lie in any file of the user's, which would be read into the weights.
        if data.is_virtual or data.external:
            raise InputError(f"{path} takes {keras} of the layer {keras_name} from another file.")
        if data.dtype.kind != "f":
            raise InputError(
                f"{path} holds {data.dtype} as {keras} of the layer {keras_name}, not floats."
            )
        # (H, W, in, out) to (out, in, H, W), a transposed one likewise; else (in, out) to (out, in)
        order = (3, 2, 0, 1) if data.ndim == 4 else tuple(reversed(range(data.ndim)))
        shape = tuple(data.shape[i] for i in order)
        if target.shape != shape:  # before anything is read: it may claim to be huge
            raise InputError(
                f"{path} does not fit this model: layer {keras_name} holds "
                f"{shape} where {name} needs {tuple(target.shape)}."
            )
        values = np.asarray(data[()], dtype=np.float32).transpose(order)
        pairs.append((target, torch.from_numpy(values)))
    return pairs
