"""Running a function on an exercise's random inputs, and taking its answer as it was meant."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import combinations
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .compare import equal
from .exercise import Exercise, Function


@dataclass(frozen=True)
class Run:
    """A function's value on one random input."""

    value: Any
    changed_inputs: bool


def run(
    exercise: Exercise, function: Function, seed: int, change: Callable[..., Any] | None = None
) -> Run:
    """Observe a function on the inputs of a seed, with torch's random numbers seeded as well.

    Args:
        exercise: whose inputs and ``observe``.
        function: to be observed.
        seed: of the inputs.
        change: what is made of the inputs first; None leaves them alone.
    """
    with seeded(exercise, seed) as inputs:
        value = exercise.observe(function, change(inputs) if change else inputs)
        # The inputs are made again rather than copied before: any object can be compared so.
        return Run(value, not change and not equal(inputs, make_inputs(exercise, seed)))


@contextmanager
def seeded(exercise: Exercise, seed: int) -> Iterator[tuple[Any, ...]]:
    """The inputs of a seed; within, torch's random numbers are those of the seed too."""
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        inputs = make_inputs(exercise, seed)
        torch.default_generator.manual_seed(seed)
        yield inputs


def make_inputs(exercise: Exercise, seed: int) -> tuple[Any, ...]:
    """The arguments that an exercise draws with a seed."""
    torch.default_generator.manual_seed(seed)  # torch.manual_seed costs a millisecond
    return exercise.inputs(torch.Generator().manual_seed(seed))


def parameter_names(exercise: Exercise, answer: Any) -> list[str]:
    """What the learner calls the arguments; the reference's names where that is not known."""
    count = len(make_inputs(exercise, 0))
    for function in (answer, exercise.reference):
        try:
            names = list(inspect.signature(function).parameters)
        except (TypeError, ValueError):
            continue
        if len(names) >= count and not {"args", "kwargs"} & set(names):
            return names[:count]
    return [f"argument {place}" for place in range(1, count + 1)]


def size_expressions(inputs: tuple[Any, ...], names: list[str]) -> dict[str, int]:
    """Sizes of the arguments and products of them, by expressions such as "x.shape[1]"."""
    sizes: dict[str, int] = {}
    for argument, name in zip(inputs, names, strict=True):
        if isinstance(argument, Tensor):
            found = {f"{name}.shape[{d}]": n for d, n in enumerate(argument.shape)}
        else:
            found = {f"len({name})": len(argument)} if isinstance(argument, list) else {}
        for text, size in found.items():
            if size > 1 and size not in sizes.values():
                sizes[text] = size
    return {
        " * ".join(texts): prod(sizes[text] for text in texts)
        for count in (1, 2, 3, 4)
        for texts in combinations(sizes, count)
    }


# ------------------------------------------------------------------ float64, NumPy, Python numbers


class Lenient:
    """A learner's function whose right numbers are taken whatever type they come in.

    NumPy arrays, Python numbers and lists of them become tensors, and floats of another precision
    the reference's. What was converted is in ``remarks``. 16 bits are left as they are: they hold
    too few digits. Where the notebook trains through the function, tensors alone are converted,
    and only from a precision that is no lower: others would hide that the gradient is cut.
    """

    def __init__(self, exercise: Exercise, answer: Function) -> None:
        self.answer = answer
        self.differentiable = exercise.differentiable
        self.remarks: list[str] = []
        inputs = make_inputs(exercise, 0)
        with torch.random.fork_rng(devices=[]):
            self.template = exercise.reference(*inputs)
        self.inputs_dtype = _dtype(inputs)
        functools.update_wrapper(self, answer, updated=())

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The learner's value, converted."""
        value = self.answer(*args, **kwargs)
        return self._converted(self.template, value, _dtype(args))

    def _converted(self, truth: Any, value: Any, dtype: torch.dtype | None) -> Any:
        if isinstance(truth, tuple):
            if not isinstance(value, tuple | list) or len(value) != len(truth):
                return value
            return tuple(self._converted(t, v, dtype) for t, v in zip(truth, value, strict=True))
        if not isinstance(truth, Tensor):
            return value
        found = _as_tensor(value)
        if found is None or (self.differentiable and found[1]):
            return value
        tensor, remark = found
        if truth.is_floating_point() and tensor.is_floating_point():
            # The reference answers in its arguments' precision, or always in the same.
            wanted = dtype if dtype and truth.dtype == self.inputs_dtype else truth.dtype
            if tensor.dtype.itemsize < (wanted.itemsize if self.differentiable else 4):
                return value
            if tensor.dtype != wanted and not remark:
                remark = f"Its type is {tensor.dtype}; {wanted} is usual here, and was made of it."
            tensor = tensor.to(wanted)
        if remark and remark not in self.remarks:
            self.remarks.append(remark)
        return tensor


def _as_tensor(value: Any) -> tuple[Tensor, str] | None:
    """A value as a tensor, with a remark where it was none; None where it cannot be one."""
    if isinstance(value, Tensor):
        return value, ""
    if isinstance(value, np.ndarray | np.generic) and value.dtype.kind in "fiub":
        remark = "It came as a NumPy array, and was made a tensor. Stay in torch where you can."
        return torch.as_tensor(np.array(value)), remark
    numbers = value if isinstance(value, list) and value else [value]
    if all(isinstance(n, int | float) for n in numbers):
        remark = "It came as Python numbers, and was made a tensor: .item() and float() can go."
        return torch.tensor(value), remark
    return None


def _dtype(arguments: tuple[Any, ...]) -> torch.dtype | None:
    """Precision of the first argument that is a tensor of floats."""
    floats = (a for a in arguments if isinstance(a, Tensor) and a.is_floating_point())
    return next((a.dtype for a in floats), None)
