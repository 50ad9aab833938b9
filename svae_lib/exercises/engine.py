"""How a learner's function is graded: compared with the truth, then with the usual mistakes.

An :class:`Exercise` holds a reference function, a maker of random inputs and the mistaken
implementations that people write. :func:`grade` runs the learner's function on fresh inputs; when
its answers differ from the reference's, the mistake whose answers they equal names the hint.

Whatever a learner hands in, grading ends with a :class:`Result`, never with a traceback.
"""

from __future__ import annotations

import linecache
import secrets
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

Status = Literal["unsolved", "correct", "wrong", "error"]
Function = Callable[..., Any]

TRIALS = 3
"""Random inputs per grading: a function that is right on one alone would be luck."""


def call(function: Function, inputs: tuple[Any, ...]) -> Any:
    """Default way to observe a function: its return value."""
    return function(*inputs)


@dataclass(frozen=True)
class Mistake:
    """One usual way to get an exercise wrong."""

    name: str
    """A few words, such as "mean instead of sum"."""
    function: Function
    """The mistaken implementation."""
    hint: str
    """What to tell a learner whose answers equal this function's."""


@dataclass(frozen=True)
class Exercise:
    """A function for the learner to write."""

    name: str
    """Name of the function in the notebook; unique in the course."""
    notebook: str
    """Where it is asked, such as "01_vanilla_vae"."""
    reference: Function
    """The right implementation; the notebook goes on with it where the learner's is not."""
    inputs: Callable[[torch.Generator], tuple[Any, ...]]
    """Makes the arguments, drawing from the generator (or from torch's global one) alone."""
    mistakes: tuple[Mistake, ...]
    """At least three, each with its own hint."""
    hints: tuple[str, ...]
    """Step by step, from a nudge to nearly the solution."""
    observe: Callable[[Function, tuple[Any, ...]], Any] = call
    """What is compared: by default the function's value; it can be its gradient, say."""
    relative: float = 1e-4
    absolute: float = 1e-5


@dataclass(frozen=True)
class Result:
    """Outcome of a grading."""

    status: Status
    message: str
    """One or two sentences for the learner."""
    mistake: str | None = None
    """What it looks like: the name of one of the exercise's mistakes, or of a general one."""


@dataclass(frozen=True)
class _Run:
    """A function's value on one random input."""

    value: Any
    changed_inputs: bool


# ------------------------------------------------------------------ grading


def grade_answer(exercise: Exercise, answer: Any, seed: int | None = None) -> Result:
    """Grade ``answer``, which should be a function but may be anything.

    Args:
        exercise: what was asked.
        answer: the learner's function.
        seed: of the random inputs; None draws one, so that no two gradings are alike.
    """
    if answer is None or answer is Ellipsis:
        return Result("unsolved", "There is no function yet.")
    if not callable(answer):
        return Result(
            "error",
            f"What you passed is a {type(answer).__name__}, not a function: "
            f"pass {exercise.name} itself, without brackets and arguments.",
            "not a function",
        )
    seed = secrets.randbits(32) if seed is None else seed
    seeds = [seed * TRIALS + trial for trial in range(TRIALS)]
    try:
        runs = [_run(exercise, answer, s) for s in seeds]
    except NotImplementedError:
        return Result("unsolved", "The function is not written yet.")
    except (Exception, SystemExit) as error:  # whatever a learner's code may raise
        return Result("error", _describe(error, answer), type(error).__name__)
    truths = [_run(exercise, exercise.reference, s).value for s in seeds]
    try:
        return _judge(exercise, seeds, truths, runs)
    except Exception as error:  # an answer so odd that it cannot even be compared
        return Result(
            "wrong",
            f"Your answer, a {type(runs[0].value).__name__}, cannot be compared with the right "
            f"one ({type(error).__name__}): return {_kind(truths[0])}.",
            "wrong type",
        )


def _run(exercise: Exercise, function: Function, seed: int) -> _Run:
    """Observe a function on the inputs of a seed, with torch's random numbers seeded as well."""
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        inputs = _inputs(exercise, seed)
        torch.default_generator.manual_seed(seed)
        value = exercise.observe(function, inputs)
        # The inputs are made again rather than copied before: any object can be compared so.
        return _Run(value, not _equal(inputs, _inputs(exercise, seed)))


def _inputs(exercise: Exercise, seed: int) -> tuple[Any, ...]:
    torch.default_generator.manual_seed(seed)  # torch.manual_seed costs a millisecond
    return exercise.inputs(torch.Generator().manual_seed(seed))


def _judge(exercise: Exercise, seeds: list[int], truths: list[Any], runs: list[_Run]) -> Result:
    values = [run.value for run in runs]
    if any(_is_blank(value) for value in values):
        return Result(
            "unsolved",
            "The function returns nothing yet. (If you have written it: is its return missing?)",
        )
    if any(run.changed_inputs for run in runs):
        return Result(
            "wrong",
            "Your function changes its arguments: their owner still needs them. Compute a new "
            "tensor instead of writing into one (no +=, no x[...] = ..., no method ending in _).",
            "in-place change",
        )
    problems = [_problem(t, v, exercise) for t, v in zip(truths, values, strict=True)]
    if not any(problems):
        return Result("correct", "Correct.")
    for mistake in exercise.mistakes:
        if _matches(exercise, mistake, seeds, values):
            return Result("wrong", mistake.hint, mistake.name)
    name, sentence = next(problem for problem in problems if problem)
    if name == "wrong values":
        name, sentence = _compare_values(truths, values, not all(problems))
    return Result("wrong", sentence, name)


def _matches(exercise: Exercise, mistake: Mistake, seeds: list[int], values: list[Any]) -> bool:
    """Whether the answers are those of a mistaken implementation."""
    for seed, value in zip(seeds, values, strict=True):
        try:
            wrong = _run(exercise, mistake.function, seed).value
        except Exception:  # a mistake that cannot run on these inputs explains nothing
            return False
        if _problem(wrong, value, exercise, strict=False):
            return False
    return True


# ------------------------------------------------------------------ comparing two values


def _problem(
    truth: Any, value: Any, exercise: Exercise, *, strict: bool = True
) -> tuple[str, str] | None:
    """Name and sentence of the first thing wrong with ``value``; None when nothing is.

    Not strict: types of numbers do not matter, and NaN equals NaN.
    """
    if isinstance(truth, tuple):
        if not isinstance(value, tuple | list) or len(value) != len(truth):
            found = f"{len(value)}" if isinstance(value, tuple | list) else _kind(value)
            return "wrong number of results", f"Return {len(truth)} results, not {found}."
        parts = zip(truth, value, strict=True)
        found_parts = [_problem(t, v, exercise, strict=strict) for t, v in parts]
        for place, problem in enumerate(found_parts, start=1):
            if problem:
                return problem[0], f"Result {place} of {len(truth)}: {problem[1]}"
        return None
    if isinstance(truth, Tensor | np.ndarray):
        return _array_problem(truth, value, exercise, strict)
    if isinstance(truth, int | float | np.number) and not isinstance(truth, bool):
        return _number_problem(float(truth), value, exercise, strict)
    return None if bool(truth == value) else ("wrong values", "The answer is another one.")


def _array_problem(
    truth: Tensor | np.ndarray, value: Any, exercise: Exercise, strict: bool
) -> tuple[str, str] | None:
    if isinstance(value, Tensor) != isinstance(truth, Tensor) or not hasattr(value, "dtype"):
        return _type_problem(truth, value)
    if tuple(value.shape) != tuple(truth.shape):
        return (
            "wrong shape",
            f"The shape should be {tuple(truth.shape)}, yours is {tuple(value.shape)}. "
            "Over which dimensions did you sum?",
        )
    if isinstance(value, Tensor) and value.is_complex():
        return "wrong dtype", "Your numbers are complex, and should be real."
    t, v = _float64(truth), _float64(value)
    if strict and v.isnan().any() and not t.isnan().any():
        return "NaN", "Your answer contains NaN: a logarithm or root of a negative number, or 0/0?"
    if not torch.allclose(t, v, exercise.relative, exercise.absolute, equal_nan=True):
        return "wrong values", "The numbers are not right."
    if strict and value.dtype != truth.dtype:
        return (
            "wrong dtype",
            f"The numbers are right, but their type is {value.dtype} and should be {truth.dtype}.",
        )
    return None


def _type_problem(truth: Tensor | np.ndarray, value: Any) -> tuple[str, str]:
    if isinstance(value, np.ndarray | np.generic):
        return (
            "numpy instead of torch",
            "Your answer is a NumPy array: stay in torch from start to end, or gradients are lost.",
        )
    if isinstance(value, int | float):
        return (
            "a number instead of a tensor",
            "Your answer is a Python number, and should be a tensor: without .item() or float().",
        )
    return "wrong type", f"Return {_kind(truth)}, not {_kind(value)}."


def _number_problem(
    truth: float, value: Any, exercise: Exercise, strict: bool
) -> tuple[str, str] | None:
    if isinstance(value, Tensor | np.ndarray) and tuple(value.shape) != ():
        return "wrong shape", f"Return one number, not an array of shape {tuple(value.shape)}."
    if not isinstance(value, Tensor | np.ndarray | np.number | int | float):
        return "wrong type", f"Return a number, not {_kind(value)}."
    number = float(value.detach() if isinstance(value, Tensor) else value)
    if strict and number != number and truth == truth:
        return "NaN", "Your answer is NaN: a logarithm or root of a negative number, or 0/0?"
    close = np.isclose(number, truth, exercise.relative, exercise.absolute, equal_nan=True)
    return None if close else ("wrong values", "The number is not right.")


def _compare_values(truths: list[Any], values: list[Any], sometimes: bool) -> tuple[str, str]:
    """Say more about values that are wrong, though their types and shapes are right."""
    if sometimes:
        return "right at times", "Right on some inputs and wrong on others: a special case?"
    t, v = _flat(truths), _flat(values)
    if t.numel() > 1 and t.isfinite().all() and v.isfinite().all():
        factor = ((t * v).sum() / t.square().sum().clamp_min(1e-12)).item()
        if abs(factor) > 1e-6 and torch.allclose(v, factor * t, 1e-3, 1e-6):
            return "a factor", f"Your answer is {factor:.3g} times the right one, everywhere."
        offset = (v - t).mean().item()
        if torch.allclose(v - t, torch.full_like(t, offset), 1e-3, 1e-6):
            return "an offset", f"Your answer is the right one plus {offset:.3g}, everywhere."
    return (
        "wrong values",
        "Type and shape are right, the numbers are not. Try it by hand on one small example.",
    )


def _flat(values: Any) -> Tensor:
    """All numbers of nested results in one float64 vector; what is no number is left out."""
    if isinstance(values, list | tuple):
        parts = [_flat(value) for value in values]
        return torch.cat(parts) if parts else torch.empty(0, dtype=torch.float64)
    if isinstance(values, Tensor | np.ndarray | np.number | int | float):
        return _float64(values).flatten()
    return torch.empty(0, dtype=torch.float64)


def _float64(value: Any) -> Tensor:
    tensor = value.detach() if isinstance(value, Tensor) else torch.as_tensor(np.asarray(value))
    return tensor.cpu().to_dense().to(torch.float64)


def _equal(a: Any, b: Any) -> bool:
    """Whether two inputs hold the same; objects of other kinds are taken as equal."""
    if type(a) is not type(b):
        return False
    if isinstance(a, tuple | list):
        return len(a) == len(b) and all(map(_equal, a, b))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_equal(a[key], b[key]) for key in a)
    if isinstance(a, nn.Module):
        return _equal(dict(a.state_dict()), dict(b.state_dict()))
    if isinstance(a, Tensor | np.ndarray):
        same = tuple(a.shape) == tuple(b.shape) and a.dtype == b.dtype
        return same and bool(torch.equal(_bits(a), _bits(b)))
    if isinstance(a, int | float):
        return bool(a == b)
    return True


def _bits(value: Any) -> Tensor:
    """Values with NaN made comparable."""
    return torch.nan_to_num(_float64(value), nan=-1.2345e300)


def _is_blank(value: Any) -> bool:
    """Whether a value, or a part of it, was never filled in."""
    if isinstance(value, tuple | list):
        return any(_is_blank(part) for part in value)
    return value is None or value is Ellipsis or value is NotImplemented


def _kind(value: Any) -> str:
    """Describe a value in a few words: "a float32 tensor of shape (5,)"."""
    if isinstance(value, tuple):
        return f"{len(value)} results: " + ", ".join(_kind(part) for part in value)
    if isinstance(value, Tensor):
        return f"a {str(value.dtype).removeprefix('torch.')} tensor of shape {tuple(value.shape)}"
    if isinstance(value, np.ndarray):
        return f"a NumPy array of shape {value.shape}"
    return f"a {type(value).__name__}"


def _describe(error: BaseException, function: Function) -> str:
    """Name an exception, and the line of the learner's function that raised it."""
    try:
        text = str(error).splitlines()[0][:200] if str(error) else ""
    except Exception:  # an exception that cannot say what it is
        text = ""
    sentence = f"Your function stopped with {type(error).__name__}" + (f": {text}" if text else "")
    code = getattr(function, "__code__", None)
    if code is None:
        return sentence.rstrip(".") + "."
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == code.co_filename]
    source = linecache.getline(code.co_filename, lines[-1] or 0).strip() if lines else ""
    return sentence.rstrip(".") + (f" (in the line: {source})." if source else ".")
