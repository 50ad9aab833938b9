"""Distances against torch-fidelity, closed forms, and the properties that a distance must have."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_fidelity.metric_fid import KEY_METRIC_FID, fid_statistics_to_metric
from torch_fidelity.metric_kid import (
    KEY_METRIC_KID_MEAN,
    KEY_METRIC_KID_STD,
    kid_features_to_metric,
)

from svae_lib.fid import distance, frechet_distance, kernel_distance
from svae_lib.support.checks import InputError

Moments = tuple[np.ndarray, np.ndarray]


def samples(n: int, dim: int, seed: int) -> np.ndarray:
    """Correlated, skewed features whose scales span four decades."""
    rng = np.random.default_rng(seed)
    mixing = rng.normal(size=(dim, dim)) * np.logspace(0, -2, dim)
    return np.maximum(rng.normal(size=(n, dim)) @ mixing, -0.5) + rng.normal(size=dim)


def moments(features: np.ndarray) -> Moments:
    return features.mean(axis=0), np.cov(features, rowvar=False)


def fidelity_distance(first: Moments, second: Moments) -> float:
    """torch-fidelity's, from the eigenvalues of the product."""
    stats = ({"mu": mu, "sigma": sigma} for mu, sigma in (first, second))
    found: float = fid_statistics_to_metric(*stats, verbose=False)[KEY_METRIC_FID]
    return found


def data_distance(first: np.ndarray, second: np.ndarray) -> float:
    """From the data alone: tr (S1 S2)^(1/2) is the nuclear norm of the centred X1 X2', scaled.

    No covariance is formed, so nothing is lost where it would be singular.
    """
    centred = [(x - x.mean(axis=0)) / math.sqrt(len(x) - 1) for x in (first, second)]
    shift = first.mean(axis=0) - second.mean(axis=0)
    traces = sum(float((x**2).sum()) for x in centred)
    return float(shift @ shift + traces - 2 * scipy.linalg.svdvals(centred[0] @ centred[1].T).sum())


@pytest.mark.parametrize(("n1", "tolerance"), [(500, 1e-9), (30, 1e-5)])
def test_equals_torch_fidelity(n1: int, tolerance: float) -> None:
    first, second = moments(samples(n1, 60, 0)), moments(samples(300, 60, 1))
    assert frechet_distance(*first, *second) == pytest.approx(
        fidelity_distance(first, second), rel=tolerance
    )


@pytest.mark.parametrize(("n1", "n2"), [(20, 500), (500, 20), (20, 15), (2, 2), (60, 60)])
def test_fewer_samples_than_features(n1: int, n2: int) -> None:
    first, second = samples(n1, 60, 0), samples(n2, 60, 1)
    ours = frechet_distance(*moments(first), *moments(second))
    assert ours == pytest.approx(data_distance(first, second), rel=1e-6)


def test_exactly_singular_covariances() -> None:
    # Diagonal, so the closed form is a sum over axes; some axes are empty on either side.
    a, b = np.array([4.0, 9.0, 0.0, 0.0]), np.array([1.0, 0.0, 25.0, 0.0])
    expected = ((np.sqrt(a) - np.sqrt(b)) ** 2).sum()
    assert frechet_distance(np.zeros(4), np.diag(a), np.zeros(4), np.diag(b)) == pytest.approx(
        expected, abs=1e-12
    )


def test_points_without_spread_are_their_squared_distance_apart() -> None:
    nothing = np.zeros((3, 3))
    assert frechet_distance([0, 0, 0], nothing, [1, 2, 2], nothing) == 9.0


variances = st.lists(st.floats(0, 100), min_size=3, max_size=3).map(np.array)
means = st.lists(st.floats(-10, 10), min_size=3, max_size=3).map(np.array)


@settings(max_examples=50, deadline=None)
@given(means, variances, means, variances, st.integers(0, 5))
def test_closed_form_of_commuting_covariances(
    mu1: np.ndarray, a: np.ndarray, mu2: np.ndarray, b: np.ndarray, seed: int
) -> None:
    axes = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))[0]
    expected = ((mu1 - mu2) ** 2).sum() + ((np.sqrt(a) - np.sqrt(b)) ** 2).sum()
    # Where an eigenvalue is zero, rounding of 1e-16 in it is 1e-8 in its square root.
    tolerance = 1e-6 * (1 + a.sum() + b.sum())
    ours = frechet_distance(mu1, axes * a @ axes.T, mu2, axes * b @ axes.T)
    assert ours == pytest.approx(expected, rel=1e-9, abs=tolerance)


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 40), st.integers(2, 40), st.integers(0, 100))
def test_symmetric_non_negative_and_zero_for_itself(n1: int, n2: int, seed: int) -> None:
    first, second = moments(samples(n1, 12, seed)), moments(samples(n2, 12, seed + 1))
    scale = np.trace(first[1] + second[1])
    forth, back = frechet_distance(*first, *second), frechet_distance(*second, *first)
    assert forth >= 0
    assert forth == pytest.approx(back, rel=1e-6, abs=1e-7 * scale)
    assert 0 <= frechet_distance(*first, *first) <= 1e-6 * scale  # rounding would go below


def test_does_not_change_when_the_axes_turn() -> None:
    first, second = samples(100, 8, 0), samples(100, 8, 1)
    turn = np.linalg.qr(np.random.default_rng(2).normal(size=(8, 8)))[0]
    plain = frechet_distance(*moments(first), *moments(second))
    turned = frechet_distance(*moments(first @ turn), *moments(second @ turn))
    assert turned == pytest.approx(plain, rel=1e-9)


def test_takes_tensors_and_float32_and_leaves_them_alone() -> None:
    first, second = moments(samples(100, 8, 0)), moments(samples(100, 8, 1))
    exact = frechet_distance(*first, *second)
    tensors = [torch.tensor(x, dtype=torch.float32) for x in (*first, *second)]
    copies = [x.clone() for x in tensors]
    assert frechet_distance(*tensors) == pytest.approx(exact, rel=1e-4)
    assert all(torch.equal(x, y) for x, y in zip(tensors, copies, strict=True))
    assert type(exact) is float


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mu1": np.zeros(3)}, "mu1 has 3 features and mu2 has 2"),
        ({"mu1": np.zeros((2, 1))}, "mu1 must have the shape"),
        ({"sigma2": np.eye(3)}, "sigma2 must be"),
        ({"sigma1": np.full((2, 2), np.nan)}, "sigma1 contains NaN"),
        ({"mu2": np.array([0, np.inf])}, "mu2 contains NaN or infinity"),
        ({"sigma1": np.array([[1.0, 2.0], [0.0, 1.0]])}, "not symmetric"),
        ({"sigma1": np.diag([1.0, -1.0])}, "sigma1 is not a covariance"),
        ({"sigma1": np.array([[0.0, 1.0], [1.0, 0.0]])}, "sigma1 is not a covariance"),
        ({"sigma1": np.array([[1.0, 2.0], [2.0, 1.0]])}, "sigma1 is not a covariance"),
        ({"sigma2": np.diag([1.0, -1.0])}, "sigma2 is not a covariance"),
        ({"mu1": "no numbers"}, "mu1 must be an array of numbers"),
    ],
)
def test_bad_input_is_named(change: dict[str, object], message: str) -> None:
    good = {"mu1": np.zeros(2), "sigma1": np.eye(2), "mu2": np.zeros(2), "sigma2": np.eye(2)}
    with pytest.raises(InputError, match=message):
        frechet_distance(**{**good, **change})  # type: ignore[arg-type]


def test_a_small_negative_eigenvalue_among_many_zeros_is_found() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 200))
    covariance = x.T @ x / 60
    direction = np.linalg.svd(x)[2][-1]  # x has nothing there
    worse = covariance - 1e-4 * np.trace(covariance) * np.outer(direction, direction)
    zeros, other = np.zeros(200), np.eye(200)
    assert frechet_distance(zeros, covariance, zeros, other) > 0
    with pytest.raises(InputError, match="sigma1 is not a covariance"):
        frechet_distance(zeros, worse, zeros, other)


def test_slight_asymmetry_passes_and_more_does_not() -> None:
    covariance, zeros = np.eye(3) + 0.5, np.zeros(3)
    for off, refused in ((2e-5, False), (1e-3, True)):
        bent = covariance.copy()
        bent[0, 1] += off
        if refused:
            with pytest.raises(InputError, match="sigma1 is not symmetric"):
                frechet_distance(zeros, bent, zeros, covariance)
        else:
            assert frechet_distance(zeros, bent, zeros, covariance) < 1e-4


def test_the_two_halves_of_a_covariance_count_alike() -> None:
    bent, zeros = np.eye(3) + 0.5, np.zeros(3)
    bent[0, 1] += 2e-5
    upper, lower = (frechet_distance(zeros, c, zeros, np.eye(3)) for c in (bent, bent.T))
    straight = frechet_distance(zeros, (bent + bent.T) / 2, zeros, np.eye(3))
    assert upper == pytest.approx(straight, rel=1e-12) == lower


def test_the_kernel_distance_is_torch_fidelitys() -> None:
    first, second = (torch.from_numpy(samples(200, 6, seed)) for seed in (0, 1))
    settings = {"kid_subsets": 400, "kid_subset_size": 100, "verbose": False}
    theirs = kid_features_to_metric(first, second, **settings)
    ours, _ = kernel_distance(first, second, subsets=400, subset_size=100)
    noise = theirs[KEY_METRIC_KID_STD] * math.sqrt(2 / 400)  # of drawing the subsets, both times
    assert abs(ours - theirs[KEY_METRIC_KID_MEAN]) < 4 * noise
    # The same samples: of one subset that is the whole set there is no noise.
    whole = kid_features_to_metric(
        first, second, **settings | {"kid_subsets": 1, "kid_subset_size": 200}
    )
    assert distance._squared_mmd(first, second).item() == pytest.approx(whole[KEY_METRIC_KID_MEAN])


def test_kernel_distance_does_not_depend_on_the_number_of_samples() -> None:
    rng = np.random.default_rng(0)

    def average(n: int) -> float:
        values = [
            kernel_distance(rng.normal(size=(n, 4)), rng.normal(size=(n, 4)) + 0.5, 10, n)[0]
            for _ in range(60)
        ]
        return float(np.mean(values))

    few, many = average(20), average(200)
    assert few == pytest.approx(many, rel=0.2)


@pytest.mark.parametrize(("n", "size"), [(300, 50), (60, 30)])
def test_kernel_distance_standard_error_is_the_spread_over_repetitions(n: int, size: int) -> None:
    rng = np.random.default_rng(0)
    pairs = [
        kernel_distance(rng.normal(size=(n, 4)), rng.normal(size=(n, 4)) + 0.5, 50, size)
        for _ in range(80)
    ]
    spread = np.std([value for value, _ in pairs], ddof=1)
    claimed = np.mean([error for _, error in pairs])
    assert claimed == pytest.approx(spread, rel=0.25)


def test_kernel_distance_standard_error_has_the_noise_of_drawing_few_subsets() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(2000, 4)), rng.normal(size=(2000, 4)) + 0.5
    pairs = [kernel_distance(first, second, 10, 20, seed) for seed in range(100)]
    spread = np.std([value for value, _ in pairs], ddof=1)  # of nothing but the seed
    assert np.mean([error for _, error in pairs]) == pytest.approx(spread, rel=0.2)


def test_kernel_distance_takes_half_of_the_smaller_set_at_most() -> None:
    many, few = samples(40, 3, 0), samples(8, 3, 1)
    assert kernel_distance(many, few) == kernel_distance(many, few, subset_size=4)
    assert kernel_distance(few, many) == kernel_distance(few, many, subset_size=4)


def test_kernel_distance_is_repeatable_and_tells_distributions_apart() -> None:
    first, second, third = samples(300, 5, 0), samples(300, 5, 0)[::-1], samples(300, 5, 3) + 1
    near, near_error = kernel_distance(first[:150], second[:150], seed=1)
    far, far_error = kernel_distance(first, third, seed=1)
    assert (far, far_error) == kernel_distance(torch.tensor(first), torch.tensor(third), seed=1)
    assert far > 5 * far_error
    assert abs(near) < 4 * near_error


@pytest.mark.parametrize(
    ("first", "second", "options", "message"),
    [
        (np.zeros((5, 2)), np.zeros((5, 3)), {}, "features1 and features2 have 2 and 3 columns"),
        (np.zeros((1, 2)), np.zeros((5, 2)), {}, "at least 4 samples"),
        (np.zeros((5, 2)), np.zeros((3, 2)), {}, "at least 4 samples"),
        (np.zeros(5), np.zeros((5, 2)), {}, "shape"),
        (np.full((5, 2), np.nan), np.zeros((5, 2)), {}, "NaN"),
        (np.zeros((5, 2)), np.zeros((5, 2)), {"subsets": 1}, "subsets must be at least 2"),
        (np.zeros((5, 2)), np.zeros((5, 2)), {"subset_size": 1}, "subset_size must be at least 2"),
    ],
)
def test_kernel_distance_names_bad_input(
    first: np.ndarray, second: np.ndarray, options: dict[str, int], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        kernel_distance(first, second, **options)
