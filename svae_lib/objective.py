"""What is minimised: reconstruction error, KL divergence, and gamma, the balance between them.

Sums and means, once for all: an *image's* reconstruction error and KL divergence are sums (over
pixels and channels, over latent variables); the *loss* is the mean of the images' losses. Mean
squared error (MSE) is per pixel and channel, and gamma is compared with it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from .support.checks import InputError, check_tensors, check_uint8_images, check_values
from .support.devices import as_float64


def reconstruction_error(x: Tensor, x_hat: Tensor) -> Tensor:
    """Squared error of each image, summed over channels and pixels: float (N,), at least 0.

    Args:
        x: images, float (N, C, H, W).
        x_hat: their reconstructions, the same shape.
    """
    check_tensors(x=x, x_hat=x_hat)
    for name, images in (("x", x), ("x_hat", x_hat)):  # differences of bytes wrap around
        check_values(images, name, slack=math.inf)
    if x.shape != x_hat.shape:
        raise InputError(
            f"x and x_hat must have one shape, not {tuple(x.shape)} and {tuple(x_hat.shape)}."
        )
    return (x - x_hat).square().flatten(1).sum(dim=1)


def kl_divergence(mu: Tensor, log_var: Tensor) -> Tensor:
    """KL divergence of N(mu, exp(log_var)) from N(0, 1), summed over the latent variables.

    KL = sum(mu^2 + exp(log_var) - 1 - log_var) / 2, float (N,), in nats, at least 0 but for
    rounding: Kingma and Welling, "Auto-encoding variational Bayes", arXiv:1312.6114, appendix B.

    Args:
        mu: posterior means, float (N, latent_dim).
        log_var: logarithms of the posterior variances, the same shape.
    """
    check_tensors(mu=mu, log_var=log_var)
    if mu.shape != log_var.shape:
        raise InputError(
            f"mu and log_var must have one shape, not {tuple(mu.shape)} and {tuple(log_var.shape)}."
        )
    return 0.5 * (mu.square() + log_var.exp() - 1 - log_var).sum(dim=1)


@dataclass
class Loss:
    """The loss of a batch and its parts, each a scalar tensor: a mean over the images."""

    total: Tensor
    """What is minimised."""
    reconstruction: Tensor
    """Mean over images of the summed squared error."""
    kl: Tensor
    """Mean over images of the summed KL divergence, in nats."""
    mse: Tensor
    """Mean squared error per pixel and channel: what gamma follows."""


def variational_loss(
    x: Tensor, x_hat: Tensor, mu: Tensor, log_var: Tensor, gamma: Tensor | float, beta: float
) -> Loss:
    """Loss of a variational autoencoder with a Gaussian decoder of variance gamma.

    mean over images of [ sum((x - x_hat)^2) / (2 gamma) + beta KL ]: the negative ELBO but for a
    constant when beta is 1. The SplitVAE has the same loss, on its mixed image (the paper's
    section on the model; beta weighs the KL divergence as in Higgins et al., ICLR 2017).

    Args:
        x: images, float (N, C, H, W) in [0, 1].
        x_hat: reconstructions, the same shape.
        mu: posterior means, (N, latent_dim).
        log_var: log-variances of the posterior, the same shape.
        gamma: variance of a pixel given the latent variables, above 0, no gradient.
        beta: weight of the KL divergence.
    """
    reconstruction = reconstruction_error(x, x_hat).mean()
    kl = kl_divergence(mu, log_var).mean()
    total = reconstruction / (2 * gamma) + beta * kl
    return Loss(total, reconstruction, kl, mse=reconstruction / x[0].numel())


class RunningGamma:
    """Running estimate of gamma, the variance of a pixel that the decoder leaves unexplained.

    After each batch, running = 0.99 running + 0.01 MSE and gamma = min(gamma, running): gamma
    only ever falls, as in the authors' code. The maximum-likelihood gamma is the MSE itself
    (Dai and Wipf, "Diagnosing and enhancing VAE models", ICLR 2019, section 4); the running mean
    spares a learner from tuning it.

    Two starts: 1, the authors', lets the KL divergence rule the first few hundred steps (the
    reconstruction error is divided by far too much), so that many latent variables collapse before
    they are needed; the variance of the data, which is the MSE of the best constant image, is the
    natural first guess, and converges visibly sooner.

    Everything stays on the device: updating forces no GPU sync.

    Args:
        start: first value of gamma and of the running mean, above 0.
        device: where they live.

    Attributes:
        value: gamma, a float32 scalar.
        running: the running mean of the MSE, a float32 scalar.
    """

    decay = 0.99

    def __init__(self, start: float, device: torch.device | str = "cpu") -> None:
        if not start > 0:
            raise InputError(f"gamma must start above 0, not at {start}.")
        self.value = torch.tensor(float(start), dtype=torch.float32, device=device)
        self.running = self.value.clone()

    @classmethod
    def for_images(
        cls, images: Tensor, start: Literal["one", "data"], device: torch.device | str = "cpu"
    ) -> RunningGamma:
        """Start at 1, or at the variance of uint8 ``images`` (N, C, H, W) about their mean."""
        if start not in ("one", "data"):
            raise InputError(f"gamma's start must be 'one' or 'data', not {start!r}.")
        return cls(1.0 if start == "one" else max(pixel_variance(images), 1e-6), device)

    @torch.no_grad()
    def update(self, mse: Tensor) -> None:
        """Take in one batch's mean squared error (a scalar tensor)."""
        self.running.lerp_(mse.detach().float(), 1 - self.decay)
        torch.minimum(self.value, self.running, out=self.value)


def pixel_variance(images: Tensor) -> float:
    """Mean over pixels of the variance over uint8 images (N, C, H, W), on the scale [0, 1].

    It is the mean squared error of answering every image with the mean image.
    """
    check_uint8_images(images)
    total = squares = torch.zeros(())
    for batch in images.split(1000):
        scaled = as_float64(batch, stay=True) / 255
        total = total.to(scaled) + scaled.sum(dim=0)  # (C, H, W)
        squares = squares.to(scaled) + scaled.square().sum(dim=0)
    mean = total / len(images)
    return float((squares / len(images) - mean.square()).mean())
