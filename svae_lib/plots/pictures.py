"""Figures made of images, laid out in whole pixels."""

from __future__ import annotations

import functools
import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

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

from ..support.checks import InputError, check_counts, check_images, check_uint8_images
from .figure import DPI, MAP_COLOURS, AltFigure, finish, styled

Images: TypeAlias = Tensor | NDArray[Any]
"""(N, C, H, W), float in [0, 1] or uint8; C is 1 or 3."""
Pixels: TypeAlias = NDArray[np.uint8]
"""(N, H, W, 3) for pictures, (H, W, 3) for one."""

_WIDTH = 900
"""Pixels: the usual width of a figure, which fits a notebook beside its margins."""
_GAP = 4
"""Pixels between two pictures."""
_MARGIN = 8
"""Pixels around everything."""
_MOST = 1000
"""Pictures in one figure, at most."""


@dataclass(frozen=True)
class _Row:
    """Pictures side by side."""

    label: str
    pictures: Pixels
    is_map: bool = False


@styled
def image_grid(
    images: Images,
    *,
    columns: int = 8,
    title: str | None = None,
    alt: str | None = None,
) -> AltFigure:
    """All images, row by row.

    Args:
        images: (N, C, H, W).
        columns: images in a row.
        title: shown above, and the beginning of the alternative text.
        alt: the alternative text, in place of the automatic one.

    Raises:
        InputError: images of another kind, or more than a thousand.
    """
    pictures = _pictures(images, "images")
    check_counts(columns=columns)
    columns = min(columns, len(pictures))
    rows = [_Row("", pictures[i : i + columns]) for i in range(0, len(pictures), columns)]
    figure = _picture_figure(rows, title=title)
    height, width = pictures.shape[1:3]
    text = f"{len(pictures)} images of {width}x{height} pixels in {len(rows)} rows."
    return finish(figure, title, text, alt)


@styled
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
            each are drawn.
        columns: images in a row, at most.
        maps: labels of the rows that hold maps (N, 1, H, W): drawn in colour, with a colour bar
            from 0 to 1.
        above: one short text per column, shown above it; none if empty.
        title: shown above, and the beginning of the alternative text.
        alt: the alternative text, in place of the automatic one.

    Raises:
        InputError: no rows, images of another kind or of several sizes, an unknown name in maps,
            texts above of another number than the columns.
    """
    unknown = set(maps) - set(rows)
    if unknown:
        raise InputError(f"maps names {sorted(unknown)}, which are not among the rows.")
    check_counts(columns=columns)
    drawn = [
        _Row(k, _pictures(v[:columns], k, as_map=k in maps), k in maps) for k, v in rows.items()
    ]
    if len({len(row.pictures) for row in drawn}) > 1:
        raise InputError("all rows must hold equally many images.")
    if above and drawn and len(above) != len(drawn[0].pictures):
        raise InputError(
            f"{len(drawn[0].pictures)} columns need as many texts above them, not {len(above)}."
        )
    figure = _picture_figure(drawn, title=title, above=above)
    text = f"{len(drawn)} rows of {len(drawn[0].pictures)} images: {', '.join(rows)}."
    text += f" In columns: {', '.join(map(_plain, above))}." if above else ""
    return finish(figure, title, text, alt)


class Split(Protocol):
    """What :func:`split_rows` needs: the output of a SplitVAE, or anything with these names."""

    @property
    def x_hat(self) -> Tensor: ...  # noqa: D102
    @property
    def x1(self) -> Tensor: ...  # noqa: D102
    @property
    def x2(self) -> Tensor: ...  # noqa: D102
    @property
    def sigma_map(self) -> Tensor: ...  # noqa: D102


def split_rows(
    output: Split,
    n: int = 8,
    *,
    originals: Images | None = None,
    title: str | None = None,
    alt: str | None = None,
) -> AltFigure:
    """The first n splits, in the order of the paper's figures: sigma map, x1, x2, and their mix x.

    Of a K-way split (K > 2): the K weight maps, the K images, and their mix.

    Args:
        output: what a SplitVAE returns.
        n: how many.
        originals: the images that were encoded, (N, C, H, W), as a row above.
        title: shown above, and the beginning of the alternative text.
        alt: the alternative text, in place of the automatic one.

    Raises:
        InputError: the output of a plain VAE, or anything else without a split.
    """
    rows: dict[str, Images] = {} if originals is None else {"original": originals}
    components = getattr(output, "components", None)
    try:
        if components is not None and components.shape[1] > 2:
            rows |= _many_components(output, components)
        else:
            rows["$\\sigma$ map"] = output.sigma_map
            rows |= {"$x_1$": output.x1, "$x_2$": output.x2}
    except AttributeError:
        raise InputError(
            "split_rows needs a SplitVAE's output: sigma_map, x1, x2, x_hat."
        ) from None
    rows["$x$ (mix)"] = output.x_hat
    maps = [label for label in rows if "map" in label]
    figure = image_rows(rows, columns=n, maps=maps, title=title, alt="")
    shown = min(n, len(output.x_hat))
    text = f"Splits of {shown} images in rows: " + ", ".join(map(_plain, rows)) + ". "
    return finish(figure, title, text + _mean_map(output, components, shown), alt)


def _plain(label: str) -> str:
    """A label without the marks of Matplotlib's formulas."""
    return label.translate(str.maketrans("", "", "$\\_{}"))


def _many_components(output: Any, components: Tensor) -> dict[str, Images]:
    ways = range(components.shape[1])
    maps = {f"map {k + 1}": output.weights[:, k] for k in ways}
    return maps | {f"$x_{{{k + 1}}}$": components[:, k] for k in ways}


def _mean_map(output: Any, components: Tensor | None, shown: int) -> str:
    if components is not None and components.shape[1] > 2:
        means = output.weights[:shown].float().mean(dim=(0, 2, 3, 4)).tolist()
        return "Mean weights " + ", ".join(f"{m:.2f}" for m in means) + "."
    sigma = output.sigma_map[:shown].float()
    return (
        f"Sigma averages {sigma.mean().item():.2f}, "
        f"from {sigma.min().item():.2f} to {sigma.max().item():.2f}."
    )


@styled
def interpolation(
    images: Images,
    *,
    labels: Sequence[str] | None = None,
    title: str | None = None,
    alt: str | None = None,
) -> AltFigure:
    """Walks through the latent space, one per row, with the position t from 0 to 1 above.

    Args:
        images: (rows, steps, C, H, W), float in [0, 1] or uint8; at least two steps.
        labels: one per row.
        title: shown above, and the beginning of the alternative text.
        alt: the alternative text, in place of the automatic one.

    Raises:
        InputError: images of another kind, or labels of another number.
    """
    if images.ndim != 5 or images.shape[1] < 2:
        raise InputError(
            f"an interpolation has the shape (rows, steps, C, H, W), not {tuple(images.shape)}."
        )
    count, steps = images.shape[:2]
    labels = [""] * count if labels is None else list(labels)
    if len(labels) != count:
        raise InputError(f"{count} rows need {count} labels, not {len(labels)}.")
    rows = [_Row(labels[i], _pictures(images[i], "images")) for i in range(count)]
    positions = [f"{i / (steps - 1):.2g}" for i in range(steps)]
    positions[0] = f"$t$ = {positions[0]}"
    figure = _picture_figure(rows, title=title, above=positions)
    text = f"{count} interpolations of {steps} steps each, from left to right."
    return finish(figure, title, text, alt)


def _pictures(images: Images, name: str, *, as_map: bool = False) -> Pixels:
    """Check images (N, C, H, W) and turn them into RGB (N, H, W, 3); maps through colours."""
    tensor = torch.as_tensor(images).detach().cpu()
    if tensor.dtype == torch.uint8:
        check_uint8_images(tensor, name=name)
        values = tensor
    else:
        tensor = tensor.float() if tensor.is_floating_point() else tensor
        clamped = tensor.clamp(0, 1)  # sums in bf16 may leave [0, 1] by a rounding error
        if tensor.numel() and (tensor - clamped).abs().max() <= 0.01:
            tensor = clamped
        check_images(tensor, name=name)
        values = (255 * tensor).round().to(torch.uint8)
    channels = values.shape[1]
    if channels not in ((1,) if as_map else (1, 3)):
        raise InputError(f"{name}: {channels} channels cannot be drawn, only 1 (grey) or 3 (RGB).")
    if len(values) > _MOST:
        raise InputError(f"{len(values)} images are too many for a figure: pass {name}[:64].")
    return rgb(values, as_map=as_map)


def rgb(images: Tensor, *, as_map: bool = False) -> Pixels:
    """uint8 images (N, C, H, W) on the CPU, C 1 or 3, as RGB; maps (C = 1) through colours."""
    pixels = images.permute(0, 2, 3, 1).numpy()  # (N, H, W, C)
    if as_map:
        return np.asarray(_map_colours()[pixels[..., 0]])
    return np.broadcast_to(pixels, (*pixels.shape[:3], 3))


@functools.cache
def _map_colours() -> Pixels:
    """The colours of the 256 levels of a map, (256, 3)."""
    return np.asarray(matplotlib.colormaps[MAP_COLOURS](np.arange(256), bytes=True)[:, :3])


def _picture_figure(
    rows: Sequence[_Row], *, title: str | None = None, above: Sequence[str] = ()
) -> AltFigure:
    """Lay pictures out in whole pixels, so that each of theirs becomes an equal square."""
    if not rows:
        raise InputError("there is nothing to draw: give at least one row of images.")
    height, width = rows[0].pictures.shape[1:3]
    if len({row.pictures.shape[1:3] for row in rows}) > 1:
        raise InputError("all images of a figure must have one height and width.")
    columns = max(len(row.pictures) for row in rows)
    labels = [textwrap.fill(row.label, 16) for row in rows]
    left = _MARGIN + max(_text_width(label) for label in labels)
    left += _MARGIN if any(labels) else 0
    right = 56 if any(row.is_map for row in rows) else _MARGIN
    room = (_WIDTH - left - right + _GAP) // columns - _GAP
    scale = max(1, min(room // width, 128 // height))
    mosaic = _mosaic(rows, columns, scale)
    heading = "\n".join(
        textwrap.wrap(title, max(20, (left + mosaic.shape[1]) // 8)) if title else ()
    )
    top = _MARGIN + (18 * (heading.count("\n") + 1) + 4 if heading else 0) + (18 if above else 0)
    box = _Box(left, top, mosaic.shape[1], mosaic.shape[0], right)

    figure = AltFigure(figsize=(box.total_width / DPI, box.total_height / DPI), dpi=DPI)
    figure.set_facecolor("white")
    _add_image(figure, mosaic, box)
    if heading:
        figure.text(*box.point(-left + _MARGIN, _MARGIN - top), heading, va="top", fontsize=11)
    step_x, step_y = scale * width + _GAP, scale * height + _GAP
    for i, text in enumerate(above):
        where = box.point(i * step_x + scale * width / 2, -5)
        figure.text(*where, text, ha="center", va="bottom", fontsize=9)
    for i, label in enumerate(labels):
        where = box.point(-_MARGIN, i * step_y + scale * height / 2)
        figure.text(*where, label, ha="right", va="center")
    _colour_bars(figure, rows, box, step_y)
    return figure


@dataclass(frozen=True)
class _Box:
    """Where the mosaic lies in its figure, in pixels; points are counted from its upper left."""

    left: int
    top: int
    width: int
    height: int
    right: int

    @property
    def total_width(self) -> int:
        return self.left + self.width + self.right

    @property
    def total_height(self) -> int:
        return self.top + self.height + _MARGIN

    def point(self, x: float, y: float) -> tuple[float, float]:
        """Figure coordinates (0 to 1, from the lower left) of a point."""
        return (self.left + x) / self.total_width, 1 - (self.top + y) / self.total_height

    def place(
        self, x: float, y: float, width: float, height: float
    ) -> tuple[float, float, float, float]:
        """Left, bottom, width, height in figure coordinates of a rectangle."""
        left, bottom = self.point(x, y + height)
        return left, bottom, width / self.total_width, height / self.total_height


def _mosaic(rows: Sequence[_Row], columns: int, scale: int) -> Pixels:
    """One image of all pictures, each of their pixels a square of ``scale``, on white."""
    height, width = (scale * side for side in rows[0].pictures.shape[1:3])
    shape = (len(rows) * (height + _GAP) - _GAP, columns * (width + _GAP) - _GAP, 3)
    mosaic = np.full(shape, 255, dtype=np.uint8)
    for i, row in enumerate(rows):
        large = row.pictures.repeat(scale, axis=1).repeat(scale, axis=2)
        for j, picture in enumerate(large):
            y, x = i * (height + _GAP), j * (width + _GAP)
            mosaic[y : y + height, x : x + width] = picture
    return mosaic


def _add_image(figure: AltFigure, mosaic: Pixels, box: _Box) -> None:
    """Put the mosaic into the figure, pixel upon pixel; axes would round its place and size."""

    def place(_: object) -> Bbox:
        scale = figure.dpi / DPI  # what savefig was asked for; 1 unless more
        bounds = (box.left, _MARGIN, mosaic.shape[1], mosaic.shape[0])
        return Bbox.from_bounds(*(scale * value for value in bounds))

    image = BboxImage(place, interpolation="nearest", origin="upper")
    image.set_data(mosaic)
    figure.add_artist(image)


def _colour_bars(figure: AltFigure, rows: Sequence[_Row], box: _Box, step_y: int) -> None:
    """A colour bar from 0 to 1 beside each run of neighbouring maps."""
    maps = [i for i, row in enumerate(rows) if row.is_map]
    starts = [i for i in maps if i - 1 not in maps]
    ends = [i for i in maps if i + 1 not in maps]
    for first, last in zip(starts, ends, strict=True):
        height = (last - first + 1) * step_y - _GAP
        axes = figure.add_axes(box.place(box.width + 10, first * step_y, 10, height))
        colours = ScalarMappable(Normalize(0, 1), MAP_COLOURS)
        bar = figure.colorbar(colours, cax=axes, ticks=[0, 0.5, 1])
        bar.ax.set_yticks([0, 0.5, 1], ["0", "0.5", "1"], fontsize=8)


def _text_width(text: str) -> int:
    """Width in pixels of the widest line, at the usual size of 10 points."""
    widths = [
        TextPath((0, 0), line, size=10).get_extents().width for line in text.split("\n") if line
    ]
    return math.ceil(max(widths, default=0) * DPI / 72)
