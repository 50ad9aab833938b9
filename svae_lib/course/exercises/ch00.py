"""Exercises of notebook 00_start_here: bytes to floats, and two ways to add up an error."""

from __future__ import annotations

import torch
from torch import Tensor

from ...data import to_float
from .exercise import Exercise, Mistake, draw_sizes

NOTEBOOK = "00_start_here"


# ------------------------------------------------------------------ bytes to numbers in [0, 1]


def _bytes(g: torch.Generator) -> tuple[Tensor]:
    """uint8 images, none of which holds a perfect white or black."""
    return (torch.randint(5, 250, draw_sizes(g, 4), generator=g, dtype=torch.uint8),)


def _stretched(images: Tensor) -> Tensor:
    x = images.float()
    low, high = x.amin(dim=(1, 2, 3), keepdim=True), x.amax(dim=(1, 2, 3), keepdim=True)
    return (x - low) / (high - low)


TO_FLOAT = Exercise(
    name="to_float",
    notebook=NOTEBOOK,
    reference=to_float,
    inputs=_bytes,
    mistakes=(
        Mistake(
            "not divided",
            lambda images: images.float(),
            "These are floats, but still from 0 to 255: divide by the largest value a byte has.",
        ),
        Mistake(
            "divided by 256",
            lambda images: images.float() / 256,
            "You divide by 256, the number of values that a byte can have. The largest of them is "
            "255, and white should become exactly 1.",
        ),
        Mistake(
            "divided twice",
            lambda images: images.float() / 255 / 255,
            "You divided by 255 twice: every image is almost black now. It happens easily when two "
            "functions in a row scale the pixels.",
        ),
        Mistake(
            "divided as integers",
            lambda images: (images // 255).float(),
            "You divided while the pixels were still integers, so every value below 255 became 0. "
            "Convert first, or use / in place of //.",
        ),
        Mistake(
            "divided by the largest pixel found",
            lambda images: images.float() / images.max(),
            "You divide by the brightest pixel of these images. The scale would then change from "
            "batch to batch: divide by 255 whatever the images are.",
        ),
        Mistake(
            "each image stretched",
            _stretched,
            "You stretch each image from its darkest to its brightest pixel. That changes its "
            "contrast, and cannot be undone: 0 should stay 0, and 255 become 1.",
        ),
        Mistake(
            "from -1 to 1",
            lambda images: images.float() / 127.5 - 1,
            "Your values run from -1 to 1, as some networks want them. Ours want [0, 1].",
        ),
    ),
    hints=(
        "Which byte is black, which is white, and which numbers should the two become?",
        "Make them floats first: images.float() has the dtype float32.",
        "images.float() / 255",
    ),
)


# ------------------------------------------------------------------ the mean image's error


def errors_of_mean(x: Tensor) -> tuple[Tensor, Tensor]:
    """How wrong it is to answer every image with the mean image.

    Args:
        x: images, float (N, C, H, W).

    Returns:
        Squared error per image, summed over channels and pixels, (N,); and the mean squared error
        (MSE), the mean over everything, a scalar.
    """
    squares = (x - x.mean(dim=0)).square()
    return squares.flatten(1).sum(dim=1), squares.mean()


def _images(g: torch.Generator) -> tuple[Tensor]:
    """Images in [0, 1], some brighter than others."""
    shape = draw_sizes(g, 4)
    brightness = torch.rand(shape[0], 1, 1, 1, generator=g)
    return (0.5 * brightness + 0.5 * torch.rand(shape, generator=g),)


def _sums_and_mean(squares: Tensor) -> tuple[Tensor, Tensor]:
    return squares.flatten(1).sum(dim=1), squares.mean()


def _means_twice(x: Tensor) -> tuple[Tensor, Tensor]:
    sums, mse = errors_of_mean(x)
    return sums / x[0].numel(), mse


def _sums_twice(x: Tensor) -> tuple[Tensor, Tensor]:
    sums, _ = errors_of_mean(x)
    return sums, sums.sum()


def _mean_of_sums(x: Tensor) -> tuple[Tensor, Tensor]:
    sums, _ = errors_of_mean(x)
    return sums, sums.mean()


def _roots(x: Tensor) -> tuple[Tensor, Tensor]:
    sums, mse = errors_of_mean(x)
    return sums.sqrt(), mse.sqrt()


def _root_of_mean(x: Tensor) -> tuple[Tensor, Tensor]:
    sums, mse = errors_of_mean(x)
    return sums, mse.sqrt()


def _swapped(x: Tensor) -> tuple[Tensor, Tensor]:
    sums, mse = errors_of_mean(x)
    return mse, sums


def _one_sum(x: Tensor) -> tuple[Tensor, Tensor]:
    sums, mse = errors_of_mean(x)
    return sums.sum(), mse


ERRORS_OF_MEAN = Exercise(
    name="errors_of_mean",
    notebook=NOTEBOOK,
    reference=errors_of_mean,
    inputs=_images,
    mistakes=(
        Mistake(
            "one grey for all",
            lambda x: _sums_and_mean((x - x.mean()).square()),
            "x.mean() is a single number, a uniform grey. The mean image has a value per pixel: "
            "take the mean over the images alone, dim=0.",
        ),
        Mistake(
            "each image's own mean",
            lambda x: _sums_and_mean((x - x.mean(dim=(1, 2, 3), keepdim=True)).square()),
            "You subtract from each image the mean of its own pixels. The mean image is the mean "
            "over the images (dim=0), the same for all of them.",
        ),
        Mistake(
            "mean instead of sum per image",
            _means_twice,
            "Your first result is a mean over the pixels. It should be their sum: one number per "
            "image, larger for larger images.",
        ),
        Mistake(
            "sum instead of mean at the end",
            _sums_twice,
            "Your second result is the sum over everything; the M of MSE stands for mean.",
        ),
        Mistake(
            "not divided by the pixels",
            _mean_of_sums,
            "Your second result is the mean over the images of their sums. The MSE is a mean over "
            "the pixels as well, a number below 1: this very factor is the usual trap.",
        ),
        Mistake(
            "divided by one image less",
            lambda x: (errors_of_mean(x)[0], x.var(dim=0).mean()),
            "In your second result the sum over the images is divided by N - 1, as .var() does. "
            "The MSE is a plain mean: divide by N.",
        ),
        Mistake(
            "absolute instead of squared",
            lambda x: _sums_and_mean((x - x.mean(dim=0)).abs()),
            "These are absolute errors; square them.",
        ),
        Mistake(
            "roots",
            _roots,
            "You took square roots. A squared error stays squared here.",
        ),
        Mistake(
            "root of the MSE",
            _root_of_mean,
            "Your second result is the root mean squared error. The MSE has no root.",
        ),
        Mistake(
            "swapped",
            _swapped,
            "The two results are swapped: first one number per image, then the MSE.",
        ),
        Mistake(
            "summed over the images as well",
            _one_sum,
            "Your first result is a single number. Each image should keep its own: flatten all but "
            "dimension 0, then sum over dim=1.",
        ),
    ),
    hints=(
        "The mean image is x.mean(dim=0), of shape (C, H, W); x - x.mean(dim=0) broadcasts.",
        "With squares = (x - x.mean(dim=0)) ** 2, one result is a sum per image, the other a mean "
        "over everything.",
        "return squares.flatten(1).sum(dim=1), squares.mean()",
    ),
)


EXERCISES = (TO_FLOAT, ERRORS_OF_MEAN)
