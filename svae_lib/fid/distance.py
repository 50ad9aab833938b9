"""Two sets of features compared: Fréchet distance, kernel distance, precision and recall.

All take numbers, not images; :mod:`svae_lib.fid.score` puts a network in front of them.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor
from torch.linalg import vector_norm

from ..support.checks import InputError, check_counts
from ..support.devices import as_float64

FEWEST = 4
"""Samples that the kernel distance, KID, needs of each set."""
NEIGHBOURS = 3
"""Kynkäänniemi and others take the third neighbour."""
ROWS = 1000  # vectors whose distances to all others are held at a time


def frechet_distance(
    mu1: ArrayLike | Tensor,
    sigma1: ArrayLike | Tensor,
    mu2: ArrayLike | Tensor,
    sigma2: ArrayLike | Tensor,
) -> float:
    """Squared Fréchet (2-Wasserstein) distance between two Gaussians::

        |mu1 - mu2|^2 + tr S1 + tr S2 - 2 tr (S1 S2)^(1/2)

    Dowson and Landau 1982, "The Fréchet distance between multivariate normal distributions";
    as a score of images: Heusel et al. 2017, "GANs trained by a two time-scale update rule",
    equation 6. For any factor S1 = A A' the eigenvalues of S1 S2 are those of the symmetric
    A' S2 A, so the last trace is the sum of their square roots: nothing becomes imaginary, and
    singular covariances are allowed. In float64.

    Args:
        mu1, mu2: means, (D,).
        sigma1, sigma2: covariances, (D, D), symmetric and positive semi-definite.
    """
    mean1, mean2 = _float64(mu1, "mu1", "D"), _float64(mu2, "mu2", "D")
    if mean1.shape != mean2.shape:
        raise InputError(
            f"mu1 has {len(mean1)} features and mu2 has {len(mean2)}: "
            "both must come from the same network."
        )
    cov1 = _covariance(sigma1, len(mean1), "sigma1")
    cov2 = _covariance(sigma2, len(mean1), "sigma2")
    factor = _factor(cov1, "sigma1")
    eigenvalues = torch.linalg.eigvalsh(factor.T @ cov2 @ factor)
    _check_positive(eigenvalues, cov1.trace() * cov2.trace(), "sigma2")
    root_trace: Tensor = eigenvalues.clamp(min=0).sqrt().sum()
    distance = (mean1 - mean2).square().sum() + cov1.trace() + cov2.trace() - 2 * root_trace
    return max(0.0, float(distance))


def _factor(covariance: Tensor, name: str) -> Tensor:
    """A (D, R) with A A' = covariance; R is its numerical rank.

    Cholesky where the matrix is positive definite. Fewer samples than features leave it
    singular: then Cholesky with pivoting (LAPACK's pstrf), which ends where only rounding is left.
    If the result does not give the matrix back, that has negative eigenvalues.
    """
    factor: Tensor
    factor, failed = torch.linalg.cholesky_ex(covariance)
    if not failed:
        return factor
    from scipy.linalg import lapack  # here: SciPy is slow to import and few need it

    lower, pivots, rank, _ = lapack.dpstrf(covariance.numpy(), lower=True)
    factor = torch.zeros(len(covariance), int(rank), dtype=torch.float64)
    factor[torch.from_numpy(pivots).long() - 1] = torch.from_numpy(lower[:, :rank]).tril()
    # A A' v = covariance v for one random v: as good as for all, and much faster.
    generator = torch.Generator().manual_seed(0)
    probe = torch.randn(len(covariance), dtype=torch.float64, generator=generator)
    missing = vector_norm(factor @ (factor.T @ probe) - covariance @ probe)
    if missing <= 1e-10 * covariance.trace():
        return factor
    values, vectors = torch.linalg.eigh(covariance)
    _check_positive(values, covariance.trace(), name)
    # The square root would lift an eigenvalue that is only rounding from 1e-16 to 1e-8.
    kept = values > values.max() * len(values) * torch.finfo(values.dtype).eps
    return vectors[:, kept] * values[kept].sqrt()  # type: ignore[no-any-return]


def _check_positive(eigenvalues: Tensor, scale: Tensor, name: str) -> None:
    """Refuse negative eigenvalues, but for what rounding leaves (the input may be float32)."""
    if (eigenvalues < -1e-5 * scale).any():
        raise InputError(f"{name} is not a covariance: it has a negative eigenvalue.")


def _float64(values: ArrayLike | Tensor, name: str, *letters: str) -> Tensor:
    """The values, of a shape with as many dimensions as letters, on the CPU."""
    try:
        tensor = values if isinstance(values, Tensor) else torch.from_numpy(np.array(values, float))
        tensor = as_float64(tensor)
    except (TypeError, ValueError):
        raise InputError(
            f"{name} must be an array of numbers, not {type(values).__name__}."
        ) from None
    if tensor.ndim != len(letters) or tensor.numel() == 0:
        shape = f"({', '.join(letters)})"
        raise InputError(f"{name} must have the shape {shape}, not {tuple(tensor.shape)}.")
    if not tensor.isfinite().all():
        raise InputError(f"{name} contains NaN or infinity: look for broken images or features.")
    return tensor


def _covariance(values: ArrayLike | Tensor, dim: int, name: str) -> Tensor:
    covariance = _float64(values, name, "D", "D")
    if covariance.shape != (dim, dim):
        raise InputError(f"{name} must be {(dim, dim)} like mu1, not {tuple(covariance.shape)}.")
    allowed = 1e-6 * vector_norm(covariance, math.inf).item()
    if not torch.allclose(covariance, covariance.T, 1e-4, allowed):
        raise InputError(f"{name} is not symmetric, so it is not a covariance.")
    return (covariance + covariance.T) / 2


def kernel_distance(
    features1: ArrayLike | Tensor,
    features2: ArrayLike | Tensor,
    subsets: int = 100,
    subset_size: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """Kernel distance between two sets of features: squared maximum mean discrepancy.

    Bińkowski et al. 2018, "Demystifying MMD GANs", section 4: the unbiased estimate (equation 4)
    with the kernel k(x, y) = (x.y / D + 1)^3, averaged over random subsets. Unlike the Fréchet
    distance its expectation does not depend on the number of images, so it may be negative.

    The standard error is that of the delete-d jackknife (Shao and Wu 1989, "A general theory
    for jackknife variance estimation") plus the noise of drawing finitely many subsets: with
    s^2 the variance over subsets of size m out of n, sqrt(s^2 m / (n - m) + s^2 / subsets).
    s alone, often quoted, is the spread of a *subset* and does not shrink with n. Between sets of
    one distribution the jackknife errs on the large side.

    Args:
        features1, features2: the sets, (N, D) and (M, D), N and M at least 4.
        subsets: how many random subsets to average, at least 2.
        subset_size: samples per subset, at least 2; half the smaller set at most, to differ.
        seed: of the random subsets.

    Returns:
        The mean over the subsets and its standard error.
    """
    check_counts(lowest=2, subsets=subsets, subset_size=subset_size)
    first, second = _pair_of_features(features1=features1, features2=features2)
    n = min(len(first), len(second))
    if n < FEWEST:
        raise InputError(f"the kernel distance needs at least {FEWEST} samples a set, not {n}.")
    size = min(subset_size, n // 2)
    generator = torch.Generator().manual_seed(seed)

    def subset(features: Tensor) -> Tensor:
        return features[torch.randperm(len(features), generator=generator)[:size]]

    estimates = torch.stack([_squared_mmd(subset(first), subset(second)) for _ in range(subsets)])
    variance = estimates.var().item()
    return estimates.mean().item(), math.sqrt(variance * (size / (n - size) + 1 / subsets))


def _pair_of_features(**sets: ArrayLike | Tensor) -> tuple[Tensor, Tensor]:
    """Two sets of features by name, (N, D) and (M, D), in float64 on the CPU."""
    first, second = (_float64(values, name, "N", "D") for name, values in sets.items())
    if first.shape[1] != second.shape[1]:
        raise InputError(
            f"{' and '.join(sets)} have {first.shape[1]} and {second.shape[1]} columns: "
            "both must come from the same network."
        )
    return first, second


def _squared_mmd(x: Tensor, y: Tensor) -> Tensor:
    """Unbiased squared MMD of x (m, D) and y (m, D): a sample is not compared with itself."""
    pairs = len(x) * (len(x) - 1)
    within = sum((k.sum() - k.trace()) / pairs for k in (_kernel(x, x), _kernel(y, y)))
    return within - 2 * _kernel(x, y).mean()


def _kernel(x: Tensor, y: Tensor) -> Tensor:
    return (x @ y.T / x.shape[1] + 1) ** 3


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
    theirs, ours = _pair_of_features(real=real, generated=generated)
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
