"""Labelled rows of images as one picture, drawn by Pillow, with its alternative text."""

import functools
import html
import io
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from ..data import to_uint8
from ..models import Decoded
from ..plots.figure import png_tag
from ..plots.pictures import GAP, mosaic, rgb, scale_of

_WIDTH = 760
"""Pixels that a picture is fitted into, where whole multiples of its own pixels allow."""
_LINE = 20
"""Pixels of a line of text."""


@dataclass(frozen=True)
class Frame:
    """One state of a live picture."""

    image: Image.Image
    alt_text: str
    """What the picture shows."""
    readout: str = ""
    """The numbers that belong to it, in one line below it."""

    def html(self) -> str:
        """The picture, its alternative text and its readout."""
        buffer = io.BytesIO()
        self.image.save(buffer, "png", compress_level=1)  # more takes longer than it saves
        # With its size known beforehand, nothing jumps when one picture replaces another.
        more = f'height="{self.image.height}" style="max-width: 100%" '
        image = png_tag(buffer.getvalue(), self.alt_text, more=more)
        return f"{image}<p>{html.escape(self.readout)}</p>" if self.readout else image


def draw(
    rows: Mapping[str, Tensor], maps: Collection[str] = (), *, across: bool = False
) -> Image.Image:
    """Labelled rows of images as one picture, each of their pixels a square of whole pixels.

    Args:
        rows: label to float images (n, C, H, W) in [0, 1], C 1 or 3, all of one shape but for C.
        maps: labels of the rows that are maps (n, 1, H, W), drawn in colours.
        across: lay the rows side by side, their labels above, as suits a single image.
    """
    pixels = [rgb(to_uint8(v.detach()).cpu(), as_map=k in maps) for k, v in rows.items()]
    n, height, width = pixels[0].shape[:3]
    left = 0 if across else 8 + max(round(_font().getlength(label)) for label in rows)
    top = _LINE if across else 0
    lines = [np.concatenate(pixels)] if across else pixels
    scale = scale_of((_WIDTH - left) // len(lines[0]), height, width)
    image = Image.fromarray(
        np.pad(mosaic(lines, scale), ((top, 0), (left, 0), (0, 0)), constant_values=255)
    )
    pen = ImageDraw.Draw(image)
    step_x, step_y = n * (scale * width + GAP), scale * height + GAP
    for i, label in enumerate(rows):
        place = (i * step_x, 2) if across else (0, i * step_y + (step_y - _LINE) // 2)
        pen.text(place, label, fill="black", font=_font())
    return image


@functools.cache
def _font() -> ImageFont.FreeTypeFont:
    """Matplotlib's font: it is always there, and it has Greek letters and subscripts."""
    path = Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf"
    return ImageFont.truetype(path, 14)


def parts_of(output: Decoded) -> tuple[dict[str, Tensor], list[str]]:
    """The images of a decoder's answer by their symbols, and which of them are maps."""
    if output.components is None or output.weights is None:
        return {"x": output.x_hat}, []
    subscripts = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
    numbers = [str(k + 1).translate(subscripts) for k in range(output.components.shape[1])]
    maps = ["σ"] if len(numbers) == 2 else [f"w{number}" for number in numbers]
    rows = {name: output.weights[:, k] for k, name in enumerate(maps)}
    rows |= {f"x{number}": output.components[:, k] for k, number in enumerate(numbers)}
    return {**rows, "x": output.x_hat}, maps
