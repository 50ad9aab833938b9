"""A moving picture made of figures, where a still one cannot show what happens."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from ..support.checks import InputError
from .figure import AltFigure, png, png_tag


@dataclass(frozen=True)
class MovingPicture:
    """An animated PNG with its alternative text; as the last value of a cell it is shown."""

    data: bytes
    """Content of the file; a viewer that cannot animate it shows the last figure."""
    width: int
    alt_text: str

    def __repr__(self) -> str:
        return self.alt_text

    def _repr_html_(self) -> str:
        return png_tag(self.data, self.alt_text, f'width="{self.width}"')


def moving(
    figures: Sequence[AltFigure], alt: str, *, seconds: float = 0.25, times: int = 2
) -> MovingPicture:
    """Show figures, all of one size, one after another.

    Args:
        figures: at least two.
        alt: what happens, in words.
        seconds: for each figure; the last one stays four times as long.
        times: how often to play it; it then stops on the last figure.

    Raises:
        InputError: fewer than two figures, figures of different sizes, or no text.
    """
    opened = [Image.open(io.BytesIO(png(figure))).convert("RGB") for figure in figures]
    levels = [round((value >> 3) * 255 / 31) for value in range(256)]  # 32: half the bytes
    frames = [frame.point(3 * levels) for frame in opened]
    if len(frames) < 2 or len({frame.size for frame in frames}) > 1:
        raise InputError("a moving picture needs at least two figures, all of one size.")
    if not alt:
        raise InputError("say in alt what happens in the moving picture.")
    shown = max(1, round(1000 * seconds))
    buffer = io.BytesIO()
    frames[-1].save(
        buffer,
        format="PNG",
        save_all=True,
        append_images=frames,
        default_image=True,  # the last figure, for viewers that show one image only
        duration=[shown] * (len(frames) - 1) + [4 * shown],
        loop=times,
        optimize=True,
    )
    return MovingPicture(buffer.getvalue(), frames[0].width, alt)
