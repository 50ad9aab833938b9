"""Models and trainers on disk, in the format of :mod:`svae_lib.support.tensor_files`.

The header has the kind and the configuration of the model: a file is enough to rebuild it.
"""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..baselines import AE, RAEGP, RAEL2, BetaVAE, SmallVAE
from ..models import VAE, SplitVAE
from ..presets import ModelConfig, TrainConfig
from ..support.checks import InputError
from ..support.files import embedded
from ..support.tensor_files import digest, read_header, read_tensors, storable, write_tensors
from ..training import Trainer

_MARKED = 1000  # training images that tell one data set from another
MODEL_KINDS: dict[str, type[VAE]] = {
    "vae": VAE,
    "split-vae": SplitVAE,
    "ae": AE,
    "beta-vae": BetaVAE,
    "rae-l2": RAEL2,
    "rae-gp": RAEGP,
    "small-vae": SmallVAE,
}
"""Models by the name of their kind, which run folders, files and the command line use."""


def build_model(kind: str, config: ModelConfig, seed: int = 0) -> VAE:
    """Make a model with weights initialised from ``seed``; PyTorch's own generator stays as it was.

    Args:
        kind: a name in :data:`MODEL_KINDS`.
        config: its size and shape.
        seed: of the weights.

    Raises:
        InputError: unknown kind.
    """
    check_kind(kind)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return MODEL_KINDS[kind](config)


def check_kind(kind: str) -> None:
    """Raise unless ``kind`` is a name in :data:`MODEL_KINDS`.

    Raises:
        InputError: it is not.
    """
    if kind not in MODEL_KINDS:
        raise InputError(
            f"unknown kind of model {kind!r}; the known ones are {', '.join(MODEL_KINDS)}. "
            "(A class of your own is known once it is in "
            "svae_lib.experiments.checkpoints.MODEL_KINDS.)"
        )


def kind_of(model: VAE) -> str:
    """Name of the model's class in :data:`MODEL_KINDS`.

    Raises:
        InputError: the class is not among them (a subclass of your own, say).
    """
    for kind, cls in MODEL_KINDS.items():
        if type(model) is cls:
            return kind
    raise InputError(
        f"{type(model).__name__} is none of the library's kinds of model: add it to "
        "svae_lib.experiments.checkpoints.MODEL_KINDS to save it."
    )


# ---------------------------------------------------------------------- models


def save_model(
    path: str | os.PathLike[str],
    model: VAE,
    *,
    about: dict[str, Any] | None = None,
    dtype: torch.dtype | None = None,
    overwrite: bool = False,
) -> None:
    """Save a model's weights with what is needed to rebuild it.

    Args:
        path: file to write, ``.safetensors`` by custom.
        model: what to save.
        about: facts to keep in the header, as JSON: data, training, scores.
        dtype: store floating-point weights in this type, such as ``torch.float16``.
        overwrite: replace an existing file.

    Raises:
        InputError: the model's class is not in :data:`MODEL_KINDS`, or ``about`` holds what JSON
            does not, such as a tensor.
        FileExistsError: the file exists and ``overwrite`` is False.
        OSError: it cannot be written; nothing is left behind.
    """
    header = _model_header(model) | {"about": about or {}}
    write_tensors(path, "model", storable(model.state_dict(), dtype), header, overwrite=overwrite)


def weights_hash(model: VAE) -> str:
    """SHA-256 of the weights in float32, which the header of their file has too: 64 digits."""
    return digest(storable(model.state_dict()))


def load_model(path: str | os.PathLike[str], device: torch.device | str = "cpu") -> VAE:
    """Rebuild a saved model, in evaluation mode, float32.

    Raises:
        InputError: the file is missing, damaged, of another format, or not a model.
    """
    tensors, header = read_tensors(path, "model")
    return _rebuild(path, tensors, header).to(device).eval()


def load_trained(preset: str, kind: str, device: torch.device | str = "cpu") -> VAE:
    """A model that comes with the course, trained with a preset on the preset's data.

    Args:
        preset: such as "quick"; see :data:`svae_lib.presets.PRESETS`.
        kind: such as "split-vae"; see :data:`MODEL_KINDS`.
        device: where to put it.

    Raises:
        InputError: the course ships no such model; the message lists those it ships.
    """
    return load_model(trained_path(preset, kind), device)


def trained_path(preset: str, kind: str) -> Path:
    """File of a model that comes with the course; arguments and errors: :func:`load_trained`."""
    folder = embedded("trained")
    path = folder / f"{preset}-{kind}.safetensors"
    if not path.exists():
        shipped = ", ".join(sorted(p.stem for p in folder.glob("*.safetensors")))
        raise InputError(f"the course ships no {preset}-{kind}; it ships {shipped or 'none'}.")
    return path


def trained_history(preset: str, kind: str) -> dict[str, list[float]]:
    """How the training of a model went; arguments and errors: :func:`load_trained`."""
    history: dict[str, list[float]] = read_about(trained_path(preset, kind)).get("history", {})
    return history


def read_about(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The facts that :func:`save_model` was given, without reading the weights.

    Raises:
        InputError: the file is missing, damaged or of another format.
    """
    about: dict[str, Any] = read_header(path).get("about", {})
    return about


def _model_header(model: VAE) -> dict[str, Any]:
    return {"kind": kind_of(model), "model": dataclasses.asdict(model.config)}


def _rebuild(path: str | os.PathLike[str], tensors: dict[str, Tensor], header: Any) -> VAE:
    try:
        model = build_model(header["kind"], ModelConfig(**header["model"]))
        model.load_state_dict(tensors)
    except (KeyError, TypeError, RuntimeError) as error:
        said = " ".join(str(error).split("\n\t")[:2])  # not every layer that does not fit
        raise InputError(f"{path} does not hold a model of this version ({said}).") from None
    return model


# ---------------------------------------------------------------------- trainers


def save_trainer(path: str | os.PathLike[str], trainer: Trainer) -> None:
    """Save everything that training needs to go on, replacing ``path`` if it exists.

    The random numbers of a step depend on (seed, step) alone, so the step is all that there is
    to save of them, and of the position in the epoch.
    """
    tensors = {f"model.{k}": v for k, v in trainer.model.state_dict().items()}
    for index, state in trainer.optimizer.state_dict()["state"].items():
        tensors |= {f"adam.{index}.{k}": v for k, v in state.items()}
    tensors |= {"gamma.value": trainer.gamma.value, "gamma.running": trainer.gamma.running}
    tensors |= {"log.sums": trainer._sums}
    header = _model_header(trainer.model) | {
        "train": dataclasses.asdict(trainer.config),
        "step": trainer.step,
        "summed": trainer._summed,
        "seconds": trainer.seconds,
        "history": trainer.history,
        "scaler": trainer.scaler.state_dict(),
        **images_header(trainer.images),
    }
    write_tensors(path, "trainer", storable(tensors), header, overwrite=True)


def images_header(images: Tensor) -> dict[str, Any]:
    """What tells training images from others: how many, and a hash of some all over them."""
    count = len(images)
    chosen = torch.linspace(0, count - 1, min(count, _MARKED)).long()
    some = images[chosen.to(images.device)].cpu()
    return {"images": count, "images_sha256": digest({"images": some})}


def restore_trainer(trainer: Trainer, path: str | os.PathLike[str]) -> None:
    """Bring ``trainer`` to the state that :func:`save_trainer` wrote.

    Raises:
        InputError: the file is damaged, or is of another model, configuration or data set; the
            trainer is left as it was.
    """
    tensors, header = read_tensors(path, "trainer")
    here = _model_header(trainer.model) | {
        "train": dataclasses.asdict(trainer.config),
        **images_header(trainer.images),
    }
    there: dict[str, Any] = {key: header.get(key) for key in here}
    there["images_sha256"] = header.get("images_sha256", here["images_sha256"])  # new: may lack
    # Settings that are newer than the file were at their defaults.
    there["train"] = dataclasses.asdict(TrainConfig()) | there["train"]
    # How long to train, and in how many parts a step, may change; everything else must agree.
    for config in (here["train"], there["train"]):
        del config["steps"], config["accumulate"]
    if different := [key for key in here if here[key] != there[key]]:
        raise InputError(
            f"{path} belongs to another run: it differs in {_differences(here, there, different)}. "
            "Resume with the settings it was started with, or start a new run."
        )
    _fill(trainer, tensors, header)


def _fill(trainer: Trainer, tensors: dict[str, Tensor], header: dict[str, Any]) -> None:
    trainer.model.load_state_dict(_model_tensors(tensors))
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith("adam."):
            _, index, key = name.split(".")
            state.setdefault(int(index), {})[key] = tensor
    optimizer = trainer.optimizer.state_dict()
    trainer.optimizer.load_state_dict({**optimizer, "state": state})
    for parameter, moments in trainer.optimizer.state.items():
        for key, value in moments.items():
            if value.shape == parameter.shape:  # fused Adam wants the parameter's memory format
                moments[key] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
    trainer.gamma.value.copy_(tensors["gamma.value"])
    trainer.gamma.running.copy_(tensors["gamma.running"])
    trainer._sums.copy_(tensors["log.sums"])
    trainer._summed = header["summed"]
    if header["scaler"]:  # a run that began where fp16 was not needed has no scale of the loss
        trainer.scaler.load_state_dict(header["scaler"])
    trainer.step, trainer.seconds = header["step"], header["seconds"]
    trainer.history = header["history"]
    trainer._good.keep()  # a divergence goes back to this state, not to one before it


def load_checkpoint(path: str | os.PathLike[str], device: torch.device | str = "cpu") -> VAE:
    """The model inside a file that :func:`save_trainer` wrote, in evaluation mode.

    Raises:
        InputError: the file is missing, damaged, of another format, or not a trainer.
    """
    tensors, header = read_tensors(path, "trainer")
    return _rebuild(path, _model_tensors(tensors), header).to(device).eval()


def _model_tensors(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The model's state among the tensors of a trainer's file."""
    prefix = "model."
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _differences(here: Any, there: Any, keys: list[str]) -> str:
    """Name what differs: "train.beta (8.0 there, 3.0 here)"."""
    found = []
    for key in keys:
        if isinstance(here[key], dict) and isinstance(there[key], dict):
            names = [n for n in here[key] if here[key].get(n) != there[key].get(n)]
            found += [f"{key}.{n} ({there[key].get(n)} there, {here[key][n]} here)" for n in names]
        elif key == "images_sha256":
            found.append("the pixels of the training images")
        else:
            found.append(f"{key} ({there[key]} there, {here[key]} here)")
    return ", ".join(found)
