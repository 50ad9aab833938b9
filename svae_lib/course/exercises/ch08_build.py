"""More of notebook 08_reproduce_the_paper: the sign test."""

from __future__ import annotations

from math import comb

import torch
from torch import Tensor

from .exercise import Exercise, Mistake, draw_sizes

NOTEBOOK = "08_reproduce_the_paper"


def sign_test(differences: Tensor, questions: int) -> float:
    """Two-sided p of the sign test, corrected by Bonferroni for a number of questions.

    Args:
        differences: (n,), none of them 0.
        questions: how many were asked.

    Returns:
        The chance of a split of signs at least as uneven, were both equally likely, times
        ``questions``, and at most 1.
    """
    n = len(differences)
    fewer = min(int((differences < 0).sum()), int((differences > 0).sum()))
    tail = float(sum(comb(n, k) for k in range(fewer + 1))) / 2.0**n
    return min(1.0, 2 * tail * questions)


def _differences(g: torch.Generator) -> tuple[Tensor, int]:
    """Differences of which one has the other sign, and a number of questions."""
    n, questions = draw_sizes(g, 2, low=11)
    sizes = 0.5 + torch.rand(n, generator=g, dtype=torch.float64)
    sizes[int(torch.randint(n, (), generator=g))] *= -1
    return sizes if torch.rand((), generator=g) < 0.5 else -sizes, questions


def _both(function: object, inputs: tuple[Tensor, int]) -> tuple[object, object, object]:
    differences, questions = inputs
    assert callable(function)
    return (
        function(differences, questions),
        function(-differences, questions),
        function(differences[:1].repeat(3), 6),  # three alike: 6 times 2 / 8 is above 1
    )


def _p(differences: Tensor, *, strict: bool = False, sides: int = 2, one: bool = False) -> float:
    n, below = len(differences), int((differences < 0).sum())
    fewer = below if one else min(below, n - below)
    tail = float(sum(comb(n, k) for k in range(fewer + (0 if strict else 1))))
    return sides * tail / 2.0**n


SIGN_TEST = Exercise(
    name="sign_test",
    notebook=NOTEBOOK,
    reference=sign_test,
    inputs=_differences,
    observe=_both,
    tries=("For these differences", "With all signs turned round", "For three of one sign"),
    mistakes=(
        Mistake(
            "one-sided",
            lambda d, q: min(1.0, _p(d, sides=1) * q),
            "This p counts one side alone. Nobody said beforehand which sign to expect: double it.",
        ),
        Mistake(
            "no correction",
            lambda d, q: min(1.0, _p(d)),
            "You asked several questions: Bonferroni multiplies p by their number.",
        ),
        Mistake(
            "divided",
            lambda d, q: min(1.0, _p(d) / q),
            "Bonferroni divides the 5 % by the number of questions, so p is multiplied by it.",
        ),
        Mistake(
            "exactly so many",
            lambda d, q: min(1.0, 2 * q * comb(len(d), int((d < 0).sum())) / 2 ** len(d)),
            "You take the chance of exactly this split of signs. A p value adds all that are at "
            "least as uneven.",
        ),
        Mistake(
            "fewer than so many",
            lambda d, q: min(1.0, _p(d, strict=True) * q),
            "The observed number itself belongs to the sum: range(fewer + 1).",
        ),
        Mistake(
            "above 1",
            lambda d, q: _p(d) * q,
            "A probability is at most 1: min(1, ...).",
        ),
        Mistake(
            "only negative signs",
            lambda d, q: min(1.0, _p(d, one=True) * q),
            "You count negative differences only. A split is as uneven with few positive ones: "
            "take the rarer sign.",
        ),
    ),
    hints=(
        "Under chance each sign is a coin. How likely is so uneven a split of n coins?",
        "Count the rarer sign, k. P(K <= k) is the sum of comb(n, j) / 2**n for j up to k; double "
        "it for both sides.",
        "min(1, 2 * sum(comb(n, j) for j in range(k + 1)) / 2**n * questions)",
    ),
)

EXERCISES = (SIGN_TEST,)
