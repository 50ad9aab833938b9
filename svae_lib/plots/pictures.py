"""Figures made of images, laid out in whole pixels."""

import math
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import matplotlib
import numpy as np
import torch
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.image import BboxImage
from matplotlib.textpath import TextPath
from matplotlib.transforms import Bbox
from numpy.typing import NDArray
from torch import Tensor

from ..support.checks import ROUNDING, InputError, check_counts, check_images, check_uint8_images
from .figure import DPI, MAP_COLOURS, AltFigure, as_words, course_style, finish, holds_formulas

Images: TypeAlias = Tensor | NDArray[Any]
"""(N, C, H, W), float in [0, 1] or uint8; C is 1 or 3."""
Pixels: TypeAlias = NDArray[np.uint8]
"""(N, H, W, 3) for pictures, (H, W, 3) for one."""

_WIDTH, _HEIGHT = 900, 452
"""Pixels: the usual width of a figure, which fits a notebook beside its margins, and the height up
to which images are enlarged: letters of a higher figure would be small on a slide."""
MOST_IMAGES = 1000  # of a figure
GAP, _MARGIN = 4, 8
"""Pixels between two pictures, and around everything."""


@course_style()
def image_grid(
    images: Images, *, columns: int = 8, title: str | None = None, alt: str | None = None
) -> AltFigure:
    """All images (N, C, H, W), at most a thousand, row by row."""
    pictures = _pictures(images, "images")
    check_counts(columns=columns)
    columns = min(columns, len(pictures))
    rows = [pictures[i : i + columns] for i in range(0, len(pictures), columns)]
    figure = _picture_figure(rows, title=title)
    height, width = pictures.shape[1:3]
    text = f"{len(pictures)} images of {width}x{height} pixels in {len(rows)} rows."
    return finish(figure, text, title, alt=alt)


@course_style()
def image_rows(
    rows: Mapping[str, Images],
    *,
    columns: int = 10,
    maps: Sequence[str] = (),
    above: Sequence[str] = (),
    title: str | None = None,
    alt: str | None = None,
) -> AltFigure:
    """One labelled row of images per entry, such as originals above reconstructions.

    Args:
        rows: label to images (N, C, H, W), all of one height and width; the first ``columns`` of
            each are drawn. ``$x_1$`` in a label is drawn as a symbol.
        columns: images in a row, at most.
        maps: labels of the rows that hold maps (N, 1, H, W), drawn in colour, with a colour bar.
        above: one short text per column, shown above it.
    """
    if unknown := set(maps) - set(rows):
        raise InputError(f"maps names {sorted(unknown)}, which are not among the rows.")
    check_counts(columns=columns)
    drawn = [_pictures(v[:columns], k or "images", as_map=k in maps) for k, v in rows.items()]
    shown = len(drawn[0]) if drawn else 0
    if any(len(pictures) != shown for pictures in drawn):
        raise InputError("all rows must hold equally many images.")
    if above and len(above) != shown:
        raise InputError(f"{shown} columns need as many texts above them, not {len(above)}.")
    at = [i for i, label in enumerate(rows) if label in maps]
    figure = _picture_figure(drawn, list(rows), at, title=title, above=above)
    many = "row" if len(drawn) == 1 else "rows"
    text = f"{len(drawn)} {many} of {shown} images: {_plain(rows)}."
    text += f" In columns: {_plain(above)}." if above else ""
    return finish(figure, text, title, alt=alt)


@course_style()
def split_rows(
    output: Any, n: int = 8, *, originals: Images | None = None, title: str | None = None
) -> AltFigure:
    """The first n splits, in the order of the paper's figures: sigma map, x1, x2, and their mix x.

    Of a K-way split (K > 2): the K weight maps, the K images, and their mix.

    Args:
        output: what a SplitVAE returns.
        n: how many.
        originals: the images that were encoded, (N, C, H, W), as a row above.
    """
    if getattr(output, "components", None) is None:
        raise InputError("split_rows needs a SplitVAE's output; a plain VAE's has no components.")
    check_counts(n=n)
    components, weights = output.components, output.weights
    ways = range(components.shape[1])
    maps = ["$\\sigma$ map"] if len(ways) == 2 else [f"map {k + 1}" for k in ways]
    rows: dict[str, Images] = {} if originals is None else {"original": originals}
    rows |= {label: weights[:, k] for k, label in enumerate(maps)}
    rows |= {f"$x_{{{k + 1}}}$": components[:, k] for k in ways}
    rows["$x$ (mix)"] = output.x_hat
    figure = image_rows(rows, columns=n, maps=maps, title=title)
    shown = weights[:n].float()
    means = ", ".join(f"{mean:.2f}" for mean in shown.mean(dim=(0, 2, 3, 4)).tolist())
    low, high = (bound.item() for bound in shown.aminmax())
    text = f"Splits of {len(shown)} images in rows: {_plain(rows)}."
    text += f" The images' weights average {means}, from {low:.2f} to {high:.2f}."
    return finish(figure, text, title)


def _plain(labels: Iterable[str]) -> str:
    return ", ".join(map(as_words, labels))


@course_style()
def interpolation(
    images: Images, *, labels: Sequence[str] | None = None, title: str | None = None
) -> AltFigure:
    """Walks through the latent space, one per row, with the position t from 0 to 1 above.

    Args:
        images: (rows, steps, C, H, W), float in [0, 1] or uint8; at least two steps.
        labels: one per row, all different; default: their numbers, where there are several.
    """
    if images.ndim != 5 or images.shape[1] < 2:
        shape = tuple(images.shape)
        raise InputError(f"an interpolation has the shape (rows, steps, C, H, W), not {shape}.")
    count, steps = images.shape[:2]
    if labels is None:
        labels = [str(i + 1) for i in range(count)] if count > 1 else [""]
    rows = dict(zip(labels, images, strict=False))
    if not len(rows) == len(labels) == count:
        raise InputError(f"{count} rows need {count} labels, all different, not {list(labels)}.")
    above = ["$t$ = 0", *(f"{i / (steps - 1):.2g}" for i in range(1, steps))]
    return image_rows(rows, columns=steps, above=above, title=title)


def _pictures(images: Images, name: str, *, as_map: bool = False) -> Pixels:
    """Check images (N, C, H, W) and turn them into RGB (N, H, W, 3); maps through colours."""
    tensor = torch.as_tensor(images).detach().cpu()
    if tensor.dtype != torch.uint8:
        check_images(tensor, name=name, slack=ROUNDING)
        tensor = (255 * tensor.float().clamp(0, 1)).round().to(torch.uint8)
    check_uint8_images(tensor, name=name)
    channels = tensor.shape[1]
    if channels not in ((1,) if as_map else (1, 3)):
        raise InputError(f"{name}: {channels} channels cannot be drawn, only 1 (grey) or 3 (RGB).")
    if len(tensor) > MOST_IMAGES:
        raise InputError(f"{len(tensor)} images are too many for a figure: pass {name}[:64].")
    return rgb(tensor, as_map=as_map)


def rgb(images: Tensor, *, as_map: bool = False) -> Pixels:
    """uint8 images (N, C, H, W) on the CPU, C 1 or 3, as RGB; maps (C = 1) through colours."""
    pixels = images.permute(0, 2, 3, 1).numpy()  # (N, H, W, C)
    if as_map:
        return np.asarray(matplotlib.colormaps[MAP_COLOURS](pixels[..., 0], bytes=True)[..., :3])
    return np.broadcast_to(pixels, (*pixels.shape[:3], 3))


def _picture_figure(
    rows: Sequence[Pixels],
    names: Sequence[str] = (),
    maps: Sequence[int] = (),
    *,
    title: str | None = None,
    above: Sequence[str] = (),
) -> AltFigure:
    """Rows of pictures, some of them maps, in whole pixels: each of theirs an equal square."""
    if not rows:
        raise InputError("there is nothing to draw: give at least one row of images.")
    height, width = rows[0].shape[1:3]
    if len({pictures.shape[1:3] for pictures in rows}) > 1:
        raise InputError("all images of a figure must have one height and width.")
    labels = [textwrap.fill(name, 16) for name in names]
    left = _MARGIN + max(map(_text_width, labels), default=0) + (_MARGIN if any(labels) else 0)
    right = 56 if maps else _MARGIN
    least_top = _MARGIN + (22 if title else 0) + (18 if above else 0)
    tallest = (_HEIGHT - least_top - _MARGIN + GAP) // len(rows) - GAP
    scale = scale_of(
        (_WIDTH - left - right) // max(map(len, rows)), height, width, max(64, min(128, tallest))
    )
    picture = mosaic(rows, scale)
    heading = textwrap.wrap(title or "", max(20, (left + picture.shape[1]) // 8))
    top = _MARGIN + (18 * len(heading) + 4 if heading else 0) + (18 if above else 0)
    all_x, all_y = left + picture.shape[1] + right, top + picture.shape[0] + _MARGIN
    figure = AltFigure(figsize=(all_x / DPI, all_y / DPI), dpi=DPI, facecolor="white")

    def place(_: object) -> Bbox:
        """Pixel upon pixel; axes would round the picture's place and size."""
        dense = figure.dpi / DPI  # what savefig was asked for; 1 unless more
        bounds = (left, _MARGIN, picture.shape[1], picture.shape[0])
        return Bbox.from_bounds(*(dense * side for side in bounds))

    image = BboxImage(place, interpolation="nearest", origin="upper")
    image.set_data(picture)
    figure.add_artist(image)

    def write(x: float, y: float, text: str, **style: Any) -> None:
        """Write at a place in pixels, counted from the upper left."""
        figure.text(x / all_x, 1 - y / all_y, text, **style)

    if heading:
        write(_MARGIN, _MARGIN, "\n".join(heading), va="top", fontsize=11)
    step_x, step_y = scale * width + GAP, scale * height + GAP
    for i, text in enumerate(above):
        x = left + i * step_x + scale * width / 2
        write(x, top - 5, text, ha="center", va="bottom", fontsize=9)
    for i, label in enumerate(labels):
        write(left - _MARGIN, top + i * step_y + scale * height / 2, label, ha="right", va="center")
    # Neighbouring rows of maps share a colour bar.
    firsts, lasts = ([i for i in maps if i + step not in maps] for step in (-1, 1))
    for first, last in zip(firsts, lasts, strict=True):
        y, side = top + (last + 1) * step_y - GAP, (last - first + 1) * step_y - GAP
        bounds = ((all_x - right + 10) / all_x, 1 - y / all_y, 10 / all_x, side / all_y)
        colours = ScalarMappable(Normalize(0, 1), MAP_COLOURS)
        bar = figure.colorbar(colours, cax=figure.add_axes(bounds), ticks=[0, 0.5, 1])
        bar.ax.set_yticks([0, 0.5, 1], ["0", "0.5", "1"], fontsize=8)
    return figure


def scale_of(room: int, height: int, width: int, tallest: int = 128) -> int:
    """Into squares of how many pixels those of an image are enlarged, to fit in ``room``."""
    return max(1, min((room - GAP) // width, tallest // height))


def mosaic(rows: Sequence[Pixels], scale: int) -> Pixels:
    """Rows of pictures (n, H, W, 3) as one picture on white, each pixel a square of ``scale``."""
    height, width = (scale * side for side in rows[0].shape[1:3])
    shape = (len(rows) * (height + GAP) - GAP, max(map(len, rows)) * (width + GAP) - GAP, 3)
    whole = np.full(shape, 255, dtype=np.uint8)
    for i, pictures in enumerate(rows):
        for j, picture in enumerate(pictures.repeat(scale, axis=1).repeat(scale, axis=2)):
            y, x = i * (height + GAP), j * (width + GAP)
            whole[y : y + height, x : x + width] = picture
    return whole


def _text_width(text: str) -> int:
    """Width in pixels of the widest line, at the usual size of 10 points."""
    plain = text if holds_formulas(text) else text.replace("$", r"\$")
    paths = (TextPath((0, 0), line, size=10) for line in plain.split("\n") if line)
    return math.ceil(max((p.get_extents().width for p in paths), default=0) * DPI / 72)
