"""How two values of a function are compared, and what is said about their difference."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...support import devices
from .exercise import Exercise

NOTHING = "The function returns nothing yet. (If you have written it: is its return missing?)"

WRONG_VALUES = "Type and shape are right, the numbers are not. Try it by hand on one small example."


@dataclass(frozen=True)
class Problem:
    """The first thing that is wrong with a value."""

    name: str
    """A few words, as a mistake's."""
    sentence: str
    """What is wrong."""
    where: str = ""
    """Which part of the value it is, such as "Result 1 of 2: "; "" for all of it."""
    path: tuple[int, ...] = ()
    """The same as indices into the nested tuples."""


def find_problem(
    truth: Any, value: Any, exercise: Exercise, *, strict: bool = True
) -> Problem | None:
    """The first thing wrong with an observed value; None when nothing is.

    Not strict: types of numbers do not matter, and NaN equals NaN.
    """
    return _problem(truth, value, exercise, strict, exercise.tries)


def _problem(
    truth: Any, value: Any, exercise: Exercise, strict: bool, tries: tuple[str, ...] = ()
) -> Problem | None:
    if isinstance(truth, tuple):
        if not isinstance(value, tuple | list) or not _as_many(truth, value):
            found = f"{len(value)}" if isinstance(value, tuple | list) else kind(value)
            asked = sum(not isinstance(t, bool) for t in truth)
            return Problem("wrong number of results", f"Return {asked} results, not {found}.")
        parts = zip(truth, value, _labels(len(truth), tries), strict=True)
        for place, (t, v, label) in enumerate(parts):
            if problem := _problem(t, v, exercise, strict):
                path = (place, *problem.path)
                return replace(problem, where=f"{label}: {problem.where}", path=path)
        return None
    if isinstance(truth, Tensor | np.ndarray):
        return _array_problem(truth, value, exercise, strict)
    if isinstance(truth, int | float | np.number) and not isinstance(truth, bool):
        return _number_problem(float(truth), value, exercise, strict)
    return None if bool(truth == value) else Problem("wrong values", "The answer is another one.")


def _as_many(truth: tuple[Any, ...], value: tuple[Any, ...] | list[Any]) -> bool:
    """Whether there are as many results. A bool is no result: ``observe`` has added it."""
    if len(value) != len(truth):
        return False
    return all(
        isinstance(v, bool) for t, v in zip(truth, value, strict=True) if isinstance(t, bool)
    )


def _labels(count: int, tries: tuple[str, ...]) -> tuple[str, ...]:
    """What to call each of several values: by the exercise's own names, or by their places."""
    return tries or tuple(f"Result {place} of {count}" for place in range(1, count + 1))


def _array_problem(
    truth: Tensor | np.ndarray, value: Any, exercise: Exercise, strict: bool
) -> Problem | None:
    if isinstance(value, Tensor) != isinstance(truth, Tensor) or not hasattr(value, "dtype"):
        return _type_problem(truth, value)
    if tuple(value.shape) != tuple(truth.shape):
        sentence = f"The shape should be {tuple(truth.shape)}, yours is {tuple(value.shape)}."
        return Problem("wrong shape", sentence)
    if isinstance(value, Tensor) and value.is_complex():
        return Problem("wrong dtype", "Your numbers are complex, and should be real.")
    t, v = as_float64(truth), as_float64(value)
    if strict and v.isnan().any() and not t.isnan().any():
        return Problem(
            "NaN", "Your answer contains NaN: a logarithm or root of a negative number, or 0/0?"
        )
    if not torch.allclose(t, v, exercise.relative, exercise.absolute, equal_nan=True):
        return Problem("wrong values", WRONG_VALUES)
    if strict and value.dtype != truth.dtype:
        return Problem("wrong dtype", _dtype_sentence(truth, value))
    return None


def _dtype_sentence(truth: Any, value: Any) -> str:
    both = f"their type is {value.dtype} and should be {truth.dtype}."
    floats = all(isinstance(x, Tensor) and x.is_floating_point() for x in (truth, value))
    remedy = " Give new tensors the dtype of the arguments." if floats else ""
    return f"The numbers are right, but {both}{remedy}"


def _type_problem(truth: Tensor | np.ndarray, value: Any) -> Problem:
    if isinstance(value, np.ndarray | np.generic):
        return Problem(
            "numpy instead of torch",
            "Your answer is a NumPy array. The notebook trains through this function: stay in "
            "torch from start to end, or the gradient is lost.",
        )
    if isinstance(value, int | float):
        return Problem(
            "a number instead of a tensor",
            "Your answer is a Python number. The notebook trains through this function: leave "
            "out .item() and float(), or the gradient is lost.",
        )
    return Problem("wrong type", f"Return {kind(truth)}, not {kind(value)}.")


def _number_problem(truth: float, value: Any, exercise: Exercise, strict: bool) -> Problem | None:
    if isinstance(value, Tensor | np.ndarray) and tuple(value.shape) != ():
        return Problem(
            "wrong shape", f"Return one number, not an array of shape {tuple(value.shape)}."
        )
    if not isinstance(value, Tensor | np.ndarray | np.number | int | float):
        return Problem("wrong type", f"Return a number, not {kind(value)}.")
    number = float(value.detach() if isinstance(value, Tensor) else value)
    if strict and number != number and truth == truth:
        return Problem(
            "NaN", "Your answer is NaN: a logarithm or root of a negative number, or 0/0?"
        )
    close = np.isclose(number, truth, exercise.relative, exercise.absolute, equal_nan=True)
    return None if close else Problem("wrong values", WRONG_VALUES)


def part(value: Any, path: tuple[int, ...]) -> Any:
    """The part of nested results that a path leads to."""
    for place in path:
        value = value[place]
    return value


def blank(value: Any, tries: tuple[str, ...] = ()) -> str | None:
    """What to say of a value that, or a part of which, was never filled in; None otherwise."""
    if value is None or value is Ellipsis or value is NotImplemented:
        return NOTHING
    if not isinstance(value, tuple | list):
        return None
    found = [blank(each) for each in value]
    if len(set(found)) == 1:  # all alike, which need not be said of each
        return found[0]
    for label, sentence in zip(_labels(len(value), tries), found, strict=True):
        if sentence == NOTHING:
            missing = f"It returns nothing {label[0].lower()}{label[1:]}."
            return missing if tries else f"{label} is still to be filled in."
        if sentence:
            return f"{label}: {sentence}"
    return None


def equal(a: Any, b: Any) -> bool:
    """Whether two inputs hold the same; objects of other kinds are taken as equal."""
    if type(a) is not type(b):
        return False
    if isinstance(a, tuple | list):
        return len(a) == len(b) and all(map(equal, a, b))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, nn.Module):
        return equal(dict(a.state_dict()), dict(b.state_dict()))
    if isinstance(a, Tensor | np.ndarray):
        same = tuple(a.shape) == tuple(b.shape) and a.dtype == b.dtype
        return same and bool(torch.equal(_bits(a), _bits(b)))
    if isinstance(a, int | float):
        return bool(a == b)
    return True


def kind(value: Any) -> str:
    """Describe a value in a few words: "a float32 tensor of shape (5,)"."""
    if isinstance(value, tuple):
        return f"{len(value)} results: " + ", ".join(kind(each) for each in value)
    if isinstance(value, Tensor):
        return f"a {str(value.dtype).removeprefix('torch.')} tensor of shape {tuple(value.shape)}"
    if isinstance(value, np.ndarray):
        return f"a NumPy array of shape {value.shape}"
    return f"a {type(value).__name__}"


def as_float64(value: Any) -> Tensor:
    """Numbers of any kind in float64 on the CPU, where they are compared."""
    tensor = value.detach() if isinstance(value, Tensor) else torch.as_tensor(np.asarray(value))
    return devices.as_float64(tensor.cpu().to_dense())


def _bits(value: Any) -> Tensor:
    """Values with NaN made comparable."""
    return torch.nan_to_num(as_float64(value), nan=-1.2345e300)
