"""Figures from arrays: returned, never shown, each with a text for readers who cannot see it.

Every function returns an :class:`AltFigure`. It is the last value of a notebook cell and appears
there as an image with its alternative text; elsewhere ``figure.savefig("name.png")`` keeps it.
pyplot is not involved, so no figure stays open and no global state changes. ``title`` stands above
a figure and begins its alternative text, which is made from the data; to write your own, set
the figure's ``alt_text`` (grids and rows of images take ``alt``, too).

Images are tensors or arrays (N, C, H, W), float in [0, 1] or uint8, C 1 or 3. They are drawn at an
integer multiple of their size, so that a pattern of single pixels stays one. Colours: Okabe and
Ito's palette for lines and viridis for maps, both safe for colour-blind readers; lines, markers or
direct labels tell series apart as well.
"""

from . import _backend  # noqa: F401 (before matplotlib is imported)
from .charts import score_bars, split_plane, training_curves, variance_law
from .diagrams import architecture, course_map, split_head
from .figure import AltFigure, MovingPicture, img_tag, moving, png, show
from .pictures import image_grid, image_rows, interpolation, split_rows

__all__ = [
    "AltFigure",
    "MovingPicture",
    "architecture",
    "course_map",
    "image_grid",
    "image_rows",
    "img_tag",
    "interpolation",
    "moving",
    "png",
    "score_bars",
    "show",
    "split_head",
    "split_plane",
    "split_rows",
    "training_curves",
    "variance_law",
]
