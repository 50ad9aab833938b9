"""Homework: handed-in notebooks run in processes of their own; the grader checks their functions.

What a notebook prints counts for nothing, and its code cannot reach what decides: the exercises'
checks run in the grader's own process, and call the learner's functions in another one, which
answers with data.
"""

from . import pages
from .grading import Limits, Mark, Marked, grade
from .handed_in import HandedIn, read_folder, without_notebook
from .process import protections

__all__ = [
    "HandedIn",
    "Limits",
    "Mark",
    "Marked",
    "grade",
    "pages",
    "protections",
    "read_folder",
    "without_notebook",
]
