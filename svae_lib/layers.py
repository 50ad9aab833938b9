"""Layers that compute what Keras' layers compute, and the residual blocks made of them.

Keras pads a strided "same" convolution at the right and the bottom only, and its transposed
convolution is exactly the adjoint of that. PyTorch's usual ``padding=1`` has the same sizes but
looks one pixel further left and up, so the authors' weights would give shifted images.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .support.checks import InputError
from .support.convolutions import Doubling

NORM_EPS = 1e-5  # the authors' value; Keras' own default is 1e-3


class DownConv(nn.Conv2d):
    """3x3 convolution of stride 2 that halves an even size (Keras ``padding="same"``)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, kernel_size=3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, out_channels, H/2, W/2)."""
        return super().forward(F.pad(x, (0, 1, 0, 1)))  # right and bottom


class UpConv(nn.ConvTranspose2d):
    """3x3 transposed convolution of stride 2 that doubles a size (Keras ``padding="same"``)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, kernel_size=3, stride=2)

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Map (N, C, H, W) to (N, out_channels, 2H, 2W)."""
        if x.device.type == "cpu" and torch.is_autocast_enabled("cpu"):
            half = torch.get_autocast_dtype("cpu")
            weight, bias = self.parameters()
            out: Tensor = Doubling.apply(x.to(half), weight.to(half), bias.to(half))
            return out  # the same sums, faster
        # 2n + 1 rows and columns: drop the last. Contiguous: otherwise every later layer copies.
        return super().forward(x)[..., :-1, :-1].clone()


def conv3x3(in_channels: int, out_channels: int) -> nn.Conv2d:
    """3x3 convolution that keeps height and width."""
    return nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1)


class _Residual(nn.Module):
    """(BatchNorm, swish, layer) twice, plus a shortcut layer on the un-normalised input.

    The shortcut is always there, also when the widths agree; nothing follows the sum. The order
    in which the layers are created is Keras', which :mod:`svae_lib.authors_weights` relies on.
    """

    def __init__(
        self,
        layer: Callable[[int, int], nn.Module],
        norm: Callable[..., nn.Module],
        in_dim: int,
        out_dim: int,
        momentum: float,
    ) -> None:
        super().__init__()
        self.norm1 = norm(in_dim, eps=NORM_EPS, momentum=momentum)
        self.layer1 = layer(in_dim, out_dim)
        self.norm2 = norm(out_dim, eps=NORM_EPS, momentum=momentum)
        self.layer2 = layer(out_dim, out_dim)
        self.shortcut = layer(in_dim, out_dim)

    def forward(self, x: Tensor) -> Tensor:
        h = self.layer1(F.silu(self.norm1(x)))  # silu is swish
        h = self.layer2(F.silu(self.norm2(h)))
        out: Tensor = h + self.shortcut(x)
        return out


class ResBlock(_Residual):
    """Residual block of 3x3 convolutions: (N, in_dim, H, W) to (N, out_dim, H, W)."""

    def __init__(self, in_dim: int, out_dim: int, momentum: float) -> None:
        super().__init__(conv3x3, nn.BatchNorm2d, in_dim, out_dim, momentum)


class ResFCBlock(_Residual):
    """Residual block of linear layers: (N, in_dim) to (N, out_dim)."""

    def __init__(self, in_dim: int, out_dim: int, momentum: float) -> None:
        super().__init__(nn.Linear, nn.BatchNorm1d, in_dim, out_dim, momentum)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in_dim) to (N, out_dim).

        Raises:
            InputError: a single vector in training mode: it has no variance to normalise by.
        """
        # (Statistics that several processes share, SyncBatchNorm's, can do with one from each.)
        if self.training and len(x) == 1 and isinstance(self.norm1, nn.BatchNorm1d):
            raise InputError(
                "in training mode BatchNorm needs at least two images at a time, not one: raise "
                "batch_size, lower accumulate, or call model.eval() if you are not training."
            )
        return super().forward(x)


def keras_init_(module: nn.Module) -> None:
    """Initialise one layer as Keras does, in float32: Glorot-uniform kernel, zero bias.

    Use as ``model.apply(keras_init_)``. Glorot and Bengio, AISTATS 2010, equation 16.
    """
    module.float()  # whatever the program's default dtype is
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
