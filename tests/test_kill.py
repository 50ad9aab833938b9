"""A training process killed at any moment: the run goes on and ends as if nothing had happened.

Each run is trained in a process of its own, which dies of a real SIGKILL: a third at a random line
of the library within a save, with files half written among them; a third at one outside (a step,
the log, between two files); a third are killed by another process, after a random number of steps
and a random time. Six runs; 30 with ``pytest -m thorough``.
"""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import torch
from torch import Tensor
from tqdm import tqdm

import svae_lib as sv
from svae_lib.experiments.run_training import KEPT_CHECKPOINTS
from svae_lib.experiments.runs import Run
from svae_lib.support import tensor_files

STEPS = 5
LIBRARY = str(Path(sv.__file__).parent)
SAVING = {"save_checkpoint", "save_model", "write_json"}

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")


@pytest.fixture(scope="module")
def server() -> Iterator[Any]:
    """Starts processes that have imported the library already (it takes seconds)."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["svae_lib.experiments.runs", "pytest"])
    yield context


@pytest.fixture
def every_step(fast: sv.TrainConfig) -> sv.TrainConfig:
    return dataclasses.replace(fast, steps=STEPS, log_every=1, gamma_start="one")


def train(folder: Path, images: Tensor, last_line: int | None, told: Connection) -> None:
    """Train with a checkpoint at every step; die at a line of the library, counted from 1.

    Tells the step after each, and at the end all the lines, each with whether it is in a save.
    """
    torch.set_num_threads(1)
    # Its usual lock is a semaphore of the system, which a killed process never gives back.
    tqdm.set_lock(threading.RLock())
    tensor_files.save_file = write_half_first
    lines: list[tuple[str, int, bool]] = []

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        if not frame.f_code.co_filename.startswith((LIBRARY, __file__)):
            return None
        if event == "line":
            lines.append((frame.f_code.co_filename, frame.f_lineno, in_a_save(frame)))
            if len(lines) == last_line:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace

    run = Run.open(folder)
    told.send("begun")
    sys.settrace(trace)
    run.train(
        images,
        device="cpu",
        progress=False,
        checkpoint_every=1,
        on_log=[lambda trainer: told.send(trainer.step)],
    )
    sys.settrace(None)
    told.send(lines)


def write_half_first(tensors: dict[str, Tensor], path: Path, metadata: dict[str, str]) -> None:
    """Save as the library does, but let the file be half of itself for a line."""
    _save_file(tensors, path, metadata)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    path.write_bytes(whole)


_save_file = tensor_files.save_file


def in_a_save(frame: FrameType | None) -> bool:
    while frame is not None and frame.f_code.co_name not in SAVING:
        frame = frame.f_back
    return frame is not None


def start(server: Any, folder: Path, images: Tensor, last_line: int | None) -> tuple[Any, Any]:
    hears, tells = server.Pipe(duplex=False)
    process = server.Process(target=train, args=(folder, images, last_line, tells))
    process.start()
    tells.close()
    return process, hears


def everything_told(hears: Connection) -> list[Any]:
    told = []
    try:
        while True:
            told.append(hears.recv())
    except EOFError:
        return told


def check_that_it_goes_on(
    run: Run, images: Tensor, whole: sv.Trainer, whole_validation: list[dict[str, float]], capsys
) -> None:
    """From what the killed process left, the run ends with exactly the weights of ``whole``."""
    capsys.readouterr()
    resumed = Run.open(run.folder).train(images, device="cpu", progress=False, checkpoint_every=1)
    assert capsys.readouterr().out == ""  # every checkpoint left behind was whole
    assert resumed.step == STEPS
    for name, weights in whole.model.state_dict().items():
        assert torch.equal(weights, resumed.model.state_dict()[name]), name
    assert resumed.history == whole.history
    assert run.validation() == whole_validation
    assert not list(run.folder.glob(".*.partial*"))
    assert len(run.checkpoints()) <= KEPT_CHECKPOINTS + 1  # and the best
    saved = run.load_model().state_dict()
    assert all(torch.equal(v, saved[k]) for k, v in whole.model.state_dict().items())


@pytest.mark.parametrize("third", [2, pytest.param(10, marks=pytest.mark.thorough)])
def test_killed_at_random_moments_saving_included(
    server, tiny, every_step, blobs, tmp_path: Path, capsys, third: int
) -> None:
    def new(name: str) -> Run:
        return Run.create(tmp_path / name, "split-vae", "blobs", tiny, every_step, held_out=16)

    straight = new("whole")
    whole = straight.train(blobs, device="cpu", progress=False, checkpoint_every=1)
    validation = straight.validation()
    process, hears = start(server, new("counted").folder, blobs, None)
    lines = everything_told(hears)[-1]
    process.join()
    places = sorted(set(lines))  # each line once, however often it is executed
    saving = [place for place in places if place[2]]
    other = [place for place in places if not place[2]]
    half_written = max(place for place in saving if place[0] == __file__)  # the function's last

    draw = random.Random(0)
    half = [half_written] * (1 + third // 5)
    chosen = [*half, *draw.sample(saving, third - len(half)), *draw.sample(other, third)]
    for number, place in enumerate(chosen):
        run = new(f"line-{number}")
        moment = draw.choice([i for i, line in enumerate(lines, start=1) if line == place])
        process, hears = start(server, run.folder, blobs, moment)
        process.join()
        assert process.exitcode == -signal.SIGKILL
        check_that_it_goes_on(run, blobs, whole, validation, capsys)

    for number in range(third):
        run = new(f"outside-{number}")
        process, hears = start(server, run.folder, blobs, None)
        awaited = draw.choice(["begun", *range(1, STEPS)])
        while hears.recv() != awaited:
            pass
        time.sleep(draw.uniform(0, 0.02))
        process.kill()
        process.join()
        check_that_it_goes_on(run, blobs, whole, validation, capsys)
