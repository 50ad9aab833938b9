"""The network of canonical FID: Inception v3 as ported to PyTorch by pytorch-fid.

Its weights are those of Heusel et al. 2017 (TensorFlow's inception-2015-12-05), whose blocks
differ from torchvision's Inception v3 in their pooling; pytorch-fid has the blocks, which are
taken from there. Its own constructor downloads the weights; here they are looked for first.
"""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import torch
import torch.nn.functional as F
import torchvision
from pytorch_fid import inception as blocks
from torch import Tensor, nn

from ..data.download import RemoteFile, fetch
from ..support.checks import InputError
from .feature_network import FeatureNetwork, hash_of_weights

WEIGHTS = RemoteFile(
    name="pt_inception-2015-12-05-6726825d.pth",
    urls=(blocks.FID_WEIGHTS_URL,),
    digest="6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
    algorithm="sha256",
)
VARIABLE = "SVAE_INCEPTION"
FEATURES = 2048
IMAGE_SIZE = 299


def load_inception(
    weights: str | os.PathLike[str] | None, device: torch.device, *, genuine: bool = True
) -> FeatureNetwork:
    """The Inception network of canonical FID; 2048 features after its last pooling.

    The weights (91 MB) are looked for in ``weights``, in the file that SVAE_INCEPTION names, in
    torch hub's cache, and at last downloaded into that cache. ``genuine=False`` takes any weights
    in their format, for experiments and tests; scores then say "Inception, other weights".
    """
    path = _find(weights)
    advice = f"Download {WEIGHTS.urls[0]} again."
    found = hash_of_weights(path, "Inception", WEIGHTS.digest if genuine else None, advice)
    is_genuine = found == WEIGHTS.digest
    return FeatureNetwork(
        name="Inception" if is_genuine else "Inception, other weights",
        weights=WEIGHTS.name if is_genuine else path.name,
        weights_hash=found,
        dim=FEATURES,
        channels=3,
        resize=f"bilinear to {IMAGE_SIZE}x{IMAGE_SIZE} (no antialiasing, as pytorch-fid)",
        value_range="[0, 1] scaled to [-1, 1]",
        device=device,
        module=_InceptionFeatures(_load(path)),
        cpu_batch=4,
    )


class _InceptionFeatures(nn.Module):
    def __init__(self, inception: nn.Module) -> None:
        super().__init__()
        self.inception = inception
        self.inception.fc = nn.Identity()  # 2048 pooled features instead of 1008 classes

    def forward(self, images: Tensor) -> Tensor:
        size = (IMAGE_SIZE, IMAGE_SIZE)
        large = F.interpolate(images, size, mode="bilinear", align_corners=False)
        features: Tensor = self.inception(2 * large - 1)
        return features


def build_inception() -> nn.Module:
    """The architecture with arbitrary weights; its state_dict has the layout of the file."""
    # init_weights would draw from a truncated normal for many seconds, only to be overwritten.
    net: nn.Module = torchvision.models.inception_v3(
        weights=None, num_classes=1008, aux_logits=False, init_weights=False
    )
    net.Mixed_5b = blocks.FIDInceptionA(192, pool_features=32)
    net.Mixed_5c = blocks.FIDInceptionA(256, pool_features=64)
    net.Mixed_5d = blocks.FIDInceptionA(288, pool_features=64)
    net.Mixed_6b = blocks.FIDInceptionC(768, channels_7x7=128)
    net.Mixed_6c = blocks.FIDInceptionC(768, channels_7x7=160)
    net.Mixed_6d = blocks.FIDInceptionC(768, channels_7x7=160)
    net.Mixed_6e = blocks.FIDInceptionC(768, channels_7x7=192)
    net.Mixed_7b = blocks.FIDInceptionE_1(1280)
    net.Mixed_7c = blocks.FIDInceptionE_2(2048)
    return net.float()  # whatever the program's default dtype is


def _find(weights: str | os.PathLike[str] | None) -> Path:
    """The file of weights, downloaded if it is nowhere."""
    for source, place in (("weights", weights), (VARIABLE, os.environ.get(VARIABLE))):
        if place:
            if not Path(place).is_file():
                raise InputError(f"{source} names the file {place}, which does not exist.")
            return Path(place)
    cache = Path(torch.hub.get_dir()) / "checkpoints"
    if (cache / WEIGHTS.name).is_file():
        return cache / WEIGHTS.name
    try:
        return fetch(WEIGHTS, cache)
    except InputError as error:  # no network, or no place to write
        raise InputError(
            f"Inception's weights: {str(error).rstrip('.')}. "
            f"Get {WEIGHTS.urls[0]} (SHA-256 {WEIGHTS.digest}) on a machine with access and put it "
            f"into {cache}, or name it with {VARIABLE}; or choose the features lenet "
            "(digits, clothes) or efficientnet-lite0 (photographs)."
        ) from None


def _load(path: Path) -> nn.Module:
    """The network with the weights of a file."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, ValueError, KeyError, pickle.UnpicklingError):
        raise InputError(f"{path} is not a file of PyTorch weights; it may be damaged.") from None
    net = build_inception()
    try:
        net.load_state_dict(state)
    except (RuntimeError, TypeError, AttributeError):
        raise InputError(f"{path} holds the weights of another network, not Inception's.") from None
    return net
