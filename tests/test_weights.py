"""Weights of networks built by hand: written, read, refused where they do not fit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

import svae_lib as sv
from svae_lib.experiments import checkpoints as weights
from svae_lib.experiments.checkpoints import load_trained_weights, load_weights, save_weights
from svae_lib.support.tensor_files import read_header


def network(width: int = 4, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, width), nn.BatchNorm1d(width), nn.Linear(width, 2))


def test_weights_come_back_and_the_network_is_ready_to_use(tmp_path: Path) -> None:
    saved, other = network(), network(seed=1)
    saved(torch.randn(8, 3))  # moves the running statistics
    save_weights(tmp_path / "w.safetensors", saved, about={"steps": 5})
    load_weights(other, tmp_path / "w.safetensors")
    assert not other.training
    x = torch.randn(5, 3)
    torch.testing.assert_close(other(x), saved.eval()(x), rtol=0, atol=0)
    assert read_header(tmp_path / "w.safetensors")["about"] == {"steps": 5}


def test_half_precision_is_half_the_size_and_loads_as_float32(tmp_path: Path) -> None:
    wide = nn.Linear(200, 200)
    save_weights(tmp_path / "full.safetensors", wide)
    save_weights(tmp_path / "half.safetensors", wide, dtype=torch.float16)
    full, half = ((tmp_path / f"{n}.safetensors").stat().st_size for n in ("full", "half"))
    assert half < 0.52 * full
    other = nn.Linear(200, 200)
    load_weights(other, tmp_path / "half.safetensors")
    assert other.weight.dtype == torch.float32
    torch.testing.assert_close(other.weight, wide.weight, rtol=1e-3, atol=1e-6)


def test_nothing_is_overwritten_unasked(tmp_path: Path) -> None:
    save_weights(tmp_path / "w.safetensors", network())
    before = (tmp_path / "w.safetensors").read_bytes()
    with pytest.raises(FileExistsError):
        save_weights(tmp_path / "w.safetensors", network(seed=1))
    assert (tmp_path / "w.safetensors").read_bytes() == before
    save_weights(tmp_path / "w.safetensors", network(seed=1), overwrite=True)
    assert (tmp_path / "w.safetensors").read_bytes() != before


def test_another_network_is_refused_and_left_as_it_was(tmp_path: Path) -> None:
    save_weights(tmp_path / "w.safetensors", network())
    wider = network(width=5)
    before = wider[0].weight.clone()
    with pytest.raises(sv.InputError, match=r"0\.bias is \(4,\) there and \(5,\) here"):
        load_weights(wider, tmp_path / "w.safetensors")
    assert torch.equal(wider[0].weight, before)
    with pytest.raises(sv.InputError, match="is missing there"):
        load_weights(nn.Sequential(*network(), nn.Linear(2, 2)), tmp_path / "w.safetensors")
    with pytest.raises(sv.InputError, match="does not exist"):
        load_weights(wider, tmp_path / "elsewhere.safetensors")


def test_a_models_file_is_no_set_of_weights(tiny, tmp_path: Path) -> None:
    sv.save_model(tmp_path / "m.safetensors", sv.VAE(tiny))
    with pytest.raises(sv.InputError, match="holds a model, not a set of weights"):
        load_weights(network(), tmp_path / "m.safetensors")


def test_the_courses_weights_go_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "embedded", lambda name: tmp_path / name)
    with pytest.raises(sv.InputError, match="has no weights 01-net; it has none"):
        load_trained_weights(network(), "01-net")
    (tmp_path / "trained" / "by_hand").mkdir(parents=True)
    saved, other = network(), network(seed=1)
    save_weights(tmp_path / "trained" / "by_hand" / "01-net.safetensors", saved)
    load_trained_weights(other, "01-net")
    assert torch.equal(other[0].weight, saved[0].weight)
    with pytest.raises(sv.InputError, match="has no weights 02-net; it has 01-net"):
        load_trained_weights(network(), "02-net")
