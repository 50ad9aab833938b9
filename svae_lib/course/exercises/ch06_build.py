"""More of notebook 06_sampling: the E step of a mixture of Gaussians."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .exercise import Exercise, Mistake, draw_sizes

NOTEBOOK = "06_sampling"


def responsibilities(z: Tensor, weights: Tensor, means: Tensor, covariances: Tensor) -> Tensor:
    """Probability that a vector came from each component of a mixture of Gaussians.

    Args:
        z: (N, L).
        weights: (M,), summing to 1.
        means: (M, L).
        covariances: (M, L, L).

    Returns:
        (N, M), each row summing to 1. Bishop, Pattern recognition and machine learning, eq. 9.23.
    """
    return _log_joint(z, weights, means, covariances).softmax(dim=1)


def _log_joint(z: Tensor, weights: Tensor, means: Tensor, covariances: Tensor) -> Tensor:
    normals = torch.distributions.MultivariateNormal(means, covariances)
    return weights.log() + normals.log_prob(z[:, None])  # type: ignore[no-untyped-call, no-any-return]


def _mixture(g: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """A mixture of M components in L dimensions, and N vectors, float64."""
    n, m, latent = draw_sizes(g, 3)
    factor = torch.randn(m, latent, latent, generator=g, dtype=torch.float64)
    covariances = factor @ factor.mT + 0.5 * torch.eye(latent, dtype=torch.float64)
    weights = torch.rand(m, generator=g, dtype=torch.float64) + 0.1
    means, z = (2 * torch.randn(k, latent, generator=g, dtype=torch.float64) for k in (m, n))
    return z, weights / weights.sum(), means, covariances


def _far(function: Any, inputs: tuple[Any, ...]) -> tuple[Any, Any]:
    """The answers for these vectors, and for the same a hundred times farther out."""
    z, *mixture = inputs
    return function(z, *mixture), function(100 * z, *mixture)


def _diagonal(z: Tensor, weights: Tensor, means: Tensor, covariances: Tensor) -> Tensor:
    diagonal = covariances.diagonal(dim1=1, dim2=2)
    return responsibilities(z, weights, means, torch.diag_embed(diagonal))


def _densities(z: Tensor, weights: Tensor, means: Tensor, covariances: Tensor) -> Tensor:
    joint = _log_joint(z, weights, means, covariances).exp()
    return joint / joint.sum(dim=1, keepdim=True)


def _with_determinant(
    z: Tensor, weights: Tensor, means: Tensor, covariances: Tensor, factor: float
) -> Tensor:
    """With ``factor`` in place of the 1/2 before the logarithm of the determinant."""
    gap = z[:, None] - means
    square = torch.einsum("nmi,mij,nmj->nm", gap, torch.linalg.inv(covariances), gap)
    return (weights.log() - factor * covariances.logdet() - 0.5 * square).softmax(dim=1)


RESPONSIBILITIES = Exercise(
    name="responsibilities",
    notebook=NOTEBOOK,
    reference=responsibilities,
    inputs=_mixture,
    observe=_far,
    tries=("Near the components", "Far from all components"),
    mistakes=(
        Mistake(
            "weights forgotten",
            lambda z, w, m, s: responsibilities(z, torch.ones_like(w) / len(w), m, s),
            "The weights play no part: a vector half way between two components more probably "
            "belongs to the heavier one.",
        ),
        Mistake(
            "weights not logarithmic",
            lambda z, w, m, s: (_log_joint(z, torch.ones_like(w), m, s) + w).softmax(dim=1),
            "You add a weight to a log-density. Multiplying densities is adding logarithms: "
            "weights.log().",
        ),
        Mistake(
            "over the vectors",
            lambda z, w, m, s: _log_joint(z, w, m, s).softmax(dim=0),
            "Your columns sum to 1. Each *vector* belongs to the components with probabilities "
            "that sum to 1: dim=1.",
        ),
        Mistake(
            "joint density",
            lambda z, w, m, s: _log_joint(z, w, m, s).exp(),
            "These are weight times density. Divide by their sum over the components.",
        ),
        Mistake(
            "densities underflow",
            _densities,
            "Far from all components the densities underflow, and 0 / 0 is NaN. Stay with "
            "logarithms: softmax of log weight + log density.",
        ),
        Mistake(
            "no determinant",
            lambda z, w, m, s: _with_determinant(z, w, m, s, 0.0),
            "You leave out the determinant. A Gaussian's constant depends on its covariance, so "
            "wide components would win too often.",
        ),
        Mistake(
            "determinant without its root",
            lambda z, w, m, s: _with_determinant(z, w, m, s, 1.0),
            "You subtract the whole logarithm of the determinant. A Gaussian is divided by the "
            "root of the determinant: half of its logarithm.",
        ),
        Mistake(
            "diagonal covariances",
            _diagonal,
            "You use the variances alone; the covariances are full.",
        ),
    ),
    hints=(
        "By Bayes' rule: weight times density, divided by the sum of that over the components.",
        "torch.distributions.MultivariateNormal(means, covariances).log_prob(z[:, None]) is "
        "(N, M). Add weights.log().",
        "(weights.log() + normals.log_prob(z[:, None])).softmax(dim=1)",
    ),
)

EXERCISES = (RESPONSIBILITIES,)
