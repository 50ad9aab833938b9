"""Scores of generated images: FID, KID, precision and recall on network features.

    net = sv.fid.network("lenet")
    print(sv.fid.fid(generated, sets.test, net, reference_name="mnist-5k test"))

A score is defined by network, number of images, reference, resize and range, and prints all.
"""

from collections.abc import Callable
from functools import partial

import torch

from ..support.checks import named
from ..support.devices import find_device
from .distance import frechet_distance, kernel_distance, shares_inside
from .feature_network import FeatureNetwork, Weights
from .imagenet import load_efficientnet, load_inception
from .lenet import load_lenet
from .score import Score, fid, kid, precision_recall
from .statistics import FeatureStatistics, extract_features, feature_statistics

__all__ = [
    "NETWORKS",
    "FeatureNetwork",
    "FeatureStatistics",
    "Score",
    "extract_features",
    "feature_statistics",
    "fid",
    "frechet_distance",
    "kernel_distance",
    "kid",
    "network",
    "precision_recall",
    "shares_inside",
]

Loader = Callable[[Weights, torch.device], FeatureNetwork]

NETWORKS: dict[str, Loader] = {
    "lenet": partial(load_lenet, "mnist-5k"),
    "lenet-mnist": partial(load_lenet, "mnist"),
    "lenet-fashion-mnist": partial(load_lenet, "fashion-mnist"),
    "inception": load_inception,
    "efficientnet-lite0": load_efficientnet,
}


@torch.random.fork_rng(devices=[])  # initial weights, replaced at once, are drawn on the CPU
def network(
    name: str, weights: Weights = None, device: str | torch.device | None = None
) -> FeatureNetwork:
    """A feature network, ready to use.

    Args:
        name: "lenet" (trained on mnist-5k), "lenet-mnist", "lenet-fashion-mnist", "inception"
            (the network of canonical FID) or "efficientnet-lite0" (natural images, offline).
        weights: a file to take instead of the network's own weights.
        device: where it computes; default: a GPU where there is one.
    """
    return named(name, NETWORKS, "feature network")(weights, find_device(device))
