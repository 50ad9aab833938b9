"""Drawing the toy faces: images per second, on one thread and on all.

python benchmarks/toy_faces.py [--count 2000] [--repeats 5]
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch
from record import save

from svae_lib.data import draw_faces


def rate(count: int) -> float:
    start = time.perf_counter()
    draw_faces(count, seed=0)
    return round(count / (time.perf_counter() - start), 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    results = []
    for threads in sorted({1, torch.get_num_threads()}):
        torch.set_num_threads(threads)
        rate(200)  # not counted
        rates = [rate(options.count) for _ in range(options.repeats)]
        results.append(
            {
                "threads": threads,
                "image_size": 64,
                "images_per_second": round(statistics.median(rates), 1),
                "images_per_second_of_each_repeat": rates,
            }
        )
        print(results[-1])
    save("toy_faces", {"what": __doc__.split("\n")[0], "results": results})


if __name__ == "__main__":
    main()
