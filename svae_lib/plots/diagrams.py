"""Drawings of what the course builds: the network with its shapes, the split head, the course."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Polygon, Rectangle

from ..support.checks import InputError
from .figure import (
    BLUE,
    DPI,
    GREEN,
    MAP_COLOURS,
    ORANGE,
    PURPLE,
    SKY,
    AltFigure,
    as_text,
    course_style,
    finish,
)

INK = "#222222"


Config: TypeAlias = Any
"""A :class:`svae_lib.ModelConfig`; its module is above this one, so it cannot be imported."""


def encoder_shapes(config: Config) -> list[tuple[int, int]]:
    """(channels, height in pixels) of the image, and after each strided convolution."""
    scales = range(config.num_scales)
    halved = [(config.base_dim * 2**i, config.image_size // 2 ** (i + 1)) for i in scales]
    return [(config.channels, config.image_size), *halved]


def decoder_shapes(config: Config, out_channels: int) -> list[tuple[int, int]]:
    """(channels, height in pixels) from the 4x4 start to the head's maps."""
    doublings = (config.image_size // 4).bit_length() - 1
    shapes = [(config.base_dim * 2 ** (doublings - i), 4 * 2**i) for i in range(doublings + 1)]
    return [*shapes, (out_channels, config.image_size)]


@course_style()
def architecture(
    config: Config,
    *,
    split: bool = True,
    example: Sequence[Any] = (),
    title: str | None = None,
    alt: str | None = None,
) -> AltFigure:
    """Draw encoder, latent variables and decoder, with the shape after each block.

    A block's height stands for its pixels, its depth for its channels.

    Args:
        config: the model's.
        split: end in a Split VAE's head; otherwise in a plain image.
        example: an image and its reconstruction, each (C, H, W), to be shown at the two ends.
    """
    k, c = config.components, config.channels
    out = (k * c + (1 if k == 2 else k)) if split else c
    down, up = encoder_shapes(config), decoder_shapes(config, out)
    figure, axes = _canvas(12 if example else 11, 3.0, title)
    most = max(channels for channels, _ in (*down, *up)), config.image_size
    x = 0.0
    if example:
        x = _picture(axes, example[0], x + 0.75, 0.0, 1.5, "an image") + 0.25
    for i, shape in enumerate(down):
        x = _maps(axes, x, shape, most, BLUE if i else INK, "" if i else "x")
    first = x
    for length, name, colour in (
        (config.embedding_dim, "embedding", SKY),
        (config.latent_dim, "μ, log s²", ORANGE),
        (config.latent_dim, "z = μ + s ε", ORANGE),
        (config.embedding_dim, "embedding", SKY),
    ):
        x = _vector(axes, x, length, name, colour)
    last = x
    for shape in up[:-1]:
        x = _maps(axes, x, shape, most, GREEN, "")
    head = "σ, x1, x2" if k == 2 else f"{k} maps, {k} images"
    x = _maps(axes, x, up[-1], most, PURPLE, head if split else "x̂")
    ends = x
    if example:
        x = _picture(axes, example[1], x + 0.95, 0.0, 1.5, "its reconstruction") + 0.1
    axes.set(xlim=(-0.2, x + 0.1), ylim=(-1.75, 1.2))
    words = "encoder\nstrided convolutions,\nresidual blocks"
    axes.text(first * (0.62 if example else 0.5), -1.72, words, ha="center", va="bottom")
    axes.text((first + last) / 2 - 0.15, -1.72, "latent\nvariables", ha="center", va="bottom")
    words = "decoder\ntransposed convolutions,\nresidual blocks"
    axes.text((last + ends) / 2 - 0.3, -1.72, words, ha="center", va="bottom")
    way_in, way_out = (", ".join(f"{d} x {s} x {s}" for d, s in way) for way in (down, up))
    words = (
        f"From the image: {way_in}; an embedding of {config.embedding_dim}; {config.latent_dim} "
        f"latent variables; an embedding again; then {way_out}: "
        f"{_head_words(k, c) if split else 'the image'}."
    )
    return finish(figure, title, words, alt)


@course_style()
def split_head(
    channels: int = 1,
    components: int = 2,
    *,
    example: Sequence[Any] = (),
    title: str | None = None,
    alt: str | None = None,
) -> AltFigure:
    """Draw how the last convolution's channels become maps and images, and these the mixture.

    Args:
        channels: C, the channels of an image.
        components: K, the number of images that are mixed.
        example: what to show in place of the names: the maps, (1, H, W) each, one for K = 2
            and K otherwise; then the K images and their mixture, (C, H, W) each.
    """
    k, c = components, channels
    maps = ["σ"] if k == 2 else [f"w{i + 1}" for i in range(k)]
    rows = [*maps, *(f"x{i + 1}" for i in range(k))]
    if example and len(example) != len(rows) + 1:
        raise InputError(f"an example has {len(rows)} maps and images and their mixture.")
    step, total = 0.85 if example else 0.5, len(maps) + k * c
    height, tall = step * (len(rows) - 1), 0.84 * step
    figure, axes = _canvas(8.4, height + 1.2, title)
    _box(axes, 0.5, height / 2, 1.0, height + tall, "", GREEN)
    words = f"last convolution:\n{total} channels"
    axes.text(0.5, height / 2, words, ha="center", va="center", rotation=90)
    for i, name in enumerate(rows):
        y, is_map = height - step * i, i < len(maps)
        how = "softmax" if is_map and k > 2 else "sigmoid"
        width = "1 channel" if is_map else f"{c} channel{'s' if c > 1 else ''}"
        _arrow(axes, (1.1, y), (2.5, y))
        axes.text(1.75, y + 0.07, how, ha="center", va="bottom", fontsize=8)
        if example:
            _picture(axes, example[i], 2.95, y, tall, "", is_map)
            axes.text(3.5, y, f"{name}, {width}", va="center", fontsize=9)
        else:
            _box(axes, 3.5, y, 1.7, tall, f"{name}: {width}", PURPLE if is_map else BLUE)
        _arrow(axes, (4.9 if example else 4.5, y), (6.0, height / 2), INK if is_map else BLUE)
    sum_of = "σ x1 + (1 − σ) x2" if k == 2 else f"w1 x1 + … + w{k} x{k}"
    if example:
        _picture(axes, example[-1], 6.9, height / 2, 1.5, f"x = {sum_of}")
    else:
        _box(axes, 7.1, height / 2, 2.1, 0.7, f"x = {sum_of}", ORANGE)
    axes.set(xlim=(-0.1, 8.3), ylim=(-0.6, height + 0.6))
    words = (
        f"The decoder's last convolution has {total} channels: {_head_words(k, c)}. "
        f"They are mixed: x = {sum_of}."
    )
    return finish(figure, title, words, alt)


NOTEBOOKS: tuple[tuple[str, str, str, Sequence[int]], ...] = (
    ("0", "Start here", "images as tensors", ()),
    ("1", "The VAE", "derive and build it", (0,)),
    ("2", "The ELBO", "why VAEs blur", (1,)),
    ("3", "The split decoder", "two images, a map", (2,)),
    ("4", "Sigma maps", "what kind of split?", (3,)),
    ("5", "Train on CUDA", "fast, stoppable", (3,)),
    ("6", "Sampling", "better samples", (3,)),
    ("7", "FID", "how good are they?", (6,)),
    ("8", "The paper", "its claims, tested", (4, 7)),
    ("9", "Beyond the paper", "your own images", (3,)),
)
_PLACES = ((0, 1), (1, 1), (2, 1), (3, 1), (4, 2), (4, 0), (4, 1), (5, 1), (6, 1), (4, 3))


@course_style()
def course_map(*, title: str | None = None, alt: str | None = None) -> AltFigure:
    """Draw which notebooks each notebook builds on."""
    figure, axes = _canvas(12.5, 3.3, title)
    places = [(2.4 * x, 1.05 * y) for x, y in _PLACES]
    for i, (number, name, what, needs) in enumerate(NOTEBOOKS):
        for j in needs:
            (x0, y0), (x1, y1) = places[j], places[i]
            _arrow(axes, (x0 + 1.02, y0), (x1 - 1.02, y1 + 0.1 * (y0 > y1) - 0.1 * (y0 < y1)))
        colour = BLUE if i <= 2 else (ORANGE if i <= 4 else GREEN if i in (6, 7, 8) else SKY)
        x, y = places[i]
        _box(axes, x, y, 1.96, 0.74, "", colour)
        axes.text(x - 0.88, y, number, va="center", fontsize=17, weight="bold", color=INK)
        axes.text(x - 0.55, y + 0.03, name, va="bottom", fontsize=7.6, weight="bold", color=INK)
        axes.text(x - 0.55, y - 0.06, what, va="top", fontsize=7, color=INK)
    axes.set(xlim=(-1.05, 15.45), ylim=(-0.45, 3.6))
    needed = "; ".join(
        f"{number} {name} ({what})" + (f" needs {' and '.join(map(str, needs))}" if needs else "")
        for number, name, what, needs in NOTEBOOKS
    )
    return finish(figure, title, f"The notebooks and what they build on: {needed}.", alt)


# ---------------------------------------------------------------------- pieces


def _head_words(k: int, c: int) -> str:
    colour = f"of {c} channel{'s' if c > 1 else ''}"
    if k == 2:
        return f"the map σ of 1 channel and two images {colour}, all through a sigmoid"
    return f"{k} maps of 1 channel, through a softmax, and {k} images {colour}, through a sigmoid"


def _canvas(width: float, height: float, title: str | None) -> tuple[AltFigure, Any]:
    figure = AltFigure(figsize=(width, height), dpi=DPI, facecolor="white")
    axes = figure.add_axes((0.01, 0.02, 0.98, 0.86 if title else 0.96))
    axes.set_axis_off()
    axes.set_aspect("equal")
    if title:
        figure.text(0.01, 0.97, as_text(title, symbols=True), va="top", fontsize=12)
    return figure, axes


def _maps(
    axes: Any, x: float, shape: tuple[int, int], most: tuple[int, int], colour: str, name: str
) -> float:
    """Draw a block of maps at x, labelled with its shape; return where the next one may begin."""
    channels, size = shape
    depth, side = 0.1 + 0.42 * channels / most[0], 0.3 + 1.1 * size / most[1]
    lean = 0.16 * side  # the maps' own width, in perspective
    low, high, back = -side / 2 - lean / 2, side / 2 - lean / 2, x + lean
    faces = {
        0.35: [(x, low), (x + depth, low), (x + depth, high), (x, high)],
        0.2: [(x, high), (x + depth, high), (back + depth, high + lean), (back, high + lean)],
        0.55: [
            (x + depth, low),
            (back + depth, low + lean),
            (back + depth, high + lean),
            (x + depth, high),
        ],
    }
    for alpha, corners in faces.items():
        axes.add_patch(Polygon(corners, facecolor="white"))
        axes.add_patch(
            Polygon(corners, facecolor=colour, alpha=alpha, edgecolor=INK, linewidth=0.6)
        )
    at, label = x + (depth + lean) / 2, f"{channels}\n{size}²"
    axes.text(at, low - 0.05, label, ha="center", va="top", fontsize=8)
    axes.text(at, high + lean + 0.04, name, ha="center", va="bottom", fontsize=9)
    return x + depth + lean + 0.24


def _picture(
    axes: Any, image: Any, x: float, y: float, side: float, name: str, is_map: bool = False
) -> float:
    """Show an image (C, H, W) around (x, y), with its name below; return where it ends."""
    pixels = np.asarray(image).transpose(1, 2, 0)
    colours = MAP_COLOURS if is_map else "gray"
    half = side / 2
    extent = (x - half, x + half, y - half, y + half)
    axes.imshow(
        pixels[..., 0] if pixels.shape[2] == 1 else pixels,
        cmap=colours,
        vmin=0,
        vmax=1,
        extent=extent,
        aspect="equal",
        zorder=2,
    )
    axes.text(x, y - half - 0.06, name, ha="center", va="top", fontsize=9)
    return x + half


def _vector(axes: Any, x: float, length: int, name: str, colour: str) -> float:
    axes.add_patch(Rectangle((x, -0.3), 0.14, 0.6, facecolor=colour, edgecolor=INK, alpha=0.8))
    axes.text(x + 0.07, -0.34, str(length), ha="center", va="top", fontsize=8)
    axes.text(x, 0.36, name, ha="left", va="bottom", fontsize=8, rotation=40)
    return x + 0.62


def _box(
    axes: Any, x: float, y: float, width: float, height: float, text: str, colour: str
) -> None:
    corner = x - width / 2, y - height / 2
    box = FancyBboxPatch(corner, width, height, boxstyle="round,pad=0.02", alpha=0.25)
    box.set(facecolor=colour, edgecolor=INK)
    axes.add_patch(box)
    axes.text(x, y, text, ha="center", va="center", fontsize=9)


def _arrow(
    axes: Any, start: tuple[float, float], end: tuple[float, float], colour: str = INK
) -> None:
    axes.add_patch(
        FancyArrowPatch(
            start, end, arrowstyle="-|>", mutation_scale=10, color=colour, linewidth=0.8
        )
    )
