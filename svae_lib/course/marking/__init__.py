"""Homework: handed-in notebooks are run apart, and their functions are checked by the grader.

Nothing that a notebook prints counts, and nothing that decides is in reach of its code: the
exercises' checks run in the grader's own process, and call the learner's functions in another one,
which answers with data.
"""

from . import pages
from .grading import Limits, Mark, Marked, grade
from .handed_in import HandedIn, read_folder, without_notebook
from .process import protections

__all__ = [
    *("HandedIn", "Limits", "Mark", "Marked", "grade", "pages", "protections", "read_folder"),
    "without_notebook",
]
