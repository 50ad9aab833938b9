"""How a learner's function is graded: compared with the truth, then with the usual mistakes.

An :class:`Exercise` holds a reference function, a maker of random inputs and the mistaken
implementations that people write. :func:`grade_answer` runs the learner's function on fresh inputs;
when its answers differ from the reference's, the mistake whose answers they equal names the hint.

Whatever a learner hands in, grading ends with a :class:`Result`, never with a traceback.
"""

from __future__ import annotations

import linecache
import secrets
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import compress
from typing import Any

import torch
from torch import Tensor

from .compare import Problem, blank, equal, explain_values, find_problem, kind, part
from .exercise import TRIALS, Exercise, Function, Mistake, Result


@dataclass(frozen=True)
class _Run:
    """A function's value on one random input."""

    value: Any
    changed_inputs: bool


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
    except (Exception, SystemExit) as error:  # whatever a learner's code may raise
        # A stub's has no text; torch raises errors of the same type, which say what is missing.
        if isinstance(error, NotImplementedError) and not error.args:
            return Result("unsolved", "The function is not written yet.")
        return Result("error", _describe(error, answer), type(error).__name__)
    truths = [_run(exercise, exercise.reference, s).value for s in seeds]
    try:
        result = _judge(exercise, seeds, truths, runs)
    except Exception as error:  # an answer so odd that it cannot even be compared
        return Result(
            "wrong",
            f"Your answer, a {type(runs[0].value).__name__}, cannot be compared with the right "
            f"one ({type(error).__name__}): return {kind(truths[0])}.",
            "wrong type",
        )
    if result.status == "correct" and exercise.differentiable:
        return _judge_gradient(exercise, answer, seeds[0])
    return result


def _run(exercise: Exercise, function: Function, seed: int) -> _Run:
    """Observe a function on the inputs of a seed, with torch's random numbers seeded as well."""
    with _seeded(exercise, seed) as inputs:
        value = exercise.observe(function, inputs)
        # The inputs are made again rather than copied before: any object can be compared so.
        return _Run(value, not equal(inputs, _inputs(exercise, seed)))


@contextmanager
def _seeded(exercise: Exercise, seed: int) -> Iterator[tuple[Any, ...]]:
    """The inputs of a seed; within, torch's random numbers are those of the seed too."""
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        inputs = _inputs(exercise, seed)
        torch.default_generator.manual_seed(seed)
        yield inputs


def _inputs(exercise: Exercise, seed: int) -> tuple[Any, ...]:
    torch.default_generator.manual_seed(seed)  # torch.manual_seed costs a millisecond
    return exercise.inputs(torch.Generator().manual_seed(seed))


# ------------------------------------------------------------------ values


def _judge(exercise: Exercise, seeds: list[int], truths: list[Any], runs: list[_Run]) -> Result:
    values = [run.value for run in runs]
    for value in values:
        if sentence := blank(value, exercise.tries):
            return Result("unsolved", sentence)
    if any(run.changed_inputs for run in runs):
        return Result(
            "wrong",
            "Your function changes its arguments: their owner still needs them. Compute a new "
            "tensor instead of writing into one (no +=, no x[...] = ..., no method ending in _).",
            "in-place change",
        )
    problems = [find_problem(t, v, exercise) for t, v in zip(truths, values, strict=True)]
    if not any(problems):
        return Result("correct", "Correct.")
    for mistake in exercise.mistakes:
        if _matches(exercise, mistake, seeds, values):
            return Result("wrong", mistake.hint, mistake.name)
    return _explain(problems, truths, values)


def _matches(exercise: Exercise, mistake: Mistake, seeds: list[int], values: list[Any]) -> bool:
    """Whether the answers are those of a mistaken implementation."""
    for seed, value in zip(seeds, values, strict=True):
        try:
            wrong = _run(exercise, mistake.function, seed).value
        except Exception:  # a mistake that cannot run on these inputs explains nothing
            return False
        if find_problem(wrong, value, exercise, strict=False):
            return False
    return True


def _explain(problems: list[Problem | None], truths: list[Any], values: list[Any]) -> Result:
    """What to say of answers with a problem that is none of the exercise's mistakes."""
    first = next(problem for problem in problems if problem)
    found = first
    if first.name == "wrong values" and not all(problems):
        sentence = "Right on some inputs and wrong on others: a special case?"
        found = Problem("right at times", sentence)
    elif first.name == "wrong values":
        # Where several results are wrong, trials may differ in the first of them.
        alike = [p is not None and (p.name, p.path) == (first.name, first.path) for p in problems]
        found = explain_values(
            [part(truth, first.path) for truth in compress(truths, alike)],
            [part(value, first.path) for value in compress(values, alike)],
        )
    return Result("wrong", first.where + found.sentence, found.name)


# ------------------------------------------------------------------ gradients


def _judge_gradient(exercise: Exercise, answer: Function, seed: int) -> Result:
    """Whether right numbers also have the right gradient, without which nothing can be trained."""
    truths = _gradients(exercise, exercise.reference, seed)
    try:
        found = _gradients(exercise, answer, seed)
    except Exception as error:  # .numpy() of a tensor that requires grad, for one
        return Result("error", f"With a gradient: {_describe(error, answer)}", type(error).__name__)
    pairs = zip(truths, found, strict=True)
    if all(torch.allclose(t, f, exercise.relative, exercise.absolute) for t, f in pairs):
        return Result("correct", "Correct.")
    return Result(
        "wrong",
        "The numbers are right, but their gradient is cut: stay with tensor operations; .item(), "
        "float(), math.exp and torch.tensor(...) cut the way back.",
        "gradient cut",
    )


def _gradients(exercise: Exercise, function: Function, seed: int) -> tuple[Tensor, ...]:
    """Gradients of the value's sum, 0 where it does not depend on an input, or is cut off."""
    with _seeded(exercise, seed) as inputs, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's, where a gradient is cut
        floats = [x for x in inputs if isinstance(x, Tensor) and x.is_floating_point()]
        leaves = tuple(leaf.requires_grad_() for leaf in floats)
        value = function(*inputs).sum()
        if not value.requires_grad:
            return tuple(map(torch.zeros_like, leaves))
        return torch.autograd.grad(value, leaves, allow_unused=True, materialize_grads=True)


# ------------------------------------------------------------------ exceptions


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
