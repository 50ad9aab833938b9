"""Does a map alternate from pixel to pixel? The share of its energy at high frequencies."""

import torch
from torch import Tensor

from .tensors import FLAT, check_maps, piecewise

NYQUIST_BAND = 3 / 8
"""Cycles per pixel from which a frequency counts as near Nyquist (1/2): periods below 2.7 pixels,
that is, structure which alternates from one pixel to the next."""


def nyquist_share(sigma_map: Tensor) -> Tensor:
    """Share of each map's energy near the Nyquist frequencies, in [0, 1]: float64 (N,).

    With F the two-dimensional discrete Fourier transform of the map less its mean, and fy, fx the
    frequencies in cycles per pixel::

        share = sum(|F|^2 where max(|fy|, |fx|) >= 3/8) / sum(|F|^2)

    A checkerboard and stripes one pixel wide score 1, a smooth map about 0, a constant map 0 by
    definition. White noise spreads its energy evenly and scores :func:`noise_nyquist_share`, a
    little under a half: a share above that is more than "pixels at random".

    Args:
        sigma_map: float (N, 1, H, W) in [0, 1].
    """
    check_maps(sigma_map)
    return piecewise(pooled_share, sigma_map)


def noise_nyquist_share(height: int, width: int) -> float:
    """Expected :func:`nyquist_share` of white noise: the band's share of all frequencies but 0."""
    return (_nyquist_band(height, width).sum() / (height * width - 1)).item()


def pooled_share(maps: Tensor) -> Tensor:
    """Share of float64 maps (N, C, H, W), the energy of their channels summed: float64 (N,)."""
    height, width = maps.shape[2:]
    centred = maps - maps.mean(dim=(2, 3), keepdim=True)
    energy = torch.fft.fft2(centred).abs().square().sum(dim=1)  # (N, H, W)
    total = energy.sum(dim=(1, 2))
    near = (energy * _nyquist_band(height, width)).sum(dim=(1, 2))
    spread = total.sqrt() / (height * width)  # the standard deviation, by Parseval's theorem
    return torch.where(spread > FLAT, near / total.clamp_min(1e-300), 0.0)


def _nyquist_band(height: int, width: int) -> Tensor:
    """Bool (H, W): the frequencies near Nyquist, in the order of torch.fft.fft2."""
    fy, fx = (torch.fft.fftfreq(size, dtype=torch.float64).abs() for size in (height, width))
    return torch.maximum(fy[:, None], fx[None, :]) >= NYQUIST_BAND
