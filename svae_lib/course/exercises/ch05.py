"""Exercises of notebook 05_train_on_cuda: throughput, loss scaling, a batch in parts."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from .exercise import TRIALS, Exercise, Function, Mistake, RowCounter, draw_sizes

NOTEBOOK = "05_train_on_cuda"


def _draw(low: int, high: int, g: torch.Generator) -> int:
    """A whole number in [low, high)."""
    return int(torch.randint(low, high, (), generator=g))


# ------------------------------------------------------------------ images per second


def images_per_second(times: Tensor, batch_size: int, warmup: int) -> float:
    """Throughput from clock readings, the first steps left out.

    Args:
        times: float64 (T + 1,), in seconds: before the first step, then after each of T steps,
            the device having been waited for.
        batch_size: images per step.
        warmup: steps at the beginning that do not count, below T.
    """
    return batch_size * (len(times) - 1 - warmup) / float(times[-1] - times[warmup])


def _readings(g: torch.Generator) -> tuple[Tensor, int, int]:
    """Times of 8 steps or more, the first three slow and the others uneven."""
    steps, batch_size = draw_sizes(g, 2, low=8)
    lengths = 0.05 + 0.1 * torch.rand(steps + 1, generator=g, dtype=torch.float64)
    lengths[1:4] += 1 + torch.rand(3, generator=g, dtype=torch.float64)
    return 5 + lengths.cumsum(0), batch_size, 2 + g.initial_seed() % TRIALS


IMAGES_PER_SECOND = Exercise(
    name="images_per_second",
    notebook=NOTEBOOK,
    reference=images_per_second,
    inputs=_readings,
    mistakes=(
        Mistake(
            "warm-up counted",
            lambda times, batch, warmup: images_per_second(times, batch, 0),
            "You count the warm-up: first steps choose algorithms and fill caches, and are slow.",
        ),
        Mistake(
            "warm-up in the time alone",
            lambda times, batch, warmup: (
                batch * (len(times) - 1) / float(times[-1] - times[warmup])
            ),
            "The time leaves out the warm-up, but the number of steps does not.",
        ),
        Mistake(
            "warm-up in the count alone",
            lambda times, batch, warmup: (
                batch * (len(times) - 1 - warmup) / float(times[-1] - times[0])
            ),
            "The number of steps leaves out the warm-up, but the time begins at the first step.",
        ),
        Mistake(
            "fence posts counted",
            lambda times, batch, warmup: (
                batch * (len(times) - warmup) / float(times[-1] - times[warmup])
            ),
            "You count readings instead of steps: T + 1 posts have T fields between them.",
        ),
        Mistake(
            "start one step late",
            lambda times, batch, warmup: (
                batch * (len(times) - 1 - warmup) / float(times[-1] - times[warmup + 1])
            ),
            "Your clock starts one step late: times[k] is read after k steps.",
        ),
        Mistake(
            "mean of the rates",
            lambda times, batch, warmup: float((batch / times.diff()[warmup:]).mean()),
            "You averaged the rates of the steps. Quick steps then count too much: divide all "
            "images by all seconds.",
        ),
        Mistake(
            "from zero",
            lambda times, batch, warmup: batch * (len(times) - 1 - warmup) / float(times[-1]),
            "You divide by the last reading. A clock starts anywhere: only differences count.",
        ),
        Mistake(
            "steps per second",
            lambda times, batch, warmup: images_per_second(times, 1, warmup),
            "These are steps per second: a step has batch_size images.",
        ),
        Mistake(
            "seconds per image",
            lambda times, batch, warmup: 1 / images_per_second(times, batch, warmup),
            "These are seconds per image: the inverse was asked for.",
        ),
    ),
    hints=(
        "All images that count, divided by all seconds that they took.",
        "times has one entry more than there are steps; times[warmup] is when the warm-up ended.",
        "steps = len(times) - 1 - warmup; seconds = times[-1] - times[warmup].",
    ),
)


# ------------------------------------------------------------------ loss scaling


def scaled_step(
    weights: Tensor, scaled_gradient: Tensor, scale: float, learning_rate: float
) -> tuple[Tensor, float]:
    """A step of gradient descent with a scaled loss: new weights and the scale for the next step.

    An infinite or NaN gradient (overflow) leaves all weights alone and halves the scale; P.
    Micikevicius et al., "Mixed precision training", ICLR 2018, section 3.2.

    Args:
        weights: float32 (P,).
        scaled_gradient: gradient of scale * loss, (P,).
        scale: what the loss was multiplied by.
        learning_rate: of the step.
    """
    if not scaled_gradient.isfinite().all():
        return weights.clone(), scale / 2
    return weights - learning_rate * scaled_gradient / scale, scale


def _scaled(g: torch.Generator) -> tuple[Tensor, Tensor, float, float]:
    scale = 2.0 ** _draw(2, 7, g)
    weights, gradient = torch.randn(2, *draw_sizes(g, 1, low=4), generator=g)
    return weights, scale * gradient, scale, 0.1 + 0.01 * _draw(0, 10, g)


def _with_and_without_overflow(function: Function, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """The answers for a sound gradient, and for three of which one number is not finite."""
    weights, gradient, scale, learning_rate = inputs
    answers = [function(weights, gradient, scale, learning_rate)]
    for odd in (torch.inf, -torch.inf, torch.nan):
        broken = gradient.clone()
        broken[2] = odd
        answers.append(function(weights, broken, scale, learning_rate))
    return tuple(answers)


def _sound(weights: Tensor, gradient: Tensor, scale: float, rate: float) -> Tensor:
    return weights - rate * gradient / scale


def _finite(gradient: Tensor) -> bool:
    return bool(gradient.isfinite().all())


def _in_part(w: Tensor, g: Tensor, s: float, lr: float) -> tuple[Tensor, float]:
    known = g.nan_to_num(posinf=0.0, neginf=0.0)
    return _sound(w, known, s, lr), s if _finite(g) else s / 2


SCALED_STEP = Exercise(
    name="scaled_step",
    notebook=NOTEBOOK,
    reference=scaled_step,
    inputs=_scaled,
    observe=_with_and_without_overflow,
    tries=("For a sound gradient", "After an overflow", "After one to -inf", "After a NaN"),
    relative=1e-6,  # a gradient divided in 16 bits is nearly right
    absolute=1e-6,
    mistakes=(
        Mistake(
            "not divided by the scale",
            lambda w, g, s, lr: (w - lr * g, s) if _finite(g) else (w.clone(), s / 2),
            "The gradient is that of scale * loss, so your step is too long by the scale: divide "
            "by it first.",
        ),
        Mistake(
            "multiplied by the scale",
            lambda w, g, s, lr: (w - lr * g * s, s) if _finite(g) else (w.clone(), s / 2),
            "You multiply by the scale, but it is in the gradient already: divide by it.",
        ),
        Mistake(
            "steps in spite of the overflow",
            lambda w, g, s, lr: (_sound(w, g, s, lr), s if _finite(g) else s / 2),
            "You step with an infinite gradient too: a weight becomes infinite and never returns. "
            "Skip that step.",
        ),
        Mistake(
            "overflow not noticed",
            lambda w, g, s, lr: (_sound(w, g, s, lr), s),
            "You step whatever the gradient is, so a weight becomes infinite or NaN and never "
            "returns. One such entry is enough, isfinite().all(), and the step has to be skipped.",
        ),
        Mistake(
            "steps with the halved scale",
            lambda w, g, s, lr: (
                (_sound(w, g, s, lr), s) if _finite(g) else (_sound(w, g, s / 2, lr), s / 2)
            ),
            "After an overflow you halve the scale and step all the same: a weight becomes "
            "infinite. Halve it for the next step; this one has to be skipped.",
        ),
        Mistake(
            "overflow made a huge number",
            lambda w, g, s, lr: (_sound(w, g.nan_to_num(), s, lr), s),
            "nan_to_num makes infinity the largest finite number, and you step by it. No number "
            "is the right one: the step has to be skipped, and the scale halved.",
        ),
        Mistake(
            "overflow made a huge number, scale halved",
            lambda w, g, s, lr: (_sound(w, g.nan_to_num(), s, lr), s if _finite(g) else s / 2),
            "You halve the scale, but nan_to_num makes infinity the largest finite number, and you "
            "step by it: the step has to be skipped.",
        ),
        Mistake(
            "overflow set to zero, scale kept",
            lambda w, g, s, lr: (_in_part(w, g, s, lr)[0], s),
            "You set infinite entries to 0 and step with the rest, and keep a scale that is too "
            "large: the step has to be skipped, and the scale halved.",
        ),
        Mistake(
            "NaN let through",
            lambda w, g, s, lr: (w.clone(), s / 2) if g.isinf().any() else (_sound(w, g, s, lr), s),
            "You look for infinite numbers alone. An overflow may also end as NaN (inf - inf): "
            "torch.isfinite is False for both.",
        ),
        Mistake(
            "overflow set to zero",
            _in_part,
            "You set infinite entries to 0 and step with the rest. That is no longer the "
            "gradient's direction: leave all weights alone.",
        ),
        Mistake(
            "scale kept after an overflow",
            lambda w, g, s, lr: (_sound(w, g, s, lr) if _finite(g) else w.clone(), s),
            "After an overflow the scale stays, so the next step overflows as well: halve it.",
        ),
        Mistake(
            "scale doubled after an overflow",
            lambda w, g, s, lr: (_sound(w, g, s, lr), s) if _finite(g) else (w.clone(), 2 * s),
            "An overflow says that the scale is too large; you double it.",
        ),
        Mistake(
            "uphill",
            lambda w, g, s, lr: (w + lr * g / s, s) if _finite(g) else (w.clone(), s / 2),
            "Your step climbs: the gradient is subtracted.",
        ),
    ),
    hints=(
        "First look whether all of the gradient is finite: there are two cases.",
        "Finite: divide the gradient by the scale, and step. Otherwise: keep the weights, halve "
        "the scale.",
        "torch.isfinite(scaled_gradient).all() tells the cases apart; return (weights, scale) in "
        "both.",
    ),
)


# ------------------------------------------------------------------ a batch in parts

LossOf = Callable[[Tensor, Tensor], Tensor]


def accumulated_gradient(theta: Tensor, loss_of: LossOf, batch: Tensor, size: int) -> Tensor:
    """Gradient of the mean loss of a batch of which only a part fits into memory at a time.

    Args:
        theta: all parameters in one vector (P,), without a gradient.
        loss_of: maps parameters and some rows of the batch to the mean of their losses, a scalar.
        batch: a row for each image (N, P).
        size: rows that loss_of can take at once; N need not be a multiple of it.

    Returns:
        (P,), equal to the gradient of loss_of(theta, batch) but for rounding.
    """
    total = torch.zeros_like(theta)
    for part in batch.split(size):
        leaf = theta.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(loss_of(leaf, part), leaf)
        total = total + gradient * (len(part) / len(batch))
    return total


def _large_batch(g: torch.Generator) -> tuple[Tensor, LossOf, Tensor, int]:
    """P parameters, a loss, a batch (N, P), and a size: N is size + 1 times that, less one.

    So batch.chunk(size), which takes the number of parts, makes parts that are too large.
    """
    size, p = draw_sizes(g, 2, low=3)
    n = size * (size + 1) - 1
    batch = torch.randn(n, p, generator=g) * torch.linspace(0.5, 2, n)[:, None]
    return torch.randn(p, generator=g), _mean_loss, batch, size


def _mean_loss(theta: Tensor, part: Tensor) -> Tensor:
    return (torch.tanh(part @ theta) + theta.square().sum() / 4 - part[:, 0]).square().mean()


def _watched(function: Function, inputs: tuple[Any, ...]) -> Any:
    """The gradient, and whether no call of the loss had more rows than fit."""
    theta, loss_of, batch, size = inputs
    watched = RowCounter(loss_of)
    value = function(theta, watched, batch, size)
    if value is None or value is Ellipsis:
        return value
    return value, max(watched.rows, default=0) <= size


def _parts(
    weight: Callable[[Tensor, Tensor, int], float] = lambda part, batch, size: (
        len(part) / len(batch)
    ),
    rows: Callable[[Tensor, int], Sequence[Tensor]] = lambda batch, size: batch.split(size),
) -> Function:
    """:func:`accumulated_gradient` with other parts, or other weights of them."""

    def accumulated(theta: Tensor, loss_of: LossOf, batch: Tensor, size: int) -> Tensor:
        leaf = theta.detach().requires_grad_()
        losses = [(loss_of(leaf, part), weight(part, batch, size)) for part in rows(batch, size)]
        return sum(torch.autograd.grad(loss, leaf)[0] * w for loss, w in losses)  # type: ignore[return-value]

    return accumulated


ACCUMULATED_GRADIENT = Exercise(
    name="accumulated_gradient",
    notebook=NOTEBOOK,
    reference=accumulated_gradient,
    inputs=_large_batch,
    observe=_watched,
    mistakes=(
        Mistake(
            "whole batch at once",
            _parts(rows=lambda batch, size: [batch]),
            "The right gradient, but from the whole batch at once, for which there is no memory: "
            "hand loss_of no more than size rows.",
        ),
        Mistake(
            "plain mean",
            _parts(weight=lambda part, batch, size: 1 / math.ceil(len(batch) / size)),
            "You took the plain mean of the parts: right for parts of equal size only. The last "
            "one is smaller here, and each image should count alike.",
        ),
        Mistake(
            "plain sum",
            _parts(weight=lambda part, batch, size: 1.0),
            "You added the gradients. Each is that of a mean already: with four parts a step would "
            "be about four times too long.",
        ),
        Mistake(
            "last part alone",
            lambda theta, loss_of, batch, size: accumulated_gradient(
                theta, loss_of, batch.split(size)[-1], size
            ),
            "That is the last part's gradient: the parts before it were forgotten, as by a "
            "zero_grad in the wrong place.",
        ),
        Mistake(
            "first part alone",
            lambda theta, loss_of, batch, size: accumulated_gradient(
                theta, loss_of, batch[:size], size
            ),
            "That is the first part's gradient: go on with the others.",
        ),
        Mistake(
            "remainder dropped",
            lambda theta, loss_of, batch, size: accumulated_gradient(
                theta, loss_of, batch[: len(batch) // size * size], size
            ),
            "You leave out the images that fill no whole part. They belong to the batch.",
        ),
        Mistake(
            "not divided by the images",
            _parts(weight=lambda part, batch, size: float(len(part))),
            "You weigh by the sizes, but do not divide by the number of images: the sum of the "
            "losses instead of their mean.",
        ),
        Mistake(
            "divided once more",
            _parts(weight=lambda part, batch, size: 1 / len(batch)),
            "Each part's gradient is that of a mean already, and you divide by the number of "
            "images once more: multiply by the part's own size first.",
        ),
        Mistake(
            "weighed by size",
            _parts(weight=lambda part, batch, size: size / len(batch)),
            "Every part counts as if it had size images. The last one has fewer: len(part).",
        ),
        Mistake(
            "mean of the losses",
            lambda theta, loss_of, batch, size: torch.stack(
                [loss_of(theta, part) for part in batch.split(size)]
            ).mean(),
            "You return a loss. Asked for is its gradient: torch.autograd.grad(loss, leaf).",
        ),
    ),
    hints=(
        "The mean over all images is a weighted mean of the parts' means. Gradients follow suit.",
        "batch.split(size) gives the parts; a part's weight is its share, len(part) / len(batch).",
        "In a loop: leaf = theta.detach().requires_grad_(), then torch.autograd.grad(loss_of(leaf, "
        "part), leaf)[0] * len(part) / len(batch), added up.",
    ),
)


EXERCISES = (IMAGES_PER_SECOND, SCALED_STEP, ACCUMULATED_GRADIENT)
