"""Exercises of notebook 08_reproduce_the_paper: confidence interval, paired differences."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .exercise import Exercise, Mistake, draw_sizes

NOTEBOOK = "08_reproduce_the_paper"


# ------------------------------------------------------------------ mean and interval over seeds


def interval(scores: Tensor) -> tuple[Tensor, Tensor]:
    """Mean of scores (n,), and half the width of its 95 % interval by Student's t."""
    return scores.mean(), _quantile(scores) * scores.std() / math.sqrt(len(scores))


def _quantile(scores: Tensor, share: float = 0.975, fewer: int = 1) -> float:
    """Student's quantile with n - ``fewer`` degrees of freedom."""
    from scipy.stats import t as student_t  # here: its import takes a second

    return float(student_t.ppf(share, len(scores) - fewer))


def _scores(g: torch.Generator) -> tuple[Tensor]:
    """Some seeds' scores around 20."""
    return (20 + 3 * torch.randn(draw_sizes(g, 1, low=4), generator=g, dtype=torch.float64),)


INTERVAL = Exercise(
    name="interval",
    notebook=NOTEBOOK,
    reference=interval,
    inputs=_scores,
    mistakes=(
        Mistake(
            "standard deviation instead of standard error",
            lambda s: (s.mean(), _quantile(s) * s.std()),
            "That is the spread of single runs. The mean of n runs is known better than one run: "
            "its standard error is smaller by a factor that depends on n.",
        ),
        Mistake(
            "quantile forgotten",
            lambda s: (s.mean(), s.std() / math.sqrt(len(s))),
            "This is the standard error alone. Multiply it by Student's quantile.",
        ),
        Mistake(
            "divided by n",
            lambda s: (s.mean(), _quantile(s) * s.std() / len(s)),
            "You divided by n. The standard error is divided by the root of n.",
        ),
        Mistake(
            "root of n - 1",
            lambda s: (s.mean(), _quantile(s) * s.std() / math.sqrt(len(s) - 1)),
            "You divided by the root of n - 1. std() has the n - 1 in it already: the root of n.",
        ),
        Mistake(
            "normal instead of Student's quantile",
            lambda s: (s.mean(), 1.96 * s.std() / math.sqrt(len(s))),
            "1.96 belongs to a standard deviation that is known. Yours is estimated from a few "
            "runs, so the quantile is Student's, with n - 1 degrees of freedom: it is larger.",
        ),
        Mistake(
            "population standard deviation",
            lambda s: (s.mean(), _quantile(s) * s.std(correction=0) / math.sqrt(len(s))),
            "You divide the squared deviations by n. The mean was estimated from the same runs, "
            "which makes them look closer together than they are: divide by n - 1.",
        ),
        Mistake(
            "one-sided quantile",
            lambda s: (s.mean(), _quantile(s, 0.95) * s.std() / math.sqrt(len(s))),
            "The 0.95 quantile leaves 5 % on one side. An interval leaves 2.5 % on either side.",
        ),
        Mistake(
            "n degrees of freedom",
            lambda s: (s.mean(), _quantile(s, fewer=0) * s.std() / math.sqrt(len(s))),
            "n runs leave n - 1 degrees of freedom, since their mean was estimated too.",
        ),
        Mistake(
            "variance for standard deviation",
            lambda s: (s.mean(), _quantile(s) * s.var() / math.sqrt(len(s))),
            "You divide the variance by the root of n. The standard error has its root, std().",
        ),
        Mistake(
            "results exchanged",
            lambda s: interval(s)[::-1],
            "The two results are exchanged: first the mean, then half of the width.",
        ),
        Mistake(
            "the two ends",
            lambda s: (interval(s)[0] - interval(s)[1], interval(s)[0] + interval(s)[1]),
            "These are the two ends of the interval. Return its middle, the mean, and half its "
            "width.",
        ),
        Mistake(
            "the full width",
            lambda s: (interval(s)[0], 2 * interval(s)[1]),
            "This is the full width of the interval: half of it lies on either side of the mean.",
        ),
    ),
    hints=(
        "Two steps: the standard error of the mean, then how many of them make 95 %.",
        "Standard error: scores.std() / sqrt(n); std() divides by n - 1 already.",
        "student_t.ppf(0.975, n - 1) standard errors on either side of scores.mean().",
    ),
)


# ------------------------------------------------------------------ differences, paired by seed


def paired_interval(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and half-width for first - second, scores (n,) of the same seeds in the same order."""
    return interval(first - second)


def _two_models(g: torch.Generator) -> tuple[Tensor, Tensor]:
    """Scores of some seeds, of two models that share the luck of the seed.

    Their orders differ: otherwise it would not matter whether scores are sorted first.
    """
    (seeds,) = draw_sizes(g, 1, low=4)
    luck = 4 * torch.randn(seeds, generator=g, dtype=torch.float64)
    while True:
        first, second = 20 + luck + torch.randn(2, seeds, generator=g, dtype=torch.float64)
        if not torch.equal(first.argsort(), second.argsort()):
            return first, second


PAIRED_INTERVAL = Exercise(
    name="paired_interval",
    notebook=NOTEBOOK,
    reference=paired_interval,
    inputs=_two_models,
    mistakes=(
        Mistake(
            "unpaired",
            lambda a, b: (
                a.mean() - b.mean(),
                _quantile(a) * torch.sqrt((a.var() + b.var()) / len(a)),
            ),
            "The mean is right, the interval treats the two models as strangers. Both met the same "
            "images in the same order under each seed: subtract seed by seed first, so that the "
            "luck they share cancels.",
        ),
        Mistake(
            "half-widths added",
            lambda a, b: (a.mean() - b.mean(), interval(a)[1] + interval(b)[1]),
            "Adding the two half-widths asks whether the intervals overlap, which is a stricter "
            "and a different question. Take one interval, of the differences.",
        ),
        Mistake(
            "normal instead of Student's quantile",
            lambda a, b: ((a - b).mean(), 1.96 * (a - b).std() / math.sqrt(len(a))),
            "The differences are right, but 1.96 belongs to a standard deviation that is known. "
            "Take Student's quantile, as interval() does.",
        ),
        Mistake(
            "population standard deviation",
            lambda a, b: (
                (a - b).mean(),
                _quantile(a) * (a - b).std(correction=0) / math.sqrt(len(a)),
            ),
            "The differences are right, but you divide their squared deviations by n: by n - 1, as "
            "interval() does.",
        ),
        Mistake(
            "second minus first",
            lambda a, b: interval(b - a),
            "The sign is turned round: the question is first - second.",
        ),
        Mistake(
            "absolute differences",
            lambda a, b: interval((a - b).abs()),
            "Absolute differences cannot cancel, so even two equal models would seem to differ.",
        ),
        Mistake(
            "sorted before pairing",
            lambda a, b: interval(a.sort().values - b.sort().values),
            "You sort before subtracting: then each score is paired with another seed's.",
        ),
    ),
    hints=(
        "One number per seed remains when you subtract first.",
        "interval() does the rest, on the differences.",
        "return interval(first - second)",
    ),
)


EXERCISES = (INTERVAL, PAIRED_INTERVAL)
