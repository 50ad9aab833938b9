"""What test_distributed.py runs in two processes."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import torch
from conftest import make_blobs

import svae_lib as sv
from svae_lib.support.distributed import join, leave

MODEL = sv.ModelConfig(
    image_size=16, latent_dim=3, base_dim=4, embedding_dim=8, num_scales=2, norm_momentum=0.1
)
TRAIN = sv.TrainConfig(
    steps=12,
    batch_size=16,
    learning_rate=1e-3,
    precision="float32",
    log_every=5,
    seed=1,
    sync_norm=False,
)
SETTINGS = {
    "plain": TRAIN,
    "accumulated": dataclasses.replace(TRAIN, accumulate=2, grad_clip=1.0),
}


def trained(
    name: str, resident: bool | None = None, steps: int | None = None, parts: int = 1
) -> sv.Trainer:
    """A trainer that has gone through one of the settings, or through its first steps.

    In ``parts`` times as many parts a single process has BatchNorm's statistics of two processes.
    """
    config = SETTINGS[name]
    config = dataclasses.replace(config, accumulate=parts * config.accumulate)
    model = sv.build_model("split-vae", MODEL, config.seed)
    trainer = sv.Trainer(model, make_blobs(), config, "cpu", resident=resident)
    trainer.fit(steps)
    return trainer


def stopped_by_one() -> int:
    """Step at which all stop when one process is asked to in its step 7."""
    model = sv.build_model("split-vae", MODEL, TRAIN.seed)
    trainer = sv.Trainer(model, make_blobs(), TRAIN, "cpu")
    inner = trainer.train_step

    def with_signal() -> sv.Loss:
        if trainer.step == 6 and not trainer.processes.main:
            signal.raise_signal(signal.SIGTERM)
        return inner()

    trainer.train_step = with_signal  # type: ignore[method-assign]
    trainer.fit()
    return trainer.step


def main_was_first(file: Path) -> bool:
    """Whether this process finds a file that the main one writes first."""
    processes = join("cpu")
    with processes.main_first():
        if processes.main:
            time.sleep(0.3)
            file.write_text("")
        return file.exists()


def main(folder: Path, environment: dict[str, str]) -> None:
    """Write what this process has found, and said, to files of its own."""
    os.environ |= environment  # what a launcher sets
    rank = join("cpu").rank
    sys.stderr = (folder / f"{rank}.txt").open("w")
    found: dict[str, Any] = {"stopped": stopped_by_one(), "first": main_was_first(folder / "first")}
    trainers = {n: trained(n, resident=False if n == "plain" else None) for n in SETTINGS}
    trainers["between-entries"] = trained("plain", steps=7)  # entries are at 5 and 10
    for name, trainer in trainers.items():
        found[name] = trainer.history
        torch.save(trainer.model.state_dict(), folder / f"{name}-{rank}.pt")
    (folder / f"{rank}.json").write_text(json.dumps(found))
    sys.stderr.close()
    leave()
