"""How fast a device could train at most: its matrix rate, and what an image of a training costs."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

import svae_lib as sv

WARM_UP = 5


def product_seconds(
    size: int,
    repeats: int,
    dtype: torch.dtype,
    device: torch.device | str = "cpu",
    synchronise: Callable[[], None] = lambda: None,
) -> list[float]:
    """Seconds of each of some products of two (size, size) matrices of random numbers."""
    generator = torch.Generator(device).manual_seed(0)
    a, b = (torch.randn(size, size, generator=generator, device=device).to(dtype) for _ in range(2))
    return _seconds(lambda: a @ b, repeats, synchronise)


def _seconds(
    operation: Callable[[], object], repeats: int, synchronise: Callable[[], None] = lambda: None
) -> list[float]:
    """Seconds of each of some calls, once it is warm."""
    seconds = []
    for _ in range(WARM_UP + repeats):
        synchronise()
        start = time.perf_counter()
        operation()
        synchronise()
        seconds.append(time.perf_counter() - start)
    return seconds[WARM_UP:]


def highest_rate(dtype: torch.dtype, repeats: int = 10, size: int = 2048) -> float:
    """FLOP/s of the fastest of some matrix products and 3x3 convolutions on the CPU.

    Both, because a library may have a better kernel for one than for the other: a peak that the
    measured work can exceed would be none.
    """
    product = 2 * size**3 / min(product_seconds(size, repeats, dtype))
    convolutions = (_convolution_rate(dtype, repeats, size // side, side) for side in (8, 32))
    return max(product, *convolutions)


def _convolution_rate(dtype: torch.dtype, repeats: int, width: int, side: int) -> float:
    """Of 100 images of side x side pixels, ``width`` channels in and out."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(100, width, side, side, generator=generator).to(dtype)
    weight = torch.randn(width, width, 3, 3, generator=generator).to(dtype)
    x, weight = (t.contiguous(memory_format=torch.channels_last) for t in (x, weight))
    seconds = _seconds(lambda: F.conv2d(x, weight, padding=1), repeats)
    return 2 * 9 * width * x.numel() / min(seconds)


def random_images(config: sv.ModelConfig, count: int) -> torch.Tensor:
    """Random bytes, uint8 (count, C, S, S): what an image shows does not change the speed."""
    shape = (count, config.channels, config.image_size, config.image_size)
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)


def flops_per_image(
    config: sv.ModelConfig, device: torch.device | str = "cpu", batch_size: int = 4
) -> float:
    """Floating-point operations of a Split VAE's training step per image, as PyTorch counts them.

    Forward and backward, two per multiply-add.
    """
    model = sv.build_model("split-vae", config).to(device).train()
    shape = (batch_size, config.channels, config.image_size, config.image_size)
    x = torch.rand(shape, device=device)
    noise = torch.zeros(batch_size, config.latent_dim, device=device)
    with FlopCounterMode(display=False) as counter:
        model.loss(x, noise, 0.1, 1.0).total.backward()
    return counter.get_total_flops() / batch_size
