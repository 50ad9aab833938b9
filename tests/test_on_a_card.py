"""Each kind of model trained, saved and scored on a GPU that is not there.

A tensor that was moved to "cuda" computes on the CPU, but refuses to meet one that was not. So a
tensor on the wrong device is found without a GPU, and all results must be those of the CPU.
"""

from __future__ import annotations

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

aten = torch.ops.aten


class OnCard(Tensor):
    """Says that it is on a GPU, around a tensor on the CPU."""

    def __new__(cls, held: Tensor) -> OnCard:
        facts = {"strides": held.stride(), "dtype": held.dtype, "device": "cuda:0"}
        self: Any = Tensor._make_wrapper_subclass(cls, held.shape, **facts)
        self.held = held
        return self

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None) -> Any:
        return Card().__torch_dispatch__(function, types, args, kwargs)


class Card(TorchDispatchMode):
    """Computes on the CPU; the result is where a GPU's would be."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None) -> Any:
        kwargs = kwargs or {}
        if function in (aten.is_pinned.default, aten._pin_memory.default):
            return args[0] if function is aten._pin_memory.default else False
        tensors = [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
        there = {id(t.held): t for t in tensors if isinstance(t, OnCard)}
        here = [t for t in tensors if not isinstance(t, OnCard) and t.ndim]  # scalars may travel
        if function is aten.index.Tensor and isinstance(args[0], OnCard):
            here = []  # indices may be on the CPU
        moves = function in (aten._to_copy.default, aten.copy_.default)
        assert moves or not (there and here), f"{[*map(len, here)]} on the CPU in {function}"
        to_card = isinstance(args[0], OnCard) if moves else bool(there)
        if (device := kwargs.get("device")) is not None:
            to_card, kwargs = torch.device(device).type == "cuda", kwargs | {"device": "cpu"}
        held = tree_map(lambda x: x.held if isinstance(x, OnCard) else x, (args, kwargs))
        found = function(*held[0], **held[1])
        move = lambda x: there.get(id(x), OnCard(x)) if isinstance(x, Tensor) else x  # noqa: E731
        return tree_map(move, found) if to_card else found


@pytest.fixture
def sets(blobs: Tensor) -> ImageSets:
    labels = torch.arange(len(blobs)) % 2
    return ImageSets("blobs", blobs, blobs.flip(2), labels, labels, ("a", "b"), "drawn")


def outcome(kind: str, config: sv.ModelConfig, sets: ImageSets, device: str, path: Path) -> Any:
    """Train half-way, save, go on from the file with images that are copied, and score."""
    options = {"batch_size": 16, "accumulate": 2, "grad_clip": 1.0, "precision": "float32"}
    settings = sv.TrainConfig(steps=6, log_every=2, **options)
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
    return resumed.history, {name: scores[name] for name in scores if name != "how"}


@pytest.mark.skipif(torch.cuda.is_available(), reason="a real one is there")
@pytest.mark.parametrize("kind", MODEL_KINDS)
def test_nothing_is_left_on_the_cpu(kind, tiny, sets, tmp_path: Path, monkeypatch) -> None:
    expected = outcome(kind, tiny, sets, "cpu", tmp_path / "here")
    generator = torch.Generator
    monkeypatch.setattr(torch, "Generator", lambda device="cpu": generator())
    monkeypatch.setattr(torch.cuda, "_lazy_init", lambda: None)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1 << 30, 1 << 30))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "none")
    torch._C._ensureCUDADeviceGuardSet()
    torch._C._set_only_lift_cpu_tensors(True)
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    try:
        with Card(), torch.autograd.set_multithreading_enabled(False):
            found = outcome(kind, tiny, sets, "cuda", tmp_path / "there")
    finally:
        torch._C._set_only_lift_cpu_tensors(False)
        torch.__future__.set_overwrite_module_params_on_conversion(False)
    assert found == expected
