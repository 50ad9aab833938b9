"""Precision and recall: quality and variety told apart, by nearest neighbours among features."""

from __future__ import annotations

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from ..support.checks import InputError, check_counts
from ..support.devices import as_float64
from .distance import pair_of_features

NEIGHBOURS = 3
"""Kynkäänniemi and others take the third neighbour."""
ROWS = 1000  # vectors whose distances to all others are held at a time


def shares_inside(
    real: ArrayLike | Tensor, generated: ArrayLike | Tensor, neighbours: int = NEIGHBOURS
) -> tuple[float, float]:
    """Precision and recall: shares of vectors that lie on the manifold of the other set.

    The manifold of a set is estimated by balls: around each of its vectors one that reaches to the
    k-th nearest neighbour in the set (itself not counted). Precision is the share of generated
    vectors in a ball of a real one, recall the share of real ones in a ball of a generated one:
    Kynkäänniemi et al. 2019, "Improved precision and recall metric for assessing generative
    models", equations 1 and 2. Both depend on the numbers of vectors, and one outlier's large ball
    can hold much: compare at equal numbers only. In float64; time grows with N^2, memory with N.

    Args:
        real, generated: features, (N, D) and (M, D), of more images than ``neighbours``.
        neighbours: k, at least 1.
    """
    check_counts(neighbours=neighbours)
    theirs, ours = pair_of_features(real=real, generated=generated)
    few = min(len(ours), len(theirs))
    if few <= neighbours:
        raise InputError(f"{few} features have no {neighbours} neighbours each: take more images.")
    our_radii, their_radii = _squared_radii(ours, neighbours), _squared_radii(theirs, neighbours)
    precise = torch.zeros(len(ours), dtype=torch.bool)
    recalled = torch.zeros(len(theirs), dtype=torch.bool)
    for rows in torch.arange(len(ours)).split(ROWS):
        distances = _squared_distances(ours[rows], theirs)
        precise[rows] = (distances <= their_radii).any(dim=1)
        recalled |= (distances <= our_radii[rows, None]).any(dim=0)
    return as_float64(precise).mean().item(), as_float64(recalled).mean().item()


def _squared_radii(centres: Tensor, neighbours: int) -> Tensor:
    """Squared distance of each vector (N, D) to its k-th nearest other one: (N,)."""
    nearest = neighbours + 1  # a vector is its own nearest neighbour
    parts = [
        _squared_distances(rows, centres).topk(nearest, dim=1, largest=False).values[:, -1]
        for rows in centres.split(ROWS)
    ]
    return torch.cat(parts)


def _squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """|a - b|^2 = |a|^2 - 2 a.b + |b|^2 of all pairs, (N, D) and (M, D) to (N, M)."""
    squares = torch.addmm(b.square().sum(dim=1), a, b.T, alpha=-2)
    return squares.add_(a.square().sum(dim=1, keepdim=True)).clamp_(min=0)
