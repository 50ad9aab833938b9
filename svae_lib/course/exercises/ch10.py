"""Exercises of notebook 10_appendix: a tighter bound, and whose variance it is."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from .exercise import TRIALS, Exercise, Function, Mistake, draw_sizes

NOTEBOOK = "10_appendix"


# ------------------------------------------------------------------ a tighter bound


def importance_weighted_bound(log_joint: Tensor, log_q: Tensor) -> Tensor:
    """Importance-weighted estimate of log p(x), whose expectation is a lower bound.

    log of the mean over M draws of p(x, z) / q(z | x): Burda, Grosse and Salakhutdinov, "Importance
    weighted autoencoders", ICLR 2016, arXiv:1509.00519, equation 8. With one draw, the ELBO's.

    Args:
        log_joint: log p(x, z) of each image's draws z from q(z | x), float (N, M).
        log_q: log q(z | x) of the same draws, the same shape.

    Returns:
        float (N,), nats.
    """
    return _log_sum(log_joint, log_q) - math.log(log_joint.shape[1])


def _log_sum(log_joint: Tensor, log_q: Tensor) -> Tensor:
    return torch.logsumexp(log_joint - log_q, dim=1)


def _log_densities(g: torch.Generator) -> tuple[Tensor, Tensor]:
    """(N, M) each: of some images a density that a float holds, of others too small or large."""
    shape = draw_sizes(g, 2, low=3)
    size = torch.tensor([0.0, -1500.0, 1200.0, 900.0]).repeat(shape[0])[: shape[0], None]
    log_q = -20 + 3 * torch.randn(shape, generator=g)
    return size + log_q + 2 * torch.randn(shape, generator=g), log_q


IMPORTANCE_WEIGHTED_BOUND = Exercise(
    name="importance_weighted_bound",
    notebook=NOTEBOOK,
    reference=importance_weighted_bound,
    inputs=_log_densities,
    mistakes=(
        Mistake(
            "mean of the logarithms",
            lambda log_joint, log_q: (log_joint - log_q).mean(dim=1),
            "You averaged the logarithms: that estimates the ELBO, however many draws there are. "
            "Average the fractions first and take the logarithm of their mean.",
        ),
        Mistake(
            "log M forgotten",
            _log_sum,
            "This is the logarithm of the fractions' sum. Of their mean it should be: where is the "
            "1/M? Without it more draws would raise the bound beyond log p(x).",
        ),
        Mistake(
            "divided by M outside the logarithm",
            lambda log_joint, log_q: _log_sum(log_joint, log_q) / log_joint.shape[1],
            "You divide by M after the logarithm. It belongs inside, where division by M turns "
            "into subtraction of its logarithm.",
        ),
        Mistake(
            "N instead of M",
            lambda log_joint, log_q: _log_sum(log_joint, log_q) - math.log(len(log_joint)),
            "You divide by the number of images, the first dimension. The mean is over the draws, "
            "the second.",
        ),
        Mistake(
            "log_q added",
            lambda log_joint, log_q: importance_weighted_bound(log_joint, -log_q),
            "You added log_q. q stands below the fraction line, so its logarithm is subtracted.",
        ),
        Mistake(
            "log_q forgotten",
            lambda log_joint, log_q: importance_weighted_bound(log_joint, 0 * log_q),
            "You averaged p(x, z) alone. The draws come from q, not spread evenly over all z: each "
            "has to be divided by the density q with which it was drawn.",
        ),
        Mistake(
            "exp without logsumexp",
            lambda log_joint, log_q: (log_joint - log_q).exp().mean(dim=1).log(),
            "The right formula, but exp() of numbers like 1000 or -1000 is infinite or 0, and so "
            "is your answer for some images. torch.logsumexp computes the same without leaving "
            "the range of floats.",
        ),
        Mistake(
            "upside down",
            lambda log_joint, log_q: importance_weighted_bound(log_q, log_joint),
            "Your fractions are upside down, q(z | x) / p(x, z): exchange the two.",
        ),
        Mistake(
            "two sums",
            lambda log_joint, log_q: torch.logsumexp(log_joint, 1) - torch.logsumexp(log_q, 1),
            "You summed p and q apart. Divide first, draw by draw: log_joint - log_q inside.",
        ),
        Mistake(
            "the largest draw",
            lambda log_joint, log_q: (log_joint - log_q).max(dim=1).values,
            "You took the largest fraction alone. The mean counts all of them: logsumexp.",
        ),
        Mistake(
            "averaged over the images",
            lambda log_joint, log_q: importance_weighted_bound(log_joint, log_q).mean(),
            "You also averaged over the images. Each image keeps its own bound: a number per row.",
        ),
        Mistake(
            "over the images instead of the draws",
            lambda log_joint, log_q: importance_weighted_bound(log_joint.T, log_q.T),
            "You summed over dimension 0, the images: fractions of different images have nothing "
            "to do with each other. An image's draws are along dimension 1.",
        ),
    ),
    hints=(
        "The logarithm of each fraction is log_joint - log_q. What turns it into the fraction, and "
        "what is done with the M fractions before the logarithm is taken again?",
        "torch.logsumexp(t, dim=1) is the logarithm of the sum of exp(t) along each row, without "
        "overflow. A mean is a sum divided by M: what becomes of the division under a logarithm?",
        "torch.logsumexp(log_joint - log_q, dim=1) - math.log(log_joint.shape[1])",
    ),
)


# ------------------------------------------------------------------ whose variance is it


def variance_share(values: Tensor, kept: list[int]) -> Tensor:
    """Share of the variance of a full factorial experiment that goes with some of its factors.

    The variance of the means over all other factors, divided by the variance of all values.

    Args:
        values: one number for each combination of levels, a dimension per factor.
        kept: the dimensions of the factors that are asked about.

    Returns:
        A scalar from 0 to 1.
    """
    others = [d for d in range(values.ndim) if d not in kept]
    means = values.mean(dim=others) if others else values
    return means.var(correction=0) / values.var(correction=0)


def _experiment(g: torch.Generator) -> tuple[Tensor, list[int]]:
    """Values (A, B, C), in which factors and pairs have effects, and one or two dimensions."""
    a, b, c = draw_sizes(g, 3, low=3)
    parts = ((a, b, c), (a, 1, 1), (1, b, 1), (1, 1, c), (a, b, 1), (1, b, c))
    values = sum(torch.randn(part, generator=g) for part in parts) + 3.0
    return torch.as_tensor(values), [g.initial_seed() % TRIALS]


def _one_and_two(function: Function, inputs: tuple[Any, ...]) -> tuple[Any, Any]:
    """The share of one factor, and of another two together."""
    values, kept = inputs
    return function(values, kept), function(values, [d for d in range(3) if d not in kept])


def _means(values: Tensor, kept: list[int]) -> Tensor:
    return values.mean(dim=[d for d in range(values.ndim) if d not in kept])


VARIANCE_SHARE = Exercise(
    name="variance_share",
    notebook=NOTEBOOK,
    reference=variance_share,
    inputs=_experiment,
    observe=_one_and_two,
    tries=("For one factor", "For two factors"),
    mistakes=(
        Mistake(
            "averaged over the factor itself",
            lambda values, kept: values.mean(dim=kept).var(correction=0) / values.var(correction=0),
            "You averaged over the factors that were asked about: what is left is the share of the "
            "others. Average over all dimensions that are *not* in kept.",
        ),
        Mistake(
            "standard deviations",
            lambda values, kept: _means(values, kept).std(correction=0) / values.std(correction=0),
            "These are standard deviations. Shares of variances can be compared; roots of them "
            "cannot.",
        ),
        Mistake(
            "divided by one less",
            lambda values, kept: _means(values, kept).var() / values.var(),
            "You divide by one less than the number of values, above and below. These values are "
            "all there are: correction=0, or factors with few levels get too much.",
        ),
        Mistake(
            "not divided",
            lambda values, kept: _means(values, kept).var(correction=0),
            "This is the variance of the means. Divide by the variance of all values.",
        ),
        Mistake(
            "about zero",
            lambda values, kept: _means(values, kept).square().mean() / values.square().mean(),
            "You take mean squares, about 0. A variance is about the mean.",
        ),
        Mistake(
            "what is left",
            lambda values, kept: 1 - variance_share(values, kept),
            "This is 1 minus the right answer: the variance within the levels, where that "
            "between their means is asked for.",
        ),
        Mistake(
            "range",
            lambda values, kept: (
                (_means(values, kept).max() - _means(values, kept).min())
                / (values.max() - values.min())
            ),
            "You compare ranges, which two values alone decide. Compare variances.",
        ),
    ),
    hints=(
        "If a factor decides alone, averaging over all the others changes nothing. What is left of "
        "the variance after this averaging?",
        "others = [d for d in range(values.ndim) if d not in kept]; values.mean(dim=others) has a "
        "mean for each combination of what is kept.",
        "values.mean(dim=others).var(correction=0) / values.var(correction=0)",
    ),
)


EXERCISES = (IMPORTANCE_WEIGHTED_BOUND, VARIANCE_SHARE)
