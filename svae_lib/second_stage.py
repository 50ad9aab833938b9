"""The second stage of a two-stage VAE: a small VAE over the latent vectors of the first.

B. Dai, D. Wipf, "Diagnosing and enhancing VAE models", ICLR 2019 (arXiv:1903.05789). Images fill
only a thin sheet among all possible images, and a VAE's latent vectors need not follow the prior.
The vectors z ~ q(z|x) themselves fill all of their L dimensions; there a VAE can match its prior.
So train a second VAE on them, with as many latent variables; sample u ~ N(0, I), then z ~ p(z|u),
and decode z.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .objective import Loss, RunningGamma, variational_loss
from .support.checks import InputError, check_counts, check_posteriors
from .support.progress import counter

HIDDEN_LAYERS = 3  # the authors' number; their width is 1024
GAMMA_START = 0.3
"""First gamma, for standardised vectors. At their variance, 1, it pays to switch all latent
variables off (the vectors are nearly Gaussian), and training hardly ever gets away from there."""


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
        out: Tensor = self.last(torch.cat((h, x), dim=1))
        return out


class SecondStage(nn.Module):
    """VAE over latent vectors, with the interface of :class:`svae_lib.sampling.LatentMixture`.

    Fit it on the posteriors of *training* images. Latent vectors are standardised first. The
    objective is :func:`svae_lib.objective.variational_loss` with beta = 1 and a running gamma; Adam
    with a half cosine from ``learning_rate`` to 0.

    Attributes:
        gamma: variance of a standardised latent variable about the decoder's answer, a scalar.

    Args:
        latent_dim: latent variables of the first stage, and of this one.
        width: of the three hidden layers of its encoder and of its decoder.
        steps: optimiser steps of :meth:`fit`.
        batch_size: latent vectors per step, drawn with replacement.
        learning_rate: Adam's, at the start.
        seed: seeds weights, batches and noise.

    Raises:
        InputError: a size or a count is below 1.
    """

    mean: Tensor
    std: Tensor
    gamma: Tensor

    def __init__(
        self,
        latent_dim: int,
        *,
        width: int = 256,
        steps: int = 3000,
        batch_size: int = 200,
        learning_rate: float = 1e-3,
        seed: int = 0,
    ) -> None:
        super().__init__()
        check_counts(latent_dim=latent_dim, width=width, steps=steps, batch_size=batch_size)
        self.latent_dim, self.steps, self.seed = latent_dim, steps, seed
        self.batch_size, self.learning_rate = batch_size, learning_rate
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.encoder = _Network(latent_dim, 2 * latent_dim, width)
            self.decoder = _Network(latent_dim, latent_dim, width)
        # Buffers, so that state_dict() holds all that sampling needs; gamma is NaN until fitted.
        self.register_buffer("mean", torch.zeros(latent_dim))
        self.register_buffer("std", torch.ones(latent_dim))
        self.register_buffer("gamma", torch.tensor(math.nan))

    @property
    def is_fitted(self) -> bool:
        """Whether :meth:`fit` has come to its end, or fitted weights were loaded."""
        return not bool(self.gamma.isnan())

    def fit(self, mu: Tensor, log_var: Tensor, *, progress: bool = False) -> SecondStage:
        """Train on draws from the posteriors N(mu, exp(log_var)) and return self.

        Args:
            mu: posterior means of the training images, float (N, L).
            log_var: their log-variances, the same shape.
            progress: show a progress bar.

        Raises:
            InputError: other shapes, or NaN.
        """
        check_posteriors(mu, log_var, self.latent_dim)
        self.mean = mu.mean(dim=0)
        self.std = (mu.var(dim=0) + log_var.exp().mean(dim=0)).sqrt().clamp_min(1e-6)
        gamma = RunningGamma(GAMMA_START)
        optimizer = torch.optim.Adam(self.parameters(), lr=self.learning_rate)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, self.steps)
        generator = torch.Generator().manual_seed(self.seed)
        with counter(self.steps, "second stage", "step", show=progress) as bar:
            for _ in range(self.steps):
                rows = torch.randint(len(mu), (self.batch_size,), generator=generator)
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

        Raises:
            InputError: it has not been fitted, or ``n`` is below 1.
        """
        if not self.is_fitted:
            raise InputError("the second stage is not fitted yet: call fit(mu, log_var) first.")
        check_counts(n=n)
        generator = torch.Generator().manual_seed(seed)
        u, noise = (torch.randn(n, self.latent_dim, generator=generator) for _ in range(2))
        z: Tensor = self.decoder(u) + self.gamma.sqrt() * noise
        return z * self.std + self.mean

    def _loss(self, z: Tensor, noise: Tensor, gamma: Tensor) -> Loss:
        mu, log_var = self.encoder(z).chunk(2, dim=1)  # each (N, L)
        u = mu + noise * torch.exp(0.5 * log_var)
        return variational_loss(z, self.decoder(u), mu, log_var, gamma, beta=1.0)

    def _noise(self, generator: torch.Generator) -> Tensor:
        return torch.randn(self.batch_size, self.latent_dim, generator=generator)
