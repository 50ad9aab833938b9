"""Exercises of notebook 09_beyond_the_paper: K images, and how many are used."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .exercise import Exercise, Function, Mistake, draw_sizes

NOTEBOOK = "09_beyond_the_paper"


# ------------------------------------------------------------------ a mixture of K images


def mix_many(maps: Tensor, images: Tensor) -> Tensor:
    """Mixture (N, C, H, W) of images (N, K, C, H, W) by the softmax of maps (N, K, H, W)."""
    weights = maps.softmax(dim=1).unsqueeze(2)  # (N, K, 1, H, W)
    return (weights * images).sum(dim=1)


def _maps_and_images(g: torch.Generator) -> tuple[Tensor, Tensor]:
    """Maps (N, K, H, W) and images (N, K, C, H, W).

    float64, as in the notebook: a mixture that falls back to float32 would fail its comparisons.
    """
    n, k, channels, height, width = draw_sizes(g, 5, low=3)
    maps = 2 * torch.randn(n, k, height, width, generator=g, dtype=torch.float64)
    return maps, torch.rand(n, k, channels, height, width, generator=g, dtype=torch.float64)


def _all_and_two(function: Function, inputs: tuple[Any, ...]) -> tuple[Any, Any]:
    """The mixtures of all K images, and of two grey ones."""
    maps, images = inputs
    return function(maps, images), function(maps[:, :2], images[:, :2, :1])


def _hard(maps: Tensor, images: Tensor) -> Tensor:
    chosen = torch.zeros_like(maps).scatter_(1, maps.argmax(dim=1, keepdim=True), 1.0)
    return (chosen.unsqueeze(2) * images).sum(dim=1)


def _by_channel(maps: Tensor, images: Tensor) -> Tensor:
    """Weight k goes to colour k of each image, which runs only where K = C."""
    return (maps.softmax(dim=1).unsqueeze(1) * images).sum(dim=1)


MIX_MANY = Exercise(
    name="mix_many",
    notebook=NOTEBOOK,
    reference=mix_many,
    inputs=_maps_and_images,
    observe=_all_and_two,
    tries=("With all K", "With K = 2"),
    differentiable=True,
    mistakes=(
        Mistake(
            "sigmoid",
            lambda maps, images: (maps.sigmoid().unsqueeze(2) * images).sum(dim=1),
            "A sigmoid lets each weight be anything in (0, 1), and their sum too: the mixture may "
            "leave [0, 1]. The K weights of a pixel have to sum to 1.",
        ),
        Mistake(
            "not normalised",
            lambda maps, images: (maps.exp().unsqueeze(2) * images).sum(dim=1),
            "Your weights are positive, but do not sum to 1: divide by their sum over the K maps.",
        ),
        Mistake(
            "logits as weights",
            lambda maps, images: (maps.unsqueeze(2) * images).sum(dim=1),
            "You took the logits themselves for weights. They may be negative: a softmax first.",
        ),
        Mistake(
            "softmax over the images of the batch",
            lambda maps, images: (maps.softmax(dim=0).unsqueeze(2) * images).sum(dim=1),
            "Your softmax runs over dimension 0, the batch. The K maps lie in dimension 1.",
        ),
        Mistake(
            "softmax over the columns",
            lambda maps, images: (maps.softmax(dim=-1).unsqueeze(2) * images).sum(dim=1),
            "Your softmax runs over the last dimension, the pixels of a row. The maps compete "
            "with one another, in each pixel by itself.",
        ),
        Mistake(
            "mean instead of sum",
            lambda maps, images: mix_many(maps, images) / maps.shape[1],
            "You averaged the weighted images. The weights sum to 1 already: add.",
        ),
        Mistake(
            "plain average",
            lambda maps, images: images.mean(dim=1),
            "The maps play no part in your answer.",
        ),
        Mistake(
            "winner takes all",
            _hard,
            "In each pixel you take the image with the largest map. That has no gradient for the "
            "maps: mix softly.",
        ),
        Mistake(
            "weights on the colours",
            _by_channel,
            "Your K weights went to the colours instead of the images. Their extra dimension "
            "belongs after K: (N, K, 1, H, W).",
        ),
    ),
    hints=(
        "Positive numbers that sum to 1: which function makes them of any K numbers?",
        "The softmax over dim=1. A weight serves all channels: give it a dimension of length 1.",
        "maps.softmax(dim=1).unsqueeze(2) has the shape (N, K, 1, H, W). Multiply, sum over K.",
    ),
)


# ------------------------------------------------------------------ how many images are used


def entropy(weights: Tensor) -> Tensor:
    """Entropy in nats of each pixel's K weights: (N, 1, H, W) from (N, K, 1, H, W); 0 log 0 = 0."""
    return -torch.xlogy(weights, weights).sum(dim=1)


def _weights(g: torch.Generator) -> tuple[Tensor]:
    """Weights of K images; in a few pixels one has weight 1, in others one has weight 0."""
    n, k, height, width = draw_sizes(g, 4, low=3)
    weights = (2 * torch.randn(n, k, 1, height, width, generator=g)).softmax(dim=1)
    weights[:, :, :, :2, :2] = 0
    weights[:, 1, :, 0, :2] = 1
    weights[:, 1, :, 1, :2] = 0.25
    weights[:, 2, :, 1, :2] = 0.75
    return (weights,)


def _scaled_to_one(weights: Tensor) -> Tensor:
    return entropy(weights) / torch.tensor(float(weights.shape[1])).log()


ENTROPY = Exercise(
    name="entropy",
    notebook=NOTEBOOK,
    reference=entropy,
    inputs=_weights,
    absolute=5e-5,  # (weights + 1e-5).log() avoids log 0 as well
    mistakes=(
        Mistake(
            "0 log 0",
            lambda w: -(w * w.log()).sum(dim=1),
            "Right, but for weights of exactly 0: 0 times log 0 is NaN in floating point, and 0 "
            "in the limit. torch.xlogy knows it.",
        ),
        Mistake(
            "nan_to_num after the sum",
            lambda w: (-(w * w.log()).sum(dim=1)).nan_to_num(),
            "nan_to_num comes after the sum: one zero wipes out the whole pixel.",
        ),
        Mistake(
            "sign",
            lambda w: torch.xlogy(w, w).sum(dim=1),
            "Right but for the sign. The logarithm of a weight is not positive; entropy is not "
            "negative.",
        ),
        Mistake(
            "bits",
            lambda w: entropy(w) / torch.tensor(2.0).log(),
            "These are bits (logarithm to the base 2); nats were asked for.",
        ),
        Mistake(
            "mean over the weights",
            lambda w: entropy(w) / w.shape[1],
            "You averaged over the K weights. The weights themselves make the mean: sum.",
        ),
        Mistake(
            "scaled to 1",
            _scaled_to_one,
            "You divided by log K, the largest value that is possible. Then the effective number "
            "exp(entropy) would no longer reach K.",
        ),
        Mistake(
            "weight forgotten",
            lambda w: -w.clamp(min=1e-12).log().sum(dim=1),
            "You summed the logarithms alone. Each is weighed by its own weight.",
        ),
        Mistake(
            "purity",
            lambda w: 1 - w.square().sum(dim=1),
            "That is the Gini impurity, 1 minus the sum of squares: related, but no entropy.",
        ),
        Mistake(
            "over the pixels",
            lambda w: -torch.xlogy(w, w).sum(dim=(3, 4)),
            "You summed over the pixels. Sum over the K weights (dim=1) of each pixel.",
        ),
        Mistake(
            "effective number",
            lambda w: entropy(w).exp(),
            "That is exp(entropy), the effective number, which comes next.",
        ),
    ),
    hints=(
        "The mean of -log w, each weight counting as much as it weighs.",
        "-sum over k of w_k log w_k, the sum over dim=1; mind w_k = 0.",
        "torch.xlogy(weights, weights) is w log w, with 0 log 0 = 0.",
    ),
)


EXERCISES = (MIX_MANY, ENTROPY)
