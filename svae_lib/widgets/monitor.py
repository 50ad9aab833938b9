"""A trainer's curves, drawn again and again while it trains."""

from __future__ import annotations

import io
import time
from collections.abc import Mapping, Sequence
from typing import Any

from PIL import Image

from ..plots import png, training_curves
from ..support.checks import InputError
from ..training import Trainer
from .frames import Frame


class TrainingMonitor:
    """Redraws a trainer's curves in a notebook while it trains; see :func:`training_monitor`.

    ``frame`` is the curves as last drawn; None before the first entry of the history.
    """

    def __init__(self, keys: Sequence[str], every: float) -> None:
        self.keys = tuple(keys)
        self.every = every
        self.frame: Frame | None = None
        self._drawn = float("-inf")
        self._handle: Any = None

    def __call__(self, trainer: Trainer) -> None:
        """Draw the history so far, unless that was done less than ``every`` seconds ago."""
        at_end = trainer.step >= trainer.config.steps
        if at_end or time.monotonic() - self._drawn >= self.every:
            self.draw(trainer)

    def draw(self, trainer: Trainer) -> None:
        """Draw the history so far; call it after a training that stopped before its last step."""
        self.frame = curves(trainer.history, self.keys)
        self._drawn = time.monotonic()
        try:
            from IPython import get_ipython
            from IPython.display import display
        except ImportError:
            return
        if self._handle is not None:
            self._handle.update(self.frame.bundle(), raw=True)
        elif get_ipython() is not None:  # plain Python has nothing to draw into
            self._handle = display(self.frame.bundle(), raw=True, display_id=True)  # type: ignore[no-untyped-call]


def training_monitor(
    trainer: Trainer, keys: Sequence[str] = ("loss", "gamma"), *, every: float = 3.0
) -> TrainingMonitor:
    """A monitor of a training: ``trainer.fit(on_log=[training_monitor(trainer)])``.

    The curves appear below the cell and are replaced as the training goes on; the last ones stay
    in a stored notebook. A kernel that trains could not answer any control, so this is a picture
    alone, and needs no ipywidgets. Outside notebooks only its ``frame`` changes.

    Args:
        trainer: whose history is drawn.
        keys: quantities of the history, a panel each.
        every: least seconds between two drawings, each of which takes about a quarter of one.
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
    """:func:`svae_lib.plots.training_curves` of a history, as one state of a live picture."""
    figure = training_curves(history, keys)
    image = png(figure)
    with Image.open(io.BytesIO(image)) as opened:
        return Frame(image, opened.size, figure.alt_text)
