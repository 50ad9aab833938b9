"""Figures made of images, laid out in whole pixels."""

from __future__ import annotations

import functools
import math
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
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

from ..support.checks import InputError, check_counts, check_images, check_uint8_images
from .figure import DPI, MAP_COLOURS, AltFigure, as_text, as_words, course_style, finish

Images: TypeAlias = Tensor | NDArray[Any]
"""(N, C, H, W), float in [0, 1] or uint8; C is 1 or 3."""
Pixels: TypeAlias = NDArray[np.uint8]
"""(N, H, W, 3) for pictures, (H, W, 3) for one."""

_WIDTH, _HEIGHT = 900, 452
"""Pixels: the usual width of a figure, which fits a notebook beside its margins, and the height up
to which images are enlarged: letters of a higher figure would be small on a slide."""
GAP, _MARGIN = 4, 8
"""Pixels between two pictures, and around everything."""
_MOST = 1000
"""Pictures in one figure, at most."""


@dataclass(frozen=True)
class _Row:
    """Pictures side by side."""

    label: str
    pictures: Pixels
    is_map: bool = False


@course_style()
def image_grid(
    images: Images, *, columns: int = 8, title: str | None = None, alt: str | None = None
) -> AltFigure:
    """All images (N, C, H, W), at most a thousand, row by row."""
    pictures = _pictures(images, "images")
    check_counts(columns=columns)
    columns = min(columns, len(pictures))
    rows = [_Row("", pictures[i : i + columns]) for i in range(0, len(pictures), columns)]
    figure = _picture_figure(rows, title=title)
    height, width = pictures.shape[1:3]
    text = f"{len(pictures)} images of {width}x{height} pixels in {len(rows)} rows."
    return finish(figure, title, text, alt, "pictures")


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
        maps: labels of the rows that hold maps (N, 1, H, W): drawn in colour, with a colour bar
            from 0 to 1.
        above: one short text per column, shown above it; none if empty.
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
    text = f"{len(drawn)} rows of {len(drawn[0].pictures)} images: {_plain(rows)}."
    text += f" In columns: {_plain(above)}." if above else ""
    return finish(figure, title, text, alt, "pictures")


@course_style()
def split_rows(
    output: Any,
    n: int = 8,
    *,
    originals: Images | None = None,
    title: str | None = None,
    alt: str | None = None,
) -> AltFigure:
    """The first n splits, in the order of the paper's figures: sigma map, x1, x2, and their mix x.

    Of a K-way split (K > 2): the K weight maps, the K images, and their mix.

    Args:
        output: what a SplitVAE returns, or anything with its names.
        n: how many.
        originals: the images that were encoded, (N, C, H, W), as a row above.
    """
    rows: dict[str, Images] = {} if originals is None else {"original": originals}
    components = getattr(output, "components", None)
    ways = 2 if components is None else components.shape[1]
    try:
        if ways > 2:
            rows |= {f"map {k + 1}": output.weights[:, k] for k in range(ways)}
            rows |= {f"$x_{{{k + 1}}}$": output.components[:, k] for k in range(ways)}
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
    if ways > 2:
        means = output.weights[:shown].float().mean(dim=(0, 2, 3, 4)).tolist()
        values = "Mean weights " + ", ".join(f"{m:.2f}" for m in means)
    else:
        low, high = (bound.item() for bound in output.sigma_map[:shown].float().aminmax())
        mean = output.sigma_map[:shown].float().mean().item()
        values = f"Sigma averages {mean:.2f}, from {low:.2f} to {high:.2f}"
    text = f"Splits of {shown} images in rows: {_plain(rows)}. {values}."
    return finish(figure, title, text, alt, "pictures")


def _plain(labels: Iterable[str]) -> str:
    return ", ".join(map(as_words, labels))


@course_style()
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
    return finish(figure, title, text, alt, "pictures")


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
    left = _MARGIN + max(map(_text_width, labels)) + (_MARGIN if any(labels) else 0)
    right = 56 if any(row.is_map for row in rows) else _MARGIN
    least_top = _MARGIN + (22 if title else 0) + (18 if above else 0)
    tallest = (_HEIGHT - least_top - _MARGIN + GAP) // len(rows) - GAP
    scale = scale_of((_WIDTH - left - right) // columns, height, width, max(64, min(128, tallest)))
    picture = mosaic([row.pictures for row in rows], scale)
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
        figure.text(x / all_x, 1 - y / all_y, as_text(text, symbols=True), **style)

    if heading:
        write(_MARGIN, _MARGIN, "\n".join(heading), va="top", fontsize=11)
    step_x, step_y = scale * width + GAP, scale * height + GAP
    for i, text in enumerate(above):
        x = left + i * step_x + scale * width / 2
        write(x, top - 5, text, ha="center", va="bottom", fontsize=9)
    for i, label in enumerate(labels):
        write(left - _MARGIN, top + i * step_y + scale * height / 2, label, ha="right", va="center")
    for first, last in _runs_of_maps(rows):
        y, side = top + (last + 1) * step_y - GAP, (last - first + 1) * step_y - GAP
        bounds = ((all_x - right + 10) / all_x, 1 - y / all_y, 10 / all_x, side / all_y)
        colours = ScalarMappable(Normalize(0, 1), MAP_COLOURS)
        bar = figure.colorbar(colours, cax=figure.add_axes(bounds), ticks=[0, 0.5, 1])
        bar.ax.set_yticks([0, 0.5, 1], ["0", "0.5", "1"], fontsize=8)
    return figure


def _runs_of_maps(rows: Sequence[_Row]) -> Iterator[tuple[int, int]]:
    """First and last of neighbouring rows that are maps: they share a colour bar."""
    maps = [i for i, row in enumerate(rows) if row.is_map]
    starts = [i for i in maps if i - 1 not in maps]
    ends = [i for i in maps if i + 1 not in maps]
    return zip(starts, ends, strict=True)


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
    lines = as_text(text, symbols=True).split("\n")
    paths = (TextPath((0, 0), line, size=10) for line in lines if line)
    return math.ceil(max((p.get_extents().width for p in paths), default=0) * DPI / 72)
