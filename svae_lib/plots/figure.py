"""A figure with alternative text: its style, how it moves, and how notebooks and pages show it."""

import base64
import functools
import html
import io
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib.style
from matplotlib.cbook import is_math_text
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.mathtext import MathTextParser
from matplotlib.text import Text
from PIL import Image

from ..support.checks import InputError

# Okabe and Ito's palette ("Color universal design", 2008) without its yellow, which is too light
# for lines on white; ordered so that neighbours differ in lightness as well.
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9", "#CC79A7", "#000000")
BLUE, ORANGE, GREEN, VERMILLION, SKY, PURPLE, BLACK = PALETTE
LINES = ("-", "--", "-.", ":")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
GREY = "#595959"
MAP_COLOURS = "viridis"
SHOWN = 250
"""Milliseconds for each figure that moves; the last one stays four times as long."""

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

course_style = functools.partial(matplotlib.style.context, ["default", _STYLE])
"""Context or decorator: Matplotlib's defaults and our style, whatever the user's own is."""


class AltFigure(Figure):
    """A Matplotlib figure that carries its alternative text and shows itself in a notebook."""

    alt_text: str = ""
    """What the figure shows, in words."""
    section: str = "pictures"
    """Part of a report that it belongs to: pictures, curves or diagnostics."""

    def savefig(self, *args: Any, **kwargs: Any) -> None:
        """Save in the course's style: only now does Matplotlib make ticks and a background."""
        with course_style():
            super().savefig(*args, **kwargs)

    def _ipython_display_(self) -> None:
        show(self)


def png(figure: Figure, *, scale: int = 1) -> bytes:
    """A Matplotlib figure as PNG, its alternative text among the metadata.

    ``scale`` multiplies the figure's own resolution; 2 suits dense screens and print.
    """
    buffer, metadata = io.BytesIO(), {"Software": None, "Description": alt_text_of(figure)}
    dpi, smaller = scale * figure.dpi, {"optimize": True}
    figure.savefig(buffer, format="png", dpi=dpi, metadata=metadata, pil_kwargs=smaller)
    return buffer.getvalue()


def img_tag(figure: Figure, *, scale: int = 1) -> str:
    """The figure as an HTML ``<img>`` with a data URI, its alternative text and its width."""
    return png_tag(png(figure, scale=scale), alt_text_of(figure), scale=scale)


def png_tag(image: bytes, alt: str, *, scale: int = 1, more: str = "") -> str:
    """An HTML ``<img>`` that holds a PNG, with its alternative text, and ``more`` attributes."""
    width = int.from_bytes(image[16:20], "big") // scale  # from the PNG's header
    source = "data:image/png;base64," + base64.b64encode(image).decode("ascii")
    return f'<img alt="{html.escape(alt)}" width="{width}" {more}src="{source}">'


def show(figure: Figure, alt_text: str | None = None) -> None:
    """Display a figure in a notebook, as an image with alternative text.

    Notebook front ends give a plain PNG output no alternative text; an HTML image keeps it. Figures
    of this package do this by themselves; for your own, pass ``alt_text``.
    """
    if alt_text is not None:
        figure.alt_text = alt_text  # type: ignore[attr-defined]
    if not alt_text_of(figure):
        raise InputError("say in alt_text what the figure shows: show(figure, alt_text=...).")
    try:
        from IPython.display import display
    except ImportError:
        raise InputError(
            "figures are shown in notebooks; elsewhere keep one with figure.savefig('name.png')."
        ) from None
    display({"text/html": img_tag(figure), "text/plain": alt_text_of(figure)}, raw=True)  # type: ignore[no-untyped-call]


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
        duration=[SHOWN] * (len(frames) - 1) + [4 * SHOWN],
        loop=2,
        optimize=True,
    )
    return MovingPicture(buffer.getvalue(), alt)


@functools.lru_cache(1000)  # a widget draws the same labels again and again
def holds_formulas(text: str) -> bool:
    """Whether Matplotlib can read what stands between the ``$`` of a text, which may be a name."""
    try:
        for line in filter(is_math_text, text.split("\n")):
            MathTextParser("path").parse(line)
    except ValueError:
        return False
    return True


def as_words(label: str) -> str:
    """A label for an alternative text: its formulas, such as ``$x_1$``, without their marks."""
    if not holds_formulas(label):
        return label
    return re.sub(r"\$(.+?)\$", lambda found: re.sub(r"[\\_{}]", "", found[1]), label)


def alt_text_of(figure: Figure) -> str:
    """The figure's alternative text, empty where it has none."""
    return str(getattr(figure, "alt_text", ""))


def empty_figure(width: float, height: float) -> AltFigure:
    """An empty figure of a size in inches, whose axes arrange themselves."""
    layout = ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.05)
    return AltFigure(figsize=(width, height), dpi=DPI, facecolor="white", layout=layout)


def panels_of(count: int, width: float, height: float, *, most: int = 3) -> tuple[AltFigure, Any]:
    """A figure with ``count`` axes of a size in inches, at most ``most`` in a row."""
    columns = min(count, most)
    rows = math.ceil(count / columns)
    figure = empty_figure(width * columns, height * rows)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for unused in axes[count:]:
        unused.remove()
    return figure, axes[:count]


def finish(
    figure: AltFigure,
    words: str,
    title: str | None = None,
    section: str = "pictures",
    alt: str | None = None,
) -> AltFigure:
    """Set title, part of a report, and alternative text: the caller's, or the title and ours."""
    if title and figure.get_layout_engine() is not None:
        figure.suptitle(title, x=0.01, ha="left", fontsize=12)
    for text in figure.findobj(Text):
        text.set_parse_math(holds_formulas(text.get_text()))
    lead = f"{as_words(title).rstrip('.')}. " if title else ""
    figure.alt_text = alt if alt is not None else lead + words
    figure.section = section
    return figure
