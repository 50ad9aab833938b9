"""A trained model applied to many images or latent vectors, batch by batch."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from .data import to_float
from .models import VAE, Decoded
from .support.checks import InputError, check_counts, check_tensors, check_uint8_images


def device_of(model: nn.Module) -> torch.device:
    """Device of the model's first parameter."""
    return next(model.parameters()).device


@torch.no_grad()
def encode_all(model: VAE, images: Tensor, batch_size: int = 500) -> tuple[Tensor, Tensor]:
    """Posterior means and log-variances, float32 (N, L) each on the CPU, of uint8 (N, C, S, S)."""
    _check_eval(model)
    check_counts(batch_size=batch_size)
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
    check_counts(batch_size=batch_size)
    if len(z) == 0:
        raise InputError("z is empty: ask for at least one image.")
    device = device_of(model)
    for part in z.float().split(batch_size):
        yield model.decode(part.to(device))


def decode_all(model: VAE, z: Tensor, batch_size: int = 500) -> Decoded:
    """Decode latent vectors, float (N, L): images, components and weights, float32 on the CPU."""
    # Images leave the device batch by batch: it need not have room for all of them.
    parts: dict[str, list[Tensor]] = {}
    for out in decode_batches(model, z, batch_size):
        for name, value in vars(out).items():
            if value is not None:  # a plain VAE has no components
                parts.setdefault(name, []).append(value.cpu())
    return Decoded(**{name: torch.cat(values) for name, values in parts.items()})


def reconstruct_all(model: VAE, images: Tensor, batch_size: int = 500) -> Decoded:
    """Reconstruct uint8 images (N, C, S, S) from their posterior means; see :func:`decode_all`."""
    mu, _ = encode_all(model, images, batch_size)
    return decode_all(model, mu, batch_size)


def _check_eval(model: nn.Module) -> None:
    # BatchNorm in training mode would mix the images of a batch and change its statistics.
    if model.training:
        raise InputError("the model is in training mode: call model.eval() first.")
