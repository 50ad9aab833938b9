"""Every exercise of the course: its truth passes, its stub is unsolved, its mistakes are named.

Most tests run over the registry, so a new exercise is tested as soon as its file exists.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable

import numpy as np
import pytest
import torch

from svae_lib import exercises
from svae_lib.exercises import Exercise, Mistake, check, grade, hint, names, registry
from svae_lib.exercises.engine import grade_answer
from svae_lib.validation import InputError

SEEDS = (0, 1, 12345)
ALL = tuple(registry().values())
MISTAKES = [(e, m) for e in ALL for m in e.mistakes]
each_exercise = pytest.mark.parametrize("exercise", ALL, ids=lambda e: e.name)


# ---------------------------------------------------------------- the registry


@each_exercise
def test_the_reference_passes(exercise: Exercise) -> None:
    for seed in SEEDS:
        assert grade(exercise.name, exercise.reference, seed).status == "correct"


@each_exercise
def test_an_unsolved_stub_is_reported_kindly(exercise: Exercise) -> None:
    parameters = len(inspect.signature(exercise.reference).parameters)
    stubs = [lambda *args, **kwargs: None, lambda *args, **kwargs: ..., None, ...]
    for stub in stubs:
        result = grade(exercise.name, stub, seed=0)
        assert result.status == "unsolved", (exercise.name, parameters, result)
        assert result.mistake is None


@pytest.mark.parametrize(("exercise", "mistake"), MISTAKES, ids=lambda v: v.name)
def test_a_mistake_fails_with_its_own_hint(exercise: Exercise, mistake: Mistake) -> None:
    for seed in SEEDS:
        result = grade(exercise.name, mistake.function, seed)
        assert (result.status, result.mistake) == ("wrong", mistake.name)
        assert result.message == mistake.hint


@each_exercise
def test_there_are_three_mistakes_with_distinct_hints(exercise: Exercise) -> None:
    assert len(exercise.mistakes) >= 3
    assert len({m.hint for m in exercise.mistakes}) == len(exercise.mistakes)
    assert len({m.name for m in exercise.mistakes}) == len(exercise.mistakes)
    assert len(exercise.hints) >= 2


@each_exercise
def test_inputs_differ_between_seeds_and_agree_within_one(exercise: Exercise) -> None:
    def drawn(seed: int) -> list[float]:
        torch.manual_seed(seed)
        return _numbers(exercise.inputs(torch.Generator().manual_seed(seed)))

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)


@each_exercise
def test_any_answer_ends_in_a_result(exercise: Exercise) -> None:
    for name, answer in BAD_ANSWERS.items():
        result = grade(exercise.name, answer, seed=0)
        assert result.status in ("wrong", "error"), (exercise.name, name, result)
        assert result.message


def _each(value: object, change: Callable[[torch.Tensor], object]) -> object:
    """A right answer with each of its tensors changed; plain numbers stay as they are."""
    if isinstance(value, tuple):
        return tuple(_each(part, change) for part in value)
    return change(value) if isinstance(value, torch.Tensor) else value


SPOILT: dict[str, Callable[[torch.Tensor], object]] = {
    "wrong shape": lambda t: t[None],
    "numpy instead of torch": lambda t: t.numpy(),
    "wrong type": lambda t: [t],
    "NaN": lambda t: t + torch.nan if t.is_floating_point() else t[None],
}


@each_exercise
@pytest.mark.parametrize("name", SPOILT)
def test_a_right_answer_of_the_wrong_type_is_told_what_is_wrong(
    exercise: Exercise, name: str
) -> None:
    def answer(*args: object) -> object:
        return _each(exercise.reference(*args), SPOILT[name])

    truth = exercise.reference(*exercise.inputs(torch.Generator().manual_seed(0)))
    result = grade(exercise.name, answer, seed=0)
    if _each(truth, lambda t: None) == truth:  # numbers alone, which nothing has spoilt
        assert result.status == "correct"
    elif name == "NaN" and "NaN" in result.message:  # in a mistake's own hint, perhaps
        assert result.status == "wrong"
    else:
        expected = "wrong shape" if name == "NaN" else name
        assert (result.status, result.mistake) == ("wrong", expected)


@each_exercise
def test_a_right_answer_that_changes_its_arguments_is_told_so(exercise: Exercise) -> None:
    def answer(*args: object) -> object:
        result = exercise.reference(*args)
        for argument in args:
            if isinstance(argument, torch.Tensor):
                argument.add_(1)
            elif isinstance(argument, list):
                argument[0] += 1
        return result

    inputs = exercise.inputs(torch.Generator().manual_seed(0))
    result = grade(exercise.name, answer, seed=0)
    if any(isinstance(argument, torch.Tensor | list) for argument in inputs):
        assert (result.status, result.mistake) == ("wrong", "in-place change")
    else:  # numbers alone cannot be changed
        assert result.status == "correct"


def _numbers(value: object) -> list[float]:
    """All numbers in nested inputs."""
    if isinstance(value, torch.Tensor | np.ndarray):
        return list(np.asarray(value, dtype=float).ravel())
    if isinstance(value, tuple | list):
        return [n for part in value for n in _numbers(part)]
    if isinstance(value, torch.nn.Module):
        return [n for p in value.parameters() for n in _numbers(p.detach())]
    return [float(value)] if isinstance(value, int | float) else []


class _Hostile:
    """An answer that objects to whatever is done with it."""

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no comparison")

    __hash__ = None  # type: ignore[assignment]

    def __bool__(self) -> bool:
        raise RuntimeError("no truth")


class _Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


def _raise(error: BaseException) -> None:
    raise error


BAD_ANSWERS = {
    "number": 3.0,
    "tensor": torch.zeros(3),
    "string": "mu + std * noise",
    "raises": lambda *args: 1 / 0,
    "exits": lambda *args: _raise(SystemExit(1)),
    "mute error": lambda *args: _raise(_Mute()),
    "too few arguments": lambda: 0,
    "odd shape": lambda *args: torch.zeros(2, 3, 5, 7, 11),
    "NaN": lambda *args: torch.full((6,), torch.nan),
    "empty": lambda *args: torch.empty(0),
    "empty tuple": lambda *args: (),
    "numpy": lambda *args: np.zeros(6),
    "integer": lambda *args: torch.zeros(6, dtype=torch.int64),
    "complex": lambda *args: torch.zeros(6, dtype=torch.complex64),
    "text": lambda *args: "0.5",
    "dict": lambda *args: {"x": 1},
    "hostile": lambda *args: _Hostile(),
    "function": lambda *args: lambda: 0,
    "nested": lambda *args: ((torch.zeros(1),), [np.zeros(2)]),
    "generator": lambda *args: (part for part in args),
}


# ---------------------------------------------------------------- general findings

TOY = Exercise(
    name="double",
    notebook="00_toy",
    reference=lambda x: 2 * x,
    inputs=lambda g: (torch.rand(4, generator=g),),
    mistakes=(Mistake("square", lambda x: x * x, "You squared it."),),
    hints=("Add it to itself.", "2 * x"),
)


def _in_place(x: torch.Tensor) -> torch.Tensor:
    return x.mul_(2)


def _unfinished(x: torch.Tensor) -> torch.Tensor:
    raise NotImplementedError


@pytest.mark.parametrize(
    ("answer", "status", "mistake"),
    [
        (lambda x: x + x, "correct", None),
        (lambda x: x * x, "wrong", "square"),
        (lambda x: (x * x).double(), "wrong", "square"),
        (_unfinished, "unsolved", None),
        (_in_place, "wrong", "in-place change"),
        (lambda x: (2 * x).numpy(), "wrong", "numpy instead of torch"),
        (lambda x: (2 * x)[:, None], "wrong", "wrong shape"),
        (lambda x: (2 * x).double(), "wrong", "wrong dtype"),
        (lambda x: (2 * x).tolist(), "wrong", "wrong type"),
        (lambda x: float(x.sum()), "wrong", "a number instead of a tensor"),
        (lambda x: torch.log(-x), "wrong", "NaN"),
        (lambda x: -2 * x, "wrong", "a factor"),
        (lambda x: 2 * x + 1, "wrong", "an offset"),
        (lambda x: x.sqrt(), "wrong", "wrong values"),
        (lambda x: x + undefined, "error", "NameError"),  # type: ignore[name-defined]  # noqa: F821
        (TOY.reference(torch.ones(4)), "error", "not a function"),
    ],
)
def test_general_findings(answer: object, status: str, mistake: str | None) -> None:
    result = grade_answer(TOY, answer, seed=3)
    assert (result.status, result.mistake) == (status, mistake)


def test_right_at_times() -> None:
    threshold = _first_inputs(TOY, seed=3)[0].sum()
    answer = lambda x: 2 * x if x.sum() > threshold - 1e-6 else 3 * x  # noqa: E731
    sums = [_first_inputs(TOY, seed=3, trial=t)[0].sum() for t in range(3)]
    assert any(s < threshold - 1e-6 for s in sums)  # or the answer would be right throughout
    assert grade_answer(TOY, answer, seed=3).mistake == "right at times"


def _first_inputs(exercise: Exercise, seed: int, trial: int = 0) -> tuple[torch.Tensor, ...]:
    return exercise.inputs(torch.Generator().manual_seed(seed * 3 + trial))


def test_an_exception_is_named_with_its_line() -> None:
    def answer(x: torch.Tensor) -> torch.Tensor:
        return x @ torch.zeros(7, 7)

    message = grade_answer(TOY, answer, seed=0).message
    assert "RuntimeError" in message
    assert "return x @ torch.zeros(7, 7)" in message


def test_an_interrupt_is_not_swallowed() -> None:
    with pytest.raises(KeyboardInterrupt):
        grade_answer(TOY, lambda x: _raise(KeyboardInterrupt()), seed=0)


def test_numbers_and_tuples_as_truth() -> None:
    pair = Exercise("pair", "00_toy", lambda x: (x.sum(), x.max().item()), TOY.inputs, (), ())
    assert grade_answer(pair, lambda x: [x.sum(), x.max()], seed=0).status == "correct"
    assert grade_answer(pair, lambda x: (x.sum(), None), seed=0).status == "unsolved"
    assert grade_answer(pair, lambda x: x.sum(), seed=0).mistake == "wrong number of results"
    wrong = grade_answer(pair, lambda x: (x.sum(), x), seed=0)
    assert wrong.mistake == "wrong shape"
    assert wrong.message.startswith("Result 2 of 2")


def test_a_number_that_still_carries_a_gradient_is_compared_in_silence() -> None:
    total = Exercise("total", "00_toy", lambda x: x.sum().item(), TOY.inputs, (), ())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert grade_answer(total, lambda x: x.requires_grad_().sum(), seed=0).status == "correct"


def test_what_was_put_into_a_list_of_arguments_is_noticed() -> None:
    listed = Exercise("listed", "00_toy", lambda x: sum(x), lambda g: ([1.0, 2.0],), (), ())

    def answer(x: list[float]) -> float:
        result = sum(x)
        x[0] = torch.zeros(3)  # type: ignore[call-overload]
        return result

    assert grade_answer(listed, answer, seed=0).mistake == "in-place change"


def test_a_gradient_can_be_what_is_compared() -> None:
    def gradient(function, inputs):  # type: ignore[no-untyped-def]
        (x,) = inputs
        return torch.autograd.grad(function(x.requires_grad_()).sum(), x)[0]

    smooth = Exercise("smooth", "00_toy", lambda x: x * x, TOY.inputs, (), (), observe=gradient)
    assert grade_answer(smooth, lambda x: x**2, seed=0).status == "correct"
    detached = grade_answer(smooth, lambda x: x * x.detach(), seed=0)
    assert detached.mistake == "a factor"
    assert "0.5" in detached.message


def test_grading_leaves_random_numbers_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(2)
    torch.manual_seed(5)
    grade_answer(TOY, lambda x: x + torch.rand(4), seed=0)
    assert torch.equal(torch.rand(2), expected)


def test_a_function_that_draws_its_own_noise_can_be_right() -> None:
    noisy = Exercise("noisy", "00_toy", lambda x: x + torch.randn_like(x), TOY.inputs, (), ())
    assert grade_answer(noisy, lambda x: torch.randn(4) + x, seed=0).status == "correct"


# ---------------------------------------------------------------- check and hint


def test_check_returns_the_function_to_go_on_with(capsys: pytest.CaptureFixture[str]) -> None:
    name = names()[0]
    reference = registry()[name].reference

    def mine(*args):  # type: ignore[no-untyped-def]
        return reference(*args)

    assert check(name, mine) is mine
    assert "correct" in _unwrapped(capsys)
    assert check(name, lambda *args: None) is reference
    printed = _unwrapped(capsys)
    assert "your turn" in printed
    assert "library's version" in printed
    assert check(name, registry()[name].mistakes[0].function) is reference
    assert registry()[name].mistakes[0].hint in _unwrapped(capsys)


def _unwrapped(capsys: pytest.CaptureFixture[str]) -> str:
    return " ".join(capsys.readouterr().out.split())


def test_hints_come_in_steps(capsys: pytest.CaptureFixture[str]) -> None:
    name = names()[0]
    for step, text in enumerate(registry()[name].hints, start=1):
        hint(name, step)
        assert text in _unwrapped(capsys)
    hint(name, len(registry()[name].hints) + 1)
    assert f"solutions/{registry()[name].notebook}.ipynb" in _unwrapped(capsys)
    with pytest.raises(InputError, match="count from 1"):
        hint(name, 0)


@pytest.mark.parametrize("name", ["no_such_exercise", None, ["a"]])
def test_an_unknown_name_lists_the_known_ones(name: object) -> None:
    with pytest.raises(InputError, match=exercises.names()[0]):
        check(name, lambda: None)  # type: ignore[arg-type]
