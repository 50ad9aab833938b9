"""FID, KID, precision and recall of a set of images, with all that the numbers depend on."""

import warnings
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ..support.checks import InputError
from .distance import NEIGHBOURS, frechet_distance, kernel_distance, shares_inside
from .feature_network import FeatureNetwork, check_network
from .statistics import FeatureStatistics, Images, extract_features, feature_statistics


@dataclass(frozen=True, kw_only=True)
class Score:
    """One score and what defines it; two scores compare only where all but ``value`` agree.

    Attributes:
        metric: "FID (LeNet)", "KID (Inception)" and so on: the network is part of the name.
        value: the score. FID and KID: lower is better; KID is not multiplied by any power of ten.
            Precision and recall: shares in [0, 1], higher is better.
        standard_error: of KID; None for the others.
        n, n_reference: images scored, and of the reference.
        reference: what they were compared with, in words.

    The other fields are those of the :class:`FeatureNetwork`.
    """

    metric: str
    value: float
    standard_error: float | None = None
    network: str
    weights: str
    weights_hash: str
    n: int
    reference: str
    n_reference: int
    resize: str
    value_range: str

    def __str__(self) -> str:
        error = "" if self.standard_error is None else f" +/- {self.standard_error:.2g}"
        return (
            f"{self.metric} = {self.value:.4g}{error} "
            f"[{self.n:,} images against {self.n_reference:,} of {self.reference}; "
            f"weights {self.weights}, sha256 {self.weights_hash[:12]}; "
            f"resize {self.resize}; range {self.value_range}]"
        )


def fid(
    images: Images | FeatureStatistics,
    reference: Images | FeatureStatistics,
    network: FeatureNetwork,
    *,
    reference_name: str = "the reference",
) -> Score:
    """Fréchet Inception Distance of images from a reference, on any feature network.

    Warns where there are no more images than features, on either side.

    Args:
        images: uint8 or float (N, C, H, W), batches of them, features (N, D) of this network,
            or their statistics; at least two images.
        reference: the same.
        network: from :func:`svae_lib.fid.network`.
        reference_name: the reference in words, such as "mnist-5k test".
    """
    ours, theirs = (_statistics(given, network) for given in (images, reference))
    if (fewest := min(ours.n, theirs.n)) <= network.dim:
        warnings.warn(
            f"FID ({network.name}) from {fewest} images and {network.dim} features: the covariance "
            "is singular and the score strongly biased; take more images, or KID.",
            UserWarning,
            stacklevel=2,
        )
    value = frechet_distance(ours.mean, ours.covariance, theirs.mean, theirs.covariance)
    about = {"reference": reference_name, "n": ours.n, "n_reference": theirs.n}
    return _score(network, metric=f"FID ({network.name})", value=value, **about)


def kid(
    images: Images,
    reference: Images,
    network: FeatureNetwork,
    *,
    reference_name: str = "the reference",
    subsets: int = 100,
    subset_size: int = 1000,
    seed: int = 0,
) -> Score:
    """Kernel Inception Distance of images from a reference, with its standard error.

    The arguments are those of :func:`fid` (statistics are not enough) and of
    :func:`svae_lib.fid.kernel_distance`.
    """
    ours, theirs = (_features(given, network) for given in (images, reference))
    value, error = kernel_distance(ours, theirs, subsets, subset_size, seed)
    about = {"reference": reference_name, "n": len(ours), "n_reference": len(theirs)}
    metric = f"KID ({network.name})"
    return _score(network, metric=metric, value=value, standard_error=error, **about)


def precision_recall(
    images: Images,
    reference: Images,
    network: FeatureNetwork,
    *,
    reference_name: str = "the reference",
    neighbours: int = NEIGHBOURS,
) -> tuple[Score, Score]:
    """Precision and recall of images, as :func:`svae_lib.fid.shares_inside` defines them.

    The arguments are those of :func:`fid`; statistics are not enough.
    """
    ours, theirs = (_features(given, network) for given in (images, reference))
    precision, recall = shares_inside(theirs, ours, neighbours)
    about = {"reference": reference_name, "n": len(ours), "n_reference": len(theirs)}
    how = f"({network.name}, k = {neighbours})"
    return (
        _score(network, metric=f"Precision {how}", value=precision, **about),
        _score(network, metric=f"Recall {how}", value=recall, **about),
    )


def _statistics(images: Images | FeatureStatistics, network: FeatureNetwork) -> FeatureStatistics:
    if isinstance(images, Tensor) and images.ndim == 2:
        return FeatureStatistics.of(_features(images, network), network)
    if not isinstance(images, FeatureStatistics):
        return feature_statistics(images, network)
    check_network(network)
    if images.dim != network.dim or images.weights_hash not in ("", network.weights_hash):
        raise InputError(
            f"these statistics ({images.dim} features of {images.network or '?'}) are of another "
            f"network than {network.name} ({network.dim} features): compute them again."
        )
    return images


def _features(images: Images, network: FeatureNetwork) -> Tensor:
    if not (isinstance(images, Tensor) and images.ndim == 2):
        return extract_features(images, network)
    check_network(network)
    if images.shape[1] != network.dim:
        raise InputError(
            f"these features have {images.shape[1]} columns, but {network.name} gives "
            f"{network.dim}: they come from another network."
        )
    return images


def _score(network: FeatureNetwork, **facts: Any) -> Score:
    """A score with the facts that it takes over from its network."""
    alike = ("weights", "weights_hash", "resize", "value_range")
    taken = {name: getattr(network, name) for name in alike}
    return Score(network=network.name, **taken, **facts)
