"""Figures from arrays: returned, never shown, each with a text for readers who cannot see it.

Every function returns an :class:`AltFigure`. It is the last value of a notebook cell and appears
there as an image with its alternative text; elsewhere ``figure.savefig("name.png")`` keeps it.
pyplot is not involved, so no figure stays open and no global state changes.

Images are tensors or arrays (N, C, H, W), float in [0, 1] or uint8, C 1 or 3. They are drawn at an
integer multiple of their size, so that a pattern of single pixels stays one. Colours: Okabe and
Ito's palette for lines and viridis for maps, both safe for colour-blind readers; lines, markers or
direct labels tell series apart as well.
"""

from __future__ import annotations

import base64
import functools
import html
import io
import math
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ParamSpec, Protocol, TypeAlias

import matplotlib
import matplotlib.style
import numpy as np
import torch
from matplotlib.backend_bases import RendererBase
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.textpath import TextPath
from numpy.typing import NDArray
from torch import Tensor

from .diagnostics import SEMANTIC_FROM, SYNTACTIC_FROM, LatentStatistics, SplitKind
from .validation import InputError, check_images, check_uint8_images

Images: TypeAlias = Tensor | NDArray[Any]
"""(N, C, H, W), float in [0, 1] or uint8; C is 1 or 3."""
Pixels: TypeAlias = NDArray[np.uint8]
"""(N, H, W, 3) for pictures, (H, W, 3) for one."""

# Okabe and Ito's palette ("Color universal design", 2008) without its yellow, which is too light
# for lines on white; ordered so that neighbours differ in lightness as well.
BLUE, ORANGE, GREEN, VERMILLION, SKY, PURPLE, BLACK = PALETTE = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#D55E00",
    "#56B4E9",
    "#CC79A7",
    "#000000",
)
LINES = ("-", "--", "-.", ":")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
GREY = "#595959"
MAP_COLOURS = "viridis"

DPI = 100
_STYLE: dict[str, Any] = {
    "figure.dpi": DPI,
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
}


@contextmanager
def _style() -> Iterator[None]:
    """Matplotlib's defaults with ours on top, whatever the user's own settings are."""
    with matplotlib.style.context(["default", _STYLE]):
        yield


_P = ParamSpec("_P")


def _styled(plot: Callable[_P, AltFigure]) -> Callable[_P, AltFigure]:
    @functools.wraps(plot)
    def styled(*args: _P.args, **kwargs: _P.kwargs) -> AltFigure:
        with _style():
            return plot(*args, **kwargs)

    return styled


# ------------------------------------------------------------------ the figure and its display


class AltFigure(Figure):
    """A Matplotlib figure that carries its alternative text and shows itself in a notebook."""

    alt_text: str = ""
    """What the figure shows, in words."""

    def draw(self, renderer: RendererBase) -> None:
        """Draw in the course's style: Matplotlib makes ticks only now."""
        with _style():
            super().draw(renderer)

    def _ipython_display_(self) -> None:
        show(self)


def png(figure: Figure, *, scale: int = 1) -> bytes:
    """The figure as PNG, its alternative text among the metadata.

    Args:
        figure: any Matplotlib figure.
        scale: multiple of the figure's own resolution; 2 suits dense screens and print.
    """
    buffer = io.BytesIO()
    figure.savefig(
        buffer,
        format="png",
        dpi=scale * figure.dpi,
        metadata={"Software": None, "Description": _alt_text(figure)},
        pil_kwargs={"optimize": True},
    )
    return buffer.getvalue()


def img_tag(figure: Figure, *, scale: int = 1) -> str:
    """The figure as an HTML ``<img>`` with a data URI, its alternative text and its width."""
    data = base64.b64encode(png(figure, scale=scale)).decode("ascii")
    width = round(figure.get_figwidth() * figure.dpi)
    alt = html.escape(_alt_text(figure), quote=True)
    return f'<img alt="{alt}" width="{width}" src="data:image/png;base64,{data}">'


def show(figure: Figure, alt_text: str | None = None) -> None:
    """Display a figure in a notebook, as an image with alternative text.

    Notebook front ends give a plain PNG output no alternative text; an HTML image keeps it. Figures
    of this module do this by themselves; for your own, pass ``alt_text``.

    Raises:
        InputError: IPython is not installed, or a figure has no alternative text.
    """
    if alt_text is not None:
        figure.alt_text = alt_text  # type: ignore[attr-defined]
    if not _alt_text(figure):
        raise InputError("say in alt_text what the figure shows: show(figure, alt_text=...).")
    try:
        from IPython.display import display
    except ImportError:
        raise InputError(
            "figures are shown in notebooks; elsewhere keep one with figure.savefig('name.png')."
        ) from None
    display({"text/html": img_tag(figure), "text/plain": _alt_text(figure)}, raw=True)  # type: ignore[no-untyped-call]


def _alt_text(figure: Figure) -> str:
    return str(getattr(figure, "alt_text", ""))


def _figure(width: float, height: float) -> AltFigure:
    """An empty figure of a size in inches, whose axes arrange themselves."""
    return AltFigure(figsize=(width, height), dpi=DPI, facecolor="white", layout="constrained")


def _panels(count: int, width: float, height: float, *, most: int = 3) -> tuple[AltFigure, Any]:
    """A figure with ``count`` axes of a size in inches, at most ``most`` in a row."""
    columns = min(count, most)
    rows = math.ceil(count / columns)
    figure = _figure(width * columns, height * rows)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for unused in axes[count:]:
        unused.remove()
    return figure, axes[:count]


def _finish(figure: AltFigure, title: str | None, description: str, alt: str | None) -> AltFigure:
    """Set title and alternative text: the caller's, or the title and the description."""
    if title and figure.get_layout_engine() is not None:
        figure.suptitle(title, x=0.01, ha="left", fontsize=12)
    lead = f"{title.rstrip('.')}. " if title else ""
    figure.alt_text = alt if alt is not None else lead + description
    return figure


# ------------------------------------------------------------------ pictures

_WIDTH = 760
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


@_styled
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
    columns = min(_positive(columns, "columns"), len(pictures))
    rows = [_Row("", pictures[i : i + columns]) for i in range(0, len(pictures), columns)]
    figure = _picture_figure(rows, title=title)
    height, width = pictures.shape[1:3]
    text = f"{len(pictures)} images of {width}x{height} pixels in {len(rows)} rows."
    return _finish(figure, title, text, alt)


@_styled
def image_rows(
    rows: Mapping[str, Images],
    *,
    columns: int = 8,
    maps: Sequence[str] = (),
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
        title: shown above, and the beginning of the alternative text.
        alt: the alternative text, in place of the automatic one.

    Raises:
        InputError: no rows, images of another kind or of several sizes, an unknown name in maps.
    """
    unknown = set(maps) - set(rows)
    if unknown:
        raise InputError(f"maps names {sorted(unknown)}, which are not among the rows.")
    first = _positive(columns, "columns")
    drawn = [_Row(k, _pictures(v[:first], k, as_map=k in maps), k in maps) for k, v in rows.items()]
    figure = _picture_figure(drawn, title=title)
    text = f"{len(drawn)} rows of {len(drawn[0].pictures)} images: {', '.join(rows)}."
    return _finish(figure, title, text, alt)


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
    return _finish(figure, title, text + _mean_map(output, components, shown), alt)


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


@_styled
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
    return _finish(figure, title, text, alt)


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
    pixels = values.permute(0, 2, 3, 1).numpy()  # (N, H, W, C)
    if as_map:
        colours = matplotlib.colormaps[MAP_COLOURS](np.arange(256), bytes=True)[:, :3]  # (256, 3)
        return np.asarray(colours[pixels[..., 0]], dtype=np.uint8)
    return np.broadcast_to(pixels, (*pixels.shape[:3], 3))


def _picture_figure(
    rows: Sequence[_Row], *, title: str | None = None, above: Sequence[str] = ()
) -> AltFigure:
    """Lay pictures out in whole pixels, so that each of theirs becomes an equal square."""
    if not rows:
        raise InputError("there is nothing to draw: give at least one row of images.")
    height, width = rows[0].pictures.shape[1:3]
    sizes = {(len(row.pictures), *row.pictures.shape[1:3]) for row in rows[:-1]}
    if len(sizes) > 1 or rows[-1].pictures.shape[1:3] != (height, width):
        raise InputError("all rows must hold equally many images of one height and width.")
    columns = max(len(row.pictures) for row in rows)
    labels = [textwrap.fill(row.label, 16) for row in rows]
    left = _MARGIN + max(_text_width(label) for label in labels)
    left += _MARGIN if any(labels) else 0
    right = 56 if any(row.is_map for row in rows) else _MARGIN
    scale = max(1, min((_WIDTH - left - right) // (columns * (width + 1)), 128 // height))
    mosaic = _mosaic(rows, columns, scale)
    heading = "\n".join(
        textwrap.wrap(title, max(20, (left + mosaic.shape[1]) // 8)) if title else ()
    )
    top = _MARGIN + (18 * (heading.count("\n") + 1) + 4 if heading else 0) + (18 if above else 0)
    box = _Box(left, top, mosaic.shape[1], mosaic.shape[0], right)

    figure = AltFigure(figsize=(box.total_width / DPI, box.total_height / DPI), dpi=DPI)
    figure.set_facecolor("white")
    axes = figure.add_axes(box.place(0, 0, box.width, box.height))
    axes.imshow(mosaic, interpolation="nearest", aspect="auto")
    axes.set_axis_off()
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


# ------------------------------------------------------------------ curves

History: TypeAlias = Mapping[str, Sequence[float]]
"""One list per quantity, all of one length, ``step`` or ``epoch`` among them."""

_AXES = ("step", "epoch")
_NAMES = {
    "loss": "loss",
    "reconstruction": "reconstruction error (summed)",
    "kl": "KL divergence (nats)",
    "mse": "mean squared error",
    "gamma": "$\\gamma$ (variance per pixel)",
}
_LOGARITHMIC = ("gamma", "mse")


@_styled
def training_curves(
    history: History | Mapping[str, History],
    keys: Sequence[str] = ("loss", "gamma", "kl"),
    *,
    title: str | None = None,
    alt: str | None = None,
) -> AltFigure:
    """How training went: one panel per quantity, one line per run; gamma on a logarithmic scale.

    Args:
        history: a trainer's history, or several by the name of their run.
        keys: the quantities to draw.
        title: shown above, and the beginning of the alternative text.
        alt: the alternative text, in place of the automatic one.

    Raises:
        InputError: an empty history, a quantity that it lacks, lists of different lengths.
    """
    runs = {name: _check_history(h, keys, name) for name, h in _runs(history).items()}
    figure, panels = _panels(len(keys), 3.5, 2.9)
    for axes, key in zip(panels, keys, strict=True):
        for i, (name, run) in enumerate(runs.items()):
            x_name, x = _x_axis(run)
            axes.plot(x, run[key], LINES[i % 4], color=PALETTE[i % 7], linewidth=1.6, label=name)
            axes.set_xlabel(x_name)
        axes.set_title(_NAMES.get(key, key))
        if key in _LOGARITHMIC:
            axes.set_yscale("log")
    if len(runs) > 1:
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=min(len(runs), 4))
    text = "Training curves. " + " ".join(_describe_run(n, r, keys) for n, r in runs.items())
    return _finish(figure, title, text, alt)


def _runs(history: History | Mapping[str, History]) -> dict[str, History]:
    if history and all(isinstance(value, Mapping) for value in history.values()):
        return dict(history)  # type: ignore[arg-type]
    return {"": history}  # type: ignore[dict-item]


def _check_history(history: History, keys: Sequence[str], name: str) -> History:
    run = f"the run {name}" if name else "the history"
    if not keys:
        raise InputError("keys is empty: name at least one quantity, such as 'loss'.")
    missing = [key for key in keys if key not in history]
    if missing:
        raise InputError(f"{run} has no {missing}; it has {sorted(history)}.")
    drawn = [key for key in (*_AXES, *keys) if key in history]
    lengths = {len(history[key]) for key in drawn}
    if len(lengths) > 1:
        raise InputError(f"the lists of {run} differ in length: {sorted(lengths)}.")
    if lengths == {0}:
        raise InputError(f"{run} is empty: train for at least one logged step first.")
    return history


def _x_axis(run: History) -> tuple[str, Sequence[float]]:
    for name in _AXES:
        if name in run:
            return name, run[name]
    return "entry", range(1, len(next(iter(run.values()))) + 1)


def _describe_run(name: str, run: History, keys: Sequence[str]) -> str:
    x_name, x = _x_axis(run)
    ends = [f"{key} from {run[key][0]:.3g} to {run[key][-1]:.3g}" for key in keys]
    return f"{name + ', ' if name else ''}{x_name} {x[0]:g} to {x[-1]:g}: {', '.join(ends)}."


# ------------------------------------------------------------------ latent variables

Statistics: TypeAlias = LatentStatistics | Mapping[str, LatentStatistics]


@_styled
def variance_law(
    stats: Statistics, *, title: str | None = None, alt: str | None = None
) -> AltFigure:
    """var(mu) and mean(exp(log_var)) of each latent variable, stacked: the law says 1.

    Args:
        stats: of one model, or of several by name (a panel each).
        title: shown above, and the beginning of the alternative text.
        alt: the alternative text, in place of the automatic one.

    Raises:
        InputError: no statistics.
    """
    models = _models(stats)
    figure, panels = _panels(len(models), 4.6, 3.0, most=2)
    for axes, (name, s) in zip(panels, models.items(), strict=True):
        order = s.variance_of_means.argsort(descending=True)
        means, widths = s.variance_of_means[order].numpy(), s.mean_variance[order].numpy()
        x = np.arange(1, len(order) + 1)
        edge = {"edgecolor": "white", "linewidth": 0.4 if len(x) <= 64 else 0}
        axes.bar(x, means, width=1, color=BLUE, label="var($\\mu$)", **edge)
        axes.bar(x, widths, width=1, bottom=means, color=ORANGE, label="mean var($z|x$)", **edge)
        axes.axhline(1, color=BLACK, linestyle="--", linewidth=1.2, label="the law: 1")
        axes.set(title=name, xlabel="latent variable, by var($\\mu$)", xlim=(0.5, len(x) + 0.5))
        axes.grid(False, axis="x")
    panels[0].set_ylabel("variance")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return _finish(figure, title, _describe_models("Stacked bars", models), alt)


@_styled
def latent_activity(
    stats: Statistics, *, title: str | None = None, alt: str | None = None
) -> AltFigure:
    """Each latent variable by var(mu) and mean(exp(log_var)), the inactive region shaded.

    Args:
        stats: of one model, or of several by name (a panel each).
        title: shown above, and the beginning of the alternative text.
        alt: the alternative text, in place of the automatic one.

    Raises:
        InputError: no statistics.
    """
    models = _models(stats)
    figure, panels = _panels(len(models), 4.2, 3.8, most=2)
    highest = [torch.maximum(s.mean_variance, s.variance_of_means).max() for s in models.values()]
    limits = (-0.04, 1.05 * max(1.05, *map(float, highest)))
    for axes, (name, s) in zip(panels, models.items(), strict=True):
        axes.axvspan(limits[0], s.lowest_variance_of_means, color="#ececec", zorder=0)
        axes.axhspan(
            s.highest_mean_variance, limits[1], color="#ececec", zorder=0, label="inactive"
        )
        axes.plot([0, 1], [1, 0], "--", color=GREY, linewidth=1.2, label="variance law")
        for mask, marker, colour, word in (
            (~s.inactive, "o", BLUE, "active"),
            (s.inactive, "x", VERMILLION, "inactive"),
        ):
            points = s.variance_of_means[mask], s.mean_variance[mask]
            label = f"{word}: {int(mask.sum())}"
            axes.scatter(*points, s=26, marker=marker, color=colour, alpha=0.85, label=label)
        axes.set(xlim=limits, ylim=limits, title=name, xlabel="var($\\mu$)")
        handles, labels = axes.get_legend_handles_labels()
        axes.legend(handles[1:], labels[1:], loc="upper right", fontsize=9)
    panels[0].set_ylabel("mean var($z|x$)")
    return _finish(figure, title, _describe_models("Latent variables as points", models), alt)


def _models(stats: Statistics) -> dict[str, LatentStatistics]:
    models = {"": stats} if isinstance(stats, LatentStatistics) else dict(stats)
    if not models:
        raise InputError("there are no latent statistics to draw.")
    return models


def _describe_models(what: str, models: Mapping[str, LatentStatistics]) -> str:
    each = [f"{name + ': ' if name else ''}{s}" for name, s in models.items()]
    return f"{what} by var(mu) and mean posterior variance. " + "; ".join(each) + "."


# ------------------------------------------------------------------ scores and splits


@_styled
def score_bars(
    rows: Sequence[Mapping[str, Any]],
    *,
    xlabel: str,
    title: str | None = None,
    alt: str | None = None,
) -> AltFigure:
    """Horizontal bars with their values, error bars where there are errors, coloured by group.

    Args:
        rows: each with ``label`` (str) and ``value`` (float), and optionally ``error`` (half the
            length of the error bar) and ``group`` (str). Labels recur across groups.
        xlabel: what is measured, in full: "FID (LeNet), N = 1000, lower is better".
        title: shown above, and the beginning of the alternative text.
        alt: the alternative text, in place of the automatic one.

    Raises:
        InputError: no rows, a row without label or finite value, a pair of label and group twice.
    """
    bars = _check_scores(rows)
    labels = list(dict.fromkeys(label for label, _ in bars))
    groups = list(dict.fromkeys(group for _, group in bars))
    thickness = 0.8 / len(groups)
    figure = _figure(7.2, 1.2 + 0.3 * len(labels) * max(1, 0.75 * len(groups)))
    axes = figure.subplots()
    reach = max(abs(value) + error for value, error in bars.values()) or 1.0
    for g, group in enumerate(groups):
        own = [(i, *bars[label, group]) for i, label in enumerate(labels) if (label, group) in bars]
        y = [i + (g - (len(groups) - 1) / 2) * thickness for i, _, _ in own]
        values, errors = [v for _, v, _ in own], [e for _, _, e in own]
        colour = PALETTE[g % 7]
        axes.barh(y, values, height=0.92 * thickness, color=colour, label=group or None)
        axes.errorbar(values, y, xerr=errors, fmt="none", ecolor=BLACK, capsize=3, linewidth=1.2)
        for place, value, error in zip(y, values, errors, strict=True):
            text = f"{value:.3g}" + (f" ± {error:.2g}" if error else "")
            end = max(value, 0) + error + 0.012 * reach
            axes.text(end, place, text, va="center", fontsize=9)
    axes.set_yticks(range(len(labels)), labels)
    axes.invert_yaxis()
    axes.grid(False, axis="y")
    axes.margins(x=0.18)
    axes.set_xlabel(xlabel)
    if len(groups) > 1:
        figure.legend(loc="outside lower center", ncols=min(len(groups), 4))
    text = f"Bars of {xlabel}: " + "; ".join(_describe_score(k, *v) for k, v in bars.items()) + "."
    return _finish(figure, title, text, alt)


def _check_scores(rows: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str], tuple[float, float]]:
    """Rows as (label, group) to (value, error), in their order."""
    bars: dict[tuple[str, str], tuple[float, float]] = {}
    for row in rows:
        if "label" not in row or not math.isfinite(row.get("value", math.nan)):
            raise InputError(f"each row needs a label and a finite value: {dict(row)}.")
        key = (str(row["label"]), str(row.get("group") or ""))
        if key in bars:
            raise InputError(f"there are two rows for {' '.join(key).strip()}: keep one.")
        bars[key] = (float(row["value"]), float(row.get("error") or 0))
    if not bars:
        raise InputError("there are no scores to draw.")
    return bars


def _describe_score(key: tuple[str, str], value: float, error: float) -> str:
    label = " ".join(part for part in (key[1], key[0]) if part)
    return f"{label} {value:.3g}" + (f" ± {error:.2g}" if error else "")


@_styled
def split_plane(
    points: Sequence[SplitKind],
    groups: Sequence[str] | None = None,
    *,
    title: str | None = None,
    alt: str | None = None,
) -> AltFigure:
    """Models on the plane of the two kinds of split; hollow points split nothing.

    Args:
        points: one per model, from :func:`svae_lib.diagnostics.split_kind`.
        groups: one name per point, for colours and markers.
        title: shown above, and the beginning of the alternative text.
        alt: the alternative text, in place of the automatic one.

    Raises:
        InputError: no points, or groups of another number.
    """
    groups = [""] * len(points) if groups is None else list(groups)
    if not points or len(groups) != len(points):
        raise InputError(f"{len(points)} points need one group each; {len(groups)} were given.")
    figure = _figure(5.6, 4.6)
    axes = figure.subplots()
    axes.axvline(SYNTACTIC_FROM, color=GREY, linestyle=":", linewidth=1.2)
    axes.axhline(SEMANTIC_FROM, color=GREY, linestyle=":", linewidth=1.2)
    for g, name in enumerate(dict.fromkeys(groups)):
        own = [p for p, group in zip(points, groups, strict=True) if group == name]
        colour, x, y = PALETTE[g % 7], [p.syntactic for p in own], [p.semantic for p in own]
        faces = ["none" if p.label == "none" else colour for p in own]
        axes.scatter(
            x,
            y,
            s=44,
            marker=MARKERS[g % 7],
            facecolors=faces,
            edgecolors=colour,
            label=name or None,
        )
    for word, right, top in _CORNERS:
        axes.annotate(
            word,
            (0.99 if right else 0.01, 0.99 if top else 0.01),
            xycoords="axes fraction",
            ha="right" if right else "left",
            va="top" if top else "bottom",
            color=GREY,
            style="italic",
        )
    axes.set(xlim=(-0.05, 1.05), ylim=(-0.07, 1.07))
    axes.set_xlabel("share of $\\sigma$'s energy near Nyquist (syntactic)")
    axes.set_ylabel("agreement with contours above chance (semantic)")
    if any(groups):
        figure.legend(loc="outside lower center", ncols=min(len(set(groups)), 4))
    counts = {word: sum(p.label == word for p in points) for word in _KINDS}
    text = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
    return _finish(figure, title, f"{len(points)} models on the plane of splits: {text}.", alt)


_CORNERS = (
    ("semantic", False, True),
    ("mixed", True, True),
    ("mixed", False, False),
    ("syntactic", True, False),
)
_KINDS = ("syntactic", "semantic", "mixed", "none")


def _positive(value: int, name: str) -> int:
    if value < 1:
        raise InputError(f"{name} must be at least 1, not {value}.")
    return value
