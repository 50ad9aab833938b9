"""What every feature network offers: images in [0, 1] in, one vector per image out."""

import copy
import os
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from ..support.checks import InputError, check_images
from ..support.devices import autocast, exact_float32
from ..support.files import file_hash
from ..support.tensor_files import digest, storable

Weights = str | os.PathLike[str] | None
"""A file to take instead of a network's own weights."""


@dataclass(frozen=True)
class FeatureNetwork:
    """A fixed network that turns images into features, and the facts that define a score.

    Make your own from any module that gives a vector per image.

    Attributes:
        name: what a score prints in brackets, as in "FID (LeNet)".
        weights: which weights, in words.
        weights_hash: SHA-256 of the weights' file, 64 hexadecimal digits; given as "", it becomes
            that of the module's own tensors. It tells statistics of another network.
        dim: features per image, D.
        channels: of the network's input; greyscale images are repeated for a network of 3.
        resize: how images of another size are brought to the network's, in words.
        value_range: what the network makes of values in [0, 1], in words.
        device: where it computes.
        module: maps float (N, channels, H, W) in [0, 1] to (N, D), resizing included; copied.
        cpu_batch: images that a CPU gives it at a time (the maps of many large ones fit into no
            cache); default: all of a batch.
    """

    name: str
    weights: str
    weights_hash: str
    dim: int
    channels: int
    resize: str
    value_range: str
    device: torch.device
    module: nn.Module
    cpu_batch: int | None = None

    def __post_init__(self) -> None:
        frozen = copy.deepcopy(self.module).to(self.device, torch.float32).eval()
        object.__setattr__(self, "module", frozen.requires_grad_(False))
        if not self.weights_hash:
            if not (tensors := storable(self.module.state_dict())):
                raise InputError("the module has no tensors to tell it by: pass a weights_hash.")
            object.__setattr__(self, "weights_hash", digest(tensors))

    def __call__(self, images: Tensor) -> Tensor:
        """Features of float images (N, 1 or channels, H, W) in [0, 1]: float32 (N, D)."""
        check_images(images)
        self.check_channels(images.shape[1])
        images = images.to(self.device, torch.float32).expand(-1, self.channels, -1, -1)
        with torch.no_grad(), exact_float32(), autocast("float32", self.device):
            at_once = (self.device.type == "cpu" and self.cpu_batch) or len(images)
            features = torch.cat([self.module(part) for part in images.split(at_once)])
        if features.shape != (len(images), self.dim):
            raise InputError(
                f"{self.name}'s module must answer {len(images)} images with the shape "
                f"{(len(images), self.dim)}, not {tuple(features.shape)}: pool or flatten its maps."
            )
        return features.float()

    def check_channels(self, given: int) -> None:
        """Raise unless images are greyscale, or of the network's own channel count."""
        if given not in (1, self.channels):
            wanted = "greyscale" if self.channels == 1 else "greyscale or RGB"
            raise InputError(
                f"{self.name} takes {wanted} images, not {given} channels: choose another network "
                "(features, such as efficientnet-lite0; svae info lists all)."
            )


def check_network(network: object) -> None:
    """Raise unless ``network`` is a feature network, and not its name, say."""
    if not isinstance(network, FeatureNetwork):
        found = repr(network) if isinstance(network, str) else type(network).__name__
        raise InputError(
            f"network must be a FeatureNetwork, not {found}: svae_lib.fid.network(name) gives one."
        )


def hash_of_weights(path: Path, network: str, expected: str | None) -> str:
    """SHA-256 of a file of weights; :class:`InputError` if it is not as ``expected``."""
    if not path.is_file():
        raise InputError(f"{network}'s weights {path} do not exist.")
    found = file_hash(path)
    if expected not in (None, found):
        raise InputError(
            f"{path} is not {network}'s weights, or damaged: its SHA-256 is {found}, expected "
            f"{expected}. Download or install it again."
        )
    return found
