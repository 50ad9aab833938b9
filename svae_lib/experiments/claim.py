"""The claim about halves, tested: is the score of x1 and x2 below that of x in semantic splits?

Works on the record of a table (:mod:`svae_lib.experiments.tables`) with many Split VAEs in it.
:func:`svae_lib.diagnostics.split_kind` places each run; its own x1, x2 and x are compared. Runs of
one seed (at several beta, say) share their first weights, the order of images and the noise, and
mostly the kind of split: they count as one observation, their mean. Runs that died count in none.
"""

import itertools
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Literal, get_args

from ..diagnostics import SplitKind
from ..support.checks import InputError
from .summaries import Estimate, died

LABELS = ("semantic", "mixed", "syntactic", "unclear", "none")
FEWEST_SEEDS = 5  # of fewer, the sign test cannot reject at 0.05
Distance = Literal["fid", "kid"]
HALVES = ("x1", "x2", "better", "mean", "mix")


@dataclass(frozen=True)
class ClaimTest:
    """A half's FID or KID beside that of x, over the seeds with one kind of split."""

    label: str
    """Kind of split; see :class:`svae_lib.diagnostics.SplitKind`."""
    source: str
    """"prior" or "mixture"."""
    half: str
    """"x1", "x2", "better" (the lower of both: lower by chance alone, so no fair test), "mean" (of
    both scores: fair, since neither half is chosen after the fact) or "mix" (half of the samples
    answer with x1, half with x2: fair as well, and the score of one set of images)."""
    runs: int
    """Runs with this kind of split."""
    seeds: int
    """Seeds that these runs are of."""
    below: int
    """Seeds with which the half's score is, in the mean over their runs, below that of x."""
    difference: Estimate
    """Score of the half minus score of x: mean over the seeds, 95 % interval."""
    p_value: float
    """Of the one-sided sign test: the chance of so many seeds below by coin flips."""


def claim_tests(record: dict[str, Any], metric: Distance = "fid") -> list[ClaimTest]:
    """Test the claim for every kind of split, source and half in a table's record.

    ``metric`` is "fid", as in the paper, or "kid", for fewer images than features.
    """
    if metric not in get_args(Distance):
        raise InputError(f'metric must be "fid" or "kid", not {metric!r}: lower must be better.')
    found = {cell["split"]["label"] for cell in in_two(record)}
    if not found:
        raise InputError("the table holds no Split VAE that is alive: there is nothing to test.")
    kinds = [label for label in LABELS if label in found]
    each = itertools.product(kinds, ("prior", "mixture"), HALVES)
    return [claim_test(record, *which, metric) for which in each]


def claim_test(
    record: dict[str, Any], label: str, source: str, half: str, metric: Distance = "fid"
) -> ClaimTest:
    """The test for one kind of split, source and half; InputError where no run has this kind."""
    from scipy.stats import binomtest  # here: its import takes a second

    gaps: dict[int, list[float]] = {}  # score of the half minus score of x, by seed
    for cell in in_two(record):
        if cell["split"]["label"] == label:
            rows = [row for row in cell["rows"] if row["source"] == source]
            of = {row["part"]: float(row[metric]["value"]) for row in rows}
            of["better"], of["mean"] = min(of["x1"], of["x2"]), (of["x1"] + of["x2"]) / 2
            gaps.setdefault(cell["seed"], []).append(of[half] - of["x"])
    if not gaps:
        raise InputError(f"the record holds no {label} split: there is nothing to test.")
    means = [fmean(of_one) for of_one in gaps.values()]
    runs, seeds, below = sum(map(len, gaps.values())), len(means), sum(mean < 0 for mean in means)
    p = float(binomtest(below, seeds, alternative="greater").pvalue)
    return ClaimTest(label, source, half, runs, seeds, below, Estimate.of(means), p)


def in_two(record: dict[str, Any]) -> list[dict[str, Any]]:
    """The living runs that split in two."""
    cells = [cell for cell in record["cells"] if cell["split"] and cell["components"] == 2]
    return [cell for cell in cells if not died(cell)]


def kinds_of(record: dict[str, Any]) -> list[SplitKind]:
    """Kind of split of each run in a record, in its order; for a plot of the plane."""
    return [SplitKind(**cell["split"]) for cell in record["cells"] if cell["split"]]


def summarise_claim(
    tests: list[ClaimTest], metric: Distance = "fid"
) -> tuple[list[str], list[list[str]]]:
    """Columns and rows of text; with fewer than five seeds without p, which cannot reach 0.05."""
    columns = ["split", "images", "half", "runs", "seeds", "below x"]
    columns += ["{0} minus {0} of x".format(metric.upper()), "sign test p"]
    lines = []
    for t in tests:
        p = f"{t.p_value:.3f}" if t.seeds >= FEWEST_SEEDS else "–"
        counts = [str(count) for count in (t.runs, t.seeds, t.below)]
        lines.append([t.label, t.source, t.half, *counts, str(t.difference), p])
    return columns, lines
