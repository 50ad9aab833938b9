"""What every source of images returns, and the steps that they share."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..support.checks import InputError, check_images, check_uint8_images


@dataclass(frozen=True)
class ImageSets:
    """A data set in two parts with no image in common: one to train on, one to test on.

    Attributes:
        name: the name that :func:`svae_lib.data.load` knows it by.
        train: uint8 tensor (N, C, H, W), values 0-255.
        test: the same for the test images (M, C, H, W).
        train_labels: int64 (N,), an index into ``label_names``; for toy-faces float32 (N, F),
            one column of ``label_names`` per factor of variation.
        test_labels: the same for the test images.
        label_names: the classes, or the factors of variation.
        source: one sentence on where the images come from.
    """

    name: str
    train: Tensor
    test: Tensor
    train_labels: Tensor
    test_labels: Tensor
    label_names: tuple[str, ...]
    source: str

    def __post_init__(self) -> None:
        for part, images, labels in (
            ("train", self.train, self.train_labels),
            ("test", self.test, self.test_labels),
        ):
            check_uint8_images(images, name=f"{self.name}: the {part} images")
            if len(images) != len(labels):
                raise InputError(
                    f"{self.name}: {len(images)} {part} images have {len(labels)} labels; "
                    "a file may be missing or cut short."
                )
        if self.train.shape[1:] != self.test.shape[1:]:
            raise InputError(
                f"{self.name}: train images of shape {tuple(self.train.shape[1:])} and test "
                f"images of shape {tuple(self.test.shape[1:])} do not belong together."
            )

    def __repr__(self) -> str:
        shape = "x".join(str(length) for length in self.train.shape[1:])
        return f"ImageSets({self.name}: {len(self.train)} train + {len(self.test)} test, {shape})"


def to_float(images: Tensor) -> Tensor:
    """Images as models see them: uint8 (N, C, H, W) in 0-255 to float32 in [0, 1]."""
    check_uint8_images(images)
    return images.float() / 255


def to_uint8(images: Tensor) -> Tensor:
    """Images as files hold them: float (N, C, H, W) in [0, 1] to round(255 x) as uint8.

    Values outside [0, 1] are clamped, since a network may overshoot by rounding; NaN is refused.
    """
    clamped = images.clamp(0, 1) if isinstance(images, Tensor) else images
    check_images(clamped)
    return (clamped * 255).round().to(torch.uint8)


def pad(images: Tensor, pixels: int = 2) -> Tensor:
    """Add a black border, ``pixels`` wide: (N, C, H, W) to (N, C, H + 2 pixels, W + 2 pixels).

    With 2 pixels, MNIST's 28x28 become 32x32, which strides of two divide evenly, as the authors'.
    """
    return F.pad(images, (pixels, pixels, pixels, pixels))
