"""The benchmark against TensorFlow: its protocol, with a stand-in for the TensorFlow process."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pytest
import torch

import svae_lib as sv

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))

import cpu_training
import peak
import record

STAND_IN = """
import json, sys
print(json.dumps({{"parameters": {parameters}, "tensorflow": "none"}}), flush=True)
for line in sys.stdin:
    if {dies}:
        sys.exit("no memory left")
    print(json.dumps({{"seconds": 0.5 * int(line), "loss": 1.0}}), flush=True)
"""


@pytest.fixture
def options(tiny, fast, monkeypatch) -> argparse.Namespace:
    monkeypatch.setattr(cpu_training, "highest_rate", lambda dtype: 1e9)
    preset = sv.Preset("blobs", tiny, fast, "a test")
    monkeypatch.setitem(sv.PRESETS, "tiny", preset)
    return argparse.Namespace(float32=True, threads=1, xla=False, steps=3, turns=2)


def stand_in(tmp_path: Path, monkeypatch, parameters: int, dies: bool = False) -> None:
    worker = tmp_path / "worker.py"
    worker.write_text(STAND_IN.format(parameters=parameters, dies=dies))
    monkeypatch.setattr(cpu_training, "WORKER", worker)


def test_both_sides_take_turns(tiny, options, tmp_path: Path, monkeypatch) -> None:
    parameters = sv.parameter_count(sv.build_model("split-vae", tiny))
    stand_in(tmp_path, monkeypatch, parameters)
    rates = iter([1.0, 64.0, 96.0])  # the first is the warm-up's
    taken = []

    def train(self, steps: int) -> float:
        taken.append(steps)
        return next(rates)

    monkeypatch.setattr(cpu_training.Library, "train", train)
    found = cpu_training.compare("tiny", Path(sys.executable), options)
    assert taken == [cpu_training.WARM_UP, 3, 3]
    # 16 images per step of half a second
    assert found["tensorflow_images_per_second_of_each_turn"] == [32.0, 32.0]
    assert found["times_faster"] == pytest.approx((64 / 32 + 96 / 32) / 2)
    assert found["parameters"] == parameters and found["precision"] == "float32"


def test_the_peak_bounds_the_factor(tiny, options, tmp_path: Path, monkeypatch) -> None:
    stand_in(tmp_path, monkeypatch, sv.parameter_count(sv.build_model("split-vae", tiny)))
    rates = iter([1e9, 2e9])  # before and after: the higher counts
    monkeypatch.setattr(cpu_training, "highest_rate", lambda _: next(rates))
    monkeypatch.setattr(cpu_training, "flops_per_image", lambda _: 1e7)
    monkeypatch.setattr(cpu_training.Library, "train", lambda self, steps: 50.0)
    found = cpu_training.compare("tiny", Path(sys.executable), options)
    assert found["peak_gflop_per_second"] == 2
    # 200 images per second at the peak, 50 here and 32 in the stand-in
    assert found["share_of_peak"] == 0.25
    assert found["most_times_faster"] == 6.25


def test_the_peak_is_that_of_the_fastest_operation(monkeypatch) -> None:
    highest = peak.highest_rate(torch.float32, repeats=2, size=256)
    assert highest > 0
    monkeypatch.setattr(peak, "product_seconds", lambda *_: [3.0, 1e-12])
    assert peak.highest_rate(torch.float32, repeats=2, size=256) == 2 * 256**3 / 1e-12
    monkeypatch.setattr(peak, "product_seconds", lambda *_: [1e12])
    assert peak.highest_rate(torch.float32, repeats=2, size=256) > 1e6  # a convolution's


def test_operations_are_those_of_the_layers() -> None:
    """A linear layer's share is known by hand: forward and twice that backward, 2 per product."""
    small = sv.ModelConfig(latent_dim=4, base_dim=4, embedding_dim=16)
    large = sv.ModelConfig(latent_dim=5, base_dim=4, embedding_dim=16)
    more = peak.flops_per_image(large) - peak.flops_per_image(small)
    assert more == 3 * (3 * 2 * 16)  # mu, log_var and back: one more row of 16 weights each


def test_the_library_is_timed_as_it_trains(options) -> None:
    library = cpu_training.Library(sv.PRESETS["tiny"], "float32")
    rate = library.train(4)
    assert library.trainer.step == 4
    assert rate * library.trainer.seconds == pytest.approx(4 * 16, rel=0.2)


def test_other_layers_are_refused(options, tmp_path: Path, monkeypatch) -> None:
    stand_in(tmp_path, monkeypatch, 5)
    with pytest.raises(RuntimeError, match="5 parameters in TensorFlow"):
        cpu_training.compare("tiny", Path(sys.executable), options)


def test_a_process_that_ends_is_noticed(tiny, options, tmp_path: Path, monkeypatch) -> None:
    parameters = sv.parameter_count(sv.build_model("split-vae", tiny))
    stand_in(tmp_path, monkeypatch, parameters, dies=True)
    with pytest.raises(RuntimeError, match="the TensorFlow process ended"):
        cpu_training.compare("tiny", Path(sys.executable), options)


def test_a_processor_with_amx_has_a_record_of_its_own(monkeypatch) -> None:
    assert cpu_training.record_name("bf16", amx=True) == "cpu_training_bf16_amx"
    assert cpu_training.record_name("bf16", amx=False) == "cpu_training_bf16"
    assert cpu_training.record_name("float32", amx=True) == "cpu_training_float32"
    for amx in (True, False):
        found = {"amx_bf16": amx}
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda found=found: found, raising=False)
        assert record.conditions()["vector_extensions"].endswith(" and AMX") == amx
