"""Live pictures for notebooks: sliders over plain functions of the library.

Each function returns a :class:`Panel`, the last value of a notebook's cell: controls with a picture
below. Where nothing answers the controls (an exported page, a stored notebook), the same picture
stays, with its alternative text. Pillow draws what follows a slider, which must take no longer than
a tenth of a second or so; ``benchmarks/widgets.py`` measures it.
"""

from .explorers import latent_explorer, sigma_mixer
from .frames import Frame, draw
from .monitor import TrainingMonitor, training_monitor
from .panel import Panel

__all__ = [
    "Frame",
    "Panel",
    "TrainingMonitor",
    "draw",
    "latent_explorer",
    "sigma_mixer",
    "training_monitor",
]
