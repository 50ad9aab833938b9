"""Images per second and peak memory of training, per preset, on this machine's CPU.

    python benchmarks/training_speed.py [--presets quick mnist] [--steps 20] [--repeats 3]

Each preset runs in a process of its own, so that its peak memory is its own. A repeat is the mean
over ``steps`` training steps of the preset's batch size, after two steps that are not counted; the
median of the repeats is the figure, and all of them are kept. The images are random: their
content does not change the speed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time

from peak import random_images
from record import peak_memory_mib, save

import svae_lib as sv


def measure(preset: str, steps: int, repeats: int) -> dict[str, object]:
    config, train = sv.PRESETS[preset].model, sv.PRESETS[preset].train
    images = random_images(config, 4 * train.batch_size)
    trainer = sv.Trainer(sv.build_model("split-vae", config), images, train, "cpu")
    trainer.fit(2, progress=False)
    rates = []
    for _ in range(repeats):
        start = time.perf_counter()
        trainer.fit(steps, progress=False)
        rates.append(steps * train.batch_size / (time.perf_counter() - start))
    return {
        "preset": preset,
        "parameters": sv.parameter_count(trainer.model),
        "batch_size": train.batch_size,
        "precision": trainer.precision,
        "images_per_second": round(statistics.median(rates), 1),
        "images_per_second_of_each_repeat": [round(rate, 1) for rate in rates],
        "steps_per_repeat": steps,
        "peak_memory_MiB": peak_memory_mib(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--presets", nargs="+", default=["quick", "mnist"], choices=sv.PRESETS)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--one", help=argparse.SUPPRESS)  # the process of one preset
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(arguments.one, arguments.steps, arguments.repeats)))
        return
    results = []
    for preset in arguments.presets:
        command = [sys.executable, __file__, "--one", preset]
        command += ["--steps", str(arguments.steps), "--repeats", str(arguments.repeats)]
        found = subprocess.run(command, check=True, capture_output=True, text=True)
        results.append(json.loads(found.stdout.splitlines()[-1]))
        print(results[-1])
    save("training_speed_cpu", {"what": __doc__.split("\n")[0], "results": results})


if __name__ == "__main__":
    main()
