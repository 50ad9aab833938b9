"""Exercises of notebook 03_split_decoder: the mixture, its gradient, the head's channels."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .exercise import TRIALS, Exercise, Function, Mistake, draw_sizes

NOTEBOOK = "03_split_decoder"


# ------------------------------------------------------------------ x = sigma x1 + (1 - sigma) x2


def mix(sigma: Tensor, x1: Tensor, x2: Tensor) -> Tensor:
    """sigma * x1 + (1 - sigma) * x2, for sigma (N, 1, H, W) and images (N, C, H, W).

    Asperti, Bugo and Filippini, arXiv:2202.02738, the section on the model.
    """
    return sigma * x1 + (1 - sigma) * x2


def _split(g: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """A sigma map (N, 1, H, W) and two images (N, C, H, W), all in (0, 1)."""
    x1, x2 = torch.rand(2, *draw_sizes(g, 4), generator=g)
    return torch.rand(x1[:, :1].shape, generator=g), x1, x2


MIX = Exercise(
    name="mix",
    notebook=NOTEBOOK,
    reference=mix,
    inputs=_split,
    differentiable=True,
    mistakes=(
        Mistake(
            "sigma on the wrong image",
            lambda sigma, x1, x2: (1 - sigma) * x1 + sigma * x2,
            "sigma weighs your second image. By convention it is the weight of x1.",
        ),
        Mistake(
            "x2 at full weight",
            lambda sigma, x1, x2: sigma * x1 + x2,
            "x2 enters at full weight, so the result can exceed 1. The two weights must add up "
            "to 1 in every pixel.",
        ),
        Mistake(
            "sigma on both",
            lambda sigma, x1, x2: sigma * x1 + sigma * x2,
            "Both images have the weight sigma. Where sigma is 0, x should be x2, not black.",
        ),
        Mistake(
            "half and half",
            lambda sigma, x1, x2: 0.5 * (x1 + x2),
            "This is the plain average: sigma does not appear in it.",
        ),
        Mistake(
            "difference",
            lambda sigma, x1, x2: sigma * x1 - (1 - sigma) * x2,
            "You subtract the second image; a mixture adds both.",
        ),
        Mistake(
            "one sigma per image",
            lambda sigma, x1, x2: mix(sigma.mean(dim=(2, 3), keepdim=True), x1, x2),
            "You mix with one weight per image. sigma is a map: each pixel has its own weight.",
        ),
        Mistake(
            "hard choice",
            lambda sigma, x1, x2: torch.where(sigma > 0.5, x1, x2),
            "You choose one image in each pixel. sigma mixes: 0.7 means 70 % of x1.",
        ),
    ),
    hints=(
        "In a pixel where sigma is 1, x is x1; where it is 0, x is x2. And half way?",
        "The weights of x1 and x2 are sigma and 1 - sigma. sigma (N, 1, H, W) broadcasts over the "
        "channels by itself.",
        "sigma * x1 + (1 - sigma) * x2",
    ),
)


# ------------------------------------------------------------------ its gradient, by hand


def mix_gradients(
    grad_x: Tensor, sigma: Tensor, x1: Tensor, x2: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Chain rule through :func:`mix`: gradients with respect to sigma, x1 and x2.

    Args:
        grad_x: gradient of the loss with respect to x, (N, C, H, W).
        sigma: (N, 1, H, W).
        x1: (N, C, H, W).
        x2: (N, C, H, W).

    Returns:
        Gradients of the shapes of sigma (summed over the channels, which share it), x1 and x2.
    """
    d_sigma = (grad_x * (x1 - x2)).sum(dim=1, keepdim=True)
    return d_sigma, grad_x * sigma, grad_x * (1 - sigma)


def _split_and_gradient(g: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    sigma, x1, x2 = _split(g)
    return torch.randn(x1.shape, generator=g), sigma, x1, x2


def _per_channel(
    grad_x: Tensor, sigma: Tensor, x1: Tensor, x2: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    return grad_x * (x1 - x2), grad_x * sigma, grad_x * (1 - sigma)


def _sign(grad_x: Tensor, sigma: Tensor, x1: Tensor, x2: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    d_sigma, d_x1, d_x2 = mix_gradients(grad_x, sigma, x1, x2)
    return -d_sigma, d_x1, d_x2


def _swapped(
    grad_x: Tensor, sigma: Tensor, x1: Tensor, x2: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    d_sigma, d_x1, d_x2 = mix_gradients(grad_x, sigma, x1, x2)
    return d_sigma, d_x2, d_x1


def _mean(grad_x: Tensor, sigma: Tensor, x1: Tensor, x2: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    d_sigma, d_x1, d_x2 = mix_gradients(grad_x, sigma, x1, x2)
    return d_sigma / x1.shape[1], d_x1, d_x2


MIX_GRADIENTS = Exercise(
    name="mix_gradients",
    notebook=NOTEBOOK,
    reference=mix_gradients,
    inputs=_split_and_gradient,
    mistakes=(
        Mistake(
            "sign of d_sigma",
            _sign,
            "The sign of d_sigma is wrong: raising sigma moves x from x2 towards x1, so x changes "
            "by x1 - x2.",
        ),
        Mistake(
            "d_sigma per channel",
            _per_channel,
            "Your d_sigma has one value per channel, but all channels of a pixel share one sigma: "
            "add up what each of them asks for (sum over dim=1, keepdim=True).",
        ),
        Mistake(
            "mean over channels",
            _mean,
            "You averaged d_sigma over the channels. The chain rule adds up all the ways in which "
            "sigma acts on the loss: sum.",
        ),
        Mistake(
            "d_x1 and d_x2 swapped",
            _swapped,
            "d_x1 and d_x2 are swapped: the weight of x1 is sigma.",
        ),
        Mistake(
            "grad_x forgotten",
            lambda grad_x, sigma, x1, x2: mix_gradients(torch.ones_like(x1), sigma, x1, x2),
            "These are the derivatives of x. The chain rule multiplies them by grad_x, the "
            "derivative of the loss with respect to x, before any sum over the channels.",
        ),
        Mistake(
            "sum before the product",
            lambda grad_x, sigma, x1, x2: (
                grad_x.sum(dim=1, keepdim=True) * (x1 - x2).sum(dim=1, keepdim=True),
                grad_x * sigma,
                grad_x * (1 - sigma),
            ),
            "In d_sigma you summed over the channels before multiplying. Multiply channel by "
            "channel, then sum.",
        ),
        Mistake(
            "full gradient to x1 and x2",
            lambda grad_x, sigma, x1, x2: (
                (grad_x * (x1 - x2)).sum(dim=1, keepdim=True),
                grad_x,
                grad_x,
            ),
            "x1 and x2 each receive all of grad_x in your version; each should get the share that "
            "its weight allows.",
        ),
    ),
    hints=(
        "Look at one pixel of a grey image: x = sigma x1 + (1 - sigma) x2 has three derivatives, "
        "one for each letter on the right.",
        "dx/dsigma = x1 - x2, dx/dx1 = sigma, dx/dx2 = 1 - sigma. Multiply each by grad_x.",
        "sigma has one channel: d_sigma = (grad_x * (x1 - x2)).sum(dim=1, keepdim=True).",
    ),
)


# ------------------------------------------------------------------ the channels of the head


def split_head(logits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Split the decoder's maps (N, 1 + 2C, H, W) into sigma, x1 and x2, all through a sigmoid."""
    channels = (logits.shape[1] - 1) // 2
    sigma, x1, x2 = torch.split(torch.sigmoid(logits), [1, channels, channels], dim=1)
    return sigma, x1, x2


def _logits(g: torch.Generator) -> tuple[Tensor]:
    """Maps of a head, (N, 1 + 2C, H, W)."""
    images, height, width = draw_sizes(g, 3, low=10)
    channels = 2 + g.initial_seed() % TRIALS
    return (2 * torch.randn(images, 1 + 2 * channels, height, width, generator=g),)


def _colour_and_grey(function: Function, inputs: tuple[Any, ...]) -> tuple[Any, Any]:
    """The answers for all channels, and for three of them as a grey image's head."""
    (logits,) = inputs
    return function(logits), function(logits[:, 1:4])


def _parts(maps: Tensor, sigma_first: bool = True) -> tuple[Tensor, Tensor, Tensor]:
    c = (maps.shape[1] - 1) // 2
    if sigma_first:
        return maps[:, :1], maps[:, 1 : 1 + c], maps[:, 1 + c :]
    return maps[:, 2 * c :], maps[:, :c], maps[:, c : 2 * c]


def _swapped_images(logits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    sigma, x1, x2 = split_head(logits)
    return sigma, x2, x1


def _weighted(sigma: Tensor, x1: Tensor, x2: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return sigma, sigma * x1, (1 - sigma) * x2


def _only_sigma(logits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    sigma, x1, x2 = _parts(logits)
    return torch.sigmoid(sigma), x1, x2


def _only_images(logits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    sigma, x1, x2 = _parts(logits)
    return sigma, torch.sigmoid(x1), torch.sigmoid(x2)


SPLIT_HEAD = Exercise(
    name="split_head",
    notebook=NOTEBOOK,
    reference=split_head,
    inputs=_logits,
    observe=_colour_and_grey,
    tries=("With colours", "With C = 1"),
    mistakes=(
        Mistake(
            "no sigmoid",
            _parts,
            "The channels are right, but these are still logits, which may be any number: all of "
            "them go through a sigmoid.",
        ),
        Mistake(
            "sigmoid twice",
            lambda logits: _parts(logits.sigmoid().sigmoid()),
            "You applied the sigmoid twice: all values lie between 1/2 and 0.73. Once is enough.",
        ),
        Mistake(
            "weights applied",
            lambda logits: _weighted(*split_head(logits)),
            "You multiplied x1 and x2 by their weights already. The mixture does this later.",
        ),
        Mistake(
            "tanh",
            lambda logits: _parts(logits.tanh()),
            "tanh runs from -1 to 1. Weights and pixels lie in (0, 1): a sigmoid.",
        ),
        Mistake(
            "clamped",
            lambda logits: _parts(logits.clamp(0, 1)),
            "You cut the logits off at 0 and 1, where no gradient is left: a sigmoid.",
        ),
        Mistake(
            "sigmoid on sigma alone",
            _only_sigma,
            "x1 and x2 are images with values in (0, 1): they need the sigmoid too.",
        ),
        Mistake(
            "sigmoid on the images alone",
            _only_images,
            "sigma is a weight in (0, 1): it needs the sigmoid too.",
        ),
        Mistake(
            "sigma last",
            lambda logits: _parts(torch.sigmoid(logits), sigma_first=False),
            "You took sigma from the last channel; the layout begins with it: sigma, x1, x2.",
        ),
        Mistake(
            "x1 and x2 swapped",
            _swapped_images,
            "x1 and x2 are swapped: x1 comes directly after sigma.",
        ),
        Mistake(
            "interleaved channels",
            lambda logits: (
                torch.sigmoid(logits[:, :1]),
                torch.sigmoid(logits[:, 1::2]),
                torch.sigmoid(logits[:, 2::2]),
            ),
            "You took every second channel for x1. Its C channels lie together, then those of x2.",
        ),
        Mistake(
            "softmax",
            lambda logits: _parts(torch.softmax(logits, dim=1)),
            "A softmax over the channels makes sigma and the colours compete: use a sigmoid, which "
            "treats each by itself.",
        ),
        Mistake(
            "sigma without its dimension",
            lambda logits: (torch.sigmoid(logits[:, 0]), *split_head(logits)[1:]),
            "Indexing with 0 removes the channel dimension, and (N, H, W) would broadcast wrongly "
            "against (N, C, H, W): take the slice [:, :1].",
        ),
    ),
    hints=(
        "How many channels has an image, if the head has 1 + 2C?",
        "The order is sigma (1 channel), x1 (C channels), x2 (C channels); slices such as "
        "[:, 1:1 + C] keep the dimension.",
        "torch.sigmoid(logits).split([1, C, C], dim=1) gives the three parts.",
    ),
)


EXERCISES = (MIX, MIX_GRADIENTS, SPLIT_HEAD)
