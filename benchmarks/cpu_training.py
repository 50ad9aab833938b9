"""Training on the CPU: this library against the same layers in TensorFlow, in turns.

    python benchmarks/cpu_training.py [--presets mnist cifar10 celeba] [--steps 8] [--turns 5]

The paper's models for MNIST, CIFAR-10 and CelebA, batch 100, random images, the same number of
threads. Both sides are alive at once, each in its own process or environment, and take turns of a
few steps: library, TensorFlow, library, TensorFlow and so on, after two steps each that are not
counted. The library keeps its memory from turn to turn, as it does from step to step of a single
training. A turn's rate is in images per second; ``times_faster`` is the median over the turns of
the ratio of the two rates that were measured one after the other. The fastest of some matrix
products and convolutions before and after the turns gives the processor's peak: ``share_of_peak``
is the library's part of it, and ``most_times_faster`` the factor at the peak itself, which only a
way of computing with fewer operations could exceed.

TensorFlow and tf_keras live in an environment that this script makes on its first run (in the
user's cache folder); keras_worker.py is the program that runs there, float32, one graph per step.
That both models have the same number of parameters is checked. The library runs in the precision
that it chooses for this processor, and with --float32 in that; each has a record of its own, and
so has bf16 on a processor with AMX.
Leave the machine alone meanwhile: the load before the run is recorded.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import statistics
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import torch
from peak import flops_per_image, highest_rate, random_images
from record import has_amx, load_average, save

import svae_lib as sv
from svae_lib.support.devices import kept_memory
from svae_lib.support.files import user_cache

PACKAGES = ("tensorflow>=2.16,<3", "tf_keras>=2.16,<3")
WORKER = Path(__file__).with_name("keras_worker.py")
WARM_UP = 2
DTYPES = {"float32": torch.float32, "bf16": torch.bfloat16}


def environment(python: str) -> Path:
    """The Python of the environment with TensorFlow, made if it is not there."""
    folder = user_cache() / "tensorflow"
    interpreter = folder / "bin" / "python"
    if not (folder / "complete").exists():
        print(f"installing TensorFlow into {folder} (once)", flush=True)
        subprocess.run([python, "-m", "venv", "--clear", folder], check=True)
        subprocess.run([interpreter, "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
        (folder / "complete").touch()
    return interpreter


class Keras:
    """The model in TensorFlow, in a process that trains when it is told to."""

    def __init__(self, python: Path, preset: sv.Preset, threads: int, xla: bool) -> None:
        model, train = preset.model, preset.train
        sizes = (
            f"--image-size={model.image_size}",
            f"--channels={model.channels}",
            f"--latent-dim={model.latent_dim}",
            f"--beta={train.beta}",
            f"--batch-size={train.batch_size}",
            f"--threads={threads}",
        )
        inherited = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")}
        self.process = subprocess.Popen(
            [python, WORKER, *sizes, *(["--xla"] if xla else [])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=inherited,
        )
        self.batch_size = train.batch_size
        self.facts = self._answer()

    def train(self, steps: int) -> float:
        """Images per second over some steps."""
        assert self.process.stdin is not None
        print(steps, file=self.process.stdin, flush=True)
        return steps * self.batch_size / float(self._answer()["seconds"])

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("the TensorFlow process ended; what it said stands above")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        """End the process."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(timeout=60)


class Library:
    """The same model in this library."""

    def __init__(self, preset: sv.Preset, precision: Any) -> None:
        config = preset.model
        train = dataclasses.replace(preset.train, precision=precision)
        images = random_images(config, 4 * train.batch_size)
        model = sv.build_model("split-vae", config)
        self.trainer = sv.Trainer(model, images, train, "cpu")
        self.parameters = sv.parameter_count(model)

    def train(self, steps: int) -> float:
        """Images per second over some steps."""
        start = time.perf_counter()
        self.trainer.fit(steps, progress=False)
        return steps * self.trainer.config.batch_size / (time.perf_counter() - start)


def compare(name: str, python: Path, options: argparse.Namespace) -> dict[str, Any]:
    preset = sv.PRESETS[name]
    library = Library(preset, "float32" if options.float32 else "auto")
    process = Keras(python, preset, options.threads, options.xla)
    with closing(process) as keras, kept_memory():
        if keras.facts["parameters"] != library.parameters:
            raise RuntimeError(
                f"{name}: {keras.facts['parameters']} parameters in TensorFlow, "
                f"{library.parameters} here: these are not the same layers"
            )
        library.train(WARM_UP)
        keras.train(WARM_UP)
        k, dtype = options.steps, DTYPES[library.trainer.precision]
        before = highest_rate(dtype)
        turns = [(library.train(k), keras.train(k)) for _ in range(options.turns)]
        peak = max(before, highest_rate(dtype)) / 1e9  # GFLOP/s
    ours, theirs = (statistics.median(rates) for rates in zip(*turns, strict=True))
    gflop = flops_per_image(preset.model) / 1e9
    return {
        "preset": name,
        "parameters": library.parameters,
        "batch_size": preset.train.batch_size,
        "precision": library.trainer.precision,
        "images_per_second": round(ours, 1),
        "tensorflow_images_per_second": round(theirs, 1),
        "times_faster": round(statistics.median(a / b for a, b in turns), 2),
        "gflop_per_image": round(gflop, 4),
        "peak_gflop_per_second": round(peak, 1),
        "share_of_peak": round(ours * gflop / peak, 3),
        "most_times_faster": round(peak / (theirs * gflop), 2),
        "images_per_second_of_each_turn": [round(rate, 1) for rate, _ in turns],
        "tensorflow_images_per_second_of_each_turn": [round(rate, 1) for _, rate in turns],
        "steps_per_turn": options.steps,
        "tensorflow": keras.facts,
    }


def record_name(precision: str, amx: bool) -> str:
    """The record of a precision; bf16 with AMX, several times as fast, has its own."""
    return f"cpu_training_{precision}" + ("_amx" if amx and precision == "bf16" else "")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--presets", nargs="+", default=["mnist", "cifar10", "celeba"], choices=sv.PRESETS
    )
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--float32", action="store_true", help="the library in float32, too")
    parser.add_argument("--xla", action="store_true", help="compile TensorFlow's step with XLA")
    parser.add_argument("--python", default=sys.executable, help="to make the environment with")
    parser.add_argument("--dry-run", action="store_true", help="record nothing")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    python = environment(options.python)
    load = load_average()
    results = []
    for name in options.presets:
        results.append(compare(name, python, options))
        print(results[-1], flush=True)
    if not options.dry_run:
        what = __doc__.split("\n")[0]
        found = {"what": what, "load_average_before": load, "results": results}
        save(record_name(results[0]["precision"], has_amx()), found)


if __name__ == "__main__":
    main()
