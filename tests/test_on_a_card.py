"""Each kind of model trained, saved and scored on a GPU that is not there.

A tensor that was moved to "cuda" computes on the CPU, but refuses to meet one that was not. So a
tensor on the wrong device is found without a GPU, and all results must be those of the CPU.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

import svae_lib as sv


class OnCard(Tensor):
    """Says that it is on a GPU, around a tensor on the CPU."""

    def __new__(cls, held: Tensor) -> OnCard:
        facts = {"strides": held.stride(), "dtype": held.dtype, "device": "cuda:0"}
        self = Tensor._make_wrapper_subclass(cls, held.shape, **facts)
        self.held = held
        return self

    __torch_dispatch__ = classmethod(lambda cls, *call: Card().__torch_dispatch__(*call))


class Card(TorchDispatchMode):
    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        """Compute on the CPU; what a GPU would have computed is on the card."""
        tensors = [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
        there = {id(t.held): t for t in tensors if isinstance(t, OnCard)}
        here = [t for t in tensors if not isinstance(t, OnCard) and t.ndim]  # scalars may travel
        moves = function in (torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default)
        indices = function is torch.ops.aten.index.Tensor and isinstance(args[0], OnCard)
        assert moves or indices or not (there and here), f"{here} meet the card in {function}"
        to_card = isinstance(args[0], OnCard) if moves else bool(there)
        if (device := (kwargs or {}).get("device")) is not None:
            to_card, kwargs = torch.device(device).type == "cuda", kwargs | {"device": "cpu"}
        args, kwargs = tree_map_only(OnCard, lambda t: t.held, (args, kwargs or {}))
        kind = Tensor if to_card else OnCard  # of which there is none
        return tree_map_only(kind, lambda t: there.get(id(t), OnCard(t)), function(*args, **kwargs))


def outcome(kind, config, sets, device, path):
    """Train half-way, save, go on from the file with images that are copied, and score."""
    settings = sv.TrainConfig(6, 16, accumulate=2, grad_clip=1.0, precision="float32", log_every=2)
    model, again = (sv.build_model(kind, config) for _ in range(2))
    begun = sv.Trainer(model, sets.train, settings, device)
    resumed = sv.Trainer(again, sets.train, settings, device, resident=False)
    begun.fit(3, progress=False)
    sv.checkpoints.save_trainer(path, begun)
    sv.checkpoints.restore_trainer(resumed, path)
    resumed.fit(progress=False)
    how = sv.evaluation.Scoring("lenet", mixture_components=2, likelihood_draws=2)
    scores = sv.evaluation.evaluate(resumed.model, sets, how, progress=False)
    return resumed.history, scores.to_dict() | {"how": None}  # which names the device


@pytest.mark.skipif(torch.cuda.is_available(), reason="a real one is there")
@pytest.mark.parametrize("kind", sv.checkpoints.MODEL_KINDS)
def test_nothing_is_left_on_the_cpu(kind, tiny, blobs, tmp_path, monkeypatch) -> None:
    sets = sv.data.ImageSets("", blobs, blobs.flip(2), *torch.zeros(2, 64), ("none",), "drawn")
    expected = outcome(kind, tiny, sets, "cpu", tmp_path / "here")
    generator, tensor = torch.Generator, torch.tensor
    monkeypatch.setattr(torch, "Generator", lambda device="cpu": generator())
    monkeypatch.setattr(torch, "tensor", lambda x, device="cpu", **f: tensor(x, **f).to(device))
    monkeypatch.setattr(Tensor, "pin_memory", lambda self: self)
    monkeypatch.setattr(torch.cuda, "_lazy_init", lambda: None)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1 << 30, 1 << 30))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "none")
    monkeypatch.setattr(torch.__future__, "_overwrite_module_params_on_conversion", True)
    monkeypatch.setattr(torch.backends.cudnn, "enabled", False)  # its BatchNorm has no CPU version
    monkeypatch.setattr(torch._C, "_set_cudnn_enabled", lambda on: None)
    torch._C._ensureCUDADeviceGuardSet()
    with Card(), torch.autograd.set_multithreading_enabled(False):
        assert outcome(kind, tiny, sets, "cuda", tmp_path / "there") == expected
