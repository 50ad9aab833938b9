"""More of notebook 03_split_decoder: the decoder as a module."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from .compare import blank
from .exercise import Exercise, Function, Mistake, draw_sizes

NOTEBOOK = "03_split_decoder"


class SplitDecoder(nn.Module):
    """Any body with a split head: z to x, sigma, x1 and x2.

    Args:
        body: maps z to features (N, F, H, W).
        features: F.
        channels: C of the images.

    Attributes:
        head: the last convolution, 3x3, which keeps height and width.
    """

    def __init__(self, body: Callable[[Tensor], Tensor], features: int, channels: int) -> None:
        super().__init__()
        self.body = body
        self.head = nn.Conv2d(features, 1 + 2 * channels, kernel_size=3, padding=1)

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Map z to x (N, C, H, W), sigma (N, 1, H, W), x1 and x2."""
        maps = torch.sigmoid(self.head(self.body(z)))
        channels = (maps.shape[1] - 1) // 2
        sigma, x1, x2 = maps.split([1, channels, channels], dim=1)
        return sigma * x1 + (1 - sigma) * x2, sigma, x1, x2


def _sizes(g: torch.Generator) -> tuple[Any, int, int]:
    """A body, its number of features F, and C."""
    features, channels = draw_sizes(g, 2)
    return torch.tanh, features, channels


def _decoded(function: Function, inputs: tuple[Any, ...]) -> Any:
    """What a decoder of the learner's class answers, its head filled with given numbers.

    A head that does not fit raises the same error as a mistake's, whose hint says what to do.
    """
    body, features, channels = inputs
    outputs = 1 + 2 * channels
    decoder = function(body, features, channels)
    if not isinstance(decoder, nn.Module):
        return decoder
    g = torch.Generator().manual_seed(0)
    z = torch.randn(3, features, 4, 5, generator=g)
    head = getattr(decoder, "head", None)
    if head is None or head is Ellipsis:
        raise AttributeError("no self.head") if _written(decoder, z) else NotImplementedError
    if not isinstance(head, nn.Conv2d) or head.bias is None:
        raise TypeError("self.head must be an nn.Conv2d with a bias")
    if head.weight.shape != (outputs, features, 3, 3):
        raise ValueError("self.head has kernels of another shape")
    with torch.no_grad():
        head.weight.copy_(torch.randn(head.weight.shape, generator=g) / 3)
        head.bias.copy_(torch.randn(outputs, generator=g))
    calls: list[bool] = []
    hook = head.register_forward_hook(lambda *_: calls.append(True))
    value = decoder(z)
    hook.remove()
    # No calls: a decoder of another process is called there, and no gradient comes back.
    results = value if calls and isinstance(value, tuple | list) else ()
    if any(isinstance(v, Tensor) and not v.requires_grad for v in results):
        raise RuntimeError("no gradient reaches self.head; .detach() and torch.no_grad() cut it")
    return value


def _written(decoder: nn.Module, z: Tensor) -> bool:
    """Whether a decoder without a head is more than a stub."""
    if any(True for _ in decoder.parameters()):
        return True
    try:  # one of another process, which does not show its parameters
        return blank(decoder(z)) is None
    except Exception:
        return False


def _variant(turn: Any) -> Any:
    """A decoder class that answers otherwise."""

    class Variant(SplitDecoder):
        def forward(self, z: Tensor) -> Any:
            return turn(self.head(self.body(z)), (self.head.out_channels - 1) // 2)

    return Variant


def _with_head(make: Callable[[int, int], nn.Module], name: str = "head") -> Any:
    """A decoder class whose last layer is made otherwise, or has another name."""

    class Other(SplitDecoder):
        def __init__(self, body: Callable[[Tensor], Tensor], features: int, channels: int) -> None:
            super().__init__(body, features, channels)
            del self.head
            setattr(self, name, make(features, channels))

        def forward(self, z: Tensor) -> Any:
            maps = torch.sigmoid(getattr(self, name)(self.body(z)))
            return _no_sigmoid(maps, (maps.shape[1] - 1) // 2)

    return Other


def _parts(maps: Tensor, c: int) -> tuple[Tensor, Tensor, Tensor]:
    sigma, x1, x2 = maps.split([1, c, c], dim=1)
    return sigma, x1, x2


def _no_sigmoid(maps: Tensor, c: int) -> Any:
    sigma, x1, x2 = _parts(maps, c)
    return sigma * x1 + (1 - sigma) * x2, sigma, x1, x2


def _sigmoid_at_the_end(maps: Tensor, c: int) -> Any:
    sigma, x1, x2 = _parts(maps, c)
    return torch.sigmoid(sigma * x1 + (1 - sigma) * x2), *map(torch.sigmoid, (sigma, x1, x2))


def _sigmoid_twice(maps: Tensor, c: int) -> Any:
    return _no_sigmoid(torch.sigmoid(torch.sigmoid(maps)), c)


def _swapped(maps: Tensor, c: int) -> Any:
    sigma, x1, x2 = _parts(torch.sigmoid(maps), c)
    return sigma * x2 + (1 - sigma) * x1, sigma, x1, x2


def _sigma_last(maps: Tensor, c: int) -> Any:
    x1, x2, sigma = torch.sigmoid(maps).split([c, c, 1], dim=1)
    return sigma * x1 + (1 - sigma) * x2, sigma, x1, x2


SPLIT_DECODER = Exercise(
    name="SplitDecoder",
    notebook=NOTEBOOK,
    reference=SplitDecoder,
    inputs=_sizes,
    observe=_decoded,
    mistakes=(
        Mistake(
            "no sigmoid",
            _variant(_no_sigmoid),
            "These are logits: sigma, x1 and x2 need a sigmoid each.",
        ),
        Mistake(
            "sigmoid of the mixture",
            _variant(_sigmoid_at_the_end),
            "You mix logits, and take the sigmoid of the mixture. It belongs before: what is "
            "mixed are images.",
        ),
        Mistake(
            "sigmoid twice",
            _variant(_sigmoid_twice),
            "Two sigmoids, one after the other: all values end between 0.5 and 0.73.",
        ),
        Mistake(
            "sigma on the wrong image",
            _variant(_swapped),
            "sigma weighs x2 in your mixture. By convention it is the weight of x1.",
        ),
        Mistake(
            "sigma last",
            _variant(_sigma_last),
            "You take sigma from the last channel. The order is sigma, x1, x2.",
        ),
        Mistake(
            "head of another name",
            _with_head(lambda f, c: nn.Conv2d(f, 1 + 2 * c, 3, padding=1), name="last"),
            "The last convolution has to be called self.head: the check fills it with numbers of "
            "its own.",
        ),
        Mistake(
            "head of another kind",
            _with_head(lambda f, c: nn.Conv2d(f, 1 + 2 * c, 3, padding=1, bias=False)),
            "self.head has to be a single nn.Conv2d, with a bias, which it has by default.",
        ),
        Mistake(
            "head of another shape",
            _with_head(lambda f, c: nn.Conv2d(f, 2 * c, 3, padding=1)),
            "self.head does not fit: it takes the features of the body to 1 + 2 * channels "
            "channels, one for sigma and C each for x1 and x2, with kernels of 3 x 3.",
        ),
    ),
    hints=(
        "__init__ keeps the body and makes one convolution; forward chains body, head, split_head "
        "and mix.",
        "self.head = nn.Conv2d(features, 1 + 2 * channels, kernel_size=3, padding=1).",
        "forward: sigma, x1, x2 = split_head(self.head(self.body(z))); return mix(sigma, x1, x2), "
        "sigma, x1, x2.",
    ),
)

EXERCISES = (SPLIT_DECODER,)
