"""Campaigns: many trainings for hours, by several processes, taken up again wherever they stopped.

All of a campaign's state is on disk: tables' files hold what is done, checkpoints what is begun,
and locks, which the system drops with the process, who works on what. So it survives a kill.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import chain
from pathlib import Path

import torch

from .. import data
from ..support.checks import InputError, check_counts, check_positive
from ..support.files import claimed
from ..support.rescue import TrainingDiverged, TrainingOutOfMemory
from ..support.signals import stop_requests
from ..support.tensor_files import DamagedFile, read_header
from ..training import Trainer
from .definitions import CAMPAIGNS
from .runs import Run, step_of
from .tables import Cell, Plan


@dataclass(frozen=True)
class Options:
    """How a campaign is run."""

    hours: float | None = None
    """Stop after this time; default: when all is done. A model trained by then is scored."""
    processes: int = 1
    """Models trained at once, each in a process of its own with one thread."""
    nice: int = 0
    """Added to the processes' niceness, such as 19, so that other work goes first."""
    root: Path | None = None
    """Folder with the data sets' files."""
    device: str | None = None
    """cuda, cpu, ..."""

    def __post_init__(self) -> None:
        check_counts(processes=self.processes)
        check_counts(lowest=0, nice=self.nice)
        if self.hours is not None:
            check_positive(hours=self.hours)


@dataclass(frozen=True)
class State:
    """How far a model of a campaign is."""

    table: str
    model: str
    seed: int
    state: str
    """"done", "running", "begun" or "to do"."""
    step: int
    steps: int
    hours_left: float | None
    """Of training, in one process; None where no training so far tells how fast it is."""


def plans(names: Sequence[str], results: Path, runs: Path) -> list[Plan]:
    """What campaigns or tables consist of, in this order; "TABLE:0,1" is these seeds alone."""
    if not names:
        raise InputError(f"name a campaign ({', '.join(CAMPAIGNS)}) or tables.")
    found = []
    for name in chain.from_iterable(CAMPAIGNS.get(given, (given,)) for given in names):
        table, _, numbers = name.partition(":")
        try:
            seeds = tuple(map(int, numbers.split(","))) if numbers else None
        except ValueError:
            raise InputError(f"{name!r} must be a table, or TABLE:0,1 for some seeds.") from None
        found.append(Plan.of(table, results, runs, seeds=seeds))
    return found


def campaign(todo: Sequence[Plan], options: Options) -> bool:
    """Work off plans, one after the other, and return whether every model could be made.

    Where a model cannot be made, standard error says why, and the next one is taken.

    Raises:
        InputError: another campaign works on these runs, or a file of another version or settings.
        KeyboardInterrupt: Ctrl-C; everything is saved.
        SystemExit: SIGTERM; everything is saved.
    """
    runs = todo[0].runs
    for plan in todo:
        plan.made()
    runs.mkdir(parents=True, exist_ok=True)
    with claimed(runs / ".campaign.lock") as mine:
        if not mine:
            raise InputError(f"another campaign is at work in {runs}: wait for it, or stop it.")
        end = None if options.hours is None else time.time() + 3600 * options.hours
        if options.processes == 1:
            return _work(todo, options, end)
        return _share(todo, options, end)


def _share(todo: Sequence[Plan], options: Options, end: float | None) -> bool:
    """Let several processes work; each takes the next model that is free."""
    os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")  # read when they import torch
    context = multiprocessing.get_context("spawn")
    workers = [
        context.Process(target=_worker, args=(todo, options, end)) for _ in range(options.processes)
    ]
    with stop_requests() as stop:
        for worker in workers:
            worker.start()
        asked = False
        while any(worker.is_alive() for worker in workers):
            if stop.is_set() and not asked:
                asked = True
                for worker in workers:
                    worker.terminate()
            workers[-1].join(0.2) if workers[-1].is_alive() else time.sleep(0.2)
    if stop.terminate:
        raise SystemExit(128 + signal.SIGTERM)
    if stop.is_set():
        raise KeyboardInterrupt
    return all(worker.exitcode == 0 for worker in workers)


def _worker(todo: Sequence[Plan], options: Options, end: float | None) -> None:
    """One process of a campaign; its exit code is 0 if all went well."""
    try:
        sys.exit(0 if _work(todo, options, end) else 2)
    except OSError as error:
        print(f"svae: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


def _work(todo: Sequence[Plan], options: Options, end: float | None) -> bool:
    """Make models in their order until all are made, or time is up."""
    torch.set_num_threads(1)
    if options.nice and hasattr(os, "nice"):
        os.nice(options.nice)

    def late() -> bool:
        return end is not None and time.time() >= end

    def stop_if_late(trainer: Trainer) -> None:
        if late() and trainer.step < trainer.config.steps:
            signal.raise_signal(signal.SIGINT)  # the trainer ends its step and saves

    failed: set[tuple[str, Cell]] = set()
    load = lru_cache(maxsize=1)(data.load)
    took = True
    while took and not late():  # again: another process may have released a model
        took = False
        for cell_plan in (replace(plan, cells=(cell,)) for plan in todo for cell in plan.cells):
            key = cell_plan.name, cell_plan.cells[0]
            if late():
                break
            if key in failed:
                continue
            try:
                done = cell_plan.work_off(
                    root=options.root, device=options.device, on_log=(stop_if_late,), load=load
                )
                took |= bool(list(done))
            except (InputError, TrainingDiverged, TrainingOutOfMemory) as error:
                failed.add(key)
                print(f"svae: {cell_plan.name}: {error}", file=sys.stderr, flush=True)
            except KeyboardInterrupt:
                if not late():
                    raise
    return not failed


def status(todo: Sequence[Plan]) -> list[State]:
    """How far each model of the plans is, each once; nothing is written but empty locks."""
    found: dict[tuple[str, Cell], State] = {}
    for plan in todo:
        done, steps = plan.made(), plan.preset.train.steps
        reached = {cell: _reached(plan.folder(*cell)) for cell in plan.cells}
        usual = [seconds / step for step, seconds in reached.values() if seconds]
        usual = usual or [cell["train_seconds"] / steps for cell in plan.record()["cells"]]
        for cell, (step, seconds) in reached.items():
            variant, seed = cell
            state = "begun" if (plan.folder(*cell) / "run.json").exists() else "to do"
            hours = None
            if cell in done:
                state, step, hours = "done", steps, 0.0
            elif _held(plan.lock(*cell)):
                state = "running"
            if hours is None and usual:
                rate = seconds / step if seconds else sum(usual) / len(usual)
                hours = (steps - step) * rate / 3600
            new = State(plan.name, variant.name, seed, state, step, steps, hours)
            found.setdefault((plan.name, cell), new)
    return list(found.values())


def _reached(folder: Path) -> tuple[int, float]:
    """Steps and seconds of training behind a run's newest checkpoint; 0 where nothing tells."""
    if not (folder / "run.json").exists():
        return 0, 0.0
    for path in reversed(Run.open(folder).checkpoints()):
        try:
            return step_of(path), float(read_header(path)["seconds"])
        except (DamagedFile, KeyError, TypeError, ValueError):
            continue
    return 0, 0.0


def _held(lock: Path) -> bool:
    """Whether a process has the cell of this lock."""
    if not lock.exists():
        return False
    with claimed(lock) as free:
        return not free


def told(states: Sequence[State]) -> tuple[list[str], list[list[str]], str]:
    """Columns, rows and a sentence on what is left."""
    columns = ["table", "model", "seed", "state", "step", "hours left"]
    rows = []
    for s in states:
        left_for = "unknown" if s.hours_left is None else f"{s.hours_left:.1f}"
        step = f"{s.step:,} of {s.steps:,}"
        rows.append([s.table, s.model, str(s.seed), s.state, step, left_for])
    left = [s for s in states if s.state != "done"]
    if not left:
        return columns, rows, f"all {len(states)} models are done."
    known = [s.hours_left for s in left if s.hours_left is not None]
    text = f"{len(left)} of {len(states)} models are left: {sum(known):.1f} hours of one process"
    if unknown := len(left) - len(known):
        text += f", and {unknown} whose speed on this machine is not known yet"
    return columns, rows, text + " (scoring not counted)."
