"""Where the training images are kept, and how the batch of a step gets to the device.

The images stay bytes, which take a quarter of the memory and traffic of float32. If they fit on the
device, they are moved there once. Otherwise (CelebA on a small card) a step's images are copied
from pinned memory while the device works. What a step sees depends only on (seed, step).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from .devices import fits

ORDER, NOISE = 0, 1  # the two streams of random numbers of a training


def stream_seed(seed: int, stream: int, index: int) -> int:
    """Seed for an epoch's order or a step's noise, mixed so that no two streams are alike."""
    return int(np.random.SeedSequence((seed, stream, index)).generate_state(1)[0])


class Feed:
    """The images and the noise of each step, on the device.

    The images are uint8 (N, C, S, S), perhaps memory-mapped, ``batch_size`` of them per step over
    all processes; ``share`` takes this process's part of a batch. All images are ``resident`` on
    the device by default if they fit.
    """

    def __init__(
        self,
        images: Tensor,
        batch_size: int,
        seed: int,
        device: torch.device,
        *,
        share: Callable[[Tensor], Tensor] = lambda batch: batch,
        resident: bool | None = None,
        memory_format: torch.memory_format = torch.contiguous_format,
    ) -> None:
        resident = fits(images, device) if resident is None else resident
        self.images = images.to(device) if resident else images
        self.batch_size, self.seed, self.device, self.share = batch_size, seed, device, share
        self.memory_format = memory_format
        self._orders: dict[int, Tensor] = {}

    def batch(self, step: int) -> Tensor:
        """This process's images of a step, counted from 0: float32 (n, C, S, S) in [0, 1]."""
        images = self._to_device(self.images[self._chosen(step)])
        # Convolutions look at strides. Images of one channel are contiguous in every format, so
        # converting changes nothing: they must be created in the format to have its strides.
        x = torch.empty_like(images, dtype=torch.float32, memory_format=self.memory_format)
        return torch.div(images, 255, out=x)

    def noise(self, step: int, latent_dim: int) -> Tensor:
        """The same images' standard Gaussian noise: float32 (n, latent_dim)."""
        seed = stream_seed(self.seed, NOISE, step)
        generator = torch.Generator(self.device).manual_seed(seed)
        shape = (self.batch_size, latent_dim)
        noise = torch.randn(shape, generator=generator, device=self.device, dtype=torch.float32)
        return self.share(noise)

    def _chosen(self, step: int) -> Tensor:
        """Indices of this process's images of a step, on the same device as the images."""
        batches = len(self.images) // self.batch_size  # the last incomplete one is dropped
        epoch, batch = divmod(step, batches)
        if epoch not in self._orders:
            generator = torch.Generator().manual_seed(stream_seed(self.seed, ORDER, epoch))
            order = torch.randperm(len(self.images), generator=generator)
            self._orders = {epoch: self._to_device(order) if self.images.is_cuda else order}
        start = batch * self.batch_size
        return self.share(self._orders[epoch][start : start + self.batch_size])

    def _to_device(self, values: Tensor) -> Tensor:
        """Move to the device; to a GPU from pinned memory, so that Python does not wait."""
        if self.device.type == "cuda" and not values.is_cuda:
            return values.pin_memory().to(self.device, non_blocking=True)
        return values.to(self.device)
