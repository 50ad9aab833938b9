"""Training as it is now, against an earlier commit: images per second of the processor's time.

    python benchmarks/before_and_after.py [--commit 8809f7a] [--presets quick compact half-width]

The earlier library is taken from git into a temporary folder. Each turn is a process of its own
with one thread: it trains a Split VAE with the preset's own settings, first some steps that are not
counted, then ``--steps`` that are. Before and after take turns, and change places from round to
round. The processor's time counts, not the clock's, so that other programs disturb little; the
median of the rounds is the figure, and every round is kept.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parent.parent
NOT_COUNTED = 4


def measure(name: str, precision: str, steps: int) -> dict[str, object]:
    """One turn: with whichever library lies on the path."""
    import torch
    from peak import random_images

    import svae_lib as sv

    torch.set_num_threads(1)
    preset = sv.PRESETS["mnist" if name == "half-width" else name]
    config = replace(preset.model, base_dim=32) if name == "half-width" else preset.model
    train = replace(preset.train, precision=precision)
    images = random_images(config, 4 * train.batch_size)
    trainer = sv.Trainer(sv.build_model("split-vae", config), images, train, "cpu")
    trainer.fit(NOT_COUNTED, progress=False)
    start = time.process_time()
    trainer.fit(steps, progress=False)
    rate = steps * train.batch_size / (time.process_time() - start)
    return {"precision": trainer.precision, "images_per_second": rate}


def turn(library: Path, name: str, precision: str, steps: int) -> dict[str, object]:
    command = [sys.executable, __file__, "--one", name, "--steps", str(steps)]
    environment = os.environ | {"PYTHONPATH": str(library), "OMP_NUM_THREADS": "1"}
    command += ["--precisions", precision]
    found = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    result: dict[str, object] = json.loads(found.stdout.splitlines()[-1])
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--commit", default="8809f7a")
    parser.add_argument("--presets", nargs="+", default=["quick", "compact", "half-width"])
    parser.add_argument("--precisions", nargs="+", default=["float32", "bf16"])
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--one", help=argparse.SUPPRESS)  # a turn
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(arguments.one, arguments.precisions[0], arguments.steps)))
        return
    from record import load_average, save

    rows = []
    with TemporaryDirectory() as folder:
        archive = ["git", "-C", str(ROOT), "archive", arguments.commit, "svae_lib", "data"]
        packed = subprocess.run(archive, check=True, capture_output=True).stdout
        subprocess.run(["tar", "-x", "-C", folder], check=True, input=packed)
        libraries = {"before": Path(folder), "after": ROOT}
        for name in arguments.presets:
            for precision in arguments.precisions:
                rates: dict[str, list[float]] = {side: [] for side in libraries}
                for number in range(arguments.rounds):
                    for side in sorted(libraries, reverse=number % 2 == 0):
                        found = turn(libraries[side], name, precision, arguments.steps)
                        rates[side].append(round(float(str(found["images_per_second"])), 1))
                middle = {side: statistics.median(each) for side, each in rates.items()}
                rows.append({"preset": name, "precision": precision, **middle, "rounds": rates})
                rows[-1]["times_faster"] = round(middle["after"] / middle["before"], 3)
                print(rows[-1], flush=True)
    what = {"what": (__doc__ or "").split("\n")[0], "before": arguments.commit}
    save("before_and_after", {**what, "load_average": load_average(), "results": rows})


if __name__ == "__main__":
    main()
