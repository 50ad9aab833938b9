"""Drawings of what the course builds: the network with its shapes, the split head, the course."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle

from .figure import BLUE, DPI, GREEN, ORANGE, PURPLE, SKY, AltFigure, as_text, course_style, finish

INK = "#222222"


Config: TypeAlias = Any
"""A :class:`svae_lib.ModelConfig`, which lies above this module."""


def encoder_shapes(config: Config) -> list[tuple[int, int]]:
    """(channels, pixels a side) of the image and after each strided convolution."""
    scales = range(config.num_scales)
    halved = [(config.base_dim * 2**i, config.image_size // 2 ** (i + 1)) for i in scales]
    return [(config.channels, config.image_size), *halved]


def decoder_shapes(config: Config, out_channels: int) -> list[tuple[int, int]]:
    """(channels, pixels a side) from the 4x4 start to the head's maps."""
    doublings = (config.image_size // 4).bit_length() - 1
    shapes = [(config.base_dim * 2 ** (doublings - i), 4 * 2**i) for i in range(doublings + 1)]
    return [*shapes, (out_channels, config.image_size)]


@course_style()
def architecture(
    config: Config, *, split: bool = True, title: str | None = None, alt: str | None = None
) -> AltFigure:
    """Draw encoder, latent variables and decoder, with the shape after each block.

    Height says how many pixels a map has, width how many channels. ``split`` ends in a Split VAE's
    head, otherwise in a plain image.
    """
    k, c = config.components, config.channels
    out = (k * c + (1 if k == 2 else k)) if split else c
    down, up = encoder_shapes(config), decoder_shapes(config, out)
    figure, axes = _canvas(11, 3.4, title)
    most = max(channels for channels, _ in (*down, *up)), config.image_size
    x = 0.0
    for i, shape in enumerate(down):
        x = _maps(axes, x, shape, most, BLUE if i else INK, "" if i else "x")
    x = _vector(axes, x, config.embedding_dim, "embedding", SKY)
    middle = x
    x = _vector(axes, x, config.latent_dim, "μ, log s²", ORANGE)
    x = _vector(axes, x, config.latent_dim, "z = μ + s ε", ORANGE)
    x = _vector(axes, x, config.embedding_dim, "embedding", SKY)
    for shape in up[:-1]:
        x = _maps(axes, x, shape, most, GREEN, "")
    head = "σ, x1, x2" if k == 2 else f"{k} maps, {k} images"
    x = _maps(axes, x, up[-1], most, PURPLE, head if split else "x̂")
    axes.set_xlim(-0.2, x)
    axes.text(middle / 2, -1.08, "encoder: strided convolutions, residual blocks", ha="center")
    words = "decoder: transposed convolutions, residual blocks"
    axes.text((middle + x) / 2 + 0.6, -1.08, words, ha="center")
    axes.set_ylim(-1.2, 1.0)
    way_in, way_out = (", ".join(f"{d} x {s} x {s}" for d, s in way) for way in (down, up))
    words = (
        f"From the image: {way_in}; an embedding of {config.embedding_dim}; {config.latent_dim} "
        f"latent variables; an embedding again; then {way_out}: "
        f"{_head_words(k, c) if split else 'the image'}."
    )
    return finish(figure, title, words, alt)


@course_style()
def split_head(
    channels: int = 1, components: int = 2, *, title: str | None = None, alt: str | None = None
) -> AltFigure:
    """Draw how the last convolution's channels become K maps and images of C channels, and x."""
    k, c = components, channels
    figure, axes = _canvas(8.4, 0.7 * k + 1.2, title)
    top = float(k)
    maps = ["σ"] if k == 2 else [f"w{i + 1}" for i in range(k)]
    rows = [*maps, *(f"x{i + 1}" for i in range(k))]
    through = "sigmoid" if k == 2 else "softmax over the maps"
    step = top / max(len(rows) - 1, 1)
    total = len(maps) + k * c
    axes.add_patch(Rectangle((0, -0.3), 0.9, top + 0.6, color=GREEN, alpha=0.35))
    axes.text(0.45, top / 2, f"logits\n{total} channels", ha="center", va="center", rotation=90)
    for i, name in enumerate(rows):
        y = top - i * step
        is_map = i < len(maps)
        how = through if is_map else "sigmoid"
        width = "1 channel" if is_map else f"{c} channel{'s' if c > 1 else ''}"
        _box(axes, 3.6, y, 1.5, 0.42, f"{name}: {width}", PURPLE if is_map else BLUE)
        _arrow(axes, (0.95, y), (2.8, y))
        axes.text(1.85, y + 0.07, how, ha="center", va="bottom", fontsize=8)
        _arrow(axes, (4.4, y), (6.0, top / 2))
    sum_of = "σ x1 + (1 − σ) x2" if k == 2 else f"w1 x1 + … + w{k} x{k}"
    _box(axes, 7.1, top / 2, 2.1, 0.6, f"x = {sum_of}", ORANGE)
    axes.set_xlim(-0.1, 8.3)
    axes.set_ylim(-0.6, top + 0.6)
    words = (
        f"The decoder's last convolution has {total} channels: {_head_words(k, c)}. "
        f"They are mixed: x = {sum_of}."
    )
    return finish(figure, title, words, alt)


NOTEBOOKS: tuple[tuple[str, str, Sequence[int]], ...] = (
    ("0", "Start here", ()),
    ("1", "The VAE", (0,)),
    ("2", "Balancing the ELBO", (1,)),
    ("3", "The split decoder", (2,)),
    ("4", "Sigma maps", (3,)),
    ("5", "Training on CUDA", (3,)),
    ("6", "Sampling", (3,)),
    ("7", "FID", (6,)),
    ("8", "The paper, reproduced", (4, 7)),
    ("9", "Beyond the paper", (3,)),
)
_PLACES = ((0, 1), (1, 1), (2, 1), (3, 1), (4, 2), (4, 0), (4, 1), (5, 1), (6, 1), (4, 3))


@course_style()
def course_map(*, title: str | None = None, alt: str | None = None) -> AltFigure:
    """Draw which notebook needs which."""
    figure, axes = _canvas(11, 3.4, title)
    places = [(1.9 * x, float(y)) for x, y in _PLACES]
    for i, (number, name, needs) in enumerate(NOTEBOOKS):
        for j in needs:
            (x0, y0), (x1, y1) = places[j], places[i]
            _arrow(axes, (x0 + 0.78, y0), (x1 - 0.78, y1))
        colour = BLUE if i <= 3 else GREEN
        _box(axes, *places[i], 1.52, 0.62, f"{number}\n{name}", colour)
    axes.set_xlim(-0.85, 12.25)
    axes.set_ylim(-0.5, 3.5)
    needed = "; ".join(
        f"{number} {name}" + (f" needs {' and '.join(map(str, needs))}" if needs else "")
        for number, name, needs in NOTEBOOKS
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
    if title:
        figure.text(0.01, 0.97, as_text(title, symbols=True), va="top", fontsize=12)
    return figure, axes


def _maps(
    axes: Any, x: float, shape: tuple[int, int], most: tuple[int, int], colour: str, name: str
) -> float:
    """Draw a stack of maps at x, labelled with its shape; returns where the next may begin."""
    channels, size = shape
    width, height = 0.12 + 0.5 * channels / most[0], 0.25 + 1.25 * size / most[1]
    axes.add_patch(
        Rectangle((x, -height / 2), width, height, facecolor=colour, alpha=0.45, edgecolor=INK)
    )
    at, label = x + width / 2, f"{channels}\n{size}²"
    axes.text(at, -height / 2 - 0.04, label, ha="center", va="top", fontsize=8)
    axes.text(at, height / 2 + 0.04, name, ha="center", va="bottom", fontsize=9)
    return x + width + 0.34


def _vector(axes: Any, x: float, length: int, name: str, colour: str) -> float:
    axes.add_patch(Rectangle((x, -0.3), 0.14, 0.6, facecolor=colour, edgecolor=INK, alpha=0.8))
    axes.text(x + 0.07, -0.34, str(length), ha="center", va="top", fontsize=8)
    axes.text(x + 0.07, 0.36, name, ha="center", va="bottom", fontsize=8, rotation=35)
    return x + 0.62


def _box(
    axes: Any, x: float, y: float, width: float, height: float, text: str, colour: str
) -> None:
    corner = x - width / 2, y - height / 2
    box = FancyBboxPatch(corner, width, height, boxstyle="round,pad=0.02", alpha=0.25)
    box.set(facecolor=colour, edgecolor=INK)
    axes.add_patch(box)
    axes.text(x, y, text, ha="center", va="center", fontsize=9)


def _arrow(axes: Any, start: tuple[float, float], end: tuple[float, float]) -> None:
    axes.add_patch(
        FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=10, color=INK, linewidth=0.8)
    )
