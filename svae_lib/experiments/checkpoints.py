"""Models, trainers and sets of weights on disk, in the format of ``support/tensor_files.py``.

A model's file is enough to rebuild it. A trainer's file, a checkpoint, has all that training needs
to go on. A set of weights is for a network built by hand: it does not say how to build it.
"""

import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..baselines import AE, RAEGP, RAEL2, BetaVAE, SmallVAE
from ..models import VAE, SplitVAE
from ..presets import ModelConfig, TrainConfig
from ..support.checks import InputError, named
from ..support.files import embedded, expand
from ..support.tensor_files import (
    check_fit,
    digest,
    read_header,
    read_tensors,
    storable,
    write_tensors,
)
from ..training import Trainer

_MARKED = 1000  # training images that tell one data set from another
_WEIGHTS = "set of weights"
History = dict[str, list[int | float]]  # as a trainer's: steps are integers
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


@dataclass(frozen=True)
class _ModelFacts:
    kind: str
    model: ModelConfig
    about: dict[str, Any]


@dataclass(frozen=True)
class _TrainerFacts:
    kind: str
    model: ModelConfig
    train: TrainConfig
    step: int
    summed: int
    seconds: float
    history: History
    scaler: dict[str, int | float]
    images: int
    images_sha256: str
    conditions: dict[str, str] = field(default_factory=dict)  # older files have none


def build_model(kind: str, config: ModelConfig, seed: int = 0) -> VAE:
    """A model with weights initialised from ``seed``; PyTorch's own generator is left alone."""
    cls = named(kind, MODEL_KINDS, "kind of model")
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed reseeds GPUs, too
        return cls(config)


def kind_of(model: VAE) -> str:
    """Name of the model's class in :data:`MODEL_KINDS`; another class is an InputError."""
    for kind, cls in MODEL_KINDS.items():
        if type(model) is cls:
            return kind
    name = type(model).__name__
    raise InputError(
        f"{name} is not in MODEL_KINDS: add it, or pass a compiled model's ._orig_mod."
    )


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
        model: of a class in :data:`MODEL_KINDS`.
        about: facts to keep in the header, as JSON: data, training, scores.
        dtype: store floating-point weights in this type, such as ``torch.float16``.
        overwrite: replace an existing file, which is a FileExistsError otherwise.
    """
    facts = _model_facts(model) | {"about": about or {}}
    write_tensors(path, "model", storable(model.state_dict(), dtype), facts, overwrite=overwrite)


def weights_hash(model: VAE) -> str:
    """SHA-256 of the weights in float32, as in the header of their file: 64 digits."""
    return digest(storable(model.state_dict()))


def load_model(path: str | os.PathLike[str], device: torch.device | str = "cpu") -> VAE:
    """Rebuild the model that a model's file or a checkpoint holds, in evaluation mode, float32."""
    path = expand(path)
    facts: _ModelFacts | _TrainerFacts
    if read_header(path)["what"] == "trainer":
        tensors, facts = read_tensors(path, "trainer", _TrainerFacts)
        tensors = _model_tensors(tensors)
    else:
        tensors, facts = read_tensors(path, "model", _ModelFacts)
    with torch.device("meta"):  # layers without memory: first see whether the weights fit
        check_fit(path, tensors, build_model(facts.kind, facts.model).state_dict())
    model = build_model(facts.kind, facts.model)
    model.load_state_dict(tensors)
    return model.to(device).eval()


def load_trained(preset: str, kind: str, device: torch.device | str = "cpu") -> VAE:
    """A model that comes with the course, of a kind, trained with a preset on its data."""
    return load_model(shipped(f"{preset}-{kind}"), device)


def shipped(name: str) -> Path:
    """File of a model, or of a set of weights, that comes with the course."""
    path = embedded("trained") / f"{name}.safetensors"
    if not path.exists():
        there = ", ".join(sorted(p.stem for p in path.parent.glob("*.safetensors")))
        raise InputError(f"the course ships no {path.stem}; it ships {there or 'none'}.")
    return path


def trained_history(preset: str, kind: str) -> dict[str, list[float]]:
    """How the training of :func:`load_trained`'s model went; empty where its file does not tell."""
    about = read_about(shipped(f"{preset}-{kind}"))
    history: dict[str, list[float]] = about.get("history", {})
    return history


def read_about(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The facts that were saved with a model or a set of weights, without reading the weights."""
    about: dict[str, Any] = read_header(expand(path)).get("about", {})
    return about


def _model_facts(model: VAE) -> dict[str, Any]:
    return {"kind": kind_of(model), "model": asdict(model.config)}


def save_trainer(path: str | os.PathLike[str], trainer: Trainer) -> None:
    """Save everything that training needs to go on, replacing ``path`` if it exists.

    Random numbers and the position in the epoch depend on (seed, step) alone.
    """
    tensors: dict[str, Tensor] = {f"model.{k}": v for k, v in trainer.model.state_dict().items()}
    for index, state in trainer.optimizer.state_dict()["state"].items():
        tensors |= {f"adam.{index}.{k}": v for k, v in state.items()}
    tensors |= {
        "gamma.value": trainer.gamma.value,
        "gamma.running": trainer.gamma.running,
        "log.sums": trainer._sums,
    }
    facts = _model_facts(trainer.model) | {
        "train": asdict(trainer.config),
        "step": trainer.step,
        "summed": trainer._summed,
        "seconds": trainer.seconds,
        "history": trainer.history,
        "scaler": trainer.scaler.state_dict(),
        "conditions": _conditions(trainer),
        **images_facts(trainer.images),
    }
    write_tensors(path, "trainer", storable(tensors), facts, overwrite=True)


def _conditions(trainer: Trainer) -> dict[str, str]:
    """What the last bits of a training depend on, beside its settings."""
    return {
        "device": trainer.device.type,
        "precision": trainer.precision,
        "threads": str(torch.get_num_threads()),
        "torch": torch.__version__,
    }


def images_facts(images: Tensor) -> dict[str, Any]:
    """What tells training images from others: how many, and a hash of some all over them."""
    chosen = torch.linspace(0, len(images) - 1, min(len(images), _MARKED)).long()
    some = images[chosen.to(images.device)].cpu()
    return {"images": len(images), "images_sha256": digest({"images": some})}


def restore_trainer(trainer: Trainer, path: str | os.PathLike[str]) -> None:
    """Bring ``trainer`` to the state that :func:`save_trainer` wrote.

    If device, precision, threads or the version of torch are others, a line says that the run will
    not be the same bit by bit. A file of another run leaves the trainer as it was.
    """
    path = expand(path)
    tensors, facts = read_tensors(path, "trainer", _TrainerFacts)
    _check_same_run(trainer, facts, path)
    weights = _model_tensors(tensors)
    check_fit(path, weights, trainer.model.state_dict())
    here = _conditions(trainer)
    if changed := [k for k, v in facts.conditions.items() if here.get(k, v) != v]:
        there = ", ".join(f"{k} {facts.conditions[k]} (now {here[k]})" for k in changed)
        how = "has other noise" if "device" in changed else "differs in its last bits"
        print(f"{path.name} was made with {there}: from here on the run {how}.")
    trainer.model.load_state_dict(weights)
    _restore_adam(trainer.optimizer, tensors)
    trainer.gamma.value.copy_(tensors["gamma.value"])
    trainer.gamma.running.copy_(tensors["gamma.running"])
    trainer._sums.copy_(tensors["log.sums"])
    trainer._summed = facts.summed
    if facts.scaler:  # a run that began where fp16 was not needed has no scale of the loss
        trainer.scaler.load_state_dict(facts.scaler)
    trainer.step, trainer.seconds = facts.step, facts.seconds
    trainer.history.update(facts.history)
    trainer._good.keep()  # a divergence goes back to this state, not to one before it


def _check_same_run(trainer: Trainer, facts: _TrainerFacts, path: Path) -> None:
    """Everything must agree but the number of steps, and of the parts they are taken in."""
    model, own, images = trainer.model, trainer.config, images_facts(trainer.images)
    here = {"kind": kind_of(model), **asdict(model.config), **asdict(own), **images}
    there = {**vars(facts), **asdict(facts.model), **asdict(facts.train)}
    del here["steps"], here["accumulate"]
    if different := [key for key in here if here[key] != there[key]]:
        listed = ", ".join(f"{k} ({there[k]} there, {here[k]} here)" for k in different)
        raise InputError(
            f"{path} belongs to another run: it differs in {listed}. "
            "Resume with the settings it was started with, or start a new run."
        )


def _restore_adam(optimizer: torch.optim.Adam, tensors: dict[str, Tensor]) -> None:
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith("adam."):
            _, index, key = name.split(".")
            state.setdefault(int(index), {})[key] = tensor
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
    for parameter, moments in optimizer.state.items():
        for key, value in moments.items():
            if value.shape == parameter.shape:  # fused Adam wants the parameter's memory format
                moments[key] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)


def _model_tensors(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {k.removeprefix("model."): v for k, v in tensors.items() if k.startswith("model.")}


def save_weights(
    path: str | os.PathLike[str],
    network: nn.Module,
    *,
    about: dict[str, Any] | None = None,
    dtype: torch.dtype | None = None,
    overwrite: bool = False,
) -> None:
    """Save the weights of any network; arguments and errors: :func:`save_model`."""
    tensors, facts = storable(network.state_dict(), dtype), {"about": about or {}}
    write_tensors(path, _WEIGHTS, tensors, facts, overwrite=overwrite)


def load_weights(network: nn.Module, path: str | os.PathLike[str]) -> None:
    """Fill a network that is built as the saved one was, and put it in evaluation mode.

    Where the file does not fit, the network is left as it was.
    """
    path = expand(path)
    tensors, _ = read_tensors(path, _WEIGHTS, dict[str, dict[str, Any]])
    check_fit(path, tensors, network.state_dict())
    network.load_state_dict(tensors)
    network.eval()


def load_trained_weights(network: nn.Module, name: str) -> None:
    """Fill a network built by hand with weights of the course, such as "01-autoencoder"."""
    load_weights(network, shipped(f"by_hand/{name}"))
