"""Models to compare with: the same encoder and decoder, another latent space or objective.

Each class changes one thing of :class:`svae_lib.models.VAE` and says where its objective comes
from. The two-stage VAE is a VAE whose latent vectors are drawn from a :class:`SecondStage`.

Sums and means are those of :mod:`svae_lib.objective`: an image's error is a sum, the loss a mean.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import forward_ad

from .layers import keras_init_
from .models import VAE, Latent
from .objective import Loss, RunningGamma, reconstruction_error, variational_loss
from .presets import ModelConfig
from .support.checks import InputError, check_counts, check_posteriors
from .support.progress import counter

POINT_LOG_VAR = -40.0
"""Log-variance of a point: a standard deviation of 2e-9, negligible against mu."""
HIDDEN_LAYERS = 3  # the authors' number; their width is 1024
BATCH_SIZE = 200
GAMMA_START = 0.3
"""First gamma, for standardised vectors. At their variance, 1, switching all latent variables off
pays (the vectors are nearly Gaussian), and training hardly ever recovers from that."""


class BetaVAE(VAE):
    """VAE whose decoder's variance is fixed, with a weight on the KL divergence.

    Loss: mean over images of [ sum((x - x_hat)^2) + beta KL ]: gamma is 1/2 for good. Higgins et
    al., "beta-VAE: learning basic visual concepts with a constrained variational framework", ICLR
    2017, section 2, with a Gaussian decoder; beta = 1 is a VAE with a fixed decoder variance.
    """

    def loss(self, x: Tensor, noise: Tensor, gamma: Tensor | float, beta: float) -> Loss:
        """Training loss of a batch; the running ``gamma`` is not used."""
        return super().loss(x, noise, 0.5, beta)


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
    ``encode`` returns the latent vectors as mu, and :data:`POINT_LOG_VAR`.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.latent = PointLatent(config)
        self.latent.apply(keras_init_)

    def loss(self, x: Tensor, noise: Tensor, gamma: Tensor | float, beta: float) -> Loss:
        """Training loss of a batch, with ``kl`` 0; the other arguments are not used."""
        error = reconstruction_error(x, self.reconstruct(x).x_hat).mean()
        return _loss(x, error, latent=error.new_zeros(()), total=error)


class RAEL2(AE):
    """Regularised autoencoder: short latent vectors, and small weights in the decoder.

    Loss: mean over images of [ sum((x - x_hat)^2) + beta sum(z^2) / 2 ] + lambda sum(theta^2) with
    theta the kernels of the decoder's layers. Ghosh et al., "From variational to deterministic
    autoencoders", ICLR 2020, section 3 (Tikhonov regularisation). Its ``kl`` in the history is
    sum(z^2) / 2: what is left of the KL divergence when the posterior's variance is fixed.
    """

    penalty_weight: ClassVar[float] = 1e-4
    """lambda. The authors' code has 1e-7 for MNIST, with an error that is a mean over the 32 x 32
    pixels; with a sum that is 1e-4."""

    def loss(self, x: Tensor, noise: Tensor, gamma: Tensor | float, beta: float) -> Loss:
        """Training loss of a batch; ``noise`` and ``gamma`` are not used."""
        out = self.reconstruct(x)
        error, length = reconstruction_error(x, out.x_hat).mean(), _half_square(out.z)
        decoding = (*self.latent.back.parameters(), *self.decoder.parameters())
        penalty = sum(p.square().sum() for p in decoding if p.ndim > 1)  # no bias, no BatchNorm
        return _loss(x, error, length, error + beta * length + self.penalty_weight * penalty)


class RAEGP(AE):
    """Regularised autoencoder: short latent vectors, and a decoder with a small gradient.

    Loss: mean over images of ``[ sum((x - x_hat)^2) + beta sum(z^2) / 2 + lambda |J|^2 ]``, where J
    is the Jacobian of the decoder at z and ``|J|^2`` the sum of its squared entries. Ghosh et al.,
    ICLR 2020, section 3 (gradient penalty). With u standard Gaussian, ``E |J u|^2 = |J|^2``
    (Hutchinson's estimator), and J u is one forward-mode derivative: the whole Jacobian, with a row
    for each value of the image, is never built.
    """

    penalty_weight: ClassVar[float] = 0.01
    """lambda, chosen on held-out digits by scripts/tune_baselines.py."""

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
    """Whether the encoder gives points, for which a KL divergence has no meaning."""
    return isinstance(model.latent, PointLatent)


def _loss(x: Tensor, error: Tensor, latent: Tensor, total: Tensor) -> Loss:
    return Loss(total, reconstruction=error, kl=latent, mse=error / x[0].numel())


def _half_square(z: Tensor) -> Tensor:
    return 0.5 * z.square().sum(dim=1).mean()


# ---------------------------------------------------------------------- the second stage


class _Network(nn.Module):
    """Linear layers; the input is also handed to the last one, as in the authors' code."""

    def __init__(self, inputs: int, outputs: int, width: int) -> None:
        super().__init__()
        sizes = [inputs] + [width] * HIDDEN_LAYERS
        self.hidden = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))
        self.last = nn.Linear(width + inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, inputs) to (N, outputs)."""
        h = x
        for layer in self.hidden:
            h = F.silu(layer(h))
        return self.last(torch.cat((h, x), dim=1))  # type: ignore[no-any-return]


class SecondStage(nn.Module):
    """A small VAE over the latent vectors of another: the second stage of a two-stage VAE.

    Real images lie on a thin sheet among all possible images, and the latent vectors of a VAE of
    them need not follow the prior. But these vectors, z ~ q(z|x), fill all of their L dimensions,
    and there a second VAE can match its prior. So: sample u ~ N(0, I), then z ~ p(z|u), and decode
    z. Dai and Wipf, "Diagnosing and enhancing VAE models", ICLR 2019, arXiv:1903.05789.

    Fit it on the posteriors of *training* images. Latent vectors are standardised first. The
    objective is :func:`svae_lib.objective.variational_loss` with beta = 1 and a running gamma, 200
    vectors at a time, drawn with replacement; Adam's learning rate is a half cosine from 1e-3 to 0.

    Attributes:
        gamma: variance of a standardised latent variable about the decoder's output, a scalar.

    Args:
        latent_dim: latent variables of the first stage, and of this one.
        width: of the three hidden layers of its encoder and of its decoder.
        steps: optimiser steps of :meth:`fit`.
        seed: seeds weights, batches and noise.
    """

    mean: Tensor
    std: Tensor
    gamma: Tensor

    def __init__(
        self, latent_dim: int, *, width: int = 256, steps: int = 3000, seed: int = 0
    ) -> None:
        super().__init__()
        check_counts(latent_dim=latent_dim, width=width, steps=steps)
        self.latent_dim, self.steps, self.seed = latent_dim, steps, seed
        # Weights made in inference mode could never be trained.
        with torch.inference_mode(False), torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)  # not those of GPUs, too
            self.encoder = _Network(latent_dim, 2 * latent_dim, width)
            self.decoder = _Network(latent_dim, latent_dim, width)
            # Buffers, so that state_dict() holds all that sampling needs; gamma is NaN until fitted
            self.register_buffer("mean", torch.zeros(latent_dim))
            self.register_buffer("std", torch.ones(latent_dim))
            self.register_buffer("gamma", torch.tensor(math.nan))
        self.float()  # whatever the program's default dtype is

    @torch.inference_mode(False)
    @torch.enable_grad()
    def fit(self, mu: Tensor, log_var: Tensor, *, progress: bool = False) -> SecondStage:
        """Train (further) on draws from the posteriors N(mu, exp(log_var)) and return self.

        Args:
            mu: posterior means of the training images, float (N, L), N at least 2.
            log_var: their log-variances, the same shape.
            progress: show a progress bar.
        """
        check_posteriors(mu, log_var, self.latent_dim)
        mu, log_var = mu.detach().float(), log_var.detach().float()
        self.mean = mu.mean(dim=0)
        self.std = (mu.var(dim=0) + log_var.exp().mean(dim=0)).sqrt().clamp_min(1e-6)
        gamma = RunningGamma(GAMMA_START)
        optimizer = torch.optim.Adam(self.parameters(), lr=1e-3)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, self.steps)
        generator = torch.Generator().manual_seed(self.seed)
        with counter(self.steps, "second stage", "step", show=progress) as bar:
            for _ in range(self.steps):
                rows = torch.randint(len(mu), (BATCH_SIZE,), generator=generator)
                z = mu[rows] + self._noise(generator) * torch.exp(0.5 * log_var[rows])
                loss = self._loss((z - self.mean) / self.std, self._noise(generator), gamma.value)
                optimizer.zero_grad()
                loss.total.backward()
                optimizer.step()
                schedule.step()
                gamma.update(loss.mse)
                bar.update()
        self.gamma = gamma.value
        return self

    @torch.no_grad()
    def sample(self, n: int, seed: int = 0) -> Tensor:
        """Draw ``n`` latent vectors of the first stage: float32 (n, L).

        u ~ N(0, I), then z ~ N(decoder(u), gamma I), and back to the first stage's scale.
        """
        if self.gamma.isnan():
            raise InputError("the second stage is not fitted yet: call fit(mu, log_var) first.")
        check_counts(n=n)
        generator = torch.Generator().manual_seed(seed)
        u, noise = (self._noise(generator, n) for _ in range(2))
        z: Tensor = self.decoder(u) + self.gamma.sqrt() * noise
        return z * self.std + self.mean

    def _loss(self, z: Tensor, noise: Tensor, gamma: Tensor) -> Loss:
        mu, log_var = self.encoder(z).chunk(2, dim=1)  # each (N, L)
        u = mu + noise * torch.exp(0.5 * log_var)
        return variational_loss(z, self.decoder(u), mu, log_var, gamma, beta=1.0)

    def _noise(self, generator: torch.Generator, n: int = BATCH_SIZE) -> Tensor:
        shape = n, self.latent_dim
        return torch.randn(shape, generator=generator, dtype=torch.float32)
