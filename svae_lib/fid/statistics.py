"""Mean and covariance of the features of any number of images, in constant memory."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from ..data import to_float
from ..support.checks import InputError, check_counts, check_tensors
from ..support.devices import as_float64, kept_memory
from .feature_network import FeatureNetwork, check_network

Images = Tensor | Iterable[Tensor]
"""uint8 or float (N, C, H, W), or batches of them from any iterable."""


class FeatureStatistics:
    """Count, mean and covariance of feature vectors that arrive in batches of any size.

    Chan, Golub and LeVeque 1983, "Algorithms for computing the sample variance", equations
    2.1: the batch's own mean and scatter (centred, so nothing cancels) are merged with the
    running ones. In float64, on the features' device where it has that; memory is O(D^2).

    Attributes:
        n: vectors seen.
        network, weights_hash: of the network that made them, or "".
    """

    def __init__(self, dim: int, network: str = "", weights_hash: str = "") -> None:
        self.n = 0
        self.network = network
        self.weights_hash = weights_hash
        self._mean = torch.zeros(dim, dtype=torch.float64)
        self._scatter = torch.zeros(dim, dim, dtype=torch.float64)  # of the centred vectors

    @property
    def dim(self) -> int:
        """Features per vector, D."""
        return len(self._mean)

    @property
    def mean(self) -> Tensor:
        """Mean, float64 (D,) on the CPU."""
        return self._mean.cpu()

    @property
    def covariance(self) -> Tensor:
        """Unbiased covariance (divided by n - 1, as np.cov does), float64 (D, D) on the CPU."""
        if self.n < 2:
            raise InputError(f"a covariance needs at least 2 images, not {self.n}.")
        return self._scatter.cpu() / (self.n - 1)

    def update(self, features: Tensor) -> None:
        """Add a batch of feature vectors (B, D), on any device."""
        check_tensors(features=features)
        if features.ndim != 2 or features.shape[1] != self.dim:
            raise InputError(
                f"features must have the shape (N, {self.dim}), not {tuple(features.shape)}."
            )
        if len(features) == 0:
            return
        batch = as_float64(features, stay=True)
        self._mean, self._scatter = self._mean.to(batch.device), self._scatter.to(batch.device)
        mean = batch.mean(dim=0)
        centred = batch - mean
        delta = mean - self._mean
        total = self.n + len(batch)
        # The distance of the two means counts like one more vector. In place, in one pass: with
        # thousands of features the scatter is the largest thing here.
        between = delta * math.sqrt(self.n * len(batch) / total)
        rows = torch.cat((centred, between[None]))
        self._scatter.addmm_(rows.T, rows)
        self._mean += delta * (len(batch) / total)
        self.n = total

    @classmethod
    def of(cls, features: Tensor, network: FeatureNetwork | None = None) -> FeatureStatistics:
        """Statistics of features (N, D) that are at hand already."""
        statistics = cls(features.shape[-1]) if network is None else empty_statistics(network)
        statistics.update(features)
        return statistics


def empty_statistics(network: FeatureNetwork) -> FeatureStatistics:
    """Statistics of no image yet, marked with the network that will make the features."""
    check_network(network)
    return FeatureStatistics(network.dim, network.name, network.weights_hash)


@kept_memory()
def feature_statistics(
    images: Images, network: FeatureNetwork, batch_size: int = 100
) -> FeatureStatistics:
    """Mean and covariance of the features of all images, the last partial batch included.

    ``images`` are uint8 or floats in [0, 1], (N, C, H, W), or any iterable of such batches (a
    generator, a DataLoader of tensors); they need not be in memory together.
    """
    statistics = empty_statistics(network)
    for batch in _batches(images, network, batch_size):
        statistics.update(network(batch))
    return statistics


@kept_memory()
def extract_features(images: Images, network: FeatureNetwork, batch_size: int = 100) -> Tensor:
    """Features of all images, float32 (N, D) on the CPU: see :func:`feature_statistics`."""
    check_network(network)
    return torch.cat([network(batch) for batch in _batches(images, network, batch_size)]).cpu()


def _batches(images: Images, network: FeatureNetwork, batch_size: int) -> Iterator[Tensor]:
    """Float batches of at most ``batch_size`` images, on the network's device."""
    check_counts(batch_size=batch_size)
    whole = isinstance(images, Tensor) or not isinstance(images, Iterable)
    empty = True
    for chunk in [images] if whole else images:
        if not isinstance(chunk, Tensor) or chunk.ndim != 4:
            what = tuple(chunk.shape) if isinstance(chunk, Tensor) else type(chunk).__name__
            raise InputError(
                f"images must be tensors (N, C, H, W) or such batches, without labels, not {what}."
            )
        for batch in torch.split(chunk, batch_size):
            batch = batch.to(network.device)  # bytes cross the bus, not floats
            yield to_float(batch) if batch.dtype == torch.uint8 else batch
            empty = False
    if empty:
        raise InputError("there are no images to compute features of.")
