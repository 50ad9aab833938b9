"""Streaming statistics against NumPy on all features at once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from svae_lib.fid import (
    FeatureNetwork,
    FeatureStatistics,
    extract_features,
    feature_statistics,
)
from svae_lib.support.checks import InputError


class Projection(nn.Module):
    """A network so small that NumPy can repeat it, counting the batches it saw."""

    def __init__(self, seed: int = 0, channels: int = 1) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.matrix = torch.randn(channels * 16, 5, generator=generator)
        self.batches: list[int] = []

    def forward(self, images: Tensor) -> Tensor:
        self.batches.append(len(images))
        return images.flatten(1) @ self.matrix


def projection(seed: int = 0, channels: int = 1) -> FeatureNetwork:
    return FeatureNetwork(
        name="Projection",
        weights=f"seed {seed}",
        weights_hash=hashlib.sha256(bytes([seed])).hexdigest(),
        dim=5,
        channels=channels,
        resize="none",
        value_range="[0, 1]",
        device=torch.device("cpu"),
        module=Projection(seed, channels),
    )


def pictures(n: int, seed: int = 0, channels: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (n, channels, 4, 4), generator=generator, dtype=torch.uint8)


def numpy_features(images: Tensor, seed: int = 0) -> np.ndarray:
    return images.flatten(1).numpy() / 255.0 @ Projection(seed).matrix.double().numpy()


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=6), st.integers(0, 100))
def test_batches_of_any_size_equal_numpy(sizes: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    parts = [rng.normal(size=(size, 3)) + rng.normal() * 10 for size in [*sizes, 2]]
    statistics = FeatureStatistics(3)
    for part in parts:
        statistics.update(torch.from_numpy(part))
    everything = np.concatenate(parts)
    assert statistics.n == len(everything)
    np.testing.assert_allclose(statistics.mean, everything.mean(axis=0), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(
        statistics.covariance, np.cov(everything, rowvar=False), rtol=1e-9, atol=1e-12
    )


def test_a_large_offset_does_not_drown_the_spread() -> None:
    # Sums of squares near 1e16 would leave no digit of a variance of 1.
    features = torch.randn(1000, 2, generator=torch.Generator().manual_seed(0)).double() + 1e8
    statistics = FeatureStatistics(2)
    for part in features.split(7):
        statistics.update(part)
    centred = features - 1e8
    np.testing.assert_allclose(statistics.covariance, np.cov(centred.T.numpy()), rtol=1e-6)


@pytest.mark.parametrize("batch_size", [1, 7, 23, 100])
def test_the_last_partial_batch_counts(batch_size: int) -> None:
    images, network = pictures(23), projection()
    statistics = feature_statistics(images, network, batch_size=batch_size)
    expected = numpy_features(images)
    assert isinstance(network.module, Projection)
    assert sum(network.module.batches) == 23
    assert max(network.module.batches) <= batch_size
    assert statistics.n == 23
    np.testing.assert_allclose(statistics.mean, expected.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(statistics.covariance, np.cov(expected, rowvar=False), atol=1e-5)


def test_floats_uint8_and_batches_give_the_same() -> None:
    images = pictures(20)

    def stream() -> Iterator[Tensor]:
        yield images[:13]
        yield images[13:].float() / 255

    whole = feature_statistics(images, projection())
    for other in (
        feature_statistics(images.float() / 255, projection()),
        feature_statistics(stream(), projection(), batch_size=4),
    ):
        assert other.n == whole.n
        torch.testing.assert_close(other.covariance, whole.covariance, rtol=1e-6, atol=1e-7)


def test_extracted_features_have_the_same_statistics() -> None:
    images, network = pictures(20), projection()
    features = extract_features(images, network, batch_size=6)
    assert features.shape == (20, 5)
    assert features.dtype == torch.float32
    streamed, direct = feature_statistics(images, network), FeatureStatistics.of(features, network)
    torch.testing.assert_close(direct.mean, streamed.mean)
    torch.testing.assert_close(direct.covariance, streamed.covariance)
    assert direct.weights_hash == network.weights_hash


def test_greyscale_is_repeated_for_an_rgb_network() -> None:
    grey, network = pictures(6), projection(channels=3)
    torch.testing.assert_close(
        extract_features(grey, network), extract_features(grey.repeat(1, 3, 1, 1), network)
    )


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.zeros(0, 1, 4, 4), "empty"),
        ([], "no images"),
        (torch.zeros(5, 3, 4, 4), "greyscale images, not 3 channels"),
        (torch.zeros(5, 2, 4, 4), "greyscale images, not 2 channels"),
        (torch.zeros(5, 4, 4), r"\(N, C, H, W\)"),
        (torch.full((5, 1, 4, 4), 255.0), "divide 0-255 values by 255"),
        (torch.full((5, 1, 4, 4), -1.0), r"map \[-1, 1\] by \(x \+ 1\) / 2"),
        (torch.full((5, 1, 4, 4), torch.nan), "NaN"),
        ([(pictures(3), torch.zeros(3))], "without labels, not tuple"),
        (3, "not int"),
    ],
)
def test_bad_images_are_named(images: Tensor, message: str) -> None:
    with pytest.raises(InputError, match=message):
        feature_statistics(images, projection())


def test_an_rgb_network_refuses_two_channels() -> None:
    with pytest.raises(InputError, match="greyscale or RGB images, not 2 channels"):
        extract_features(pictures(3, channels=2), projection(channels=3))


def test_bad_features_are_named() -> None:
    statistics = FeatureStatistics(3)
    with pytest.raises(InputError, match=r"\(N, 3\), not \(2, 4\)"):
        statistics.update(torch.zeros(2, 4))
    for take in (statistics.update, FeatureStatistics.of):
        with pytest.raises(InputError, match="features must be a torch tensor, not ndarray"):
            take(np.zeros((2, 3)))
    statistics.update(torch.zeros(1, 3))
    with pytest.raises(InputError, match="at least 2 images, not 1"):
        _ = statistics.covariance
    with pytest.raises(InputError, match="batch_size"):
        feature_statistics(pictures(3), projection(), batch_size=0)


def test_a_network_that_cannot_be_told_from_others_is_refused() -> None:
    with pytest.raises(InputError, match="pass a weights_hash"):
        replace(projection(), weights_hash="", module=nn.Flatten())


@pytest.mark.parametrize("take", [feature_statistics, extract_features])
def test_a_module_that_gives_maps_or_another_width_is_named(take) -> None:
    maps = replace(projection(), module=nn.Conv2d(1, 5, 3))
    with pytest.raises(InputError, match=r"Projection's module .* \(12, 5\), not \(12, 5, 2, 2\)"):
        take(pictures(12), maps)
    with pytest.raises(InputError, match=r"\(12, 6\), not \(12, 5\)"):
        take(pictures(12), replace(projection(), dim=6))
