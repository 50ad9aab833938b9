"""Seconds of the main job (``make run``) by stage, and its peak memory.

    python benchmarks/main_job.py

Runs ``svae demo`` once into a temporary folder, as ``make run`` does, and records what it measured
of itself. One run: the stages' shares matter, not their last second.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from record import save


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "demo"
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "svae_lib", "demo", "--out", out], check=True)
        seconds = time.perf_counter() - start
        record = json.loads((out / "demo.json").read_text())
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
    result = {
        "what": __doc__.split("\n")[0],
        "seconds_in_all": round(seconds, 1),
        "seconds_per_stage": record["seconds"],
        "peak_memory_MiB_of_the_largest_process": peak,
    }
    save("main_job", result)


if __name__ == "__main__":
    main()
