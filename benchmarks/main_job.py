"""Seconds of the main job (``make run``) by stage.

    python benchmarks/main_job.py [--of runs/demo]

Runs ``svae demo`` once into a temporary folder, as ``make run`` does, or reads a demo that has been
run; records what it measured of itself. One run: the stages' shares matter, not the last second.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from record import save


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--of", type=Path, help="folder of a finished demo, run just now")
    finished = parser.parse_args().of
    with tempfile.TemporaryDirectory() as folder:
        out = finished or Path(folder) / "demo"
        if finished is None:
            subprocess.run([sys.executable, "-m", "svae_lib", "demo", "--out", out], check=True)
        seconds = json.loads((out / "demo.json").read_text())["seconds"]
    result = {
        "what": __doc__.split("\n")[0],
        "seconds_in_all": round(sum(seconds.values()), 1),
        "seconds_per_stage": seconds,
    }
    save("main_job", result)


if __name__ == "__main__":
    main()
