"""The Fréchet distance of 2048 features: ours against SciPy's matrix square root.

    python benchmarks/frechet_distance.py [--dim 2048] [--repeats 3] [--threads 2]

Paired: each repeat times both on the same statistics, one after the other; the medians are
compared and all times are kept. Two cases: more samples than features (full rank), and fewer
(singular covariances). The true value is computed a third way, from the data, without forming a
covariance: tr (S1 S2)^(1/2) is the nuclear norm of the product of the centred data.

The features imitate those of a network: not negative, correlated, with a spectrum that decays.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy
import torch
from record import save
from threadpoolctl import threadpool_limits

from svae_lib.fid import frechet_distance


def features(n: int, dim: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    mixing = rng.normal(size=(dim, dim)) / np.sqrt(np.arange(1, dim + 1))[:, None]
    return np.maximum(rng.normal(size=(n, dim)) @ mixing + 0.1 * seed, 0)


def with_sqrtm(mu1: np.ndarray, s1: np.ndarray, mu2: np.ndarray, s2: np.ndarray) -> float:
    root_trace = np.trace(scipy.linalg.sqrtm(s1 @ s2)).real
    return float((mu1 - mu2) @ (mu1 - mu2) + np.trace(s1) + np.trace(s2) - 2 * root_trace)


def from_data(first: np.ndarray, second: np.ndarray) -> float:
    centred = [(x - x.mean(axis=0)) / math.sqrt(len(x) - 1) for x in (first, second)]
    shift = first.mean(axis=0) - second.mean(axis=0)
    traces = sum(float((x**2).sum()) for x in centred)
    return float(shift @ shift) + traces - 2 * float(nuclear_norm(*centred))


def nuclear_norm(x: np.ndarray, y: np.ndarray) -> float:
    """Of X Y', by way of the QR factors where that is smaller: X = Q R has the norm of R."""
    x, y = (np.linalg.qr(z, mode="r") if len(z) > z.shape[1] else z for z in (x, y))
    return float(np.linalg.svd(x @ y.T, compute_uv=False).sum())


@dataclass(frozen=True)
class Run:
    """One timed call; CPU seconds, summed over the threads, hardly feel what else is running."""

    value: float
    seconds: float
    cpu_seconds: float


def timed(distance: Callable[..., float], moments: list[np.ndarray]) -> Run:
    wall, cpu = time.perf_counter(), time.process_time()
    value = distance(*moments)
    return Run(value, time.perf_counter() - wall, time.process_time() - cpu)


def summary(runs: list[Run]) -> dict[str, object]:
    return {
        "seconds": round(statistics.median(run.seconds for run in runs), 3),
        "cpu_seconds": round(statistics.median(run.cpu_seconds for run in runs), 3),
        "seconds_of_each_repeat": [round(run.seconds, 3) for run in runs],
        "cpu_seconds_of_each_repeat": [round(run.cpu_seconds, 3) for run in runs],
    }


def ratio(ours: list[Run], theirs: list[Run], clock: str) -> float:
    first, second = (statistics.median(getattr(run, clock) for run in x) for x in (ours, theirs))
    return round(second / first, 1)


def compare(n: int, dim: int, repeats: int) -> dict[str, object]:
    first, second = features(n, dim, 1), features(n, dim, 2)
    moments = [y for x in (first, second) for y in (x.mean(axis=0), np.cov(x, rowvar=False))]
    frechet_distance(*moments)  # the first call loads libraries
    pairs = [(timed(frechet_distance, moments), timed(with_sqrtm, moments)) for _ in range(repeats)]
    ours, theirs = ([pair[k] for pair in pairs] for k in (0, 1))
    value, scipys, exact = ours[0].value, theirs[0].value, from_data(first, second)
    return {
        "samples": n,
        "dim": dim,
        "ours": summary(ours),
        "scipy_sqrtm": summary(theirs),
        "times_faster": ratio(ours, theirs, "seconds"),
        "times_less_cpu": ratio(ours, theirs, "cpu_seconds"),
        "distance": value,
        "relative_difference_to_scipy": abs(value - scipys) / scipys,
        "relative_error_of_ours": abs(value - exact) / exact,
        "relative_error_of_scipy": abs(scipys - exact) / exact,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dim", type=int, default=2048)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    cases = {}
    with threadpool_limits(limits=options.threads):
        for name, samples in (
            ("full_rank", 5 * options.dim // 2),
            ("rank_deficient", options.dim // 2),
        ):
            cases[name] = compare(samples, options.dim, options.repeats)
            print(name, cases[name], flush=True)
    what = "seconds per Fréchet distance, float64, paired in one run"
    save(
        "frechet_distance",
        {"what": what, "threads": options.threads, "scipy": scipy.__version__, **cases},
    )


if __name__ == "__main__":
    main()
