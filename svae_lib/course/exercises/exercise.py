"""What an exercise is, and what comes of grading an answer to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch

TRIALS = 3
"""Random inputs per grading: a function that is right on one alone would be luck."""

Status = Literal["unsolved", "correct", "wrong", "error"]
Function = Callable[..., Any]


def call(function: Function, inputs: tuple[Any, ...]) -> Any:
    """Default way to observe a function: its return value."""
    return function(*inputs)


class RowCounter:
    """A loss of parameters and rows of a batch that notes how many rows each call had.

    It can be sent to another process; grading there brings ``rows`` back.
    """

    def __init__(self, loss_of: Function) -> None:
        self.loss_of = loss_of
        self.rows: list[int] = []

    def __call__(self, theta: Any, part: Any) -> Any:
        """The loss."""
        self.rows.append(len(part))
        return self.loss_of(theta, part)


def draw_sizes(g: torch.Generator, count: int, low: int = 2) -> list[int]:
    """Sizes of dimensions from ``low`` on: pairwise different, and others in each trial.

    Where two sizes agree, a function that takes one for the other passes for right. Consecutive
    seeds, those of a grading's trials, draw from numbers that have no member in common.
    """
    trial = g.initial_seed() % TRIALS
    order = torch.randperm(count + 1, generator=g)[:count]
    return [low + trial + TRIALS * place for place in order.tolist()]


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
    tries: tuple[str, ...] = ()
    """Where ``observe`` returns the values of several calls: a name for each, such as "With a NaN".
    Sentences begin with it, or go on with it after "It returns nothing"."""
    differentiable: bool = False
    """Whether the notebook trains through the function: its gradient has to be right as well."""
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
    go_on: Function | None = None
    """For a right answer of an unusual type: the function with its results converted."""
