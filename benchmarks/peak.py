"""How fast a device could train at most: its matrix rate, and what an image of a training costs."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
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
    seconds = []
    for _ in range(WARM_UP + repeats):
        synchronise()
        start = time.perf_counter()
        a @ b
        synchronise()
        seconds.append(time.perf_counter() - start)
    return seconds[WARM_UP:]


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
