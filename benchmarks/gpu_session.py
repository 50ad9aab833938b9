"""Everything that needs a GPU, stage by stage, most important first.

    python benchmarks/gpu_session.py --out results-gpu --root DATA [--minutes 28] [--stages NAME]

check-*    every kind of model in float32, bf16 and fp16 against the CPU: forward, loss, gradients,
           a resumed run; the tests of training, on the GPU
speed-*    the paper's models with default settings: images per second against a plain float32
           loop with a DataLoader, and as a share of the measured bf16 peak
table-*    tables of svae_lib.experiments.tables at the paper's scale, by its ``reproduce``
fid        10,000 images from latent vectors to FID, against PNG files and pytorch-fid
notebooks  minutes of each notebook in the profile gpu; notebook 05 with its outputs
compile    the modes of torch.compile, with and without CUDA graphs

Each stage runs in a process of its own, within a time limit, and leaves OUT/STAGE.json: its result,
or why there is none. A stage that fails, hangs or loses the device does not stop the others.
Started again with the same OUT and WORK, the session skips what is done, and a table goes on with
the models that it lacks. DATA holds MNIST and Fashion-MNIST as svae_lib.data.load finds them, and
CIFAR-10's photographs in cifar10-jpeg/train/CLASS and cifar10-jpeg/test/CLASS. ``--tiny`` runs the
same code with the smallest sizes, on the CPU too; its figures mean nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import gpu_checks
import gpu_scores
import gpu_speed
import torch
from record import conditions

from svae_lib.support.devices import default_device
from svae_lib.support.files import read_json, write_json

GRACE = 20.0
"""Seconds that a stage has to save its work when its time is over."""


@dataclass
class Context:
    """What every stage is given."""

    device: torch.device
    out: Path  # folder of the results
    work: Path  # folder of training runs and other large files
    root: Path | None = None  # folder of data sets
    tiny: bool = False  # the smallest sizes at which everything still runs
    note: Callable[[dict[str, Any]], None] = lambda result: None  # writes what is measured so far

    def pick(self, full: Any, tiny: Any) -> Any:
        """The first in a real session, the second in a tiny one."""
        return tiny if self.tiny else full

    def synchronise(self) -> None:
        """Wait until the device has done its work."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


@dataclass(frozen=True)
class Stage:
    """One part of a session."""

    name: str
    minutes: float  # time limit
    run: Callable[[Context], dict[str, Any]]


STAGES = (
    Stage("check-models", 3, gpu_checks.models),
    Stage("check-resumed", 4, gpu_checks.resumed),
    Stage("check-tests", 4, gpu_checks.tests),
    *(
        Stage(f"speed-{preset}", 3, partial(gpu_speed.training_speed, preset=preset))
        for preset in gpu_speed.PRESETS
    ),
    *(
        Stage(f"table-{name}", 6, partial(gpu_scores.table, name=name))
        for name in gpu_scores.TABLES
    ),
    Stage("fid", 3, gpu_scores.fid_speed),
    Stage("notebooks", 9, gpu_scores.notebooks),
    Stage("compile", 6, gpu_speed.compilers),
)


# ---------------------------------------------------------------------- one stage, in its process


def run_stage(stage: Stage, context: Context) -> dict[str, Any]:
    """Run a stage and write its record at the beginning, at each note, and at the end."""
    started = time.monotonic()
    record: dict[str, Any] = {
        "stage": stage.name,
        "tiny": context.tiny,
        "status": "begun",
        "conditions": conditions(context.device),
    }

    def write(**changes: Any) -> None:
        record.update(changes, seconds=round(time.monotonic() - started, 1))
        write_json(context.out / f"{stage.name}.json", _finite(record), overwrite=True)

    write()
    context.note = lambda result: write(result=result)
    torch.manual_seed(0)
    try:
        write(status="done", result=stage.run(context))
    except Exception as error:
        lines = traceback.format_exc().splitlines()
        write(status="failed", why=f"{type(error).__name__}: {error}", traceback=lines)
    return record


def _finite(value: Any) -> Any:
    """The same with NaN and infinity as text: JSON has no number for them."""
    if isinstance(value, dict):
        return {name: _finite(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


# ---------------------------------------------------------------------- all stages, one by one


def supervise(name: str, command: Sequence[str], out: Path, seconds: float) -> dict[str, Any]:
    """Run a stage's process within a time limit; its record, which also says how it ended."""
    path = out / f"{name}.json"
    path.unlink(missing_ok=True)
    process = subprocess.Popen(command, start_new_session=True)
    status, why = "failed", "its process ended without a result"
    try:
        process.wait(timeout=seconds)
        why += f" (exit status {process.returncode})"
    except subprocess.TimeoutExpired:
        status, why = "cut off", f"it took longer than {seconds:.0f} seconds"
    finally:
        _stop(process)
    record: dict[str, Any] = read_json(path) if path.exists() else {"stage": name}
    if record.get("status") not in ("done", "failed"):
        record |= {"status": status, "why": why}
        write_json(path, record, overwrite=True)
    return record


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End a process that still runs, and those that it started."""
    if process.poll() is None:
        process.terminate()  # a training saves its state
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=GRACE)
    process.kill()
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def run_all(stages: Sequence[Stage], options: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Run the stages that are not done yet, as long as there is time; records by name."""
    deadline = time.monotonic() + 60 * options.minutes
    records = {}
    for stage in stages:
        path = options.out / f"{stage.name}.json"
        before = read_json(path) if path.exists() else {}
        left = deadline - time.monotonic()
        if before.get("status") == "done" and before.get("tiny") == options.tiny:
            records[stage.name] = before
            print(f"{stage.name}: done before", flush=True)
            continue
        if left <= 0:
            print(f"{stage.name}: no time left", flush=True)
            continue
        print(f"{stage.name} ...", flush=True)
        command = [sys.executable, __file__, *options.arguments, "--in-process", stage.name]
        found = supervise(stage.name, command, options.out, min(60 * stage.minutes, left))
        records[stage.name] = found
        said = [found["status"], *([found["why"]] if "why" in found else [])]
        print(f"{stage.name}: {', '.join(said)}", flush=True)
        if not gpu_checks.all_passed(found.get("result")):
            print(f"{stage.name}: NOT within its tolerance", flush=True)
    return records


def main(arguments: Sequence[str] | None = None) -> int:
    """0 if every stage is done and every check passed, else 1."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [stage.name for stage in STAGES]
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--work", type=Path, help="default: OUT-work")
    parser.add_argument("--root", type=Path, help="default: SVAE_DATA")
    parser.add_argument("--minutes", type=float, default=28.0, help="for all stages together")
    parser.add_argument("--stages", nargs="+", choices=names, metavar="NAME")
    parser.add_argument("--device")
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--in-process", choices=names, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    options.arguments = list(sys.argv[1:] if arguments is None else arguments)
    work = options.work or options.out.with_name(f"{options.out.name}-work")
    for folder in (options.out, work):
        folder.mkdir(parents=True, exist_ok=True)
    chosen = [stage for stage in STAGES if not options.stages or stage.name in options.stages]
    if options.in_process:
        device = torch.device(options.device) if options.device else default_device()
        root = options.root.absolute() if options.root else None
        context = Context(device, options.out.absolute(), work.absolute(), root, options.tiny)
        record = run_stage(STAGES[names.index(options.in_process)], context)
        return 0 if record["status"] == "done" else 1
    records = run_all(chosen, options)
    done = [name for name, record in records.items() if record["status"] == "done"]
    passed = all(gpu_checks.all_passed(record.get("result")) for record in records.values())
    return 0 if passed and len(done) == len(chosen) else 1


if __name__ == "__main__":
    raise SystemExit(main())
