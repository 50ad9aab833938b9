"""Exercises of notebook 05_train_on_cuda: memory, throughput, loss scaling, shards of a batch."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .exercise import TRIALS, Exercise, Function, Mistake, draw_sizes

NOTEBOOK = "05_train_on_cuda"


def _draw(low: int, high: int, g: torch.Generator) -> int:
    """A whole number in [low, high)."""
    return int(torch.randint(low, high, (), generator=g))


# ------------------------------------------------------------------ bytes on the device


def training_bytes(parameters: int, images: int, values: int) -> int:
    """Bytes on the device from step to step: uint8 images and what Adam needs in float32.

    Args:
        parameters: of the model. Each has a weight, a gradient and Adam's two moments.
        images: in the training set.
        values: numbers in an image, C * H * W.
    """
    return images * values + 4 * 4 * parameters


def _sizes(g: torch.Generator) -> tuple[int, int, int]:
    return _draw(1_000, 9_000, g), _draw(100, 900, g), _draw(100, 900, g)


TRAINING_BYTES = Exercise(
    name="training_bytes",
    notebook=NOTEBOOK,
    reference=training_bytes,
    inputs=_sizes,
    mistakes=(
        Mistake(
            "images as float32",
            lambda parameters, images, values: 4 * images * values + 16 * parameters,
            "You count four bytes for a number of an image. The images lie on the device as "
            "uint8, and are converted batch by batch.",
        ),
        Mistake(
            "weights alone",
            lambda parameters, images, values: images * values + 4 * parameters,
            "You count the weights alone. Training also keeps a gradient for each, and Adam two "
            "moments.",
        ),
        Mistake(
            "two numbers per parameter",
            lambda parameters, images, values: images * values + 8 * parameters,
            "You count 8 bytes per parameter: two numbers of float32, or four of float16. There "
            "are four of float32, under autocast too: weight, gradient and Adam's two moments.",
        ),
        Mistake(
            "three numbers per parameter",
            lambda parameters, images, values: images * values + 12 * parameters,
            "You count three numbers per parameter. There are four: weight, gradient and Adam's "
            "two moments.",
        ),
        Mistake(
            "one number too many",
            lambda parameters, images, values: images * values + 20 * parameters,
            "You count five numbers per parameter: weight, gradient and two moments are four.",
        ),
        Mistake(
            "bits",
            lambda parameters, images, values: 8 * training_bytes(parameters, images, values),
            "These are bits: a byte has eight of them.",
        ),
        *(
            Mistake(
                name,
                lambda *sizes, unit=unit: training_bytes(*sizes) / unit,
                f"You return {name}; the answer is in bytes, so do not divide by {unit:,}.",
            )
            for name, unit in (
                ("kB", 10**3),
                ("KiB", 2**10),
                ("MB", 10**6),
                ("MiB", 2**20),
                ("GB", 10**9),
                ("GiB", 2**30),
            )
        ),
        Mistake(
            "images as float16",
            lambda parameters, images, values: 2 * images * values + 16 * parameters,
            "You count two bytes for a number of an image. The images lie on the device as uint8, "
            "one byte each, and are converted batch by batch.",
        ),
        Mistake(
            "everything as float16",
            lambda parameters, images, values: 2 * images * values + 8 * parameters,
            "You count two bytes for every number. The images are uint8, one byte; weights, "
            "gradients and moments stay float32, four bytes, under autocast too.",
        ),
        Mistake(
            "data forgotten",
            lambda parameters, images, values: 16 * parameters,
            "The images lie on the device as well.",
        ),
    ),
    hints=(
        "Two parts: the images, and what is kept for each parameter.",
        "A uint8 has 1 byte, a float32 has 4. Per parameter there are four float32 numbers.",
        "images * values * 1 + parameters * (weight + gradient + 2 moments) * 4.",
    ),
)


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


# ------------------------------------------------------------------ a batch in shards


def combine_gradients(gradients: Tensor, sizes: Tensor) -> Tensor:
    """Gradient of the mean loss of a batch from those of its parts: (P,).

    Args:
        gradients: (M, P), of the mean loss of each of M parts.
        sizes: int64 (M,), images in each part.
    """
    weights = (sizes / sizes.sum()).to(gradients.dtype)
    return weights @ gradients


def _shards(g: torch.Generator) -> tuple[Tensor, Tensor]:
    shape = draw_sizes(g, 2, low=3)
    shards = torch.randperm(30, generator=g)[: shape[0]] + 2  # of different sizes
    return torch.randn(shape, generator=g), shards


COMBINE_GRADIENTS = Exercise(
    name="combine_gradients",
    notebook=NOTEBOOK,
    reference=combine_gradients,
    inputs=_shards,
    mistakes=(
        Mistake(
            "plain mean",
            lambda gradients, sizes: gradients.mean(dim=0),
            "You took the plain mean: right for parts of equal size only. Each image should count "
            "alike, so a large part counts more.",
        ),
        Mistake(
            "plain sum",
            lambda gradients, sizes: gradients.sum(dim=0),
            "You added the gradients. Each is a mean already: M parts would make steps about M "
            "times too long.",
        ),
        Mistake(
            "not divided by the images",
            lambda gradients, sizes: (sizes[:, None] * gradients).sum(dim=0),
            "You weigh by the sizes, but do not divide by the number of images: the sum of the "
            "losses instead of their mean.",
        ),
        Mistake(
            "divided by the parts",
            lambda gradients, sizes: (sizes[:, None] * gradients).mean(dim=0),
            "You divide by the number of parts; divide by the number of images in all of them.",
        ),
        Mistake(
            "weighed the wrong way",
            lambda gradients, sizes: (gradients / sizes[:, None]).sum(dim=0) / (1 / sizes).sum(),
            "Your small parts count more than the large ones: multiply by the sizes.",
        ),
        Mistake(
            "sum over the images",
            lambda gradients, sizes: gradients.sum(dim=0) / sizes.sum(),
            "Each row is a mean already, and you divide by the number of images once more: "
            "multiply each row by its size first.",
        ),
        Mistake(
            "last part alone",
            lambda gradients, sizes: gradients[-1],
            "That is the last part's gradient: the parts before it were forgotten, as by a "
            "zero_grad in the wrong place.",
        ),
        Mistake(
            "weights not summed",
            lambda gradients, sizes: (sizes / sizes.sum())[:, None] * gradients,
            "The weights are right: now sum over the parts.",
        ),
    ),
    hints=(
        "The mean over all images is a weighted mean of the parts' means.",
        "A part's weight is its share of the images: sizes / sizes.sum().",
        "Multiply each row by its share, (M, 1) times (M, P), and sum over dim 0.",
    ),
)


EXERCISES = (TRAINING_BYTES, IMAGES_PER_SECOND, SCALED_STEP, COMBINE_GRADIENTS)
