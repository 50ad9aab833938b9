"""Tables made of recorded runs: models by seeds, trained, scored, written cell by cell.

``results/NAME.json`` grows by a cell whenever a model is scored; a cell that is there is never
computed again, so an interrupted table goes on where it stopped. Several processes may work on one
table at once: each takes the next cell that nobody has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from .. import data, fid
from ..data import ImageSets
from ..models import parameter_count
from ..presets import ModelConfig, Preset, TrainConfig
from ..support.checks import InputError, check_seed
from ..support.files import claimed
from ..training import Trainer
from .definitions import TABLES, Table, Variant, table_named
from .evaluation import evaluate
from .records import FORMAT, lock_of, read_table, recorded, write_table
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
]

Cell = tuple[Variant, int]
"""A model of a table and its seed."""


@dataclass(frozen=True)
class Plan:
    """A table that is to be made: its models' settings, and where all of it lies."""

    name: str
    preset: Preset
    cells: tuple[Cell, ...]
    scoring: Scoring
    results: Path
    runs: Path

    @classmethod
    def of(
        cls,
        name: str,
        results: Path,
        runs: Path,
        steps: int | None = None,
        seeds: Sequence[int] | None = None,
    ) -> Plan:
        """Plan one of :data:`TABLES`, with its own seeds and steps unless others are given.

        With fewer steps a second stage is shorter in proportion.
        """
        table = table_named(name)
        if seeds is not None and len(seeds) == 0:
            raise InputError("seeds is empty: give at least one, or None for the table's.")
        seeds = table.seeds if seeds is None else seeds
        for seed in seeds:
            check_seed(seed)
        preset, scoring = table.resolved(), table.scoring
        if steps is not None:
            share = min(1.0, steps / preset.train.steps)
            preset = replace(preset, train=replace(preset.train, steps=steps))
            if second := scoring.second_stage_steps:
                scoring = replace(scoring, second_stage_steps=max(1, round(share * second)))
        cells = tuple((variant, seed) for seed in seeds for variant in table.variants)
        return cls(name, preset, cells, scoring, results, runs)

    @property
    def path(self) -> Path:
        """The table's file."""
        return self.results / f"{self.name}.json"

    def folder(self, variant: Variant, seed: int) -> Path:
        """Folder of a cell's run."""
        name = f"{variant.name}-{seed}".replace(" ", "")
        return self.runs / f"{self.name}-{self.preset.train.steps}" / name

    def lock(self, variant: Variant, seed: int) -> Path:
        """The file that the process at work on a cell has locked."""
        folder = self.folder(variant, seed)
        return folder.with_name(folder.name + ".lock")

    def train_config(self, variant: Variant, seed: int) -> TrainConfig:
        """How a cell is trained."""
        beta = self.preset.train.beta if variant.beta is None else variant.beta
        return replace(self.preset.train, seed=seed, beta=beta)

    def settings(self) -> dict[str, Any]:
        """What all cells have in common, for the file; some defaults are left out there."""
        scoring, usual = asdict(self.scoring), asdict(Scoring())
        always = ("features", "protocol", "mixture_components", "second_stage_steps")
        return {
            "data": self.preset.data,
            "model": asdict(self.preset.model),
            "train": _without_seed(self.preset.train),
            **{k: v for k, v in scoring.items() if k in always or v != usual[k]},
        }

    def record(self) -> dict[str, Any]:
        """The table as far as it is made.

        Raises:
            InputError: its file is damaged, or of another table, version or settings.
        """
        path, settings = self.path, self.settings()
        if not path.exists():
            return {"format": FORMAT, "table": self.name, "settings": settings, "cells": []}
        record = read_table(path)
        if record["table"] != self.name:
            raise InputError(
                f"{path} holds the table {record['table']}, not {self.name}: move it away."
            )
        here, there = _complete(settings), _complete(record["settings"])
        if different := [k for k in here | there if here.get(k) != there.get(k)]:
            raise InputError(
                f"{path} was made with another {', '.join(different)}: move it away, or use the "
                "settings it was made with."
            )
        return record

    def made(self) -> dict[Cell, dict[str, Any]]:
        """What :meth:`record` has of the cells that are wanted; another beta is an InputError."""
        there = {(cell["variant"], cell["seed"]): cell for cell in self.record()["cells"]}
        found = {}
        for variant, seed in self.cells:
            if cell := there.get((variant.name, seed)):
                if cell["beta"] != (beta := self.train_config(variant, seed).beta):
                    raise InputError(
                        f"{self.path} holds {variant.name} with beta {cell['beta']}, not {beta}: "
                        "move the file away to make the table again."
                    )
                found[variant, seed] = cell
        return found

    def run(self, variant: Variant, seed: int) -> Run:
        """The run of a cell: a new one, or the one that an earlier call has begun."""
        model = replace(self.preset.model, components=variant.components)
        folder, train = self.folder(variant, seed), self.train_config(variant, seed)
        wanted = folder, variant.kind, self.preset.data, model, train
        if not (folder / "run.json").exists():
            return Run.create(*wanted)
        if (begun := Run.open(folder)) != Run(*wanted):
            raise InputError(
                f"{folder} was begun with other settings than the table's: move it away."
            )
        return begun

    def work_off(
        self,
        *,
        root: Path | None = None,
        device: torch.device | str | None = None,
        progress: bool = True,
        on_log: Sequence[Callable[[Trainer], None]] = (),
        load: Callable[[str, Path | None], ImageSets] = data.load,
    ) -> Iterator[Cell]:
        """Make each cell that is missing and that no other process has; yield it when written.

        Data come from ``load(name, root)``; ``on_log`` is :meth:`Run.train`'s.

        Raises:
            InputError: a file or a run of another version or other settings.
            KeyboardInterrupt: a training was stopped; what was learnt is saved.
        """
        there, sets = self.made(), None
        for variant, seed in (cell for cell in self.cells if cell not in there):
            lock = self.lock(variant, seed)
            lock.parent.mkdir(parents=True, exist_ok=True)
            with claimed(lock) as mine:
                if not mine or (variant, seed) in self.made():
                    continue
                if sets is None:
                    sets = load(self.preset.data, root)
                    fid.network(self.scoring.features, device=device)  # if missing, say so now
                print(f"{self.name}: {variant.name}, seed {seed}", flush=True)
                run = self.run(variant, seed)
                trainer = run.train(sets.train, device=device, progress=progress, on_log=on_log)
                trainer.check_finished()
                cell = self._cell(run, variant, trainer, sets, progress)
                with lock_of(self.path):
                    record = self.record()
                    record["cells"].append(cell)
                    write_table(self.path, record)
            yield variant, seed

    def _cell(
        self, run: Run, variant: Variant, trainer: Trainer, sets: ImageSets, progress: bool
    ) -> dict[str, Any]:
        """What a trained model scores, and how it was trained."""
        seed = run.train_config.seed
        how = replace(self.scoring, seed=seed)
        result = evaluate(trainer.model, sets, how, progress=progress)
        return {
            "variant": variant.name,
            "kind": run.kind,
            "seed": seed,
            "beta": run.train_config.beta,
            "components": variant.components,
            "parameters": parameter_count(trainer.model),
            "train_seconds": round(trainer.seconds, 1),
            "threads": torch.get_num_threads(),
            "precision": trainer.precision,
            **result.to_dict(),
        }


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

    Arguments and errors are those of :meth:`Plan.of` and :meth:`Plan.work_off`.
    """
    plan = Plan.of(name, results, runs, steps, seeds)
    for _ in plan.work_off(root=root, device=device, progress=progress):
        pass
    return plan.path


def _without_seed(train: TrainConfig) -> dict[str, Any]:
    return {k: v for k, v in asdict(train).items() if k != "seed"}


def _complete(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings with what was left out: a field that came later had its default before."""
    usual = {k: v for k, v in asdict(Scoring()).items() if k != "seed"}
    return {
        "data": settings["data"],
        "model": asdict(ModelConfig()) | settings["model"],
        "train": _without_seed(TrainConfig()) | settings["train"],
        **(usual | {k: v for k, v in settings.items() if k not in ("data", "model", "train")}),
    }
