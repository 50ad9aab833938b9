"""A trained model applied to many images or latent vectors, batch by batch."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from .data import to_float
from .models import VAE, Decoded
from .support.checks import InputError, check_tensors, check_uint8_images


def device_of(model: nn.Module) -> torch.device:
    """Device of the model's first parameter."""
    return next(model.parameters()).device


@torch.no_grad()
def encode_all(model: VAE, images: Tensor, batch_size: int = 500) -> tuple[Tensor, Tensor]:
    """Posterior means and log-variances of uint8 images.

    Args:
        model: in evaluation mode.
        images: uint8 (N, C, S, S).
        batch_size: images at a time.

    Returns:
        mu and log_var, each float32 (N, L) on the CPU.
    """
    _check_eval(model)
    shape = model.config
    check_uint8_images(images, channels=shape.channels, image_size=shape.image_size)
    device = device_of(model)
    parts = [model.encode(to_float(batch.to(device))) for batch in images.split(batch_size)]
    mu, log_var = (torch.cat(of_all).cpu() for of_all in zip(*parts, strict=True))
    return mu, log_var


@torch.no_grad()
def decode_batches(model: VAE, z: Tensor, batch_size: int = 500) -> Iterator[Decoded]:
    """Decode latent vectors, float (N, L), batch by batch; images stay on the model's device."""
    _check_eval(model)
    check_tensors(z=z)
    if len(z) == 0:
        raise InputError("z is empty: ask for at least one image.")
    device = device_of(model)
    for part in z.float().split(batch_size):
        yield model.decode(part.to(device))


def decode_all(model: VAE, z: Tensor, batch_size: int = 500) -> Decoded:
    """Decode latent vectors.

    Args:
        model: in evaluation mode.
        z: float (N, L).
        batch_size: vectors at a time.

    Returns:
        Images (and components and weights of a SplitVAE) for all of z, float32 on the CPU.
    """
    # Images leave the device batch by batch: it need not have room for all of them.
    parts = [_to_cpu(out) for out in decode_batches(model, z, batch_size)]
    return Decoded(
        torch.cat([p.x_hat for p in parts]),
        _join([p.components for p in parts]),
        _join([p.weights for p in parts]),
    )


def reconstruct_all(model: VAE, images: Tensor, batch_size: int = 500) -> Decoded:
    """Reconstruct uint8 images (N, C, S, S) from their posterior means; see :func:`decode_all`."""
    mu, _ = encode_all(model, images, batch_size)
    return decode_all(model, mu, batch_size)


def _to_cpu(out: Decoded) -> Decoded:
    components, weights = (None if t is None else t.cpu() for t in (out.components, out.weights))
    return Decoded(out.x_hat.cpu(), components, weights)


def _join(parts: list[Tensor | None]) -> Tensor | None:
    tensors = [p for p in parts if p is not None]
    return torch.cat(tensors) if tensors else None


def _check_eval(model: nn.Module) -> None:
    # BatchNorm in training mode would mix the images of a batch and change its statistics.
    if model.training:
        raise InputError("the model is in training mode: call model.eval() first.")
