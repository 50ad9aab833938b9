"""Drawing the toy faces: images per second on one core (it uses no more).

    python benchmarks/toy_faces.py [--count 2000] [--repeats 5]

"per_second" is wall time, "per_core_second" the time that the core has worked; they differ when
other programs are running.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time

from record import save

from svae_lib.data import draw_faces


def rates(count: int) -> tuple[float, float]:
    """Images per second, and per second that the core has worked."""
    start, work = time.perf_counter(), time.process_time()
    draw_faces(count, seed=0)
    return count / (time.perf_counter() - start), count / (time.process_time() - work)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    load = os.getloadavg()[0]
    rates(200)  # not counted
    wall, work = zip(*(rates(options.count) for _ in range(options.repeats)), strict=True)
    result = {
        "what": __doc__.split("\n")[0],
        "image_size": 64,
        "images_per_second": round(statistics.median(wall), 1),
        "images_per_second_of_each_repeat": [round(rate, 1) for rate in wall],
        "images_per_core_second": round(statistics.median(work), 1),
        "load_average_before": round(load, 1),  # of other programs
    }
    print(result)
    save("toy_faces", result)


if __name__ == "__main__":
    main()
