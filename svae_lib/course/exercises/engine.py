"""How a learner's function is graded: compared with the truth, then with the usual mistakes.

An :class:`Exercise` holds a reference function, a maker of random inputs and the mistaken
implementations that people write. :func:`grade_answer` runs the learner's function on fresh inputs;
when its answers differ from the reference's, the mistake whose answers they equal names the hint,
and failing that what ``diagnose`` finds.

Whatever a learner hands in, grading ends with a :class:`Result`, never with a traceback.
"""

from __future__ import annotations

import linecache
import secrets
import traceback
import types
import warnings
from collections.abc import Iterator
from itertools import compress
from typing import Any

import torch
from torch import Tensor

from .compare import Problem, blank, find_problem, kind, part
from .diagnose import explain_shapes, explain_values
from .exercise import TRIALS, Exercise, Function, Mistake, Result
from .trials import Lenient, Run, make_inputs, parameter_names, run, seeded, size_expressions


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
    with torch.random.fork_rng(devices=[]):
        result = _grade_on(exercise, answer, seeds)
        if result.status in ("wrong", "error"):
            return _notebook_number(exercise, answer, seeds) or result
    return result


def _grade_on(exercise: Exercise, answer: Function, seeds: list[int]) -> Result:
    try:
        function = Lenient(exercise, answer)
        runs = [run(exercise, function, s) for s in seeds]
    except (Exception, SystemExit) as error:  # whatever a learner's code may raise
        # A stub's has no text; torch raises errors of the same type, which say what is missing.
        if isinstance(error, NotImplementedError) and not error.args:
            return Result("unsolved", "The function is not written yet.")
        for mistake in exercise.mistakes:
            if _raises_alike(exercise, mistake, seeds[0], error):
                return Result("wrong", mistake.hint, mistake.name)
        return Result("error", _describe(error, answer), type(error).__name__)
    truths = [run(exercise, exercise.reference, s).value for s in seeds]
    try:
        result = _judge(exercise, seeds, truths, runs, parameter_names(exercise, answer))
    except Exception as error:  # an answer so odd that it cannot even be compared
        return Result(
            "wrong",
            f"Your answer, a {type(runs[0].value).__name__}, cannot be compared with the right "
            f"one ({type(error).__name__}): return {kind(truths[0])}.",
            "wrong type",
        )
    if result.status == "correct" and exercise.differentiable:
        result = _judge_gradient(exercise, function, seeds[0])
    if result.status == "correct" and function.remarks:
        return Result("correct", " ".join(function.remarks), go_on=function)
    return result


# ------------------------------------------------------------------ values


def _judge(
    exercise: Exercise, seeds: list[int], truths: list[Any], runs: list[Run], names: list[str]
) -> Result:
    values = [run.value for run in runs]
    for value in values:
        if sentence := blank(value, exercise.tries):
            return Result("unsolved", sentence)
    if any(run.changed_inputs for run in runs):
        return Result(
            "wrong",
            "Your function changes its arguments, which other code still needs. Compute a new "
            "tensor instead of writing into one (no +=, no x[...] = ..., no method ending in _).",
            "in-place change",
        )
    problems = [find_problem(t, v, exercise) for t, v in zip(truths, values, strict=True)]
    if not any(problems):
        return Result("correct", "Correct.")
    for mistake in exercise.mistakes:
        if _matches(exercise, mistake, seeds, values):
            return Result("wrong", mistake.hint, mistake.name)
    first = next(problem for problem in problems if problem)
    # One of several results by itself; of several tries, the same result in all of them
    paths = [first.path]
    if exercise.tries:
        paths = [(place, *first.path[1:]) for place in range(len(exercise.tries))]
    if len(first.path) > bool(exercise.tries) and all(problems):
        for mistake in exercise.mistakes:
            if all(_matches(exercise, mistake, seeds, values, p, truths) for p in paths):
                return Result("wrong", first.where + mistake.hint, mistake.name)
    return _explain(exercise, seeds, names, problems, truths, values)


def _matches(
    exercise: Exercise,
    mistake: Mistake,
    seeds: list[int],
    values: list[Any],
    path: tuple[int, ...] = (),
    truths: list[Any] | None = None,
) -> bool:
    """Whether the answers are those of a mistaken implementation.

    With a ``path``: whether this part of them is, where the mistake has it wrong.
    """
    for place, (seed, value) in enumerate(zip(seeds, values, strict=True)):
        try:
            wrong = part(run(exercise, mistake.function, seed).value, path)
            mine = part(value, path)
        except Exception:  # a mistake that cannot run on these inputs explains nothing
            return False
        if find_problem(wrong, mine, exercise, strict=False):
            return False
        if truths and not find_problem(part(truths[place], path), wrong, exercise, strict=False):
            return False
    return True


def _raises_alike(exercise: Exercise, mistake: Mistake, seed: int, error: BaseException) -> bool:
    """Whether a mistaken implementation stops with the very same error."""
    try:
        run(exercise, mistake.function, seed)
    except Exception as other:
        try:
            return type(other) is type(error) and str(other) == str(error)
        except Exception:  # an exception that cannot say what it is
            return False
    return False


def _explain(
    exercise: Exercise,
    seeds: list[int],
    names: list[str],
    problems: list[Problem | None],
    truths: list[Any],
    values: list[Any],
) -> Result:
    """What to say of answers with a problem that is none of the exercise's mistakes."""
    first = next(problem for problem in problems if problem)
    found = first
    if first.name == "wrong values" and not all(problems):
        sentence = "Right on some inputs and wrong on others: a special case?"
        found = Problem("right at times", sentence)
    elif first.name in ("wrong values", "wrong shape", "NaN"):
        # Where several results are wrong, trials may differ in the first of them.
        alike = [p is not None and (p.name, p.path) == (first.name, first.path) for p in problems]
        where = list(compress(seeds, alike))
        right = [part(truth, first.path) for truth in compress(truths, alike)]
        mine = [part(value, first.path) for value in compress(values, alike)]
        if first.name == "wrong shape":
            tensors = all(isinstance(x, Tensor) for x in (*right, *mine))
            shapes = explain_shapes(exercise, where, names, right, mine) if tensors else None
            found = shapes or first
        else:
            found = explain_values(exercise, where, names, right, mine, first.path) or first
    return Result("wrong", first.where + found.sentence, found.name)


# ------------------------------------------------------------------ numbers of the notebook


def _notebook_number(exercise: Exercise, answer: Function, seeds: list[int]) -> Result | None:
    """Whether a wrong answer is right but for a size that it takes from the notebook.

    The notebook's D is the size of its own images; the arguments of a check have others.
    """
    if not isinstance(answer, types.FunctionType):
        return None
    code, scope = answer.__code__, answer.__globals__
    names = parameter_names(exercise, answer)
    sizes = [size_expressions(make_inputs(exercise, seed), names) for seed in seeds]
    for name in _used_names(code):
        value = scope.get(name)
        if type(value) is not int:
            continue
        for text in sizes[0]:
            scopes = [{**scope, name: size[text]} for size in sizes]
            if all(
                _is_right(exercise, _with_scope(answer, scope), seed)
                for scope, seed in zip(scopes, seeds, strict=True)
            ):
                return Result(
                    "wrong",
                    f"Right, but for the notebook's {name} = {value}, which is not a size of these "
                    f"arguments. Take the size from an argument: {text}.",
                    "a size of the notebook",
                )
    return None


def _used_names(code: types.CodeType) -> Iterator[str]:
    """Global names in a function and in those within it."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _used_names(constant)


def _with_scope(function: Any, scope: dict[str, Any]) -> Function:
    copy = types.FunctionType(
        function.__code__, scope, function.__name__, function.__defaults__, function.__closure__
    )
    copy.__kwdefaults__ = function.__kwdefaults__
    return copy


def _is_right(exercise: Exercise, answer: Function, seed: int) -> bool:
    try:
        value = run(exercise, Lenient(exercise, answer), seed).value
        return find_problem(run(exercise, exercise.reference, seed).value, value, exercise) is None
    except Exception:
        return False


# ------------------------------------------------------------------ gradients


def _judge_gradient(exercise: Exercise, function: Lenient, seed: int) -> Result:
    """Whether right numbers also have the right gradient, without which nothing can be trained."""
    truths = _gradients(exercise, exercise.reference, seed)
    try:
        found = _gradients(exercise, function, seed)
    except Exception as error:  # .numpy() of a tensor that requires grad, for one
        said = f"With a gradient: {_describe(error, function.answer)}"
        return Result("error", said, type(error).__name__)
    pairs = zip(truths, found, strict=True)
    if all(torch.allclose(t, f, exercise.relative, exercise.absolute) for t, f in pairs):
        return Result("correct", "Correct.")
    return Result(
        "wrong",
        "The numbers are right, but their gradient is cut: stay with tensor operations; .detach(), "
        "torch.no_grad(), .item(), float(), math.exp and torch.tensor(...) cut the way back.",
        "gradient cut",
    )


def _gradients(exercise: Exercise, function: Function, seed: int) -> tuple[Tensor, ...]:
    """Gradients of the value's sum, 0 where it does not depend on an input, or is cut off."""
    with seeded(exercise, seed) as inputs, warnings.catch_warnings():
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
    try:
        code = function.__code__
    except Exception:  # a callable object, which may raise whatever it likes
        code = None
    if code is None:
        return sentence.rstrip(".") + "."
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == code.co_filename]
    source = linecache.getline(code.co_filename, lines[-1] or 0).strip() if lines else ""
    return sentence.rstrip(".") + (f" (in the line: {source})." if source else ".")
