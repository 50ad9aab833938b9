"""Drawings of what the course builds: the network with its shapes, the split head, the course."""

import textwrap
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
    course_style,
    finish,
)

INK = "#222222"

Place: TypeAlias = tuple[float, float]
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
def architecture(config: Config, *, split: bool = True, example: Sequence[Any] = ()) -> AltFigure:
    """Draw encoder, latent variables and decoder, with the shape after each block.

    A block's height stands for its pixels, its depth for its channels.

    Args:
        config: the model's.
        split: end in a Split VAE's head; otherwise in a plain image.
        example: an image and its reconstruction, (C, H, W) each, shown at the two ends.
    """
    k, c = config.components, config.channels
    out = (k * c + (1 if k == 2 else k)) if split else c
    down, up = encoder_shapes(config), decoder_shapes(config, out)
    figure, axes = _canvas(9.2, 2.7)
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
    axes.set(xlim=(-0.2, x + 0.1), ylim=(-2.15, 1.3))
    for at, words in (
        (first * (0.62 if example else 0.5), "encoder\nstrided convolutions,\nresidual blocks"),
        ((first + last) / 2 - 0.15, "latent\nvariables"),
        ((last + ends) / 2 - 0.3, "decoder\ntransposed convolutions,\nresidual blocks"),
    ):
        axes.text(at, -2.12, words, ha="center", va="bottom")
    way_in, way_out = (", ".join(f"{d} x {s} x {s}" for d, s in way) for way in (down, up))
    words = (
        f"From the image: {way_in}; an embedding of {config.embedding_dim}; {config.latent_dim} "
        f"latent variables; an embedding again; then {way_out}: "
        f"{head if split else 'the image'}."
    )
    return finish(figure, words)


@course_style()
def split_head(channels: int = 1, *, example: Sequence[Any]) -> AltFigure:
    """Draw how the last convolution's channels become a map and two images, and these the mixture.

    Args:
        channels: C, the channels of an image.
        example: sigma (1, H, W), x1, x2 and their mixture, (C, H, W) each.
    """
    if len(example) != 4:
        raise InputError("an example has four parts: sigma, x1, x2 and their mixture.")
    step, tall, total = 0.85, 0.84 * 0.85, 1 + 2 * channels
    height = 2 * step
    figure, axes = _canvas(8.4, height + 1.2)
    _box(axes, 0.5, height / 2, 1.0, height + tall, GREEN)
    words = f"last convolution:\n{total} channels"
    axes.text(0.5, height / 2, words, ha="center", va="center", rotation=90)
    for i, name in enumerate(("σ", "x1", "x2")):
        y, count = height - step * i, 1 if i == 0 else channels
        _arrow(axes, (1.1, y), (2.5, y))
        axes.text(1.75, y + 0.07, "sigmoid", ha="center", va="bottom", fontsize=10)
        _picture(axes, example[i], 2.95, y, tall, "", MAP_COLOURS if i == 0 else "gray")
        label = f"{name}, {count} channel{'s' if count > 1 else ''}"
        axes.text(3.5, y, label, va="center", fontsize=10)
        _arrow(axes, (4.9, y), (6.0, height / 2), BLUE if i else INK)
    _picture(axes, example[3], 6.9, height / 2, 1.5, "x = σ x1 + (1 − σ) x2")
    axes.set(xlim=(-0.1, 8.3), ylim=(-0.6, height + 0.6))
    words = (
        f"The decoder's last convolution has {total} channels: the map σ of 1 channel and two "
        f"images of {channels}, all through a sigmoid. They are mixed: x = σ x1 + (1 − σ) x2."
    )
    return finish(figure, words)


# number, name, what it is about, the notebooks that it needs, its place on the map, its colour
_NOTEBOOKS: tuple[tuple[str, str, str, Sequence[int], Place, str], ...] = (
    ("0", "Start here", "images as tensors", (), (0, 3), BLUE),
    ("1", "The VAE", "derive and build it", (0,), (0, 2), BLUE),
    ("2", "The ELBO", "why VAEs blur", (1,), (0, 1), BLUE),
    ("3", "The split decoder", "split and mix", (2,), (1, 1), ORANGE),
    ("4", "Sigma maps", "what kind of split?", (3,), (2, 3), ORANGE),
    ("5", "Train on CUDA", "fast, stoppable", (3,), (2, 0), SKY),
    ("6", "Sampling", "better samples", (3,), (2, 2), GREEN),
    ("7", "FID", "are they good?", (6,), (3, 2), GREEN),
    ("8", "The paper", "its claims, tested", (4, 7), (4, 2.5), GREEN),
    ("9", "Beyond the paper", "your own images", (3,), (2, 1), SKY),
    ("10", "Appendix", "longer looks", (5, 9), (3, 0.5), SKY),
)


@course_style()
def course_map() -> AltFigure:
    """Draw which notebooks each notebook builds on."""
    figure, axes = _canvas(9.2, 4.0)  # axes in inches
    places = [(1.83 * x, 1.02 * y) for *_, (x, y), _ in _NOTEBOOKS]
    told = []
    for (x, y), (number, name, what, needs, _, colour) in zip(places, _NOTEBOOKS, strict=True):
        for x0, y0 in (places[j] for j in needs):
            if x0 == x:
                _arrow(axes, (x0, y0 - 0.4), (x, y + 0.4))
            else:
                _arrow(axes, (x0 + 0.82, y0), (x - 0.82, y + 0.1 * (y0 > y) - 0.1 * (y0 < y)))
        _box(axes, x, y, 1.58, 0.72, colour)
        lines = textwrap.fill(name, 14)
        middle = y - 0.08 * lines.count("\n")
        size = 17 if len(number) == 1 else 10
        axes.text(x - 0.77, y, number, va="center", fontsize=size, weight="bold", color=INK)
        axes.text(x - 0.54, middle + 0.02, lines, va="bottom", weight="bold", color=INK)
        axes.text(x - 0.54, middle - 0.03, what, va="top", color=INK)
        needed = f" after {' and '.join(map(str, needs))}" if needs else ""
        told.append(f"{number} {name} ({what}){needed}")
    axes.set(xlim=(-0.85, 8.2), ylim=(-0.45, 3.5))
    return finish(figure, f"The notebooks in their order: {'; '.join(told)}.")


# ---------------------------------------------------------------------- pieces


def _canvas(width: float, height: float) -> tuple[AltFigure, Any]:
    figure = AltFigure(figsize=(width, height), dpi=DPI, facecolor="white")
    axes = figure.add_axes((0.01, 0.02, 0.98, 0.96))
    axes.set_axis_off()
    axes.set_aspect("equal")
    return figure, axes


def _maps(
    axes: Any, x: float, shape: tuple[int, int], most: tuple[int, int], colour: str, name: str
) -> float:
    """Draw a block of maps at x, labelled with its shape; return where the next one may begin."""
    channels, size = shape
    depth, side = 0.1 + 0.42 * channels / most[0], 0.3 + 1.1 * size / most[1]
    lean = 0.16 * side  # the maps' own width, in perspective
    low, high, back = -side / 2 - lean / 2, side / 2 - lean / 2, x + lean
    near, far = x + depth, back + depth
    faces = {
        0.35: [(x, low), (near, low), (near, high), (x, high)],
        0.2: [(x, high), (near, high), (far, high + lean), (back, high + lean)],
        0.55: [(near, low), (far, low + lean), (far, high + lean), (near, high)],
    }
    for alpha, corners in faces.items():
        face = Polygon(corners, facecolor=colour, alpha=alpha, edgecolor=INK, linewidth=0.6)
        axes.add_patch(face)
    at, label = x + (depth + lean) / 2, f"{channels}\n{size}²"
    axes.text(at, low - 0.05, label, ha="center", va="top", fontsize=10)
    axes.text(at, high + lean + 0.04, name, ha="center", va="bottom", fontsize=10)
    return x + depth + lean + 0.24


def _picture(
    axes: Any, image: Any, x: float, y: float, side: float, name: str, colours: str = "gray"
) -> float:
    """Show an image (C, H, W) around (x, y), with its name below; return where it ends."""
    pixels, half = np.asarray(image).transpose(1, 2, 0), side / 2  # imshow drops a C of 1
    extent = (x - half, x + half, y - half, y + half)
    axes.imshow(pixels, cmap=colours, vmin=0, vmax=1, extent=extent, zorder=2)
    axes.text(x, y - half - 0.06, name, ha="center", va="top", fontsize=10)
    return x + half


def _vector(axes: Any, x: float, length: int, name: str, colour: str) -> float:
    axes.add_patch(Rectangle((x, -0.3), 0.14, 0.6, facecolor=colour, edgecolor=INK, alpha=0.8))
    axes.text(x + 0.07, -0.34, str(length), ha="center", va="top", fontsize=10)
    axes.text(x, 0.36, name, ha="left", va="bottom", fontsize=10, rotation=40)
    return x + 0.62


def _box(axes: Any, x: float, y: float, width: float, height: float, colour: str) -> None:
    corner = x - width / 2, y - height / 2
    box = FancyBboxPatch(corner, width, height, boxstyle="round,pad=0.02", alpha=0.25)
    box.set(facecolor=colour, edgecolor=INK)
    axes.add_patch(box)


def _arrow(axes: Any, start: Place, end: Place, colour: str = INK) -> None:
    look: dict[str, Any] = {"arrowstyle": "-|>", "mutation_scale": 10, "linewidth": 0.8}
    axes.add_patch(FancyArrowPatch(start, end, color=colour, **look))
