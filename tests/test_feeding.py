"""Batches: the same on every way to the device, each image once per epoch, shared out evenly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from svae_lib.support import devices
from svae_lib.support.feeding import NOISE, ORDER, Feed, stream_seed

CPU = torch.device("cpu")


@pytest.fixture
def images() -> Tensor:
    """23 images whose every byte is their number."""
    return torch.arange(23, dtype=torch.uint8).view(23, 1, 1, 1).expand(23, 3, 4, 4).contiguous()


def numbers(batch: Tensor) -> list[int]:
    return (batch[:, 0, 0, 0] * 255).round().int().tolist()


def test_copied_batches_are_the_resident_ones(images: Tensor) -> None:
    resident = Feed(images, 5, 3, CPU, resident=True)
    copied = Feed(images, 5, 3, CPU, resident=False)
    for step in (0, 1, 2, 3, 4, 5, 9, 2, 3):  # two epochs; then forth and back
        assert torch.equal(resident.batch(step), copied.batch(step))
        assert copied.batch(step).dtype == torch.float32


@pytest.mark.parametrize("resident", [True, False])
def test_memory_mapped_images(images: Tensor, tmp_path: Path, resident: bool) -> None:
    np.save(tmp_path / "images.npy", images.numpy())
    mapped = torch.from_numpy(np.load(tmp_path / "images.npy", mmap_mode="c"))
    feed, expected = Feed(mapped, 5, 3, CPU, resident=resident), Feed(images, 5, 3, CPU)
    for step in range(6):
        assert torch.equal(feed.batch(step), expected.batch(step))


def test_an_epoch_holds_every_image_once_in_a_new_order(images: Tensor) -> None:
    feed = Feed(images, 5, 3, CPU)
    first, second = (numbers(torch.cat([feed.batch(e + b) for b in range(4)])) for e in (0, 4))
    assert len(set(first)) == len(set(second)) == 20
    assert first != second


@pytest.mark.parametrize("resident", [True, False])
def test_shares_are_slices_of_the_whole_batch(images: Tensor, resident: bool) -> None:
    whole = Feed(images, 6, 3, CPU)
    shares = [
        Feed(images, 6, 3, CPU, share=lambda i, r=r: i[2 * r : 2 * r + 2], resident=resident)
        for r in range(3)
    ]
    for step in range(8):
        together = torch.cat([feed.batch(step) for feed in shares])
        assert torch.equal(together, whole.batch(step))


def test_shares_of_the_noise_are_slices_of_the_whole_noise(images: Tensor) -> None:
    whole = Feed(images, 6, 3, CPU).noise(4, 5)
    shares = [Feed(images, 6, 3, CPU, share=lambda i, r=r: i[3 * r : 3 * r + 3]) for r in (0, 1)]
    assert torch.equal(torch.cat([feed.noise(4, 5) for feed in shares]), whole)
    assert whole.shape == (6, 5) and not torch.equal(Feed(images, 6, 3, CPU).noise(5, 5), whole)


def test_seeds_differ_between_streams_and_indices() -> None:
    seeds = {
        stream_seed(s, stream, i) for s in range(5) for stream in (ORDER, NOISE) for i in range(9)
    }
    assert len(seeds) == 5 * 2 * 9


def test_images_are_resident_if_they_take_half_of_the_free_memory(monkeypatch) -> None:
    images = torch.zeros(10, 1, 10, 10, dtype=torch.uint8)
    card = torch.device("cuda", 0)
    for free, fits in [(1999, False), (2000, True)]:
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device, free=free: (free, 10**9))
        assert devices.fits(images, card) is fits
    assert devices.fits(images, CPU)
