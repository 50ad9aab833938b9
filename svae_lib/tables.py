"""Tables made of recorded runs: models by seeds, trained, scored, written cell by cell.

``results/NAME.json`` grows by a cell whenever a model is scored; a cell that is there is never
computed again, so an interrupted table goes on where it stopped.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from scipy.stats import t as student_t

from . import data, fid
from .evaluation import Protocol, evaluate
from .files import read_json, write_json
from .presets import PRESETS
from .runs import Run
from .validation import InputError

FORMAT = 1


@dataclass(frozen=True)
class Table:
    """What is trained and how it is scored."""

    preset: str
    kinds: tuple[str, ...]
    seeds: tuple[int, ...]
    features: str
    mixture_components: int
    protocol: Protocol = "clean"


TABLES: dict[str, Table] = {
    "mnist-5k": Table("quick", ("vae", "split-vae"), (0, 1, 2, 3, 4), "lenet", 40),
    "mnist": Table("mnist", ("vae", "split-vae"), (0, 1, 2), "lenet-mnist", 100),
    "fashion-mnist": Table(
        "fashion-mnist", ("vae", "split-vae"), (0, 1, 2), "lenet-fashion-mnist", 100
    ),
    "cifar10": Table("cifar10", ("vae", "split-vae"), (0, 1, 2), "inception", 100),
    "celeba": Table("celeba", ("vae", "split-vae"), (0,), "inception", 100),
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

    Args:
        name: one of :data:`TABLES`.
        results: folder of the tables.
        runs: folder of the trained models.
        steps: training steps of each model; default: the preset's. A table holds one number.
        seeds: default: the table's.
        root: folder with the data set's files.
        device: where to train and score.
        progress: show progress bars.

    Raises:
        InputError: an unknown table, or a file of another version or of other settings.
    """
    if name not in TABLES:
        raise InputError(f"unknown table {name!r}; the known ones are {', '.join(TABLES)}.")
    table, path = TABLES[name], results / f"{name}.json"
    preset = PRESETS[table.preset]
    train = dataclasses.replace(preset.train, steps=steps or preset.train.steps)
    settings = {
        "data": preset.data,
        "model": dataclasses.asdict(preset.model),
        "train": {k: v for k, v in dataclasses.asdict(train).items() if k != "seed"},
        "features": table.features,
        "protocol": table.protocol,
        "mixture_components": table.mixture_components,
    }
    record = _open(path, name, settings)
    done = {(cell["kind"], cell["seed"]) for cell in record["cells"]}
    wanted = [(k, s) for s in (seeds or table.seeds) for k in table.kinds if (k, s) not in done]
    if not wanted:
        return path
    sets = data.load(preset.data, root)
    network = fid.network(table.features, device=device)
    for kind, seed in wanted:
        print(f"{name}: {kind}, seed {seed}", flush=True)
        folder = runs / f"{name}-{train.steps}" / f"{kind}-{seed}"
        seeded = dataclasses.replace(train, seed=seed)
        started = (folder / "run.json").exists()
        run = (
            Run.open(folder)
            if started
            else Run.create(folder, kind, preset.data, preset.model, seeded)
        )
        trainer = run.train(sets.train, device=device, progress=progress)
        if trainer.step < train.steps:
            raise KeyboardInterrupt  # the person stopped the training: do not score half of it
        result = evaluate(
            trainer.model,
            sets,
            network,
            protocol=table.protocol,
            mixture_components=table.mixture_components,
            seed=seed,
            progress=progress,
        )
        seconds = round(trainer.seconds, 1)
        cell = {"kind": kind, "seed": seed, "train_seconds": seconds, **result.to_dict()}
        record["cells"].append(cell)
        write_json(path, record, overwrite=True)
    return path


def _open(path: Path, name: str, settings: dict[str, Any]) -> dict[str, Any]:
    if not path.exists():
        return {"format": FORMAT, "table": name, "settings": settings, "cells": []}
    record = read_table(path)
    if record["settings"] != settings:
        different = [k for k in settings if record["settings"].get(k) != settings[k]]
        raise InputError(
            f"{path} was made with another {', '.join(different)}: move it away, or use the "
            "settings it was made with."
        )
    return record


def read_table(path: Path) -> dict[str, Any]:
    """Read a table's file.

    Raises:
        InputError: missing, damaged, or of another version.
    """
    record: dict[str, Any] = read_json(path)
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        found = record.get("format") if isinstance(record, dict) else None
        raise InputError(
            f"{path} has format {found}, this library reads {FORMAT}: make the table again."
        )
    return record


@dataclass(frozen=True)
class Estimate:
    """Mean over seeds with the half-width of its 95 % confidence interval."""

    mean: float
    half_width: float
    """Student's t with n - 1 degrees of freedom; infinite for a single seed."""
    n: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Estimate:
        """Estimate from one value per seed.

        Raises:
            InputError: no values.
        """
        if not values:
            raise InputError("there are no values to take the mean of.")
        n = len(values)
        if n == 1:
            return cls(values[0], math.inf, 1)
        error = statistics.stdev(values) / math.sqrt(n)
        return cls(statistics.fmean(values), float(student_t.ppf(0.975, n - 1)) * error, n)

    def __str__(self) -> str:
        spread = "" if math.isinf(self.half_width) else f" ± {self.half_width:.2f}"
        return f"{self.mean:.2f}{spread}"


def summarise(record: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Columns and rows of text: a row per source and part, a column per kind of model."""
    kinds = list(dict.fromkeys(cell["kind"] for cell in record["cells"]))
    values: dict[tuple[str, str], dict[str, list[float]]] = {}
    for cell in record["cells"]:
        for row in cell["rows"]:
            by_kind = values.setdefault((row["source"], row["part"]), {})
            by_kind.setdefault(cell["kind"], []).append(row["fid"]["value"])
    seeds = {kind: sum(cell["kind"] == kind for cell in record["cells"]) for kind in kinds}
    columns = ["images", "part", *(f"{kind} ({seeds[kind]} seeds)" for kind in kinds)]
    lines = []
    for (source, part), by_kind in values.items():
        cells = [str(Estimate.of(by_kind[k])) if k in by_kind else "–" for k in kinds]
        lines.append([source, part, *cells])
    return columns, lines


def paired_difference(
    record: dict[str, Any],
    first: tuple[str, str, str],
    second: tuple[str, str, str],
) -> Estimate:
    """FID of ``first`` minus FID of ``second``, each (kind, source, part), paired by seed.

    Raises:
        InputError: no seed has both.
    """

    def by_seed(kind: str, source: str, part: str) -> dict[int, float]:
        return {
            cell["seed"]: row["fid"]["value"]
            for cell in record["cells"]
            for row in cell["rows"]
            if (cell["kind"], row["source"], row["part"]) == (kind, source, part)
        }

    a, b = by_seed(*first), by_seed(*second)
    return Estimate.of([a[seed] - b[seed] for seed in sorted(a.keys() & b.keys())])
