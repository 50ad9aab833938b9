"""A trainer's curves, drawn again and again while it trains."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.ticker import LogLocator, MaxNLocator
from PIL import Image, ImageDraw

from ..plots.charts import LOGARITHMIC
from ..plots.figure import BLUE
from ..support.checks import InputError
from ..training import Trainer
from .frames import Frame, font


class TrainingMonitor:
    """Redraws a trainer's curves in a notebook while it trains; see :func:`training_monitor`.

    Attributes:
        frame: the curves as last drawn; None before the first entry of the history.
    """

    def __init__(self, keys: Sequence[str], every: float) -> None:
        self.keys = tuple(keys)
        self.every = every
        self.frame: Frame | None = None
        self._drawn = float("-inf")
        self._handle: Any = None

    def __call__(self, trainer: Trainer) -> None:
        """Draw the history so far, unless that was done less than ``every`` seconds ago."""
        last = trainer.step >= trainer.config.steps
        if last or time.monotonic() - self._drawn >= self.every:
            self.draw(trainer)

    def draw(self, trainer: Trainer) -> None:
        """Draw the history so far; call it after a training that stopped before its last step."""
        self.frame = curves(trainer.history, self.keys)
        self._show(self.frame.bundle())
        self._drawn = time.monotonic()

    def _show(self, bundle: dict[str, str]) -> None:
        try:
            from IPython import get_ipython
            from IPython.display import display
        except ImportError:
            return
        if get_ipython() is None:  # plain Python has nothing to draw into
            return
        if self._handle is None:
            self._handle = display(bundle, raw=True, display_id=True)  # type: ignore[no-untyped-call]
        else:
            self._handle.update(bundle, raw=True)


def training_monitor(
    trainer: Trainer, keys: Sequence[str] = ("loss", "gamma"), *, every: float = 1.0
) -> TrainingMonitor:
    """A monitor of a training: ``trainer.fit(on_log=[training_monitor(trainer)])``.

    The curves appear below the cell and are replaced as the training goes on; the last ones stay
    in a stored notebook. The kernel is busy while it trains and could answer no control, so this is
    a picture alone, and needs no ipywidgets. Outside notebooks only its ``frame`` changes.

    Args:
        trainer: whose history is drawn.
        keys: quantities of the history, a panel each.
        every: seconds that pass between two drawings, at least.
    """
    unknown = [key for key in keys if key not in trainer.history]
    if unknown or not keys:
        raise InputError(
            f"keys must name quantities of the history, {sorted(trainer.history)}, not {keys}."
        )
    monitor = TrainingMonitor(keys, every)
    if trainer.history["step"]:
        monitor.draw(trainer)
    return monitor


def curves(history: Mapping[str, Sequence[float]], keys: Sequence[str]) -> Frame:
    """A trainer's history as curves, a panel per quantity, gamma and mse on a logarithmic scale.

    :func:`svae_lib.plots.training_curves` is finer, and takes as long as several training steps.

    Args:
        history: one list per quantity, all of one length of at least 1, ``step`` among them.
        keys: the quantities to draw.
    """
    steps = history["step"]
    panels = [_curve(key, steps, history[key]) for key in keys]
    image = Image.new("RGB", (len(panels) * _PANEL[0], _PANEL[1]), "white")
    for i, panel in enumerate(panels):
        image.paste(panel, (i * _PANEL[0], 0))
    ends = [f"{key} from {history[key][0]:.3g} to {history[key][-1]:.3g}" for key in keys]
    alt = f"Training curves. Step {steps[0]:g} to {steps[-1]:g}: {', '.join(ends)}."
    return Frame.of(image, alt)


_PANEL = (380, 240)
"""Width and height of a curve's panel in pixels."""
_FRAME = (64, 30, 368, 206)
"""Left, top, right, bottom of the curve within its panel."""
_TITLES = {"gamma": "γ (variance per pixel)", "kl": "KL divergence (nats)", "mse": "squared error"}


def _curve(key: str, x: Sequence[float], y: Sequence[float]) -> Image.Image:
    """One panel: title, ticks with grid lines, and the curve with a dot at its end."""
    logarithmic = key in LOGARITHMIC and min(y) > 0
    left, top, right, bottom = (2 * side for side in _FRAME)  # twice as large: smooth lines
    image = Image.new("RGB", (2 * _PANEL[0], 2 * _PANEL[1]), "white")
    pen = ImageDraw.Draw(image)
    across = _Scale(min(x), max(x), left, right)
    up = _Scale(min(y), max(y), bottom - 10, top + 10, logarithmic)
    pen.text((left, 8), _TITLES.get(key, key), fill="black", font=font(28))
    for value in up.ticks():
        pen.line([(left, up(value)), (right, up(value))], fill="#dddddd", width=2)
        pen.text((left - 10, up(value)), f"{value:.4g}", fill="black", font=font(24), anchor="rm")
    for value in across.ticks():
        pen.text((across(value), bottom + 8), f"{value:g}", "black", font(24), anchor="ma")
    pen.text((right, bottom + 40), "step", fill="black", font=font(24), anchor="ra")
    pen.line([(left, top), (left, bottom), (right, bottom)], fill="black", width=2)
    points = [(across(a), up(b)) for a, b in zip(x, y, strict=True)]
    pen.line(points, fill=BLUE, width=4, joint="curve")
    x_end, y_end = points[-1]
    pen.ellipse((x_end - 7, y_end - 7, x_end + 7, y_end + 7), fill=BLUE)
    return image.reduce(2)


@dataclass(frozen=True)
class _Scale:
    """Values from ``low`` to ``high`` to pixels from ``start`` to ``end``."""

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = False

    def __call__(self, value: float) -> float:
        low, high, here = (
            math.log(v) if self.logarithmic else v for v in (self.low, self.high, value)
        )
        part = (here - low) / (high - low) if high > low else 0.5
        return self.start + part * (self.end - self.start)

    def ticks(self) -> list[float]:
        """A few round values from low to high."""
        whole = MaxNLocator(4, integer=self.high - self.low > 4)  # no half steps
        locator = LogLocator(subs=(1, 2, 5)) if self.logarithmic else whole
        found = [float(v) for v in locator.tick_values(self.low, self.high)]
        return [v for v in found if self.low <= v <= self.high] or [self.low]
