"""Scores of generated images: FID, KID, precision and recall on network features.

    net = sv.fid.network("lenet")
    print(sv.fid.fid(generated, sets.test, net, reference_name="mnist-5k test"))

A score is defined by network, number of images, reference, resize and range, and prints all.
"""

from __future__ import annotations

from .distance import frechet_distance, kernel_distance
from .feature_network import FeatureNetwork
from .features import NETWORKS, network
from .neighbours import shares_inside
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
