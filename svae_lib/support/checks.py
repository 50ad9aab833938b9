"""Checks of arguments. Each raises :class:`InputError` with a sentence that says what to do.

Pass values under the names that users know: ``check_counts(batch_size=n)``.
"""

from __future__ import annotations

import importlib
import math
import operator
from collections.abc import Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor

Named = TypeVar("Named")
ROUNDING = 0.01  # sums in bf16 leave [0, 1] by less


class InputError(ValueError):
    """The user's input cannot be used; the command line prints the message without a traceback."""


def named(name: str, known: Mapping[str, Named], what: str) -> Named:
    """What is ``known`` by this name; an unknown one is an InputError that lists the others."""
    if name not in known:
        raise InputError(f"unknown {what} {name!r}; the known ones are {', '.join(known)}.")
    return known[name]


def optional(package: str, what: str, extra: str) -> Any:
    """A package that ``what`` needs, imported; an InputError says which ``extra`` brings it."""
    try:
        return importlib.import_module(package)
    except ImportError as error:
        told = f'{what} needs the package {error.name}: pip install "svae-lib[{extra}]".'
        raise InputError(told) from None


def check_images(
    images: Tensor,
    *,
    channels: int | None = None,
    image_size: int | None = None,
    name: str = "images",
    slack: float = 0.0,
) -> None:
    """``images`` must be a non-empty float tensor (N, C, H, W), its values as ``check_values``."""
    _check_shape(images, channels, image_size, name)
    check_values(images, name, slack=slack)


def check_values(values: Tensor, name: str, *, slack: float = ROUNDING) -> None:
    """``values`` must be floats in [0, 1], or beyond by no more than ``slack``.

    An infinite one leaves out the check of the range, which forces a GPU sync.
    """
    if not values.is_floating_point():
        raise InputError(
            f"{name} must be floats in [0, 1], not {values.dtype}: "
            "convert uint8 images with svae_lib.data.to_float(images)."
        )
    if slack == math.inf:
        return
    low, high = (value.item() for value in torch.aminmax(values.detach()))
    if math.isnan(low):
        raise InputError(f"{name} must not hold NaN: look for broken images or a division by zero.")
    if low < -slack or high > 1 + slack:
        raise InputError(
            f"{name} must lie in [0, 1], not between {low:.4g} and {high:.4g}: "
            f"{'map [-1, 1] by (x + 1) / 2' if low < 0 else 'divide 0-255 values by 255'}."
        )


def check_uint8_images(
    images: Tensor,
    *,
    channels: int | None = None,
    image_size: int | None = None,
    name: str = "images",
) -> None:
    """``images`` must be a non-empty uint8 tensor (N, C, H, W); see :func:`check_images`."""
    _check_shape(images, channels, image_size, name)
    if images.dtype != torch.uint8:
        raise InputError(
            f"{name} must be uint8 with values 0-255, not {images.dtype}: "
            "convert floats in [0, 1] with svae_lib.data.to_uint8(images)."
        )


def check_seed(seed: int) -> None:
    """The seed must be one that PyTorch, NumPy and scikit-learn all accept: 0 to 2^32 - 1."""
    check_counts(lowest=0, seed=seed)
    if seed >= 2**32:
        raise InputError(f"seed must be below 2^32, not {seed}.")


def check_tensors(**values: object) -> None:
    """Each value must be a tensor, not a NumPy array, for instance."""
    for name, value in values.items():
        if not isinstance(value, Tensor):
            raise InputError(
                f"{name} must be a torch tensor, not {type(value).__name__}: "
                "torch.from_numpy makes one of an array."
            )


def check_posteriors(mu: Tensor, log_var: Tensor, latent_dim: int | None = None) -> None:
    """Posteriors' means and log variances must be finite and (N, L), with L as given, N above 1."""
    check_tensors(mu=mu, log_var=log_var)
    shape = tuple(mu.shape)
    if len(shape) != 2 or shape != tuple(log_var.shape) or latent_dim not in (None, shape[1]):
        wanted = "latent_dim" if latent_dim is None else latent_dim
        raise InputError(
            f"mu and log_var must both have the shape (N, {wanted}), not {shape} and "
            f"{tuple(log_var.shape)}."
        )
    if shape[0] < 2 or shape[1] < 1:
        raise InputError(f"there must be at least two images and one latent variable, not {shape}.")
    if not (mu.isfinite().all() and log_var.isfinite().all()):
        raise InputError("mu and log_var contain NaN or infinity: has the training diverged?")


def check_counts(lowest: int = 1, **counts: int) -> None:
    """Each count must be a whole number, Python's or NumPy's, and at least ``lowest``."""
    for name, count in counts.items():
        try:
            whole = operator.index(count)
        except TypeError:
            raise InputError(f"{name} must be a whole number, not {count!r}.") from None
        if whole < lowest:
            raise InputError(f"{name} must be at least {lowest}, not {count}.")


def check_positive(*, or_zero: bool = False, **numbers: float) -> None:
    """Each number must be finite and positive, or 0 where ``or_zero`` allows it."""
    for name, number in numbers.items():
        try:
            fits = math.isfinite(number) and (number >= 0 if or_zero else number > 0)
        except TypeError:
            raise InputError(f"{name} must be a number, not {number!r}.") from None
        if not fits:
            wanted = "a finite number that is not negative" if or_zero else "positive and finite"
            raise InputError(f"{name} must be {wanted}, not {number}.")


def _check_shape(images: Tensor, channels: int | None, image_size: int | None, name: str) -> None:
    check_tensors(**{name: images})
    shape = tuple(images.shape)
    if images.ndim != 4:
        raise InputError(f"{name} must have the shape (N, C, H, W), not {shape}.")
    if images.shape[0] == 0:
        raise InputError(f"{name} are empty: at least one image is needed.")
    if channels is not None and shape[1] != channels:
        raise InputError(
            f"{name} must have {channels} channel(s) in dimension 1, but their shape is {shape}: "
            "load them in grey or in colour, or set ModelConfig.channels."
        )
    if image_size is not None and shape[2:] != (image_size, image_size):
        raise InputError(
            f"{name} must be {image_size}x{image_size} pixels, not {shape[2]}x{shape[3]}: "
            "resize or pad them, or set ModelConfig.image_size."
        )
