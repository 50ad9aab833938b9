"""Precision and recall: quality and variety told apart, by nearest neighbours among features.

Takes numbers, not images; :mod:`svae_lib.fid.score` puts a network in front of it.
"""

from __future__ import annotations

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from ..validation import InputError, check_counts
from .distance import float64_features

NEIGHBOURS = 3
"""Kynkäänniemi and others take the third neighbour."""
ROWS = 1000  # vectors whose distances to all others are held at a time


def share_inside(
    manifold: ArrayLike | Tensor, vectors: ArrayLike | Tensor, neighbours: int = NEIGHBOURS
) -> float:
    """Share of vectors that lie on the manifold which a set of features spans.

    The manifold is estimated by balls: around each of its features one that reaches to its k-th
    nearest neighbour in the set (itself not counted). Kynkäänniemi et al. 2019, "Improved precision
    and recall metric for assessing generative models", equations 1 and 2:

        precision = share_inside(real, generated),   recall = share_inside(generated, real).

    Both depend on the numbers of features, and one outlier's large ball can hold much: compare at
    equal numbers only. In float64.

    Args:
        manifold: features that span it, (N, D), more than ``neighbours``.
        vectors: features that are looked for on it, (M, D).
        neighbours: k, at least 1.

    Returns:
        The share, in [0, 1].

    Raises:
        InputError: shapes that do not fit, NaN or infinity, or too few features.
    """
    check_counts(neighbours=neighbours)
    centres, points = float64_features(manifold, "manifold"), float64_features(vectors, "vectors")
    if centres.shape[1] != points.shape[1]:
        raise InputError(
            f"manifold has {centres.shape[1]} columns and vectors has {points.shape[1]}: "
            "both must come from the same network."
        )
    if len(centres) <= neighbours:
        raise InputError(
            f"{len(centres)} features have no {neighbours} neighbours each: take more images."
        )
    radii = _radii(centres, neighbours)
    inside = [(torch.cdist(rows, centres) <= radii).any(dim=1) for rows in points.split(ROWS)]
    return torch.cat(inside).double().mean().item()


def _radii(centres: Tensor, neighbours: int) -> Tensor:
    """Distance of each vector (N, D) to its k-th nearest other one: (N,)."""
    nearest = neighbours + 1  # a vector is its own nearest neighbour
    parts = [
        torch.cdist(rows, centres).kthvalue(nearest, dim=1).values for rows in centres.split(ROWS)
    ]
    return torch.cat(parts)
