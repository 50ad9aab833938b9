"""Does a map follow the contours of its image? Their edges compared, and what chance would give."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from .tensors import FLAT, check_pair, piecewise

BLUR = 1.5
"""Standard deviation in pixels of the Gaussian before and after the gradient. It removes
alternation from pixel to pixel, and lets a contour be missed by a pixel."""

_FAINT = 0.002
"""Slope per pixel that halves an agreement: sigma's edges must be a few thousandths strong."""


def contour_agreement(sigma_map: Tensor, images: Tensor) -> Tensor:
    """Agreement of each map's edges with its image's contours, from -1 to 1: float64 (N,).

    Let g(u) be the edge strength of u: u blurred by a Gaussian of 1.5 pixels, the length of its
    gradient (central differences, all channels together), blurred again. The agreement is the
    Pearson correlation over pixels of g(sigma) and g(x), with a small constant::

        cov(g(sigma), g(x)) / ((std(g(sigma)) + 0.002) * std(g(x)))

    The sign of the edges does not matter: a map that resembles the image, its negative, its
    outlines, or regions bounded by its contours scores .7 to 1. A constant map, and one that only
    alternates from pixel to pixel, have no edges after the blur and score 0. So does, by
    definition, any map of an image without contours.

    Chance is *not* 0 where contours stay in one place: on centred digits a blob in the middle
    scores .7. Compare with :func:`chance_agreement`, as :func:`split_kind` does.

    Args:
        sigma_map: float (N, 1, H, W) in [0, 1].
        images: float (N, C, H, W) in [0, 1]; H and W at least 8.
    """
    check_pair(sigma_map, images)
    return _correlation(_edge_profiles(sigma_map), _edge_profiles(images))


def chance_agreement(sigma_map: Tensor, images: Tensor) -> float:
    """Mean agreement of the maps with the contours of *other* images of the same batch.

    Each map is compared with five images drawn at random, always the same ones for N images. Pairs
    of equal images are left out; 0 where no pair is left. Arguments: :func:`contour_agreement`'s.
    """
    check_pair(sigma_map, images)
    # Shuffled, since data sets are often sorted by class: neighbours would be alike.
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    edges, contours = _edge_profiles(sigma_map[order]), _edge_profiles(images[order])
    scores = []
    for shift in range(1, min(6, len(images))):
        other = contours.roll(-shift, dims=0)
        scores.append(_correlation(edges, other)[(other != contours).any(dim=1)])
    found = torch.cat([torch.empty(0), *scores])
    return found.mean().item() if len(found) else 0.0


def _edge_profiles(images: Tensor) -> Tensor:
    """Edge strengths g(u), centred over pixels: float64 (N, H * W)."""
    profiles = piecewise(_edge_strength, images).flatten(1)
    return profiles - profiles.mean(dim=1, keepdim=True)


def _edge_strength(images: Tensor) -> Tensor:
    """Map (N, C, H, W) to the blurred length of its gradient, (N, 1, H, W)."""
    padded = F.pad(_blur(images), (1, 1, 1, 1), mode="reflect")
    dx = (padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]) / 2
    dy = (padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]) / 2
    return _blur((dx.square() + dy.square()).sum(dim=1, keepdim=True).sqrt())


def _blur(images: Tensor) -> Tensor:
    """Gaussian blur of standard deviation BLUR; the image is mirrored at its borders."""
    radius = math.ceil(3 * BLUR)
    offsets = torch.arange(-radius, radius + 1, dtype=images.dtype)
    kernel = torch.exp(-0.5 * (offsets / BLUR).square())
    kernel /= kernel.sum()
    channels = images.shape[1]
    padded = F.pad(images, (radius,) * 4, mode="reflect")
    rows = F.conv2d(padded, kernel.expand(channels, 1, 1, -1), groups=channels)
    return F.conv2d(rows, kernel[:, None].expand(channels, 1, -1, 1), groups=channels)


def _correlation(edges: Tensor, contours: Tensor) -> Tensor:
    """Pearson correlation of centred rows (N, P), shrunk where the edges are faint."""
    covariance = (edges * contours).mean(dim=1)
    std_edges, std_contours = (p.square().mean(dim=1).sqrt() for p in (edges, contours))
    scale = (std_edges + _FAINT) * std_contours.clamp_min(1e-300)
    return torch.where(std_contours > FLAT, covariance / scale, 0.0)
