"""A moving picture made of figures, where a still one cannot show what happens."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from ..support.checks import InputError
from .figure import AltFigure, png, png_tag

_SHOWN = 250
"""Milliseconds for each figure; the last one stays four times as long."""


@dataclass(frozen=True)
class MovingPicture:
    """An animated PNG with its alternative text; as the last value of a cell it is shown."""

    data: bytes
    """Content of the file; a viewer that cannot animate it shows the last figure."""
    alt_text: str

    def __repr__(self) -> str:
        return self.alt_text

    def _repr_html_(self) -> str:
        return png_tag(self.data, self.alt_text)


def moving(figures: Sequence[AltFigure], alt: str) -> MovingPicture:
    """Show figures, at least two and all of one size, one after another; twice, then it stops.

    ``alt`` says in words what happens.
    """
    opened = [Image.open(io.BytesIO(png(figure))).convert("RGB") for figure in figures]
    levels = [round((value >> 3) * 255 / 31) for value in range(256)]  # 32: half the bytes
    frames = [frame.point(3 * levels) for frame in opened]
    if len(frames) < 2 or len({frame.size for frame in frames}) > 1:
        raise InputError("a moving picture needs at least two figures, all of one size.")
    buffer = io.BytesIO()
    frames[-1].save(
        buffer,
        format="PNG",
        save_all=True,
        append_images=frames,
        default_image=True,  # the last figure, for viewers that show one image only
        duration=[_SHOWN] * (len(frames) - 1) + [4 * _SHOWN],
        loop=2,
        optimize=True,
    )
    return MovingPicture(buffer.getvalue(), alt)
