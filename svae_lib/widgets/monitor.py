"""A trainer's curves, drawn again and again while it trains."""

import math
import time
from typing import Any

from ..plots import AltFigure, img_tag, training_curves
from ..training import Trainer


class TrainingMonitor:
    """A monitor of a training: ``trainer.fit(on_log=[training_monitor(trainer)])``.

    The curves appear below the cell and are replaced as the training goes on; the last ones stay
    in a stored notebook. A kernel that trains could not answer any control, so this is a picture
    alone, and needs no ipywidgets. Outside notebooks only its ``figure`` changes: the curves as
    last drawn, None before the first entry of the history.

    Args:
        trainer: whose history is drawn.
        every: least seconds between two drawings, each of which takes about a quarter of one.
    """

    def __init__(self, trainer: Trainer, *, every: float = 5.0) -> None:
        self.every = every
        self.figure: AltFigure | None = None
        self._drawn = -math.inf
        self._handle: Any = None
        if trainer.history["step"]:
            self(trainer)

    def __call__(self, trainer: Trainer) -> None:
        """Draw the history so far, unless that was done less than ``every`` seconds ago."""
        if trainer.step < trainer.config.steps and time.monotonic() - self._drawn < self.every:
            return
        self.figure = training_curves(trainer.history, ("loss", "gamma"))
        self._drawn = time.monotonic()
        try:
            from IPython import get_ipython
            from IPython.display import display
        except ImportError:
            return
        if get_ipython() is None:  # plain Python has nothing to draw into
            return
        output = {"text/html": img_tag(self.figure), "text/plain": self.figure.alt_text}
        if self._handle is not None:
            self._handle.update(output, raw=True)
        else:
            self._handle = display(output, raw=True, display_id=True)  # type: ignore[no-untyped-call]


training_monitor = TrainingMonitor  # a function's name, as those of the other widgets
