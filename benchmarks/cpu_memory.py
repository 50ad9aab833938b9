"""Training and scoring on a CPU with an eye to memory, against the same work without it, in turns.

    python benchmarks/cpu_memory.py [--work "train quick" ...] [--turns 4]

With: freed memory is kept while the work lasts (devices.kept_memory), and large feature networks
take four at a time. Without: the C library returns freed memory as it likes, and a batch of 50
goes through the network at once. Each turn is a process of its own, for a process remembers
how it allocated; the two take turns. A rate is in images per second, after a few steps (or a
batch) that are not counted; ``times_faster`` is the median over the turns of the ratio of two
rates that were measured one after the other. Leave the machine alone meanwhile.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import subprocess
import sys
import time
from typing import Any
from unittest import mock

import torch
from feature_networks import random_inception
from peak import random_images
from record import load_average, peak_memory_mib, save

import svae_lib as sv
from svae_lib.fid import extract_features

TRAIN = {"quick": 60, "quick-cifar10": 40, "mnist": 4, "celeba": 2}  # steps
FEATURES = {"efficientnet-lite0": 200, "inception": 100}  # images
WORK = (*(f"train {name}" for name in TRAIN), *(f"features {name}" for name in FEATURES))
BATCH = 50


def train(name: str) -> float:
    """Images per second of training a preset's Split VAE."""
    config, settings = sv.PRESETS[name].model, sv.PRESETS[name].train
    images = random_images(config, 4 * settings.batch_size)
    trainer = sv.Trainer(sv.build_model("split-vae", config), images, settings, "cpu")
    with sv.devices.tuned(trainer.device):  # as one long training: nothing is returned between
        trainer.fit(2, progress=False)
        start = time.perf_counter()
        trainer.fit(TRAIN[name], progress=False)
        return TRAIN[name] * settings.batch_size / (time.perf_counter() - start)


def features(name: str, few_at_once: bool) -> float:
    """Images per second of a feature network, images of 32x32 pixels."""
    cpu = torch.device("cpu")
    network = random_inception(cpu) if name == "inception" else sv.fid.network(name, device=cpu)
    if not few_at_once:
        network = dataclasses.replace(network, cpu_batch=None)
    images = torch.rand(FEATURES[name], 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with sv.devices.kept_memory():
        extract_features(images[:BATCH], network, BATCH)
        start = time.perf_counter()
        extract_features(images, network, BATCH)
        return len(images) / (time.perf_counter() - start)


def one(work: str, with_care: bool) -> dict[str, Any]:
    """One turn, in this process."""
    kind, name = work.split(" ")
    with mock.patch.object(sv.devices, "_glibc", sv.devices._glibc if with_care else lambda: None):
        rate = train(name) if kind == "train" else features(name, with_care)
    return {"images_per_second": rate, "peak_memory_MiB": peak_memory_mib()}


def turn(work: str, mode: str) -> dict[str, Any]:
    """One turn, in a process of its own."""
    command = [sys.executable, __file__, "--one", work, mode]
    found: dict[str, Any] = json.loads(subprocess.check_output(command, text=True))
    return found


def compare(work: str, turns: int) -> dict[str, Any]:
    pairs = [(turn(work, "with"), turn(work, "without")) for _ in range(turns)]
    result: dict[str, Any] = {"work": work}
    for mode, found in zip(("with", "without"), zip(*pairs, strict=True), strict=True):
        rates = [f["images_per_second"] for f in found]
        peaks = [f["peak_memory_MiB"] for f in found if f["peak_memory_MiB"]]
        result[mode] = {
            "images_per_second": round(statistics.median(rates), 1),
            "images_per_second_of_each_turn": [round(rate, 1) for rate in rates],
            "peak_memory_MiB": max(peaks, default=None),
        }
    ratios = [a["images_per_second"] / b["images_per_second"] for a, b in pairs]
    return result | {"times_faster": round(statistics.median(ratios), 2)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", nargs="+", default=WORK, choices=WORK)
    parser.add_argument("--turns", type=int, default=4)
    parser.add_argument("--dry-run", action="store_true", help="record nothing")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(one(options.one[0], options.one[1] == "with")))
        return
    load, results = load_average(), []
    for work in options.work:
        results.append(compare(work, options.turns))
        print(results[-1], flush=True)
    if not options.dry_run:
        what = __doc__.split("\n")[0]
        save("cpu_memory", {"what": what, "load_average_before": load, "results": results})


if __name__ == "__main__":
    main()
