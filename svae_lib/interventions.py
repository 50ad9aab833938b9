"""What a decoder answers when one of its parts is set by hand: the map, its images, a latent.

N images, C channels, H x W pixels, L latent variables.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from .inference import decode_all
from .models import VAE, Decoded
from .support.checks import InputError


def sharpen(sigma: Tensor, sharpness: float) -> Tensor:
    """Push a map towards 0 and 1, or back towards 1/2: sigma^t / (sigma^t + (1 - sigma)^t).

    It multiplies the log-odds of sigma by t: sigmoid(t * logit(sigma)). With t = 1 the map stays,
    with t = 0 it is 1/2 everywhere, and as t grows each pixel becomes a choice of one image. 1/2
    is fixed, the order of the pixels stays, and the weight of x2 is sharpened alike:
    sharpen(1 - sigma, t) = 1 - sharpen(sigma, t).

    Args:
        sigma: values in [0, 1], any shape.
        sharpness: t, at least 0.

    Raises:
        InputError: t is negative (it would swap the images) or not finite.
    """
    if not 0 <= sharpness < float("inf"):
        raise InputError(f"sharpness must be a number from 0 up, not {sharpness}.")
    if sharpness == 0:  # 0 times the infinite log-odds of a sigma of exactly 0 or 1 has no value
        return torch.full_like(sigma, 0.5)
    return torch.sigmoid(sharpness * torch.logit(sigma))


def mix(
    output: Decoded,
    sigma: Tensor | float | None = None,
    *,
    swap: bool = False,
    sharpness: float = 1.0,
) -> Decoded:
    """The mixture of a split's two images under another map.

    In this order: the map is replaced, then sharpened; then x1 and x2 change places under it, so
    that sigma weighs what was x2.

    Args:
        output: what a SplitVAE with two components returns.
        sigma: the map to use, in [0, 1]: (N, 1, H, W), one value per image (N, 1, 1, 1), or one
            number; None keeps the model's own.
        swap: exchange x1 and x2, but not the map.
        sharpness: t of :func:`sharpen`; 1 leaves the map as it is.

    Returns:
        A new output, with the images and weights that were used.

    Raises:
        InputError: no split into two, a map of another shape or range, a negative sharpness.
    """
    if output.components is None or output.components.shape[1] != 2:
        raise InputError("only a split into two images can be mixed anew: use a SplitVAE's output.")
    weight = output.sigma_map if sigma is None else _as_map(sigma, output.sigma_map)
    if sharpness != 1:
        weight = sharpen(weight, sharpness)
    components = output.components.flip(1) if swap else output.components  # (N, 2, C, H, W)
    weights = torch.stack((weight, 1 - weight), dim=1)  # (N, 2, 1, H, W)
    return Decoded((weights * components).sum(dim=1), components, weights)


def _as_map(sigma: Tensor | float, like: Tensor) -> Tensor:
    values = torch.as_tensor(sigma, dtype=like.dtype, device=like.device)
    sizes = zip(values.shape, like.shape, strict=False)
    if values.ndim not in (0, 4) or not all(own in (1, full) for own, full in sizes):
        raise InputError(
            f"sigma must be one number or a map of the shape {tuple(like.shape)}, not "
            f"{tuple(values.shape)}."
        )
    low, high = (value.item() for value in torch.aminmax(values))
    if not (low >= 0 and high <= 1):
        raise InputError(
            f"sigma must lie in [0, 1] without NaN, but ranges from {low:.4g} to {high:.4g}."
        )
    return values.expand_as(like)


def explore(model: VAE, z: Tensor, changes: Mapping[int, float]) -> Decoded:
    """Decode latent vectors with some of their variables set to other values.

    Args:
        model: in evaluation mode.
        z: float (N, L) or, for one image, (L,); it is not changed.
        changes: index of a latent variable, counted from 0, to its new value in all N vectors. The
            prior has mean 0 and standard deviation 1.

    Returns:
        Images on the CPU (and components and weights of a SplitVAE).

    Raises:
        InputError: z has another shape, an index does not exist, a value is not finite.
    """
    vectors = z[None] if z.ndim == 1 else z
    changed = vectors.detach().float().clone()
    for index, value in changes.items():
        last = changed.shape[-1] - 1
        if not 0 <= index <= last:
            raise InputError(f"there is no latent variable {index}: they count from 0 to {last}.")
        changed[:, index] = value
    if not changed.isfinite().all():
        raise InputError("latent variables must be finite: there is NaN or infinity among them.")
    return decode_all(model, changed)
