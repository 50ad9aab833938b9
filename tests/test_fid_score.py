"""Scores carry all that defines them, order images as they should, and refuse mixtures."""

from __future__ import annotations

import json
import warnings
from dataclasses import asdict, replace

import pytest
import torch

from svae_lib import data
from svae_lib.data import ImageSets
from svae_lib.fid import (
    FeatureNetwork,
    FeatureStatistics,
    Score,
    extract_features,
    feature_statistics,
    fid,
    frechet_distance,
    kernel_distance,
    kid,
    network,
)
from svae_lib.support.checks import InputError


@pytest.fixture(scope="module")
def lenet() -> FeatureNetwork:
    return network("lenet", device="cpu")


@pytest.fixture(scope="module")
def digits() -> ImageSets:
    return data.load("mnist-5k")


@pytest.fixture(scope="module")
def reference(digits: ImageSets, lenet: FeatureNetwork) -> torch.Tensor:
    return extract_features(digits.test[:400], lenet)


def test_fid_is_the_distance_of_the_statistics(digits: ImageSets, lenet: FeatureNetwork) -> None:
    ours, theirs = digits.train[:200], digits.test[:150]
    score = fid(ours, theirs, lenet, reference_name="150 test digits")
    first, second = feature_statistics(ours, lenet), feature_statistics(theirs, lenet)
    assert score.value == frechet_distance(
        first.mean, first.covariance, second.mean, second.covariance
    )
    assert (score.n, score.n_reference, score.standard_error) == (200, 150, None)


def test_images_batches_features_and_statistics_give_one_score(
    digits: ImageSets, lenet: FeatureNetwork, reference: torch.Tensor
) -> None:
    images = digits.train[:100]
    statistics = FeatureStatistics.of(reference, lenet)
    scores = [
        fid(images, digits.test[:400], lenet).value,
        fid(iter([images[:60], images[60:]]), statistics, lenet).value,
        fid(extract_features(images, lenet), reference, lenet).value,
    ]
    assert scores[1:] == pytest.approx([scores[0]] * 2, rel=1e-4)


def test_kid_is_the_kernel_distance_of_the_features(
    digits: ImageSets, lenet: FeatureNetwork, reference: torch.Tensor
) -> None:
    images = digits.train[:100]
    score = kid(images, reference, lenet, subsets=10, subset_size=30, seed=3)
    assert (score.value, score.standard_error) == kernel_distance(
        extract_features(images, lenet), reference, 10, 30, 3
    )
    assert score.metric == "KID (LeNet)"
    assert (score.n, score.n_reference) == (100, 400)


def test_scores_rise_with_noise(
    digits: ImageSets, lenet: FeatureNetwork, reference: torch.Tensor
) -> None:
    clean = data.to_float(digits.train[:150])
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    noisy = [(clean + level * noise).clamp(0, 1) for level in (0, 0.2, 0.4)]
    for metric in (fid, kid):
        values = [metric(images, reference, lenet).value for images in noisy]
        assert values == sorted(values)
        assert values[2] > values[0]


def test_a_score_prints_all_that_defines_it(
    digits: ImageSets, lenet: FeatureNetwork, reference: torch.Tensor
) -> None:
    score = kid(digits.train[:100], reference, lenet, reference_name="mnist-5k test", subsets=5)
    text = str(score)
    for part in (
        "KID (LeNet)",
        "+/-",
        "100 images",
        "400 of mnist-5k test",
        "lenet-mnist-5k",
        lenet.weights_hash[:12],
        lenet.resize,
        lenet.value_range,
    ):
        assert part in text
    plain = fid(digits.train[:100], reference, lenet)
    assert str(plain).startswith("FID (LeNet) = ")
    assert "+/-" not in str(plain)


def test_a_score_survives_json(
    digits: ImageSets, lenet: FeatureNetwork, reference: torch.Tensor
) -> None:
    score = kid(digits.train[:100], reference, lenet, subsets=5)
    assert Score(**json.loads(json.dumps(asdict(score)))) == score


def test_fewer_images_than_features_warn(
    digits: ImageSets, lenet: FeatureNetwork, reference: torch.Tensor
) -> None:
    with pytest.warns(UserWarning, match="64 images and 64 features.*singular") as caught:
        score = fid(digits.train[:64], reference, lenet)
    assert score.value > 0
    assert caught[0].filename == __file__
    with pytest.warns(UserWarning, match="64 images and 64 features"):  # on either side
        fid(reference, digits.train[:64], lenet)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fid(digits.train[:65], reference, lenet)


def test_statistics_and_features_of_another_network_are_refused(
    digits: ImageSets, lenet: FeatureNetwork, reference: torch.Tensor
) -> None:
    other = replace(lenet, weights_hash="0" * 64)
    statistics = FeatureStatistics.of(reference, other)
    with pytest.raises(InputError, match="of another network than LeNet"):
        fid(digits.train[:100], statistics, lenet)
    with pytest.raises(InputError, match="5 columns, but LeNet gives 64"):
        kid(torch.zeros(10, 5), reference, lenet)
    with pytest.raises(InputError, match="5 columns, but LeNet gives 64"):
        fid(torch.zeros(10, 5), reference, lenet)


@pytest.mark.parametrize(
    "take",
    [
        lambda images, name: fid(images, images, name),
        lambda images, name: kid(images, images, name),
        feature_statistics,
        extract_features,
        FeatureStatistics.of,
    ],
)
def test_a_networks_name_is_no_network(digits: ImageSets, take) -> None:
    images = torch.zeros(9, 64) if take == FeatureStatistics.of else digits.test[:9]
    with pytest.raises(InputError, match=r"not 'lenet': svae_lib\.fid\.network\(name\)"):
        take(images, "lenet")


def test_broken_features_are_named(lenet: FeatureNetwork, reference: torch.Tensor) -> None:
    broken = reference.clone()
    broken[7, 3] = torch.nan
    for score in (fid, kid):
        with pytest.raises(InputError, match="contains NaN or infinity: look for broken images"):
            score(broken, reference, lenet)


def test_too_few_images_are_named(
    digits: ImageSets, lenet: FeatureNetwork, reference: torch.Tensor
) -> None:
    with pytest.warns(UserWarning), pytest.raises(InputError, match="at least 2 images, not 1"):
        fid(digits.train[:1], reference, lenet)
    with pytest.raises(InputError, match="at least 4"):
        kid(digits.train[:3], reference, lenet)
    with pytest.raises(InputError, match="no images"):
        fid(iter([]), reference, lenet)
