"""Soft-edged shapes, many images at a time: the drawing tools of the toy faces.

A shape is a plane of signed distances (N, 1, H, W), positive inside, in units of half an image;
:func:`coverage` turns it into the share of each pixel that the shape covers, so edges are
anti-aliased without drawing at a larger size.
"""

from __future__ import annotations

import torch
from torch import Tensor


def coverage(distance: Tensor, pixel: float) -> Tensor:
    """Share of each pixel inside the shape, in [0, 1].

    Args:
        distance: signed distance to the outline, positive inside.
        pixel: width of a pixel in the same unit.
    """
    return (distance * (1 / pixel)).add_(0.5).clamp_(0, 1)


def radius(u: Tensor, v: Tensor, a: Tensor | float, b: Tensor | float) -> Tensor:
    """Distance from the centre of an ellipse in units of its half axes: 1 on the outline."""
    return ((u * (1 / a)).square_() + (v * (1 / b)).square_()).sqrt_()


def ellipse(u: Tensor, v: Tensor, a: Tensor | float, b: Tensor | float) -> Tensor:
    """Distance to an ellipse's outline, exact along the shorter axis, soft at the far ends."""
    return (1 - radius(u, v, a, b)).mul_(_smaller(a, b))


def _smaller(a: Tensor | float, b: Tensor | float) -> Tensor | float:
    if isinstance(a, Tensor):
        return torch.minimum(a, torch.as_tensor(b))
    return b.clamp(max=a) if isinstance(b, Tensor) else min(a, b)


def capsule(u: Tensor, v: Tensor, half_length: Tensor | float, thickness: Tensor | float) -> Tensor:
    """Distance to the outline of a bar along u with round ends; ``thickness`` is its half."""
    beyond = (u.abs() - half_length).clamp_(min=0)
    return thickness - (beyond.square_() + v.square()).sqrt_()


def smoothstep(low: float, high: float, x: Tensor) -> Tensor:
    """0 below ``low``, 1 above ``high``, a smooth cubic between."""
    t = ((x - low) / (high - low)).clamp_(0, 1)
    return t * t * (3 - 2 * t)


def blend(image: Tensor, colour: Tensor, alpha: Tensor) -> None:
    """Paint ``colour`` (N, 3, H or 1, W or 1) over ``image`` where ``alpha`` (N, 1, H, W) is 1."""
    image.lerp_(colour.expand_as(image), alpha)


def palette(position: Tensor, colours: tuple[tuple[int, int, int], ...]) -> Tensor:
    """Colours along a list of 0-255 anchors: position (N, 1, 1, 1) in [0, 1] to (N, 3, 1, 1)."""
    anchors = torch.tensor(colours, dtype=torch.float32) / 255
    place = position.flatten() * (len(colours) - 1)
    left = place.floor().long().clamp(0, len(colours) - 2)
    return torch.lerp(anchors[left], anchors[left + 1], (place - left)[:, None])[..., None, None]


def hue(position: Tensor, saturation: Tensor | float, value: Tensor | float) -> Tensor:
    """Colours around the hue circle: position (N, 1, 1, 1), period 1, to RGB (N, 3, 1, 1)."""
    offsets = torch.tensor([0.0, 2 / 3, 1 / 3]).view(1, 3, 1, 1)
    pure = ((((position + offsets) % 1) * 6 - 3).abs() - 1).clamp(0, 1)
    return value * (1 - saturation + saturation * pure)
