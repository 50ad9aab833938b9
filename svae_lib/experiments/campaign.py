"""Campaigns: many trainings for hours, by several processes, taken up again wherever they stopped.

All of a campaign's state is on disk: tables' files hold what is done, checkpoints what is begun,
and locks, which the system drops with the process, who works on what. So it survives a kill.
"""

import math
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import torch

from ..support.checks import InputError, check_counts, check_positive
from ..support.files import claimed
from ..support.rescue import stop_requests
from ..support.tensor_files import read_header
from .definitions import CAMPAIGNS
from .runs import step_of
from .tables import Cell, Plan, work_off


def plans(names: Sequence[str], results: Path, runs: Path) -> list[Plan]:
    """What campaigns or tables consist of, in this order."""
    if not names:
        raise InputError(f"name a campaign ({', '.join(CAMPAIGNS)}) or tables.")
    parts = [part for name in names for part in CAMPAIGNS.get(name, ((name, None),))]
    return [Plan.of(table, results, runs, seeds=seeds) for table, seeds in parts]


def campaign(
    todo: Sequence[Plan],
    *,
    hours: float = math.inf,
    processes: int = 1,
    root: Path | None = None,
    device: str | None = None,
) -> None:
    """Do :func:`~.tables.work_off` for ``hours``, in so many ``processes`` with one thread each.

    Raises:
        InputError: a bad argument, or as in :func:`~.tables.work_off`.
        KeyboardInterrupt: Ctrl-C; everything is saved.
        SystemExit: SIGTERM; everything is saved.
    """
    check_counts(processes=processes)
    if hours != math.inf:
        check_positive(hours=hours)
    for plan in todo:
        plan.record()  # can all files be used?
    until = time.time() + 3600 * hours
    if processes == 1:
        torch.set_num_threads(1)
        work_off(todo, root=root, device=device, until=until)
        return
    os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")  # read when they import torch
    context = multiprocessing.get_context("spawn")
    work = todo, root, device, until
    workers = [context.Process(target=_worker, args=work) for _ in range(processes)]
    with stop_requests() as stop:
        for worker in workers:
            worker.start()
        while any(worker.is_alive() for worker in workers) and not stop.wait(0.2):
            pass
        for worker in workers:
            worker.terminate()  # it saves; nothing, where it has ended
        for worker in workers:
            worker.join()
    if stop.terminate:
        raise SystemExit(128 + signal.SIGTERM)
    if stop.is_set():
        raise KeyboardInterrupt
    if any(worker.exitcode for worker in workers):
        raise InputError("some models could not be made, for the reasons above.")


def _worker(todo: Sequence[Plan], root: Path | None, device: str | None, until: float) -> None:
    torch.set_num_threads(1)
    try:
        work_off(todo, root=root, device=device, until=until)
    except (InputError, KeyboardInterrupt):  # the reasons have been said
        sys.exit(1)


def status(todo: Sequence[Plan]) -> tuple[list[str], list[list[str]]]:
    """How far each model of the plans is, as columns and rows of text.

    The hours left are those of training, by the speed so far. Nothing is written but empty locks.
    """
    rows: dict[tuple[str, Cell], list[str]] = {}
    for plan in todo:
        missing = plan.missing()
        for cell, run in plan.cells.items():
            steps = run.train_config.steps
            state, step, hours = "done", steps, "0.0"
            if cell in missing:
                state, step, hours = "to do", 0, "unknown"
                if last := run.checkpoints()[-1:]:
                    state, step = "begun", step_of(last[0])
                    with suppress(InputError):  # training takes the checkpoint before it
                        hours = f"{read_header(last[0])['seconds'] / 3600 * (steps / step - 1):.1f}"
                if (lock := plan.lock(cell)).exists():
                    with claimed(lock) as free:
                        state = state if free else "running"
            told = [plan.name, cell[0], str(cell[1]), state, f"{step:,} of {steps:,}", hours]
            rows[plan.name, cell] = told
    return ["table", "model", "seed", "state", "step", "hours left"], list(rows.values())
