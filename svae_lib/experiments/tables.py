"""Tables made of recorded runs: models by seeds, trained, scored, written cell by cell.

``results/NAME.json`` grows by a cell whenever a model is scored; a cell that is there is never
computed again, so an interrupted table goes on where it stopped. Several processes may work on one
table at once: each takes the next cell that nobody has.
"""

from __future__ import annotations

import math
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock

from .. import data, fid
from ..data import ImageSets
from ..models import parameter_count
from ..presets import PRESETS, ModelConfig, Preset, TrainConfig
from ..support.checks import InputError, check_seed, named
from ..support.files import claimed
from ..support.rescue import TrainingDiverged, TrainingOutOfMemory
from ..training import Trainer
from .definitions import TABLES, Table, Variant
from .evaluation import evaluate
from .records import FORMAT, read_table, recorded, write_table
from .runs import Run
from .scoring import Scoring
from .summaries import (
    Estimate,
    beside_published,
    died,
    likelihood_difference,
    paired_difference,
    summarise,
    summarise_likelihood,
)

__all__ = [
    "TABLES",
    "Estimate",
    "Plan",
    "Table",
    "Variant",
    "beside_published",
    "died",
    "likelihood_difference",
    "paired_difference",
    "read_table",
    "recorded",
    "reproduce",
    "summarise",
    "summarise_likelihood",
    "work_off",
]

Cell = tuple[str, int]
"""A model's name in its table, and its seed."""


@dataclass(frozen=True)
class Plan:
    """A table that is to be made."""

    name: str
    path: Path
    """Of the table's file."""
    settings: dict[str, Any]
    """What all cells have in common, for the file."""
    scoring: Scoring
    cells: dict[Cell, Run]
    """The run of each cell, which may not have begun."""

    @classmethod
    def of(
        cls,
        name: str,
        results: Path,
        runs: Path,
        steps: int | None = None,
        seeds: Sequence[int] | None = None,
    ) -> Plan:
        """Plan one of :data:`~.definitions.TABLES`, with its own seeds and steps by default.

        With fewer steps a second stage is shorter in proportion.
        """
        table = named(name, TABLES, "table")
        if seeds is not None and len(seeds) == 0:
            raise InputError("seeds is empty: give at least one, or None for the table's.")
        preset, scoring = table.preset, table.scoring
        if isinstance(preset, str):
            preset = named(preset, PRESETS, "preset")
        if steps is not None:
            share = min(1.0, steps / preset.train.steps)
            preset = replace(preset, train=replace(preset.train, steps=steps))
            if second := scoring.second_stage_steps:
                scoring = replace(scoring, second_stage_steps=max(1, round(share * second)))
        cells = {}
        for seed in table.seeds if seeds is None else seeds:
            check_seed(seed)
            for variant in table.variants:
                folder = f"{name}-{preset.train.steps}/{variant.name}-{seed}".replace(" ", "")
                model = replace(preset.model, components=variant.components)
                beta = preset.train.beta if variant.beta is None else variant.beta
                train = replace(preset.train, seed=seed, beta=beta)
                run = Run(runs / folder, variant.kind, preset.data, model, train)
                cells[variant.name, seed] = run
        return cls(name, results / f"{name}.json", _settings(preset, scoring), scoring, cells)

    def record(self) -> dict[str, Any]:
        """The table as far as it is made.

        Raises:
            InputError: its file is damaged, or of another table, version or settings.
        """
        if not self.path.exists():
            return {"format": FORMAT, "table": self.name, "settings": self.settings, "cells": []}
        record = read_table(self.path)
        here = {"table": self.name} | _complete(self.settings)
        there = {"table": record["table"]} | _complete(record["settings"])
        if different := [k for k in here | there if here.get(k) != there.get(k)]:
            raise InputError(
                f"{self.path} was made with another {', '.join(different)}: move it away, or use "
                "the settings it was made with."
            )
        return record

    def missing(self) -> list[Cell]:
        """The cells that :meth:`record` lacks."""
        made = {(cell["variant"], cell["seed"]) for cell in self.record()["cells"]}
        return [cell for cell in self.cells if cell not in made]

    def lock(self, cell: Cell) -> Path:
        """The file that the process at work on a cell has locked."""
        folder = self.cells[cell].folder
        return folder.with_name(folder.name + ".lock")

    def make(self, cell: Cell, sets: ImageSets, until: float, **how: Any) -> None:
        """Train and score a cell's model and write what it scores, unless a process has the cell.

        ``until`` is that of :func:`work_off`, ``how`` the device and whether to show progress.
        """

        def stop_if_late(trainer: Trainer) -> None:
            if time.time() >= until and trainer.step < trainer.config.steps:
                signal.raise_signal(signal.SIGINT)  # the trainer ends its step and saves

        wanted = self.cells[cell]
        wanted.folder.parent.mkdir(parents=True, exist_ok=True)
        with claimed(self.lock(cell)) as mine:
            if not mine or cell not in self.missing():
                return
            print(f"{self.name}: {cell[0]}, seed {cell[1]}", flush=True)
            run = wanted.begun()
            trainer = run.train(sets.train, on_log=(stop_if_late,), **how)
            trainer.check_finished()
            scoring = replace(self.scoring, seed=run.train_config.seed)
            result = evaluate(trainer.model, sets, scoring, progress=how["progress"])
            scored = {
                "variant": cell[0],
                "kind": run.kind,
                "seed": run.train_config.seed,
                "beta": run.train_config.beta,
                "components": run.model_config.components,
                "parameters": parameter_count(trainer.model),
                "train_seconds": round(trainer.seconds, 1),
                "threads": torch.get_num_threads(),
                "precision": trainer.precision,
                **result.to_dict(),
            }
            with FileLock(self.path.with_name(f".{self.path.name}.lock")):  # others may add to it
                record = self.record()
                record["cells"].append(scored)
                write_table(self.path, record)


def work_off(
    plans: Sequence[Plan],
    *,
    root: Path | None = None,
    device: torch.device | str | None = None,
    progress: bool = True,
    until: float = math.inf,
) -> None:
    """Make the cells that are missing and that no other process has, one after the other.

    Where one cannot be made, standard error says why, and the next one is taken. ``root`` is the
    folder with the data sets' files. Nothing begins after the ``time.time()`` of ``until``; then a
    training ends at its next entry of the history, with a checkpoint, or is scored if it is done.

    Raises:
        InputError: a table's file is not what it should be, or cells could not be made.
        KeyboardInterrupt: a training was stopped; what was learnt is saved.
    """
    failed = 0
    for plan, missing in [(plan, plan.missing()) for plan in plans]:
        sets = None
        for cell in missing:
            if time.time() >= until:
                break
            try:
                if sets is None:
                    fid.network(plan.scoring.features, device=device)  # if missing, say so now
                    sets = data.load(plan.settings["data"], root)
                plan.make(cell, sets, until, device=device, progress=progress)
            except (InputError, OSError, TrainingDiverged, TrainingOutOfMemory) as error:
                failed += 1
                print(f"svae: {plan.name}: {error}", file=sys.stderr, flush=True)
                if sets is None:  # without network and data no model of the table can be made
                    break
            except KeyboardInterrupt:
                if time.time() < until:
                    raise
    if failed:
        raise InputError("some models could not be made, for the reasons above.")


def reproduce(
    name: str,
    *,
    results: Path = Path("results"),
    runs: Path = Path("runs/tables"),
    steps: int | None = None,
    seeds: Sequence[int] | None = None,
    root: Path | None = None,
    device: torch.device | str | None = None,
    progress: bool = True,
) -> Path:
    """Compute the cells of a table that are still missing, and return the path of its file.

    Arguments and errors are those of :meth:`Plan.of` and :func:`work_off`.
    """
    plan = Plan.of(name, results, runs, steps, seeds)
    work_off([plan], root=root, device=device, progress=progress)
    return plan.path


def _settings(preset: Preset, scoring: Scoring) -> dict[str, Any]:
    """Settings for the file: all but the seeds, which are the cells'."""
    train, how = asdict(preset.train), asdict(scoring)
    del train["seed"], how["seed"]
    return {"data": preset.data, "model": asdict(preset.model), "train": train, **how}


def _complete(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings with what was left out: a field that came later had its default before."""
    model = asdict(ModelConfig()) | settings["model"]
    train = asdict(TrainConfig()) | settings["train"]
    return asdict(Scoring()) | settings | {"model": model, "train": train}
