"""Every exercise of the course: its truth passes, its stub is unsolved, its mistakes are named.

Most tests run over the registry, so a new exercise is tested as soon as its file exists.
"""

from __future__ import annotations

import inspect
import math
import pickle
import warnings
from collections.abc import Callable

import numpy as np
import pytest
import torch
from wrong_answers import wrong_answers

from svae_lib.course import exercises
from svae_lib.course.exercises import Exercise, Mistake, check, grade, hint, names, registry
from svae_lib.course.exercises.compare import find_problem
from svae_lib.course.exercises.engine import grade_answer
from svae_lib.course.exercises.exercise import call
from svae_lib.course.exercises.trials import make_inputs, run
from svae_lib.support.checks import InputError

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
def test_inputs_can_be_sent_to_another_process(exercise: Exercise) -> None:
    """As for homework, whose functions run apart from their checks."""
    sent = pickle.loads(pickle.dumps(make_inputs(exercise, 0)))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        value = exercise.observe(exercise.reference, sent)
    assert find_problem(run(exercise, exercise.reference, 0).value, value, exercise) is None


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
    "a dimension of size 1": lambda t: t[None],
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
        plausible = {name, "a dimension of size 1"} if name == "NaN" else {name}
        if exercise.observe is not call:  # what is observed may have another shape
            plausible |= {"wrong shape", "wrong type"}
        assert (result.status, result.mistake in plausible) == ("wrong", True), result


UNUSUAL: dict[str, Callable[[torch.Tensor], object]] = {
    "float64": lambda t: t.double() if t.dtype == torch.float32 else t,
    "NumPy": lambda t: t.numpy(),
    "Python numbers": lambda t: t.tolist() if t.ndim < 2 else t,
}


@each_exercise
@pytest.mark.parametrize("name", UNUSUAL)
def test_right_numbers_of_another_type_are_right_unless_the_notebook_trains(
    exercise: Exercise, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def answer(*args: object) -> object:
        return _each(exercise.reference(*args), UNUSUAL[name])

    inputs = exercise.inputs(torch.Generator().manual_seed(0))
    truth = exercise.reference(*inputs)
    result = grade(exercise.name, answer, seed=0)
    if name != "float64" and (exercise.differentiable or exercise.name == "vae_forward"):
        same = str(_each(truth, UNUSUAL[name])) == str(truth)
        assert (result.status == "correct") == same
        return
    assert result.status == "correct", result
    found = check(exercise.name, answer, seed=0)(*inputs)
    assert _types(found) == _types(truth)  # so that the notebook's next cells run
    assert ("It came as" in _unwrapped(capsys)) == (
        name != "float64" and str(_each(truth, UNUSUAL[name])) != str(truth)
    )


def _types(value: object) -> object:
    if isinstance(value, tuple):
        return tuple(map(_types, value))
    return value.dtype if isinstance(value, torch.Tensor) else type(value)


SHAPES = {
    "to_float": "NCHW",
    "errors_of_mean": "NCHW",
    "reparameterise": "NL NL NL",
    "kl_divergence": "NL NL",
    "vae_loss": "NCHW NCHW NL NL",
    "optimal_gamma": "NCHW NCHW",
    "update_gamma": "NCHW NCHW",
    "kl_per_variable": "NL NL",
    "importance_weighted_bound": "NM NM",
    "mix": "N1HW NCHW NCHW",
    "mix_gradients": "NCHW N1HW NCHW NCHW",
    "split_head": "NCHW",
    "nyquist_share": "N1HW",
    "sharpen": "N1HW",
    "best_constant": "NCHW NCHW NCHW",
    "images_per_second": "T b w",
    "scaled_step": "P P",
    "accumulated_gradient": "P NP s",
    "aggregate_variance": "NL NL",
    "sample_gaussian": "L LL NL",
    "held_out_score": "NL ML",
    "slerp": "L L T",
    "update_moments": "n d dd Md",
    "frechet": "d dd d dd",
    "precision": "Nd Md k",
    "squared_mmd": "NN MM NM",
    "interval": "n",
    "paired_interval": "n n",
    "mix_many": "NKHW NKCHW",
    "entropy": "NK1HW",
    "denoising_loss": "NL N1 NL",
    "sample_diffusion": "NL T",
    "variance_share": "ABC 1",
    "vae_forward": "ND NL",
    "training_step": "P NP",
    "SplitDecoder": "F C",
    "responsibilities": "NL M ML MLL",
    "sign_test": "n q",
}
"""The dimensions of each exercise's arguments, and its whole numbers, by letters."""


@each_exercise
def test_sizes_are_pairwise_different_and_change_from_trial_to_trial(exercise: Exercise) -> None:
    for seed in range(10):
        trials = [_letters(exercise, 3 * seed + trial) for trial in range(3)]
        for sizes in trials:
            assert len(set(sizes.values())) == len(sizes), sizes
        for letter in trials[0]:
            assert len({sizes[letter] for sizes in trials}) == 3, (letter, trials)


def _letters(exercise: Exercise, seed: int) -> dict[str, int]:
    """The size that each letter stands for, the same wherever it occurs."""
    sizes: dict[str, int] = {}
    inputs = exercise.inputs(torch.Generator().manual_seed(seed))
    known = [
        a for a in inputs if isinstance(a, torch.Tensor | list | int) and getattr(a, "ndim", 1)
    ]
    for argument, letters in zip(known, SHAPES[exercise.name].split(), strict=True):
        shape = getattr(argument, "shape", None)
        if shape is None:
            shape = [argument if isinstance(argument, int) else len(argument)]
        for letter, size in zip(letters, shape, strict=True):
            assert (size == 1) == (letter == "1")
            if letter != "1":
                assert sizes.setdefault(letter, size) == size
    return sizes


UNNAMED = {"wrong values", "wrong shape", "wrong number of results", "NaN", "right at times"}


def test_most_plausible_wrong_answers_meet_a_mistake_that_is_named() -> None:
    named = total = 0
    for name, line, answer in wrong_answers():
        result = grade(name, answer, seed=7)
        assert result.status in ("wrong", "error"), (name, line)
        total += 1
        named += result.status == "wrong" and result.mistake not in UNNAMED
    assert total >= 300
    assert named >= 0.7 * total


D, L = 1024, 10


def test_a_size_of_the_notebook_is_told_from_a_mistake() -> None:
    for name, answer in (
        ("optimal_gamma", lambda x, y: (x - y).square().flatten(1).sum(1).mean() / D),
        ("kl_divergence", lambda m, v: 0.5 * (m**2 + v.exp() - v).sum(1) - L / 2),
    ):
        result = grade(name, answer, seed=0)
        assert (result.status, result.mistake) == ("wrong", "a size of the notebook")
        assert ".shape[1]" in result.message
    assert grade("optimal_gamma", lambda x, y: (x - y).sum() / D, seed=0).mistake != (
        "a size of the notebook"
    )


def test_the_reference_handed_back_is_not_called_correct(
    capsys: pytest.CaptureFixture[str],
) -> None:
    name = names()[0]
    handed_on = check(name, lambda *args: args[0] + 1)
    assert f'hint("{name}", 1)' in _unwrapped(capsys)
    assert check(name, handed_on) is handed_on
    printed = _unwrapped(capsys)
    assert "correct" not in printed
    assert "library" in printed


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
        (lambda x: (2 * x).numpy(), "correct", None),
        (lambda x: (2 * x)[:, None], "wrong", "a dimension of size 1"),
        (lambda x: (2 * x).double(), "correct", None),
        (lambda x: (2 * x).tolist(), "correct", None),
        (lambda x: 2 * x[0], "wrong", "one entry alone"),
        (lambda x: 2 * x[1:], "wrong", "one entry off"),
        (lambda x: torch.log(-x), "wrong", "NaN"),
        (lambda x: -2 * x, "wrong", "a factor"),
        (lambda x: 2 * x + 1, "wrong", "an offset"),
        (lambda x: (2 * x).exp(), "wrong", "a function of the right answer"),
        (lambda x: 2 * x.sin(), "wrong", "wrong values"),
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
    half_filled = grade_answer(pair, lambda x: (x.sum(), ...), seed=0)
    assert half_filled.message == "Result 2 of 2 is still to be filled in."


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


def _missing_kernel(x: torch.Tensor) -> torch.Tensor:
    raise NotImplementedError("no such kernel")


def test_an_error_of_torch_is_no_unsolved_stub() -> None:
    result = grade_answer(TOY, _missing_kernel, seed=0)
    assert (result.status, result.mistake) == ("error", "NotImplementedError")
    assert "no such kernel" in result.message


def test_a_result_that_is_nearly_right_is_said_to_be() -> None:
    assert grade_answer(TOY, lambda x: 1.999 * x, seed=0).mistake == "nearly right"


def test_of_several_results_the_wrong_one_is_named() -> None:
    pair = Exercise("pair", "00_toy", lambda x: (x, x + 1), TOY.inputs, (), ())
    result = grade_answer(pair, lambda x: (x, 3 * (x + 1)), seed=0)
    assert result.mistake == "a factor"
    assert result.message == "Result 2 of 2: Your answer is 3 times the right one, everywhere."


TWICE = Exercise(
    "twice",
    "00_toy",
    lambda x: (x, x.sum()),
    TOY.inputs,
    (),
    (),
    observe=lambda f, inputs: (f(inputs[0]), f(-inputs[0])),
    tries=("For positive numbers", "For negative ones"),
)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda x: (x, x.sum()) if x.sum() > 0 else None, "It returns nothing for negative ones."),
        (
            lambda x: (x, x.sum() if x.sum() > 0 else None),
            "For negative ones: Result 2 of 2 is still to be filled in.",
        ),
        (lambda x: (x, ...), "Result 2 of 2 is still to be filled in."),
        (
            lambda x: (x, x.abs().sum()),
            "For negative ones: Result 2 of 2: Your answer is -1 times the right one: only the "
            "sign is wrong.",
        ),
        (
            lambda x: (x.view(2, 2), x.sum()),
            "For positive numbers: Result 1 of 2: Right numbers in another arrangement: "
            "the shape should be (4,), yours is (2, 2).",
        ),
    ],
)
def test_several_tries_go_by_their_names(answer: object, message: str) -> None:
    assert grade_answer(TWICE, answer, seed=0).message == message


@each_exercise
def test_tries_are_as_many_as_the_values_observed(exercise: Exercise) -> None:
    inputs = exercise.inputs(torch.Generator().manual_seed(0))
    value = exercise.observe(exercise.reference, inputs)
    assert not exercise.tries or len(value) == len(exercise.tries)


SMOOTH = Exercise(
    "smooth",
    "00_toy",
    lambda x, y: x * y.exp(),
    lambda g: tuple(torch.rand(2, 4, generator=g)),
    (),
    (),
    differentiable=True,
)


@pytest.mark.parametrize(
    ("answer", "status", "mistake"),
    [
        (lambda x, y: torch.stack([a * b.exp() for a, b in zip(x, y)]), "correct", None),  # noqa: B905
        (lambda x, y: (x * y.exp()).detach(), "wrong", "gradient cut"),
        (torch.no_grad()(lambda x, y: x * y.exp()), "wrong", "gradient cut"),
        (
            lambda x, y: torch.tensor([a.item() * b.exp().item() for a, b in zip(x, y)]),  # noqa: B905
            "wrong",
            "gradient cut",
        ),
        (
            lambda x, y: torch.stack([a * math.exp(b) for a, b in zip(x, y)]),  # noqa: B905
            "wrong",
            "gradient cut",
        ),
        (lambda x, y: torch.from_numpy(x.numpy() * np.exp(y.numpy())), "error", "RuntimeError"),
    ],
)
def test_a_gradient_that_is_cut_is_noticed(answer: object, status: str, mistake: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # torch warns of cut gradients; we say it ourselves
        result = grade_answer(SMOOTH, answer, seed=0)
    assert (result.status, result.mistake) == (status, mistake)


# ---------------------------------------------------------------- single exercises


def _scaled_step_by(test: Callable[[torch.Tensor], torch.Tensor]) -> Callable[..., object]:
    """The right step, for gradients of which ``test`` says that they overflowed."""

    def answer(w: torch.Tensor, g: torch.Tensor, s: float, lr: float) -> object:
        return (w.clone(), s / 2) if test(g) else (w - lr * g / s, s)

    return answer


def _frechet_by(root_of: Callable[[torch.Tensor], torch.Tensor]) -> Callable[..., torch.Tensor]:
    """The Fréchet distance, with another root of a matrix."""

    def answer(
        m1: torch.Tensor, s1: torch.Tensor, m2: torch.Tensor, s2: torch.Tensor
    ) -> torch.Tensor:
        root = root_of(s1)
        mixed = root_of(root @ s2 @ root).trace()
        return (m1 - m2).square().sum() + s1.trace() + s2.trace() - 2 * mixed

    return answer


def _clamped_late(s: torch.Tensor) -> torch.Tensor:
    values, vectors = torch.linalg.eigh(s)
    return (vectors * values.clamp(min=0.1).sqrt()) @ vectors.T  # too high: not only for rounding


def _root_clamped(s: torch.Tensor) -> torch.Tensor:
    values, vectors = torch.linalg.eigh(s)
    return (vectors * values.clamp(min=0).sqrt()) @ vectors.T


def _frechet_outer_not_clamped(
    m1: torch.Tensor, s1: torch.Tensor, m2: torch.Tensor, s2: torch.Tensor
) -> torch.Tensor:
    root = _root_clamped(s1)
    mixed = torch.linalg.eigvalsh(root @ s2 @ root).sqrt().sum()
    return (m1 - m2).square().sum() + s1.trace() + s2.trace() - 2 * mixed


def _forward(
    x: torch.Tensor, noise: torch.Tensor, encoder: Callable, decoder: Callable
) -> tuple[torch.Tensor, ...]:
    mu, log_var = encoder(x).chunk(2, dim=1)
    return decoder(mu + (log_var / 2).exp() * noise), mu, log_var


def _forward_through(
    cut: Callable[[torch.Tensor], torch.Tensor],
) -> Callable[..., tuple[torch.Tensor, ...]]:
    """A forward pass whose z goes on from ``cut`` of mu."""

    def answer(
        x: torch.Tensor, noise: torch.Tensor, encoder: Callable, decoder: Callable
    ) -> tuple[torch.Tensor, ...]:
        mu, log_var = encoder(x).chunk(2, dim=1)
        return decoder(cut(mu) + (log_var / 2).exp() * noise), mu, log_var

    return answer


def _step_from_the_leaf(detached: bool) -> Callable[..., tuple[torch.Tensor, torch.Tensor]]:
    def answer(
        theta: torch.Tensor, loss_of: Callable, x: torch.Tensor, rate: float
    ) -> tuple[torch.Tensor, torch.Tensor]:
        leaf = theta.detach().requires_grad_()
        loss = loss_of(leaf, x)
        gradient = torch.autograd.grad(loss, leaf)[0]
        return (
            (loss.detach(), leaf - rate * gradient) if detached else (loss, theta - rate * gradient)
        )

    return answer


def _moments_by_products(n: int, m: torch.Tensor, s: torch.Tensor, batch: torch.Tensor) -> object:
    """As ``_by_squares``, in another order: what rounding leaves differs."""
    total = n * m + batch.sum(0)
    products = s + n * torch.outer(m, m) + batch.T @ batch
    count = n + len(batch)
    return count, total / count, products - torch.outer(total, total) / count


def _stepped(
    w: torch.Tensor, g: torch.Tensor, s: float, lr: float, halved: float = 1.0
) -> tuple[torch.Tensor, float]:
    return w - lr * g / s, s if g.isfinite().all() else s * halved


class _Decoder(torch.nn.Module):
    """A right one; those below differ in one thing each."""

    outputs = 1

    def __init__(self, body: Callable, features: int, channels: int) -> None:
        super().__init__()
        self.body = body
        self.head = torch.nn.Conv2d(features, self.outputs + 2 * channels, 3, padding=1)

    def forward(self, z: torch.Tensor) -> tuple[torch.Tensor, ...]:
        maps = self.head(self.body(z)).sigmoid()
        sigma, x1, x2 = maps[:, :1], *maps[:, 1:].chunk(2, dim=1)
        return sigma * x1 + (1 - sigma) * x2, sigma, x1, x2


class _NotCalledHead(_Decoder):
    def __init__(self, body: Callable, features: int, channels: int) -> None:
        super().__init__(body, features, channels)
        self.convolution = self.head
        del self.head


class _OneChannelShort(_Decoder):
    outputs = 0


class _NoBias(_Decoder):
    def __init__(self, body: Callable, features: int, channels: int) -> None:
        super().__init__(body, features, channels)
        self.head = torch.nn.Conv2d(features, 1 + 2 * channels, 3, padding=1, bias=False)


class _NoGrad(_Decoder):
    @torch.no_grad()
    def forward(self, z: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return super().forward(z)


def _moments_one_by_one(n: int, m: torch.Tensor, s: torch.Tensor, batch: torch.Tensor) -> object:
    """Welford's algorithm."""
    for x in batch:
        n, before = n + 1, x - m
        m = m + before / n
        s = s + torch.outer(before, x - m)
    return n, m, s


WRONG: dict[str, tuple[str, Callable[..., object], str]] = {
    "no gradient at all": (
        "kl_divergence",
        lambda mu, v: torch.tensor(
            [
                sum(0.5 * (m**2 + math.exp(x) - 1 - x) for m, x in zip(*row, strict=True))
                for row in zip(mu.tolist(), v.tolist(), strict=True)
            ]
        ),
        "gradient cut",
    ),
    "no gradient for the variance": (
        "reparameterise",
        lambda mu, v, noise: mu + (v / 2).exp().detach() * noise,
        "gradient cut",
    ),
    "a loss as a number": (
        "vae_loss",
        lambda *a: torch.tensor(registry()["vae_loss"].reference(*a).item()),
        "gradient cut",
    ),
    "a mixture of lists": (
        "mix",
        lambda s, a, b: torch.tensor((s * a + (1 - s) * b).tolist()),
        "gradient cut",
    ),
    "weights detached": (
        "mix_many",
        lambda maps, images: registry()["mix_many"].reference(maps.detach(), images),
        "gradient cut",
    ),
    "float32 mixture": (
        "mix_many",
        lambda maps, images: registry()["mix_many"].reference(maps, images).float(),
        "wrong dtype",
    ),
    "gamma not updated": (
        "update_gamma",
        lambda x, y, gamma, running: (
            gamma,
            0.99 * running + 0.01 * (x - y.detach()).square().mean(),
        ),
        "one step late",
    ),
    "whole MSE added": (
        "update_gamma",
        lambda x, y, gamma, running: (gamma, running + (x - y.detach()).square().mean()),
        "a part scaled",
    ),
    "mean over the channels": (
        "vae_loss",
        lambda x, y, m, v, gamma: (
            (x - y).square().sum(dim=(2, 3)).mean() / (2 * gamma)
            + registry()["kl_divergence"].reference(m, v).mean()
        ),
        "a part scaled",
    ),
    "three images only": (
        "mix_many",
        lambda maps, images: sum(maps.softmax(1)[:, k, None] * images[:, k] for k in range(3)),
        "IndexError",
    ),
    "colour images only": (
        "split_head",
        lambda z: tuple(p.sigmoid() for p in (z[:, :1], z[:, 1:4], z[:, 4:])),
        "wrong shape",
    ),
    "clamped too high": (
        "frechet",
        _frechet_by(_clamped_late),
        "wrong values",
    ),
    "absolute MMD": (
        "squared_mmd",
        lambda *k: registry()["squared_mmd"].reference(*k).abs(),
        "a factor",
    ),
    "+inf alone": ("scaled_step", _scaled_step_by(lambda g: (g == math.inf).any()), "wrong values"),
    "no gradient in the forward pass": ("vae_forward", torch.no_grad()(_forward), "gradient cut"),
    "no gradient for z": (
        "vae_forward",
        lambda x, e, encoder, decoder: (
            lambda mu, v: (decoder((mu + (v / 2).exp() * e).detach()), mu, v)
        )(*encoder(x).chunk(2, dim=1)),
        "gradient cut",
    ),
    "no gradient for mu alone": (
        "vae_forward",
        _forward_through(lambda mu: mu.detach()),
        "gradient cut",
    ),
    "the outer root not clamped": (
        "frechet",
        _frechet_outer_not_clamped,
        "outer root not clamped",
    ),
    "the outer root not clamped, from the second": (
        "frechet",
        lambda m1, s1, m2, s2: _frechet_outer_not_clamped(m2, s2, m1, s1),
        "NaN",
    ),
    "a loss with its gradient": ("training_step", _step_from_the_leaf(False), "gradient kept"),
    "parameters with a gradient": ("training_step", _step_from_the_leaf(True), "gradient kept"),
    "products in another order": ("update_moments", _moments_by_products, "sums of squares"),
    "overflow not looked for": ("scaled_step", _stepped, "overflow not noticed"),
    "one finite entry is enough": (
        "scaled_step",
        lambda w, g, s, lr: _stepped(w, g, s, lr) if g.isfinite().any() else (w, s / 2),
        "overflow not noticed",
    ),
    "nan_to_num": (
        "scaled_step",
        lambda w, g, s, lr: _stepped(w, g.nan_to_num(), s, lr),
        "overflow made a huge number",
    ),
    "halved and stepped": (
        "scaled_step",
        lambda w, g, s, lr: (
            (w - lr * g / s, s) if g.isfinite().all() else (w - lr * g / (s / 2), s / 2)
        ),
        "steps with the halved scale",
    ),
    "divided in 16 bits": (
        "scaled_step",
        lambda w, g, s, lr: (
            (w - lr * (g.half() / s).float(), s) if g.isfinite().all() else (w.clone(), s / 2)
        ),
        "nearly right",
    ),
    "its own nearest": (
        "precision",
        lambda real, fake, k: (
            (torch.cdist(fake, real) <= torch.cdist(real, real).min(dim=1).values)
            .any(dim=1)
            .double()
            .mean()
        ),
        "none inside",
    ),
    "running from gamma": (
        "update_gamma",
        lambda x, y, gamma, running: (lambda r: (torch.minimum(gamma, r), r))(
            0.99 * gamma + 0.01 * (x - y.detach()).square().mean()
        ),
        "running mean from gamma",
    ),
    "a head of another name": ("SplitDecoder", _NotCalledHead, "head of another name"),
    "a channel short": ("SplitDecoder", _OneChannelShort, "head of another shape"),
    "a head without a bias": ("SplitDecoder", _NoBias, "head of another kind"),
    "a decoder without a gradient": ("SplitDecoder", _NoGrad, "RuntimeError"),
    "chunk for split": (
        "accumulated_gradient",
        lambda theta, loss_of, batch, size: sum(
            torch.func.grad(loss_of)(theta, part) * len(part) / len(batch)
            for part in batch.chunk(size)
        ),
        "whole batch at once",
    ),
    "bytes in 16 bits": ("to_float", lambda images: images.half() / 255, "too few digits"),
    "infinite alone": (
        "scaled_step",
        _scaled_step_by(lambda g: g.isinf().any()),
        "NaN let through",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_an_answer_that_used_to_pass_or_was_misread(case: str) -> None:
    name, answer, mistake = WRONG[case]
    for seed in SEEDS:
        result = grade(name, answer, seed)
        assert result.status in ("wrong", "error"), (case, seed, result)
        assert result.mistake in (mistake, "right at times", "an offset"), (case, seed, result)


@pytest.mark.parametrize("seed", SEEDS)
def test_other_ways_to_the_same_numbers_are_right(seed: int) -> None:
    def newton_schulz(s: torch.Tensor) -> torch.Tensor:
        scale, one = s.norm(), torch.eye(len(s), dtype=s.dtype)
        root, inverse = s / scale, one
        for _ in range(15):
            step = (3 * one - inverse @ root) / 2
            root, inverse = root @ step, step @ inverse
        return root * scale.sqrt()

    assert grade("frechet", _frechet_by(newton_schulz), seed).status == "correct"
    assert grade("update_moments", _moments_one_by_one, seed).status == "correct"


def test_nearly_right_is_never_right() -> None:
    """By luck the numbers were close enough on some seeds, and were converted."""
    for seed in range(40):
        one_less = grade(
            "optimal_gamma", lambda x, y: (x - y).square().sum() / (x.numel() - 1), seed
        )
        assert one_less.status == "wrong", seed
        result = grade("optimal_gamma", lambda x, y: (x.half() - y.half()).square().mean(), seed)
        assert result.status == "wrong", seed
        assert result.mistake in ("too few digits", "wrong dtype", "right at times"), result


def test_flags_that_a_check_adds_are_not_counted_as_results() -> None:
    for name, asked in (("update_gamma", 2), ("training_step", 2), ("vae_forward", 3)):
        reference = registry()[name].reference
        message = grade(name, lambda *a: (*reference(*a), a[0]), 0).message  # noqa: B023
        assert f"Return {asked} results, not {asked + 1}." in message, (name, message)


def test_answers_of_0_are_not_explained_by_an_argument() -> None:
    for seed in range(6):
        result = grade("precision", lambda real, fake, k: 0 * real[0, 0], seed)
        assert result.mistake == "none inside"
        result = grade("squared_mmd", lambda kxx, kyy, kxy: 0 * kxy.mean(), seed)
        assert result.mistake != "another argument", result


def test_a_decoder_begun_is_not_called_wrong() -> None:
    class Begun(torch.nn.Module):
        def __init__(self, body: Callable, features: int, channels: int) -> None:
            super().__init__()
            self.body, self.head = body, ...

        def forward(self, z: torch.Tensor) -> object:
            return self.head(self.body(z))  # type: ignore[operator]

    assert grade("SplitDecoder", Begun, 0).status == "unsolved"


def test_a_check_shows_no_warnings_of_its_own() -> None:
    """Of scikit-learn's, which changed arguments made not converge."""
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        for seed in SEEDS:
            assert (
                grade(
                    "held_out_score", lambda mixture, a, b: float(a.mean() * b.sum()), seed
                ).status
                == "wrong"
            )
    assert [str(w.message) for w in shown] == []


def test_a_right_answer_in_float64_goes_on_with_its_gradient_in_float32(
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = check(
        "kl_divergence", lambda m, v: registry()["kl_divergence"].reference(m, v).double()
    )
    assert "Its type is torch.float64" in _unwrapped(capsys)
    leaf = torch.zeros(2, 3, requires_grad=True)
    value = found(leaf, leaf)
    assert value.dtype == torch.float32 and value.requires_grad
    cut = grade("kl_divergence", lambda m, v: found(m, v).double().detach(), 0)
    assert cut.mistake == "gradient cut" and "torch.no_grad()" in cut.message


def test_a_gradient_that_hangs_on_gamma_is_noticed() -> None:
    right = registry()["update_gamma"].reference

    def answer(x: torch.Tensor, y: torch.Tensor, *state: torch.Tensor) -> object:
        gamma, running = right(x, y, *state)
        return gamma, running + 0 * y.sum()

    assert grade("update_gamma", answer, seed=0).mistake == "gradient kept"


def test_accumulating_sees_no_more_images_than_fit() -> None:
    def answer(theta: torch.Tensor, loss_of: Callable, batch: torch.Tensor, size: int) -> object:
        leaf = theta.clone().requires_grad_()
        return torch.autograd.grad(loss_of(leaf, batch), leaf)[0]

    assert grade("accumulated_gradient", answer, seed=0).mistake == "whole batch at once"


def test_a_mistake_has_its_own_hint_on_other_inputs_too() -> None:
    """Of these the inputs of some seeds once gave another hint, or none."""
    for name, mistake in (
        ("paired_interval", "sorted before pairing"),
        ("best_constant", "not divided"),
        ("squared_mmd", "clipped"),
    ):
        wrong = next(m for m in registry()[name].mistakes if m.name == mistake)
        for seed in range(40):
            assert grade(name, wrong.function, seed).mistake == mistake, (name, seed)


def test_a_missing_return_at_overflow_is_named() -> None:
    def answer(w: torch.Tensor, g: torch.Tensor, s: float, lr: float) -> object:
        return (w - lr * g / s, s) if g.isfinite().all() else None

    result = grade("scaled_step", answer, seed=0)
    assert (result.status, result.message) == ("unsolved", "It returns nothing after an overflow.")


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
    assert registry()[name].notebook in _unwrapped(capsys)
    with pytest.raises(InputError, match="count from 1"):
        hint(name, 0)


@pytest.mark.parametrize("name", ["no_such_exercise", None, ["a"]])
def test_an_unknown_name_lists_the_known_ones(name: object) -> None:
    with pytest.raises(InputError, match=exercises.names()[0]):
        check(name, lambda: None)  # type: ignore[arg-type]


def test_an_object_whose_attributes_raise_brings_no_traceback() -> None:
    class Trap:
        def __call__(self, *arguments: object) -> None:
            return None

        def __getattr__(self, name: str) -> object:
            raise RuntimeError("a trap")

    for name in ("reparameterise", "optimal_gamma"):
        assert exercises.grade(name, Trap(), 0).status != "correct"
