"""Models to compare with: the same encoder and decoder, another latent space or objective.

Each class changes one thing of :class:`svae_lib.models.VAE` and says where its objective comes
from. All of them train with the same :class:`svae_lib.training.Trainer` and are scored by one
evaluation. The two-stage VAE is a VAE whose latent vectors are drawn in
another way: see :mod:`svae_lib.second_stage`.

Sums and means are those of :mod:`svae_lib.objective`: an image's error is a sum, the loss a mean.
"""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad

from .layers import keras_init_
from .models import VAE, Latent
from .objective import Loss, reconstruction_error
from .presets import ModelConfig

POINT_LOG_VAR = -40.0
"""Log-variance that stands for a point: a standard deviation of 2e-9, nothing beside mu."""


class BetaVAE(VAE):
    """VAE whose decoder's variance is fixed, with a weight on the KL divergence.

    Loss: mean over images of [ sum((x - x_hat)^2) + beta KL ]: gamma is 1/2 for good. Higgins et
    al., "beta-VAE: learning basic visual concepts with a constrained variational framework", ICLR
    2017, section 2, with a Gaussian decoder; beta = 1 is a VAE with a fixed decoder variance.
    """

    fixed_gamma: ClassVar[float] = 0.5

    def loss(self, x: Tensor, noise: Tensor, gamma: Tensor | float, beta: float) -> Loss:
        """Training loss of a batch; the running ``gamma`` is not used."""
        return super().loss(x, noise, self.fixed_gamma, beta)


class SmallVAE(VAE):
    """VAE with two linear layers each way, for experiments that take seconds.

    Latent variables, loss and sigmoid are the VAE's; ``base_dim`` and ``num_scales`` are not used.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        shape = (config.channels, config.image_size, config.image_size)
        values, width = math.prod(shape), config.embedding_dim
        self.encoder = nn.Sequential(nn.Flatten(), nn.Linear(values, width), nn.SiLU())
        self.decoder = nn.Sequential(nn.SiLU(), nn.Linear(width, values), nn.Unflatten(1, shape))
        self.apply(keras_init_)


class PointLatent(Latent):
    """A bottleneck without a posterior: an embedding to one latent vector, and back."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        del self.log_var

    def posterior(self, embedding: Tensor) -> tuple[Tensor, Tensor]:
        """Map (N, E) to the latent vectors and the log-variance of a point, float32 (N, L) each."""
        mu = self.mu(embedding).float()
        return mu, torch.full_like(mu, POINT_LOG_VAR)


class AE(VAE):
    """Autoencoder: no noise, nothing asked of the latent vectors.

    Loss: mean over images of sum((x - x_hat)^2). Hinton and Salakhutdinov, "Reducing the
    dimensionality of data with neural networks", Science 313, 2006, with the Split VAE's network.
    ``encode`` answers with the latent vectors as mu, and :data:`POINT_LOG_VAR`.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.latent = PointLatent(config)
        self.latent.apply(keras_init_)

    def loss(self, x: Tensor, noise: Tensor, gamma: Tensor | float, beta: float) -> Loss:
        """Training loss of a batch; ``noise``, ``gamma`` and ``beta`` are not used.

        Its ``kl`` is 0: there is no posterior.
        """
        error = reconstruction_error(x, self.reconstruct(x).x_hat).mean()
        return _loss(x, error, latent=error.new_zeros(()), total=error)


class RAEL2(AE):
    """Regularised autoencoder: short latent vectors, and small weights in the decoder.

    Loss: mean over images of [ sum((x - x_hat)^2) + beta sum(z^2) / 2 ] + lambda sum(theta^2) with
    theta the kernels of the decoder's layers. Ghosh et al., "From variational to deterministic
    autoencoders", ICLR 2020, section 3 (Tikhonov regularisation). Its ``kl`` in the history is
    sum(z^2) / 2: what is left of the KL divergence when the posterior's variance is fixed.

    Attributes:
        penalty_weight: lambda. The authors' code has 1e-7 for MNIST, beside an error that is a mean
            over the 32 x 32 pixels; beside a sum that is 1e-4.
    """

    penalty_weight: ClassVar[float] = 1e-4

    def loss(self, x: Tensor, noise: Tensor, gamma: Tensor | float, beta: float) -> Loss:
        """Training loss of a batch; ``noise`` and ``gamma`` are not used."""
        out = self.reconstruct(x)
        error, length = reconstruction_error(x, out.x_hat).mean(), _half_square(out.z)
        penalty = sum(kernel.square().sum() for kernel in _kernels(self.latent.back, self.decoder))
        return _loss(x, error, length, error + beta * length + self.penalty_weight * penalty)


class RAEGP(AE):
    """Regularised autoencoder: short latent vectors, and a decoder with a small gradient.

    Loss: mean over images of ``[ sum((x - x_hat)^2) + beta sum(z^2) / 2 + lambda |J|^2 ]``, where J
    is the Jacobian of the decoder at z and ``|J|^2`` the sum of its squared entries. Ghosh et al.,
    ICLR 2020, section 3 (gradient penalty). With u standard Gaussian, ``E |J u|^2 = |J|^2``
    (Hutchinson's estimator), and J u is one forward-mode derivative: the whole Jacobian, with a row
    for each value of the image, is never built.

    Attributes:
        penalty_weight: lambda, chosen on held-out digits by scripts/tune_baselines.py.
    """

    penalty_weight: ClassVar[float] = 0.01

    def loss(self, x: Tensor, noise: Tensor, gamma: Tensor | float, beta: float) -> Loss:
        """Training loss of a batch; ``noise`` (N, L) is u, ``gamma`` is not used."""
        z = self.encode(x)[0].float()
        # In float32: autocast converts a layer's input, but not the derivative that comes with it.
        with torch.autocast(x.device.type, enabled=False), forward_ad.dual_level():
            image, change = forward_ad.unpack_dual(
                self.decode(forward_ad.make_dual(z, noise)).x_hat
            )
        error, length = reconstruction_error(x, image).mean(), _half_square(z)
        penalty = change.square().flatten(1).sum(dim=1).mean()
        return _loss(x, error, length, error + beta * length + self.penalty_weight * penalty)


def is_deterministic(model: VAE) -> bool:
    """Whether the encoder answers with points, so that a KL divergence has no meaning."""
    return isinstance(model.latent, PointLatent)


def _loss(x: Tensor, error: Tensor, latent: Tensor, total: Tensor) -> Loss:
    return Loss(total, reconstruction=error, kl=latent, mse=error / x[0].numel())


def _half_square(z: Tensor) -> Tensor:
    return 0.5 * z.square().sum(dim=1).mean()


def _kernels(*modules: nn.Module) -> list[Tensor]:
    """Weights of linear and convolutional layers, without biases and normalisation."""
    return [p for module in modules for p in module.parameters() if p.ndim > 1]
