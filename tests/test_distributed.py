"""Two processes learn what one learns; one of them writes; they stop together."""

from __future__ import annotations

import json
import multiprocessing
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import two_processes
from torch import Tensor

import svae_lib as sv
from svae_lib.cli import main
from svae_lib.experiments.checkpoints import load_model
from svae_lib.experiments.runs import Run
from svae_lib.support.distributed import Processes, join

ROOT = Path(__file__).parent.parent
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> Path:
    """Folder with the findings of tests/two_processes.py."""
    pytest.importorskip("accelerate", reason="several processes need accelerate")
    folder = tmp_path_factory.mktemp("two")
    # They are forked from a process that has made the imports, once for both.
    known = "forkserver" in multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if known else "spawn")
    if known:
        context.set_forkserver_preload(["two_processes"])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    launched = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    launched["CUDA_VISIBLE_DEVICES"] = ""  # the CPU, whatever this machine has
    processes = [
        context.Process(
            target=two_processes.main,
            args=(folder, launched | {"RANK": rank, "LOCAL_RANK": rank}),
        )
        for rank in "01"
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(500)
    assert [process.exitcode for process in processes] == [0, 0]
    said, silence = ((folder / f"{rank}.txt").read_text() for rank in "01")
    assert said.count("12/12") == len(two_processes.SETTINGS) and not silence  # one of them talks
    return folder


def findings(folder: Path, rank: int) -> dict:
    return json.loads((folder / f"{rank}.json").read_text())


def assert_same_weights(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    """Equal but for rounding; Adam's steps are a hundred times the tolerance.

    The bias of a layer before BatchNorm is left out: its gradient is zero, so what Adam makes of
    it is rounding and nothing else. So are the running statistics: a single process that works off
    a batch in two parts updates them twice, two processes once.
    """
    assert set(found) == set(expected)
    for key, value in expected.items():
        if not key.endswith(("layer1.bias", "running_mean", "running_var", "num_batches_tracked")):
            torch.testing.assert_close(found[key], value, rtol=1e-4, atol=1e-5, msg=key)


@pytest.mark.parametrize("name", ["plain", "accumulated"])
def test_two_processes_follow_the_one(found: Path, name: str) -> None:
    alone = two_processes.trained(name, parts=2)
    together = findings(found, 0)[name]
    assert together["step"] == alone.history["step"]
    for quantity in ("loss", "mse", "kl", "gamma"):
        assert together[quantity] == pytest.approx(alone.history[quantity], rel=1e-4), quantity
    start = sv.build_model("split-vae", two_processes.MODEL, two_processes.TRAIN.seed).state_dict()
    weights = torch.load(found / f"{name}-0.pt", weights_only=True)
    assert set(weights) == set(start)
    assert_same_weights(weights, alone.model.state_dict())
    assert not any(torch.equal(weights[k], start[k]) for k in start if k.endswith("weight"))


@pytest.mark.parametrize("name", [*two_processes.SETTINGS, "between-entries"])
def test_the_processes_agree(found: Path, name: str) -> None:
    assert findings(found, 0)[name] == findings(found, 1)[name]
    first, second = (torch.load(found / f"{name}-{r}.pt", weights_only=True) for r in (0, 1))
    assert all(torch.equal(value, second[key]) for key, value in first.items())


def test_the_others_find_what_the_main_process_makes_first(found: Path) -> None:
    assert [findings(found, rank)["first"] for rank in (0, 1)] == [True, True]


def test_one_process_asked_to_stop_stops_all_at_the_next_entry(found: Path) -> None:
    assert [findings(found, rank)["stopped"] for rank in (0, 1)] == [10, 10]


@pytest.mark.thorough
def test_accelerate_launches_the_command_line(tmp_path: Path) -> None:
    pytest.importorskip("accelerate", reason="several processes need accelerate")
    options = ["--device", "cpu", "--model.base-dim=2", "--model.latent-dim=3"]
    options += [
        "--model.embedding-dim=4",
        "--train.steps=4",
        "--train.learning-rate=1e-3",
        "--train.batch-size=20",
    ]
    options += ["--train.log-every=2", "--train.precision=float32", "--train.no-sync-norm"]
    launcher = ["accelerate.commands.launch", "--multi_gpu", "--num_processes=2"]
    launcher += ["--num_machines=1", "--mixed_precision=no", "--dynamo_backend=no"]
    arguments = ["-m", "svae_lib", "train", "--out", str(tmp_path / "two"), *options]
    done = subprocess.run(
        [sys.executable, "-m", *launcher, *arguments],
        env=os.environ | {"PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("4 steps in") == 1
    in_parts = [*options, "--train.accumulate=2"]
    assert main(["train", "--out", str(tmp_path / "one"), *in_parts]) == 0
    one, two = (Run.open(tmp_path / name) for name in ("one", "two"))
    assert two.history()["loss"] == pytest.approx(one.history()["loss"], rel=1e-4)
    assert [p.name for p in two.checkpoints()] == ["checkpoint-4.safetensors"]
    weights = load_model(two.folder / "model.safetensors").state_dict()
    assert_same_weights(weights, one.load_model().state_dict())


# ---------------------------------------------------------------------- without other processes


def test_shares_of_each_part_make_up_the_batch() -> None:
    batch = torch.arange(24).view(12, 2)
    shares = [Processes(CPU, rank, 3).share(batch, parts=2) for rank in range(3)]
    assert shares[1].tolist() == batch[[2, 3, 8, 9]].tolist()
    for part in (0, 1):  # the same images in a part as in a single process
        together = torch.cat([share.chunk(2)[part] for share in shares])
        assert torch.equal(together, batch.chunk(2)[part])
    assert Processes(CPU).share(batch, parts=2) is batch


def test_uneven_shares_are_refused() -> None:
    Processes(CPU, 0, 4).check_shares(96, parts=3)
    with pytest.raises(sv.InputError, match=r"batch_size=100 .* by 8 processes.*multiple of 8"):
        Processes(CPU, 0, 8).check_shares(100)


def test_statistics_over_processes_need_gpus() -> None:
    Processes(torch.device("cuda"), 0, 2).check_shares(16, sync_norm=True)
    Processes(CPU, 0, 1).check_shares(16, sync_norm=True)
    with pytest.raises(sv.InputError, match="no-sync-norm"):
        Processes(CPU, 0, 2).check_shares(16, sync_norm=True)


def test_alone_needs_no_accelerate_and_several_say_that_they_do(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "accelerate", None)  # an import of it fails
    assert join("cpu") == Processes(CPU) and join("cpu").alone and join("cpu").main
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(sv.InputError, match=r"pip install .svae-lib"):
        join("cpu")
