"""Training on the CPU in float32 and in bf16, in turns: which is faster at which width?

    python benchmarks/precision_choice.py [--turns 7] [--seconds 2] [--dry-run]

A Split VAE of each size trains on random images in both precisions; the two take turns of about
``--seconds`` each, after two steps that are not counted. ``times_faster`` is the median, over the
turns, of bf16's rate divided by the float32 rate measured right before it. One thread, and the
seconds are those of the processor that it used: so other work on the machine, whose load before the
run is recorded, counts little. ``slower_in_bf16`` lists the sizes that "auto" is wrong about,
which takes bf16 at every width on a CPU that has it (devices.resolve_precision).
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import time
from typing import Any

import torch
from peak import random_images
from record import load_average, save

import svae_lib as sv
from svae_lib.support.devices import cpu_has_bf16


def _narrowed(name: str, base_dim: int) -> sv.Preset:
    preset = sv.PRESETS[name]
    return dataclasses.replace(preset, model=dataclasses.replace(preset.model, base_dim=base_dim))


SIZES = {
    "quick, a quarter of the width": _narrowed("quick", 2),
    "quick, half the width": _narrowed("quick", 4),
    **{name: sv.PRESETS[name] for name in ("quick", "quick-faces", "quick-cifar10")},
    **{name: sv.PRESETS[name] for name in ("compact-faces", "compact")},
    "mnist, half the width": _narrowed("mnist", 32),
    "mnist": sv.PRESETS["mnist"],
}


def trainer(preset: sv.Preset, precision: Any) -> sv.Trainer:
    """A trainer that has taken the steps which are not counted."""
    train = dataclasses.replace(preset.train, precision=precision)
    images = random_images(preset.model, 4 * train.batch_size)
    made = sv.Trainer(sv.build_model("split-vae", preset.model), images, train, "cpu")
    made.fit(2, progress=False)
    return made


def rate(trainer: sv.Trainer, steps: int) -> float:
    """Images per second of the processor's time, over some steps."""
    start = time.process_time()
    trainer.fit(steps, progress=False)
    return steps * trainer.config.batch_size / (time.process_time() - start)


def compare(name: str, turns: int, seconds: float) -> dict[str, Any]:
    """Both precisions of one size."""
    preset = SIZES[name]
    full, half = trainer(preset, "float32"), trainer(preset, "bf16")
    steps = max(1, round(seconds * rate(full, 2) / preset.train.batch_size))
    rates = [(rate(full, steps), rate(half, steps)) for _ in range(turns)]
    return {
        "size": name,
        "base_dim": preset.model.base_dim,
        "batch_size": preset.train.batch_size,
        "float32_images_per_second": round(statistics.median(a for a, _ in rates), 1),
        "bf16_images_per_second": round(statistics.median(b for _, b in rates), 1),
        "times_faster": round(statistics.median(b / a for a, b in rates), 3),
        "times_faster_of_each_turn": [round(b / a, 3) for a, b in rates],
        "steps_per_turn": steps,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=2, help="of a turn, in float32")
    parser.add_argument("--sizes", nargs="+", default=[*SIZES], choices=SIZES)
    parser.add_argument("--dry-run", action="store_true", help="record nothing")
    options = parser.parse_args()
    torch.set_num_threads(1)
    load, results = load_average(), []
    for name in options.sizes:
        results.append(compare(name, options.turns, options.seconds))
        print(results[-1], flush=True)
    found = {
        "what": __doc__.split("\n")[0],
        "bf16_in_hardware": cpu_has_bf16(),
        "slower_in_bf16": [found["size"] for found in results if found["times_faster"] < 1],
        "turns": options.turns,
        "load_average_before": load,
        "results": results,
    }
    if not options.dry_run:
        save("precision_choice", found)


if __name__ == "__main__":
    main()
