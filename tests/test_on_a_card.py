"""Training, saving and scoring on a GPU that is not there, for every kind of model.

A tensor that was moved to "cuda" computes on the CPU, but refuses to meet one that was not. So a
tensor on the wrong device is found without a GPU, and all results must be those of the CPU.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

import svae_lib as sv
from svae_lib.data import ImageSets
from svae_lib.experiments.checkpoints import MODEL_KINDS, restore_trainer, save_trainer
from svae_lib.experiments.evaluation import Scoring, evaluate
from svae_lib.experiments.monitoring import validate

aten = torch.ops.aten


class OnCard(Tensor):
    """A tensor that says it is on a GPU, around one on the CPU."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> OnCard:
        facts = {"strides": held.stride(), "dtype": held.dtype, "device": "cuda:0"}
        self = Tensor._make_wrapper_subclass(cls, held.shape, **facts)
        self.held = held
        return self

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None) -> Any:
        return dispatch(function, args, kwargs or {})


def dispatch(function, args, kwargs) -> Any:
    """Compute on the CPU what may be computed; the result is where a GPU's would be."""
    if function in (aten.is_pinned.default, aten._pin_memory.default):
        return function is aten._pin_memory.default and args[0]
    tensors = [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
    there = {id(t.held): t for t in tensors if isinstance(t, OnCard)}
    here = [t for t in tensors if not isinstance(t, OnCard) and t.ndim]  # scalars may meet all
    to_card = bool(there)
    if function in (aten._to_copy.default, aten.copy_.default):
        to_card = isinstance(args[0], OnCard)
    elif function in (aten.index.Tensor, aten.index_put_.default):  # indices on the CPU are fine
        assert isinstance(args[0], OnCard) or not there, f"a CPU tensor in {function}"
    else:
        assert not (there and here), f"{[t.shape for t in here]} is on the CPU in {function}"
    if (device := kwargs.get("device")) is not None:
        to_card, kwargs = torch.device(device).type == "cuda", kwargs | {"device": "cpu"}
    if (generator := kwargs.get("generator")) is not None:
        assert to_card == (getattr(generator, "claimed", "cpu") != "cpu"), f"generator: {function}"
    args, kwargs = tree_map(lambda x: x.held if isinstance(x, OnCard) else x, (args, kwargs))
    found = function(*args, **kwargs)
    if not to_card:
        return found
    wrap = lambda x: there.get(id(x), OnCard(x)) if isinstance(x, Tensor) else x  # noqa: E731
    return tree_map(wrap, found)


class Bus(TorchDispatchMode):
    """Sees what no tensor on the card takes part in, such as the making of one."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None) -> Any:
        return dispatch(function, args, kwargs or {})


class Generator(torch.Generator):
    """On the CPU, with a note of where it was asked for."""

    def __new__(cls, device: Any = "cpu") -> Generator:
        self = super().__new__(cls)
        self.claimed = torch.device(device).type
        return self


@contextmanager
def a_card(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setattr(torch, "Generator", Generator)
        patch.setattr(torch.cuda, "_lazy_init", lambda: None)
        patch.setattr(torch.cuda, "mem_get_info", lambda device: (1 << 30, 1 << 30))
        patch.setattr(torch.cuda, "get_device_name", lambda device: "none")
        torch._C._ensureCUDADeviceGuardSet()
        torch._C._set_only_lift_cpu_tensors(True)
        torch.__future__.set_overwrite_module_params_on_conversion(True)
        try:
            with Bus(), torch.autograd.set_multithreading_enabled(False):
                yield
        finally:
            torch._C._set_only_lift_cpu_tensors(False)
            torch.__future__.set_overwrite_module_params_on_conversion(False)


def outcome(kind: str, config: sv.ModelConfig, sets: ImageSets, device: str, path: Path) -> Any:
    """Train half-way, save, go on from the file with images that are copied, and score."""
    settings = sv.TrainConfig(
        steps=6, batch_size=16, accumulate=2, grad_clip=1.0, precision="float32", log_every=2
    )
    begun, resumed = (
        sv.Trainer(sv.build_model(kind, config), sets.train, settings, device, resident=resident)
        for resident in (True, False)
    )
    begun.fit(3, progress=False)
    save_trainer(path, begun)
    restore_trainer(resumed, path)
    resumed.fit(progress=False)
    how = Scoring("lenet", mixture_components=2, likelihood_draws=2)
    scores = evaluate(resumed.model, sets, how, progress=False).to_dict()
    del scores["how"]
    return resumed.history, validate(resumed.model, sets.test), scores


@pytest.mark.skipif(torch.cuda.is_available(), reason="a real one is there")
@pytest.mark.parametrize("kind", MODEL_KINDS)
def test_nothing_is_left_on_the_cpu(kind, tiny, blobs, tmp_path: Path, monkeypatch) -> None:
    labels = torch.arange(64) % 2
    sets = ImageSets("blobs", blobs, blobs.flip(2), labels, labels, ("a", "b"), "drawn")
    expected = outcome(kind, tiny, sets, "cpu", tmp_path / "here")
    with a_card(monkeypatch):
        found = outcome(kind, tiny, sets, "cuda", tmp_path / "there")
    assert found == expected
