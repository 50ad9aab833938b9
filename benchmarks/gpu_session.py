"""Everything that needs an accelerator, in one go: checks, speed, scores, the course's models.

    python benchmarks/gpu_session.py --out results-gpu --root DATA [--minutes 28]

For a GPU that is borrowed for half an hour. The stages, by priority:

check-*        CUDA against the CPU: forward, loss, gradients; a resumed run; bf16, fp16
matrix-peak    the rate of a large bf16 matrix product
fid-speed      10,000 images from latent vectors to FID, against PNG files and pytorch-fid
speed-*        training of the paper's models: several ways, by batch size and compiler, and a
               plain loop; as many of them as their minutes suffice for
time-to-loss   seconds to the validation loss of batch 100, for larger batches
compact-*      small models for the course, one seed, trained and scored
seeds-*        the same small models, two more seeds
table-*        the paper's models, three seeds, trained and scored

Results are in OUT/session.json, OUT/TABLE.json and OUT/NAME.safetensors, files of at most 16 MiB,
written after each stage, and within it where it measures several things. Started again with the
same OUT (and WORK), it goes on where it was: what is done is not repeated, what failed is tried
again. A stage that no longer fits into the time is left out, and said; so is all that follows an
error after which the device no longer answers: start again. ``--tiny`` runs every stage in seconds,
on the CPU too, to test the session; its figures mean nothing.

Which data are at hand decides which models are trained: DATA holds the files of MNIST and
Fashion-MNIST as svae_lib.data.load finds them, and photographs of 32x32 pixels in the folders
cifar10-jpeg/train/CLASS and cifar10-jpeg/test/CLASS.
"""

from __future__ import annotations

import argparse
import os
import signal
from functools import partial
from pathlib import Path

import gpu_checks
import gpu_scores
import gpu_speed
import torch
from gpu_scores import course_table
from session import Context, Stage, run_session

from svae_lib.support.devices import default_device

COMPACT = ("compact-mnist", "compact-fashion-mnist", "compact-cifar10-jpeg")
PAPER = ("mnist", "fashion-mnist", "cifar10-jpeg")

STAGES = (
    Stage("check-forward", 0.5, gpu_checks.forward_and_gradients),
    Stage("check-resumed", 1, gpu_checks.resumed_run),
    Stage("check-precision", 2, gpu_checks.precisions),
    Stage("matrix-peak", 0.3, gpu_speed.matrix_peak),
    Stage("fid-speed", 1.5, gpu_scores.fid_speed),
    Stage("speed-mnist", 6, partial(gpu_speed.training_speed, preset="mnist", more=True), 1),
    Stage("speed-cifar10", 3, partial(gpu_speed.training_speed, preset="cifar10"), 1),
    Stage("speed-celeba", 3, partial(gpu_speed.training_speed, preset="celeba"), 1),
    Stage("time-to-loss", 3, gpu_speed.time_to_loss, 1),
    *(Stage(name, 2, partial(course_table, name=name, seeds=(0,))) for name in COMPACT),
    *(Stage(f"seeds-{name}", 1, partial(course_table, name=name)) for name in COMPACT),
    *(Stage(f"table-{name}", 2, partial(course_table, name=name)) for name in PAPER),
)
# Minutes: a speed stage takes what it is given, and up to one more; a table goes on cell by cell,
# and its minutes are those of one cell.


def main(arguments: list[str] | None = None) -> int:
    """0 if every stage went well, 1 if one failed or a check did not pass."""
    options = _parse(arguments)
    # Two sessions side by side are a shell's background jobs, which ignore what limits are made of.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if options.commit:
        os.environ["SVAE_COMMIT"] = options.commit  # for the models' headers and the tables too
    root = options.root or os.environ.get("SVAE_DATA") or None
    work = options.work or options.out.with_name(f"{options.out.name}-work")
    for folder in (options.out, work):
        folder.mkdir(parents=True, exist_ok=True)
    context = Context(
        torch.device(options.device) if options.device else default_device(),
        out=options.out,
        work=work,
        root=Path(root) if root else None,
        tiny=options.tiny,
    )
    stages = [stage for stage in STAGES if not options.stages or stage.name in options.stages]
    entries = run_session(stages, context, options.minutes)["stages"]
    names = [stage.name for stage in stages]
    status = {name: entries[name]["status"] if name in entries else "not begun" for name in names}
    failed = [name for name in names if status[name] == "failed"]
    results = {name: entries[name].get("result") for name in names if name in entries}
    wrong = [name for name, result in results.items() if not gpu_checks.all_passed(result)]
    for name in wrong:
        print(f"{name}: NOT within its tolerance")
    unfinished = ("no time", "cut off", "begun", "not begun")
    open_ones = [name for name in names if status[name] in unfinished]
    if open_ones:
        print(f"left for another session: {', '.join(open_ones)}")
    return 1 if failed or wrong else 0


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument(
        "--work", type=Path, help="folder of runs and large files; default: OUT-work"
    )
    parser.add_argument("--root", type=Path, help="folder of the data sets; default: SVAE_DATA")
    parser.add_argument("--minutes", type=float, default=28.0)
    parser.add_argument("--stages", nargs="+", choices=[stage.name for stage in STAGES])
    parser.add_argument("--device")
    parser.add_argument("--commit", help="of this copy, where it carries no history")
    parser.add_argument("--tiny", action="store_true")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    raise SystemExit(main())
