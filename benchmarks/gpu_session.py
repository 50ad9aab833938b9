"""Everything that needs a GPU, stage by stage, most important first.

    python benchmarks/gpu_session.py --out results-gpu [--minutes 28] [--stages NAME ...]

check-*    every kind of model in float32, bf16 and fp16 against the CPU: forward, loss, gradients,
           a resumed run; those tests of the library that take the GPU where there is one
speed-*    the paper's models with default settings: images per second against a plain float32
           loop with a DataLoader, and as a share of the measured bf16 peak
table-*    tables of svae_lib.experiments.tables at the paper's scale, by its ``reproduce``
fid        10,000 images from latent vectors to FID, against PNG files and pytorch-fid
notebooks  minutes of each notebook in the profile gpu; notebook 05 with its outputs
compile    the modes of torch.compile, with and without CUDA graphs

Each stage runs in a process of its own, within a time limit, and leaves OUT/STAGE.json: its result,
or why there is none. A stage that fails, hangs or loses the device does not stop the others.
Started again with the same OUT and WORK, the session skips what is done, and a table goes on with
the models that it lacks. The folder that SVAE_DATA names, by its full path, holds MNIST and
Fashion-MNIST as svae_lib.data.load finds them, and CIFAR-10's photographs in
cifar10-jpeg/train/CLASS and cifar10-jpeg/test/CLASS. ``--tiny`` runs the same code with the
smallest sizes, on the CPU too; its figures mean nothing. Needs GNU timeout.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import gpu_checks
import gpu_scores
import gpu_speed
import torch
from gpu_checks import Context
from record import conditions

from svae_lib.support.devices import default_device
from svae_lib.support.files import read_json, write_json

Stage = Callable[[Context], dict[str, Any]]

STAGES: dict[str, tuple[float, Stage]] = {
    "check-models": (3, gpu_checks.models),
    "check-resumed": (4, gpu_checks.resumed),
    "check-tests": (4, gpu_checks.tests),
    **{
        f"speed-{preset}": (3, partial(gpu_speed.training_speed, preset=preset))
        for preset in gpu_speed.PRESETS
    },
    **{f"table-{name}": (6, partial(gpu_scores.table, name=name)) for name in gpu_scores.TABLES},
    "fid": (3, gpu_scores.fid_speed),
    "notebooks": (9, gpu_scores.notebooks),
    "compile": (9, gpu_speed.compilers),
}
"""Most minutes that each may take, and what it runs; in this order."""


def run_stage(name: str, stage: Stage, context: Context) -> dict[str, Any]:
    """Run a stage and write its record at the beginning, at each note, and at the end."""
    started = time.monotonic()
    record: dict[str, Any] = {
        "stage": name,
        "tiny": context.tiny,
        "status": "begun",
        "conditions": conditions(context.device),
    }

    def write(**changes: Any) -> None:
        record.update(changes, seconds=round(time.monotonic() - started, 1))
        write_json(context.out / f"{name}.json", record, overwrite=True)

    write()
    context.note = lambda result: write(result=result)
    torch.manual_seed(0)
    try:
        write(status="done", result=stage(context))
    except Exception as error:
        lines = traceback.format_exc().splitlines()
        write(status="failed", why=f"{type(error).__name__}: {error}", traceback=lines)
    return record


def supervise(name: str, command: Sequence[str], out: Path, seconds: float) -> dict[str, Any]:
    """Run a stage's process within a time limit; its record, which also says how it ended."""
    path = out / f"{name}.json"
    path.unlink(missing_ok=True)
    started = time.monotonic()
    limit = ("timeout", "--kill-after=20", f"{seconds:.1f}")  # seconds; 20 to save its work
    process = subprocess.Popen([*limit, *command])
    try:
        process.wait()
    finally:  # an interrupted session passes it on to the stage and all that the stage started
        process.terminate()
    record: dict[str, Any] = read_json(path) if path.exists() else {"stage": name}
    if time.monotonic() - started >= seconds:
        record |= {"status": "cut off", "why": f"it took longer than {seconds:.0f} seconds"}
    elif record.get("status") not in ("done", "failed"):
        why = f"its process ended without a result (exit status {process.returncode})"
        record |= {"status": "failed", "why": why}
    write_json(path, record, overwrite=True)
    return record


def run_all(names: Sequence[str], options: argparse.Namespace, arguments: Sequence[str]) -> bool:
    """Run the stages that are not done yet, as long as there is time; whether all is well."""
    deadline = time.monotonic() + 60 * options.minutes
    well = True
    for name in names:
        path = options.out / f"{name}.json"
        record = read_json(path) if path.exists() else {}
        left = deadline - time.monotonic()
        if record.get("status") == "done" and record.get("tiny") == options.tiny:
            said = "done before"
        elif left <= 0:
            record, said = {}, "no time left"
        else:
            print(f"{name} ...", flush=True)
            command = [sys.executable, __file__, *arguments, "--in-process", name]
            record = supervise(name, command, options.out, min(60 * STAGES[name][0], left))
            said = ", ".join(record[key] for key in ("status", "why") if key in record)
        passed = gpu_checks.all_passed(record.get("result"))
        print(f"{name}: {said}{'' if passed else ', NOT within its tolerance'}", flush=True)
        well = well and passed and record.get("status") == "done"
    return well


def main(arguments: Sequence[str] | None = None) -> int:
    """0 if every stage is done and every check passed, else 1."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--work", type=Path, help="default: OUT-work")
    parser.add_argument("--minutes", type=float, default=28.0, help="for all stages together")
    parser.add_argument("--stages", nargs="+", choices=STAGES, metavar="NAME", default=[*STAGES])
    parser.add_argument("--device", type=torch.device, default=default_device())
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--in-process", choices=STAGES, help=argparse.SUPPRESS)
    arguments = sys.argv[1:] if arguments is None else arguments
    options = parser.parse_args(arguments)
    work = options.work or options.out.with_name(f"{options.out.name}-work")
    for folder in (options.out, work):
        folder.mkdir(parents=True, exist_ok=True)
    if name := options.in_process:
        out, work = options.out.absolute(), work.absolute()
        context = Context(options.device, out, work, options.tiny)
        return 0 if run_stage(name, STAGES[name][1], context)["status"] == "done" else 1
    chosen = [name for name in STAGES if name in options.stages]
    return 0 if run_all(chosen, options, arguments) else 1


if __name__ == "__main__":
    raise SystemExit(main())
