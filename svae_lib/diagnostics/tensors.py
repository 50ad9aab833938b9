"""What all diagnostics do with tensors: check them, and take them as float64, piece by piece."""

from collections.abc import Callable

import torch
from torch import Tensor

from ..support.checks import InputError, check_tensors, check_values
from ..support.devices import as_float64

FLAT = 1e-6
"""Standard deviation below which a map counts as constant: float32 cannot tell it from one."""
PIECE = 1000
"""Images handled at once, to bound the memory of float64 copies."""


def piecewise(function: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """A function of images (N, ...) in float64 on the CPU, piece by piece: as many results."""
    return torch.cat([function(as_float64(piece)) for piece in images.split(PIECE)])


def check_maps(sigma_map: Tensor) -> None:
    """Sigma must be float (N, 1, H, W) in [0, 1]."""
    check_tensors(sigma_map=sigma_map)
    if sigma_map.ndim != 4 or sigma_map.shape[1] != 1 or sigma_map.shape[0] == 0:
        raise InputError(
            f"sigma_map must have the shape (N, 1, H, W), not {tuple(sigma_map.shape)}: of a "
            "K-way split, pass one map at a time."
        )
    check_values(sigma_map, "sigma_map")


def check_pair(sigma_map: Tensor, others: Tensor, name: str = "images", ndim: int = 4) -> None:
    """Sigma must agree in N, H and W with images, or with components (N, K, C, H, W)."""
    check_maps(sigma_map)
    check_tensors(**{name: others})
    sizes, wanted = ((len(t), *t.shape[-2:]) for t in (others, sigma_map))
    if others.ndim != ndim or sizes != wanted:
        raise InputError(
            f"{name} {tuple(others.shape)} and sigma_map {tuple(sigma_map.shape)} must agree in "
            "their number, height and width."
        )
    if min(wanted[1:]) < 8:  # the mirrored border of the blur must fit
        raise InputError(f"contours need at least 8x8 pixels, not {wanted[1:]}.")
    check_values(others, name)
