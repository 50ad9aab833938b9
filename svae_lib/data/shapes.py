"""Soft-edged shapes, many images at a time: the drawing tools of the toy faces.

A shape is a plane of signed distances (N, 1, H, W), positive inside, in units of half an image;
:func:`coverage` turns it into the share of each pixel that the shape covers, so edges are
anti-aliased without drawing at a larger size.
"""

from __future__ import annotations

import torch
from torch import Tensor


def coverage(distance: Tensor, pixel: float) -> Tensor:
    """Share of each pixel inside the shape, in [0, 1]; ``pixel`` is the width of one."""
    return (distance * (1 / pixel)).add_(0.5).clamp_(0, 1)


def ellipse(u: Tensor, v: Tensor, a: Tensor | float, b: Tensor | float) -> Tensor:
    """Distance to an ellipse's outline: exact along the shorter axis, softer at the far ends."""
    radius = ((u * (1 / a)).square_() + (v * (1 / b)).square_()).sqrt_()  # 1 on the outline
    return (1 - radius).mul_(torch.minimum(torch.as_tensor(a), torch.as_tensor(b)))


def capsule(u: Tensor, v: Tensor, half_length: Tensor | float, thickness: Tensor | float) -> Tensor:
    """Distance to the outline of a bar along u with round ends; ``thickness`` is half its width."""
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


def plain(red: float, green: float, blue: float) -> Tensor:
    """A colour (1, 3, 1, 1)."""
    return torch.tensor([red, green, blue]).view(1, 3, 1, 1)


def lit(colour: Tensor, shade: Tensor) -> Tensor:
    """A colour under light: (N, 3, 1, 1) and (N, 1, H, W) to (N, 3, H, W); shadows are warm."""
    dark = colour * plain(0.42, 0.32, 0.34)
    return torch.addcmul(dark, shade, colour * 1.06 + 0.03 - dark)


def bell(u: Tensor, v: Tensor, a: Tensor | float, b: Tensor | float) -> Tensor:
    """A soft spot, near exp(-r^2) but 0 from r = 2 on; r is 0 at the centre, 1 on the ellipse."""
    square = (u * (1 / a)).square_().add_((v * (1 / b)).square_())
    return square.mul_(-0.25).add_(1).clamp_(min=0).square_().square_()
