"""A small classifier of digits or clothes whose last hidden layer serves as features.

For digits this is the practice of Bińkowski et al. 2018 (section 4); a score is not comparable with
one on Inception features. scripts/train_lenet.py trains the weights, which the library brings.
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from ..support.checks import InputError
from ..support.files import expand, read_json
from .feature_network import FeatureNetwork, Weights, hash_of_weights

WEIGHTS_FOLDER = Path(__file__).parent / "weights"
IMAGE_SIZE = 32
FEATURES = 64


class LeNet(nn.Module):
    """Three convolutions with pooling, a layer of 64 features, 10 classes; after LeCun et al. 1998.

    Input float (N, 1, 32, 32) in [0, 1].
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 32, 5, padding=2)
        self.conv2 = nn.Conv2d(32, 64, 3, padding=1)
        self.conv3 = nn.Conv2d(64, 64, 3, padding=1)
        self.hidden = nn.Linear(64 * 4 * 4, FEATURES)
        self.norm = nn.BatchNorm1d(FEATURES, affine=False)
        self.head = nn.Linear(FEATURES, 10)

    def features(self, images: Tensor) -> Tensor:
        """The hidden layer (N, 64), before its nonlinearity: closer to a Gaussian than after it.

        Normalised, so that the scale of a score does not depend on that of the weights.
        """
        x = 2 * images - 1
        for conv in (self.conv1, self.conv2, self.conv3):
            x = F.max_pool2d(F.relu(conv(x)), 2)  # (N, C, 32, 32) -> 16 -> 8 -> 4
        hidden: Tensor = self.norm(self.hidden(x.flatten(1)))
        return hidden

    def forward(self, images: Tensor) -> Tensor:
        """Class scores (N, 10)."""
        scores: Tensor = self.head(F.dropout(F.relu(self.features(images)), 0.3, self.training))
        return scores


class _LeNetFeatures(LeNet):
    def forward(self, images: Tensor) -> Tensor:
        return self.features(to_32_pixels(images))


def to_32_pixels(images: Tensor) -> Tensor:
    """28x28 as MNIST's border of zeros, any other size bilinear; (N, C, H, W) to (N, C, 32, 32)."""
    if images.shape[2:] == (28, 28):
        return F.pad(images, (2, 2, 2, 2))
    if images.shape[2:] == (IMAGE_SIZE, IMAGE_SIZE):
        return images
    shrinks = max(images.shape[2:]) > IMAGE_SIZE
    return F.interpolate(images, (IMAGE_SIZE, IMAGE_SIZE), mode="bilinear", antialias=shrinks)


def load_lenet(data: str, weights: Weights, device: torch.device) -> FeatureNetwork:
    """The LeNet trained on ``data``, or one from a file that scripts/train_lenet.py wrote."""
    path = WEIGHTS_FOLDER / f"lenet-{data}.safetensors" if weights is None else expand(weights)
    expected = read_json(path.with_suffix(".json"))["sha256"] if weights is None else None
    found = hash_of_weights(path, "LeNet", expected)
    lenet = _LeNetFeatures().float()  # whatever the program's default dtype is
    try:
        lenet.load_state_dict(load_file(path))
    except (SafetensorError, RuntimeError):
        raise InputError(
            f"{path} does not hold LeNet's weights: take a file of scripts/train_lenet.py."
        ) from None
    return FeatureNetwork(
        name="LeNet",
        weights=path.stem,
        weights_hash=found,
        dim=FEATURES,
        channels=1,
        resize="none at 32x32, zero-padded from 28x28, else bilinear to 32x32",
        value_range="[0, 1] scaled to [-1, 1]",
        device=device,
        module=lenet,
    )
