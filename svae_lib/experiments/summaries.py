"""What the recorded tables say: means over seeds with intervals, differences paired by seed.

A run of which every latent variable is inactive has died and counts in no mean. Tables are given as
:func:`.records.read_table` reads them; rows of text come with their columns, for
:func:`.report.format_table`.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..support.checks import InputError
from .definitions import AUTHORS, PUBLISHED
from .scoring import Metric, check_metric, with_error

BOUNDS = {
    "elbo": "ELBO (nats)",
    "importance_weighted": "log p(x) at least (nats)",
    "bits_per_dim": "bits per dimension at most",
}
"""Fields of :class:`svae_lib.likelihood.LikelihoodBound` that tables show, and their columns."""

NETWORKS = {
    "lenet": "LeNet",
    "lenet-mnist": "LeNet-MNIST",
    "lenet-fashion-mnist": "LeNet-Fashion-MNIST",
    "efficientnet-lite0": "EfficientNet-Lite0",
    "inception": "Inception",
}  # how tables name feature networks

Text = tuple[list[str], list[list[str]]]  # columns and rows


@dataclass(frozen=True)
class Estimate:
    """Mean over seeds with the half-width of its 95 % confidence interval."""

    mean: float
    half_width: float
    """Student's t with n - 1 degrees of freedom; infinite for a single seed."""
    n: int

    @classmethod
    def of(cls, values: Iterable[float]) -> Estimate:
        """Estimate from one finite number per seed: a list, an array or a tensor (n,)."""
        try:
            numbers = [float(value) for value in values]
        except (TypeError, ValueError, RuntimeError):
            raise InputError("values must be numbers, one per seed.") from None
        if not all(map(math.isfinite, numbers)):
            raise InputError("there is NaN or infinity among the values: leave out what failed.")
        if not numbers:
            raise InputError("there are no values to take the mean of.")
        n = len(numbers)
        if n == 1:
            return cls(numbers[0], math.inf, 1)
        from scipy.stats import t as student_t  # here: its import takes a second

        error = statistics.stdev(numbers) / math.sqrt(n)
        return cls(statistics.fmean(numbers), float(student_t.ppf(0.975, n - 1)) * error, n)

    def __str__(self) -> str:
        return with_error(self.mean, self.half_width)


def died(cell: dict[str, Any]) -> bool:
    """Whether a training came to nothing: every latent variable is inactive, all answers alike."""
    return bool(cell["latent"]["active"] == 0)


def summarise(record: dict[str, Any], metric: Metric = "fid") -> Text:
    """A row per model and part, a column per source of images.

    "4 of 5" seeds says that one of five runs has died, and "–" stands for the mean of none.
    """
    cells = record["cells"]
    runs = Counter(cell["variant"] for cell in cells)
    sources = list(dict.fromkeys(row["source"] for cell in cells for row in cell["rows"]))
    decimals = 3 if metric == "kid" else 2
    lines = []
    for variant, part in dict.fromkeys((c["variant"], r["part"]) for c in cells for r in c["rows"]):
        found = [scores_by_seed(record, variant, source, part, metric) for source in sources]
        alive, begun = max(map(len, found)), runs[variant]
        seeds = f"{begun}" if alive == begun else f"{alive} of {begun}"
        lines.append([variant, part, seeds, *(_mean(f, decimals=decimals) for f in found)])
    return ["model", "part", "seeds", *sources], lines


def summarise_likelihood(record: dict[str, Any]) -> Text:
    """Bounds on log p(x), a row per model that has them."""
    variants = dict.fromkeys(cell["variant"] for cell in record["cells"] if cell.get("likelihood"))
    lines = []
    for variant in variants:
        found = [_bounds(record, variant, name) for name in BOUNDS]
        lines.append([variant, str(len(found[0])), *map(_mean, found)])
    return ["model", "seeds", *BOUNDS.values()], lines


def beside_published(records: Mapping[str, dict[str, Any]]) -> Text:
    """Each of :data:`~.definitions.PUBLISHED` beside ours on the same data, with both protocols.

    Where none of the ``records`` is of that data, ours is "not recorded".
    """
    columns = ["table", "images", "part", "ours", "published", "our protocol", "their protocol"]
    lines = []
    for data, published in PUBLISHED.items():
        there = [n for n, record in records.items() if data in (n, record["settings"]["data"])]
        for table in there or [data]:
            record = records.get(table, {"cells": []})
            ours = scores_by_seed(record, "split-vae", "mixture", "x")
            protocol = _protocol(record) if ours else "–"
            mine = _mean(ours, "not recorded")
            lines.append([table, "mixture", "x", mine, str(published), protocol, AUTHORS])
    return columns, lines


def _protocol(record: dict[str, Any]) -> str:
    how, network = record["cells"][0]["how"], NETWORKS[record["settings"]["features"]]
    reference = how.get("reference", "test")  # older records had test images only
    return (
        f"FID ({network}); {how['n']:,} generated against {how.get('n_reference', how['n']):,} "
        f"{reference} images; {how['mixture_components']} Gaussians, {how['protocol_in_words']}"
    )


def likelihood_difference(record: dict[str, Any], first: str, second: str) -> Estimate:
    """Importance-weighted bound of ``first`` minus that of ``second``, in nats, paired by seed."""
    a, b = (_bounds(record, variant, "importance_weighted") for variant in (first, second))
    return _paired(a, b, f"bounds for {first} and {second}")


def paired_difference(
    record: dict[str, Any],
    first: tuple[str, str, str],
    second: tuple[str, str, str],
    metric: Metric = "fid",
) -> Estimate:
    """Score of ``first`` minus score of ``second``, each (variant, source, part), paired by seed.

    Raises:
        InputError: no seed has both, or the metric is unknown or not recorded.
    """
    a, b = scores_by_seed(record, *first, metric), scores_by_seed(record, *second, metric)
    return _paired(a, b, f"the rows {'/'.join(first)} and {'/'.join(second)}")


def _paired(a: dict[int, float], b: dict[int, float], what: str) -> Estimate:
    both = sorted(a.keys() & b.keys())
    if not both:
        raise InputError(
            f"no seed has a living run with {what}: look at the table's summary for what there is."
        )
    return Estimate.of([a[seed] - b[seed] for seed in both])


def scores_by_seed(
    record: dict[str, Any], variant: str, source: str, part: str, metric: str = "fid"
) -> dict[int, float]:
    """A score of a row by seed, of the runs that did not die."""
    check_metric(metric)
    found = {}
    for cell in record["cells"]:
        for row in cell["rows"]:
            named = cell["variant"], row["source"], row["part"]
            if named == (variant, source, part) and not died(cell):
                if metric not in row:
                    raise InputError(f"this table was recorded without {metric}: make it again.")
                found[cell["seed"]] = float(row[metric]["value"])
    return found


def _bounds(record: dict[str, Any], variant: str, bound: str) -> dict[int, float]:
    """A bound by seed, of the runs that did not die."""
    cells = [cell for cell in record["cells"] if cell["variant"] == variant and not died(cell)]
    return {c["seed"]: float(c["likelihood"][bound]) for c in cells if c.get("likelihood")}


def _mean(values: dict[int, float], none: str = "–", decimals: int = 2) -> str:
    if not values:
        return none
    estimate = Estimate.of(values.values())
    return with_error(estimate.mean, estimate.half_width, decimals)
