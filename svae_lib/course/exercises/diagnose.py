"""What a wrong answer has to do with the right one: findings that need no list of mistakes.

Each detector compares all trials. Sizes of the inputs are pairwise different and change from trial
to trial, so a factor that equals one of them in every trial is no accident.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from itertools import combinations, permutations
from typing import Any

import torch
from torch import Tensor

from .compare import Problem, as_float64, part
from .exercise import Exercise
from .trials import make_inputs, run, size_expressions

_FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "the square of {}": torch.square,
    "the square root of {}": lambda x: x.abs().sqrt(),
    "the absolute value of {}": torch.abs,
    "exp of {}": torch.exp,
    "the logarithm of {}": lambda x: x.abs().log(),
    "the sigmoid of {}": torch.sigmoid,
    "tanh of {}": torch.tanh,
    "{} with negative numbers set to 0": torch.relu,
    "{} clamped to [0, 1]": lambda x: x.clamp(0, 1),
    "1 minus {}": lambda x: 1 - x,
    "1 divided by {}": torch.reciprocal,
    "{} rounded": torch.round,
}
_CHANGES: dict[str, Callable[[Any], Any]] = {
    "0": lambda x: 0 * x,
    "1": lambda x: 0 * x + 1,
    "-{}": lambda x: -x,
    "2 * {}": lambda x: 2 * x,
    "4 * {}": lambda x: 4 * x,
    "{} / 2": lambda x: x / 2,
    "2": lambda x: 0 * x + 2,
    **_FUNCTIONS,
}
"""What may stand where an argument belongs."""

_Arguments = tuple[Any, ...]
_Change = Callable[[_Arguments], _Arguments]


def explain_shapes(
    exercise: Exercise, seeds: list[int], names: list[str], truths: list[Any], values: list[Any]
) -> Problem | None:
    """What to say of tensors of wrong shapes; None where nothing is known but the shapes."""
    pairs = [(as_float64(t), as_float64(v)) for t, v in zip(truths, values, strict=True)]
    t, v = pairs[0]
    shapes = f"the shape should be {tuple(t.shape)}, yours is {tuple(v.shape)}."

    def all_are(change: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]) -> bool:
        return all(_close(*change(t, v)) for t, v in pairs)

    if all_are(lambda t, v: (t.squeeze(), v.squeeze())):
        more = "too many" if v.ndim > t.ndim else "missing" if v.ndim < t.ndim else "misplaced"
        count = abs(v.ndim - t.ndim)
        what = "a dimension" if count < 2 else f"{count} dimensions"
        return Problem("a dimension of size 1", f"Right numbers, {what} of size 1 {more}: {shapes}")
    if t.ndim == v.ndim:
        for order in permutations(range(t.ndim)):
            if all_are(lambda t, v, order=order: (t, v.permute(order))):  # type: ignore[misc]
                sentence = f"Right numbers, but the dimensions are in another order: {shapes}"
                return Problem("transposed", sentence)
    if all_are(lambda t, v: (t.flatten(), v.flatten())):
        return Problem("reshaped", f"Right numbers in another arrangement: {shapes}")
    for verb, reduce in (("Add up", torch.sum), ("Take the mean", torch.mean)):
        for dims in _dimensions(v):
            if all_are(lambda t, v: (t.squeeze(), reduce(v, dims).squeeze())):  # noqa: B023
                sentence = f"{verb} over {_over(dims)} of your result as well: {shapes}"
                return Problem("not reduced", sentence)
        for dims in _dimensions(t):
            if all_are(lambda t, v: (reduce(t, dims).squeeze(), v.squeeze())):  # noqa: B023
                what = "added up" if reduce is torch.sum else "averaged"
                sentence = f"You {what} too much: {shapes} Stop one step earlier."
                return Problem("reduced too far", sentence)
    if t.ndim and v.ndim:
        cuts: tuple[tuple[str, Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]], ...] = (
            ("The first entry is too many", lambda t, v: (t, v[1:])),
            ("The last entry is too many", lambda t, v: (t, v[:-1])),
            ("The first entry is missing", lambda t, v: (t[1:], v)),
            ("The last entry is missing", lambda t, v: (t[:-1], v)),
        )
        for sentence, cut in cuts:
            if all_are(cut):
                return Problem("one entry off", f"{sentence}: {shapes}")
    if t.ndim and not v.ndim:
        for place, ordinal in ((-1, "last"), (0, "first")):
            if all_are(lambda t, v: (t[place], v)):  # noqa: B023
                sentence = f"You return the {ordinal} entry alone: {shapes}"
                return Problem("one entry alone", sentence)
    return _kept_dimensions(exercise, seeds, names, pairs, shapes)


def _kept_dimensions(
    exercise: Exercise,
    seeds: list[int],
    names: list[str],
    pairs: list[tuple[Tensor, Tensor]],
    shapes: str,
) -> Problem | None:
    """Which of an argument's dimensions the answer keeps, where it should keep others."""
    inputs = [make_inputs(exercise, seed) for seed in seeds]
    for place, name in enumerate(names):
        arguments = [each[place] for each in inputs]
        if not isinstance(arguments[0], Tensor):
            continue
        wanted = {_kept(a, t) for a, (t, _) in zip(arguments, pairs, strict=True)}
        found = {_kept(a, v) for a, (_, v) in zip(arguments, pairs, strict=True)}
        if len(wanted) == len(found) == 1 and None not in wanted | found and wanted != found:
            keep, kept = _over(wanted.pop() or ()), _over(found.pop() or ())
            sentence = f"Your result keeps {kept} of {name}, and should keep {keep}: {shapes}"
            return Problem("wrong dimensions", sentence)
    return None


def _kept(argument: Tensor, result: Tensor) -> tuple[int, ...] | None:
    """The argument's dimensions, in order, whose sizes are those of the result."""
    shape = [n for n in result.shape if n > 1]
    sizes = list(argument.shape)
    dims = tuple(sizes.index(n) for n in shape if n in sizes)
    return dims if len(dims) == len(shape) and list(dims) == sorted(dims) else None


def explain_values(
    exercise: Exercise,
    seeds: list[int],
    names: list[str],
    truths: list[Any],
    values: list[Any],
    path: tuple[int, ...] = (),
) -> Problem | None:
    """What to say of wrong numbers of the right shape; None where nothing was found.

    Args:
        exercise: whose reference is run on changed inputs.
        seeds: of the trials.
        names: of the arguments.
        truths: the right value of each trial.
        values: the learner's.
        path: to these values within what the exercise observes.
    """
    if isinstance(truths[0], Tensor) and truths[0].dtype == torch.bool:
        pairs = [(as_float64(t), as_float64(v)) for t, v in zip(truths, values, strict=True)]
        if all(_close(1 - t, v) for t, v in pairs):
            return Problem("turned round", "True and False are exchanged in your answer.")
        return _changed_argument(exercise, seeds, names, pairs, path)
    pairs = [(as_float64(t), as_float64(v)) for t, v in zip(truths, values, strict=True)]
    if not all(v.isfinite().all() and t.isfinite().all() for t, v in pairs):
        return _changed_argument(exercise, seeds, names, pairs, path)
    sizes = [_numbers(make_inputs(exercise, seed), names) for seed in seeds]
    half = any(isinstance(v, Tensor) and v.dtype.itemsize < 4 for v in values)
    return (
        _factor(pairs, sizes, half)
        or _offset(pairs, sizes)
        or _function(pairs)
        or _changed_argument(exercise, seeds, names, pairs, path)
        or _scaled_part(exercise, seeds, names, pairs, sizes, path)
    )


def _factor(
    pairs: list[tuple[Tensor, Tensor]], sizes: list[dict[str, float]], half: bool
) -> Problem | None:
    factors = [_ratio(t, v) for t, v in pairs]
    if None in factors:
        return None
    found = [f for f in factors if f is not None]
    if sum(t.numel() for t, _ in pairs) < 2:
        return None
    text = _name_factor(found, sizes)
    if text is None:
        return None
    if text == "-1":
        return Problem("a factor", "Your answer is -1 times the right one: only the sign is wrong.")
    if abs(found[0] - 1) < 0.005 and len(set(text) & set("*[")) == 0:
        if half:
            return Problem("too few digits", "Nearly right: 16 bits hold too few digits.")
        sentence = (
            f"Nearly right: {found[0]:.4f} times the right answer, everywhere. Is a constant "
        )
        return Problem("nearly right", sentence + "slightly off?")
    return Problem("a factor", f"Your answer is {text} times the right one, everywhere.")


def _name_factor(found: list[float], sizes: list[dict[str, float]]) -> str | None:
    """A factor of each trial as a text; None where the trials have nothing in common."""
    if max(found) - min(found) <= 1e-3 * abs(found[0]):
        return f"{found[0]:.4g}"
    for sign, minus in ((1, ""), (-1, "-")):
        for text in sizes[0]:
            known = [size[text] for size in sizes]
            for number in (1, 2, 0.5):
                times = "" if number == 1 else f"{number} * "
                if _alike(found, [sign * number * n for n in known]):
                    return f"{minus}{times}{text}"
                if _alike(found, [sign * number / n for n in known]):
                    top = f"{number:g}"
                    return f"{minus}{top} / ({text})" if "*" in text else f"{minus}{top} / {text}"
    return None


def _offset(pairs: list[tuple[Tensor, Tensor]], sizes: list[dict[str, float]]) -> Problem | None:
    offsets = [(v - t).mean().item() for t, v in pairs]
    for (t, v), offset in zip(pairs, offsets, strict=True):
        if abs(offset) < 1e-6 or not _close(torch.full_like(t, offset), v - t, 1e-3, 1e-5):
            return None
    if all(t.numel() == 1 for t, _ in pairs) and len(pairs) < 2:
        return None
    logarithms = [{f"log({k})": math.log(n) for k, n in s.items() if n > 0} for s in sizes]
    text = _name_factor(offsets, [s | logs for s, logs in zip(sizes, logarithms, strict=True)])
    if text is None:
        if any(t.numel() == 1 for t, _ in pairs):
            return None
        sentence = "Your answer is off by the same number everywhere, by another on other inputs."
        return Problem("an offset", sentence)
    return Problem("an offset", f"Your answer is the right one plus {text}, everywhere.")


def _function(pairs: list[tuple[Tensor, Tensor]]) -> Problem | None:
    for text, function in _FUNCTIONS.items():
        if all(_close_for_its_size(function(t), v) for t, v in pairs):
            sentence = f"Your answer is {text.format('the right one')}."
            return Problem("a function of the right answer", sentence)
    for text, function in _FUNCTIONS.items():
        if all(_close(t, function(v)) for t, v in pairs):
            sentence = f"The right answer is {text.format('yours')}: one step is missing."
            return Problem("a step missing", sentence)
    return None


# ------------------------------------------------------------------ other arguments


def _changes(inputs: _Arguments, names: list[str]) -> Iterator[tuple[str, str, _Change]]:
    """Ways to change arguments: what takes whose place, and the function that does it."""

    def at(place: int, function: Callable[[Any], Any]) -> _Change:
        return lambda a: (*a[:place], function(a[place]), *a[place + 1 :])

    usable = [i for i, a in enumerate(inputs) if _is_float(a)]
    for i in usable:
        for text, function in _CHANGES.items():
            named = text.format(names[i])
            yield names[i], named, at(i, _as_tensor_function(function))
    shape = [tuple(a.shape) if isinstance(a, Tensor) else () for a in inputs]
    for i, j in combinations(usable, 2):
        if shape[i] == shape[j]:
            pair = f"{names[i]} and {names[j]}"
            yield names[i], names[j], _taking(i, j)
            yield names[j], names[i], _taking(j, i)
            yield pair, f"{names[j]} and {names[i]}", _swapping(i, j)
            yield pair, "0", _without(i, j)


def _changed_argument(
    exercise: Exercise,
    seeds: list[int],
    names: list[str],
    pairs: list[tuple[Tensor, Tensor]],
    path: tuple[int, ...],
) -> Problem | None:
    """Whether the answer would be right with something else in an argument's place."""
    if not any(v.any() for _, v in pairs):
        return None  # many changes end in 0, and none of them says why
    for name, other, change in _changes(make_inputs(exercise, seeds[0]), names):
        reached = (_reference(exercise, seed, change, path) for seed in seeds)
        if all(
            found is not None and bool(found.isfinite().any()) and _close(found, v)
            for found, (_, v) in zip(reached, pairs, strict=True)
        ):
            where = f"look at where you use {name}."
            sentence = f"Your answer would be right with {other} in place of {name}: {where}"
            return Problem("another argument", sentence)
    return None


def _scaled_part(
    exercise: Exercise,
    seeds: list[int],
    names: list[str],
    pairs: list[tuple[Tensor, Tensor]],
    sizes: list[dict[str, float]],
    path: tuple[int, ...],
) -> Problem | None:
    """Whether the part of the answer that depends on an argument is a multiple of the right one."""
    for name, other, change in _changes(make_inputs(exercise, seeds[0]), names):
        if other != "0" and other not in names:
            continue
        rests = [_reference(exercise, seed, change, path) for seed in seeds]
        parts: list[tuple[Tensor, Tensor]] = []
        complements: list[tuple[Tensor, Tensor]] = []
        for rest, (t, v) in zip(rests, pairs, strict=True):
            if rest is None or rest.shape != t.shape or not rest.isfinite().all():
                break
            parts.append((t - rest, v - rest))
            complements.append((rest, v - (t - rest)))
        else:
            for found, whose in ((parts, "depends on"), (complements, "does not depend on")):
                factors = [_ratio(t, v) for t, v in found]
                known = [f for f in factors if f is not None]
                if len(known) < len(factors) or max(map(abs, known)) < 1e-3:
                    continue
                if text := _name_factor(known, sizes):
                    sentence = f"The part of your answer that {whose} {name} is {text} times "
                    return Problem("a part scaled", sentence + "what it should be.")
    return None


def _reference(
    exercise: Exercise, seed: int, change: _Change, path: tuple[int, ...]
) -> Tensor | None:
    """The reference's value for changed inputs; None where it has none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of scikit-learn's, say: the learner did not do this
            return as_float64(part(run(exercise, exercise.reference, seed, change).value, path))
    except Exception:  # not all functions take all numbers
        return None


def _numbers(inputs: _Arguments, names: list[str]) -> dict[str, float]:
    """What a factor may be: sizes and numbers among the arguments, by name."""
    found: dict[str, float] = dict(size_expressions(inputs, names))
    for argument, name in zip(inputs, names, strict=True):
        if isinstance(argument, int | float) and not isinstance(argument, bool) and argument:
            found[name] = float(argument)
    return found


def _is_float(argument: Any) -> bool:
    if isinstance(argument, Tensor):
        return argument.is_floating_point()
    return isinstance(argument, float)


def _as_tensor_function(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The function, for tensors and for Python's numbers."""

    def applied(argument: Any) -> Any:
        if isinstance(argument, Tensor):
            return function(argument)
        return function(torch.tensor(argument, dtype=torch.float64)).item()

    return applied


def _taking(i: int, j: int) -> _Change:
    """Argument j in the place of i as well."""
    return lambda a: (*a[:i], a[j], *a[i + 1 :])


def _swapping(i: int, j: int) -> _Change:
    order = {i: j, j: i}
    return lambda a: tuple(a[order.get(place, place)] for place in range(len(a)))


def _without(i: int, j: int) -> _Change:
    """0 in both places."""
    return lambda a: tuple(0 * x if place in (i, j) else x for place, x in enumerate(a))


# ------------------------------------------------------------------ numbers


def _close(a: Tensor, b: Tensor, relative: float = 1e-4, absolute: float = 1e-5) -> bool:
    return a.shape == b.shape and torch.allclose(a, b, relative, absolute, equal_nan=True)


def _close_for_its_size(a: Tensor, b: Tensor) -> bool:
    """Within a share of a's own size: 0 is not close to a millionth."""
    return _close(a, b, absolute=1e-5 * float(a.abs().max()) if a.numel() else 0.0)


def _ratio(t: Tensor, v: Tensor) -> float | None:
    """The factor f with v = f t; None where there is none, or t is 0."""
    squares = t.square().sum()
    if squares < 1e-10:
        return None
    factor = float((t * v).sum() / squares)
    scale = float(t.abs().max()) * max(abs(factor), 1e-6)
    return factor if torch.allclose(v, factor * t, 1e-3, 1e-5 * scale) and factor else None


def _alike(a: list[float], b: list[float]) -> bool:
    return all(math.isclose(x, y, rel_tol=1e-3) for x, y in zip(a, b, strict=True))


def _dimensions(x: Tensor) -> Iterator[tuple[int, ...]]:
    for count in range(1, x.ndim + 1):
        yield from combinations(range(x.ndim), count)


def _over(dims: tuple[int, ...]) -> str:
    if not dims:
        return "no dimension"
    if len(dims) == 1:
        return f"dimension {dims[0]}"
    return "dimensions " + ", ".join(map(str, dims[:-1])) + f" and {dims[-1]}"
