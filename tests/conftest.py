"""What several tests share."""

from __future__ import annotations

import os
import signal

# Before torch starts its threads: small tensors run faster on one, and results do not depend on it.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["SVAE_PROGRESS"] = "off"  # a test run is nobody's progress

import pytest
import torch

import svae_lib as sv

# Started in the background by a shell, the tests would ignore Ctrl-C, which several of them send.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def tiny() -> sv.ModelConfig:
    """The smallest model worth training: 16x16 pixels."""
    return sv.ModelConfig(
        image_size=16, latent_dim=3, base_dim=4, embedding_dim=8, num_scales=2, norm_momentum=0.1
    )


def make_blobs() -> torch.Tensor:
    """64 uint8 images (64, 1, 16, 16): a bright disc at a random place."""
    generator = torch.Generator().manual_seed(5)
    centre = 4 + 8 * torch.rand(64, 2, 1, 1, generator=generator)
    rows, columns = torch.meshgrid(torch.arange(16.0), torch.arange(16.0), indexing="ij")
    distance = ((rows - centre[:, 0]) ** 2 + (columns - centre[:, 1]) ** 2).sqrt()
    return (255 * torch.sigmoid(3 - distance)).to(torch.uint8)[:, None]


@pytest.fixture
def blobs() -> torch.Tensor:
    """The images of :func:`make_blobs`."""
    return make_blobs()


@pytest.fixture
def fast() -> sv.TrainConfig:
    """A training of a second."""
    return sv.TrainConfig(
        steps=24, batch_size=16, learning_rate=3e-3, precision="float32", log_every=5, seed=1
    )
