"""Exercises of the notebooks, each of which checks itself.

In a notebook::

    kl_divergence = sv.exercises.check("kl_divergence", kl_divergence)
    sv.exercises.hint("kl_divergence", 1)

:func:`check` says what is wrong and returns the function to go on with, so that a notebook runs
to its end whether or not its exercises are solved. One file per notebook holds its exercises
(``ch01.py`` those of ``01_vanilla_vae``); a new file of such a name is found by itself.
"""

from __future__ import annotations

import importlib
import pkgutil
import textwrap
from functools import cache
from typing import Any

from ...support.checks import InputError
from .engine import grade_answer
from .exercise import Exercise, Function, Mistake, Result, Status

__all__ = [
    "Exercise",
    "Mistake",
    "Result",
    "Status",
    "check",
    "grade",
    "hint",
    "names",
    "registry",
]

_GO_ON = "For now the notebook goes on with the library's version."


@cache
def registry() -> dict[str, Exercise]:
    """All exercises of the course by name, in the notebooks' order."""
    found: dict[str, Exercise] = {}
    for module in sorted(info.name for info in pkgutil.iter_modules(__path__)):
        if not module.startswith("ch"):
            continue
        for exercise in importlib.import_module(f"{__name__}.{module}").EXERCISES:
            if exercise.name in found:
                raise RuntimeError(f"two exercises have the name {exercise.name}")
            found[exercise.name] = exercise
    return found


def names(notebook: str | None = None) -> tuple[str, ...]:
    """Names of the exercises, of all notebooks or of one, such as "01_vanilla_vae"."""
    return tuple(e.name for e in registry().values() if notebook in (None, e.notebook))


def grade(name: str, answer: Any, seed: int | None = None) -> Result:
    """Grade a learner's function without printing anything.

    Args:
        name: of the exercise.
        answer: the learner's function, or whatever was handed in for it.
        seed: of the random inputs; None draws a fresh one.

    Raises:
        InputError: there is no exercise of that name.
    """
    return grade_answer(_find(name), answer, seed)


def check(name: str, answer: Any, seed: int | None = None) -> Function:
    """Grade a learner's function, print what was found, and return the function to go on with.

    Args:
        name: of the exercise.
        answer: the learner's function.
        seed: of the random inputs; None draws a fresh one.

    Returns:
        ``answer`` when it is correct, otherwise the library's function. Right numbers of an
        unusual type (float64, NumPy, Python's) are converted by the function that is returned.

    Raises:
        InputError: there is no exercise of that name.
    """
    exercise = _find(name)
    if answer is exercise.reference:
        _print(
            f"○ {name}: this is the library's function, not yours: check() returned it when yours "
            "was not right yet. Run the cell that defines your function again, then check it."
        )
        return answer
    result = grade(name, answer, seed)
    _print(_announce(exercise, result))
    if result.status == "correct":
        from ..record import note  # here: that module imports this one

        note("solved", name, True)
        return result.go_on or answer
    return exercise.reference


def hint(name: str, step: int = 1) -> None:
    """Print one of an exercise's hints, each saying more than the one before.

    Raises:
        InputError: there is no exercise of that name, or step is below 1.
    """
    exercise = _find(name)
    if step < 1:
        raise InputError(f"hints count from 1; there is no hint {step}.")
    if step > len(exercise.hints):
        _print(f"No more hints. The solution is in the solved version of {exercise.notebook}.")
        return
    _print(f"Hint {step} of {len(exercise.hints)}: {exercise.hints[step - 1]}")


def _announce(exercise: Exercise, result: Result) -> str:
    name = exercise.name
    if result.status == "correct":
        remark = "" if result.go_on is None else f" {result.message}"
        return f"✓ {name}: correct.{remark}"
    state = "○ {}: your turn." if result.status == "unsolved" else "✗ {}: not right yet."
    hint_at = f'Hint: sv.exercises.hint("{name}", 1)'
    return f"{state.format(name)} {result.message} {_GO_ON} {hint_at}"


def _print(text: str) -> None:
    """Print in lines that fit below a notebook's cell."""
    print(textwrap.fill(text, 96, subsequent_indent="  ", break_long_words=False))


def _find(name: str) -> Exercise:
    try:
        return registry()[name]
    except (KeyError, TypeError):  # TypeError: something that cannot even be a key
        known = ", ".join(names())
        raise InputError(f"there is no exercise {name!r}; the exercises are {known}.") from None
