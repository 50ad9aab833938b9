"""Live pictures for notebooks: sliders over plain functions of the library.

Each function returns a :class:`Panel`, the last value of a notebook's cell: controls with a picture
below. Where nothing answers the controls (an exported page, a stored notebook), the same picture
stays, with its alternative text. Pictures are drawn by Pillow, since a slider has to be followed
within a tenth of a second or so; ``benchmarks/widgets.py`` measures it.

What is drawn comes from :mod:`svae_lib.sampling` and :mod:`svae_lib.diagnostics`.
"""

from __future__ import annotations

from .explorers import latent_explorer, latent_frame, mixer_frame, sigma_mixer, split_gallery
from .frames import Frame, draw
from .monitor import TrainingMonitor, curves, training_monitor
from .panel import Panel

__all__ = [
    "Frame",
    "Panel",
    "TrainingMonitor",
    "curves",
    "draw",
    "latent_explorer",
    "latent_frame",
    "mixer_frame",
    "sigma_mixer",
    "split_gallery",
    "training_monitor",
]
