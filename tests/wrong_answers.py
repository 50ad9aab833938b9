# ruff: noqa: E501, F401  # the expressions use the imports
"""Wrong answers to exercises, those of notebooks 0 to 4 foremost, that learners might plausibly give.

One expression a line, after the function's parameters. They were written from the notebooks' texts,
without the exercises' own lists of mistakes at hand, so that their share with a named mistake says
something about answers not foreseen.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.nn import functional as F


def _gamma(x: torch.Tensor, x_hat: torch.Tensor, gamma: Any, running: Any, step: Any) -> Any:
    """An update of (gamma, running) by a function of both and of the batch's error."""
    return step(gamma, running, (x - x_hat.detach()).square().mean())


def _squares(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return (x - y).square().flatten(1).sum(1)


def _kl(mu: torch.Tensor, log_var: torch.Tensor) -> torch.Tensor:
    return 0.5 * (mu**2 + log_var.exp() - 1 - log_var)


def _high(height: int, width: int, edge: float = 3 / 8) -> torch.Tensor:
    fy, fx = torch.fft.fftfreq(height).abs(), torch.fft.fftfreq(width).abs()
    return torch.maximum(fy[:, None], fx[None]) >= edge


def _energy(maps: torch.Tensor) -> torch.Tensor:
    centred = maps - maps.mean(dim=(2, 3), keepdim=True)
    return torch.fft.fft2(centred).abs().square()


def _share(energy: torch.Tensor, near: torch.Tensor) -> torch.Tensor:
    return (energy * near).sum(dim=(1, 2, 3)) / energy.sum(dim=(1, 2, 3))


def _distance(height: int, width: int, power: float = 2) -> torch.Tensor:
    fy, fx = torch.fft.fftfreq(height).abs(), torch.fft.fftfreq(width).abs()
    return (fy[:, None] ** power + fx[None] ** power) ** (1 / power)


def _constant(x: torch.Tensor, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    d = a - b
    return ((x - b) * d).flatten(1).sum(1) / d.square().flatten(1).sum(1)


def _gradient(theta: torch.Tensor, loss_of: Any, part: torch.Tensor) -> torch.Tensor:
    leaf = theta.clone().requires_grad_()
    return torch.autograd.grad(loss_of(leaf, part), leaf)[0]


def _scatter(batch: torch.Tensor) -> torch.Tensor:
    return (batch - batch.mean(0)).T @ (batch - batch.mean(0))


def _merged(
    count: int,
    mean: torch.Tensor,
    scatter: torch.Tensor,
    batch: torch.Tensor,
    new_mean: Any,
    new: Any,
) -> Any:
    sizes = count, len(batch), batch.mean(0) - mean
    return count + len(batch), new_mean(*sizes), new(*sizes)


def _root(s: torch.Tensor) -> torch.Tensor:
    values, vectors = torch.linalg.eigh(s)
    return (vectors * values.clamp(min=0).sqrt()) @ vectors.T


def _walk(z: torch.Tensor, times: torch.Tensor, step: Any) -> torch.Tensor:
    for now, then in itertools.pairwise(times):
        z = step(z, now, then)
    return z


def _others(values: torch.Tensor, kept: list[int]) -> list[int]:
    return [d for d in range(values.ndim) if d not in kept]


WRONG = {
    "to_float(images)": """
        images.float()
        images
        images / 256
        images.float() / 254
        images // 255
        images.float() * 255
        images.float() / 127.5 - 1
        images.half() / 255
        (images / 255).round()
        images.float() / images.max()
        1 - images.float() / 255
        images.to(torch.int64) / 255 * 2
        (images.float() - images.float().mean()) / images.float().std()
        images.float() / 255 - 0.5
        images.float() / images.float().amax(dim=(1, 2, 3), keepdim=True)
        (images > 127).float()
        (images.float() + 1) / 256
        images.float() / 100
        images.float().sigmoid()
        (images.float() / 255)[:, 0]
        (images.float() / 255).permute(0, 2, 3, 1)
        (images.float() / 255).flatten(1)
        images.view(torch.int8).float() / 255
    """,
    "errors_of_mean(x)": """
        (((x - x.mean(0)) ** 2).flatten(1).mean(1), ((x - x.mean(0)) ** 2).mean())
        (((x - x.mean(0)) ** 2).flatten(1).sum(1), ((x - x.mean(0)) ** 2).sum())
        (((x - x.mean()) ** 2).flatten(1).sum(1), ((x - x.mean()) ** 2).mean())
        ((x - x.mean(0)).abs().flatten(1).sum(1), (x - x.mean(0)).abs().mean())
        ((x - x.mean(0)).flatten(1).sum(1), (x - x.mean(0)).mean())
        (((x - x.mean(0)) ** 2).sum((2, 3)), ((x - x.mean(0)) ** 2).mean())
        (((x - x.mean(0)) ** 2).flatten(1).sum(1), ((x - x.mean(0)) ** 2).flatten(1).sum(1).mean())
        (((x - x.mean(0)) ** 2).flatten(1).sum(1).sqrt(), ((x - x.mean(0)) ** 2).mean())
        (((x - x.mean(0)) ** 2).flatten(1).sum(1), ((x - x.mean(0)) ** 2).mean().sqrt())
        (((x - x.mean(0)) ** 2).flatten(1).sum(1), ((x - x.mean(0)) ** 2).flatten(1).mean(1))
        (((x - x.mean(0)) ** 2).flatten(1).sum(0), ((x - x.mean(0)) ** 2).mean())
        (((x - x.mean((2, 3), keepdim=True)) ** 2).flatten(1).sum(1), x.var(0).mean())
        (((x - x.median(0).values) ** 2).flatten(1).sum(1), ((x - x.median(0).values) ** 2).mean())
        (((x - x.mean(0)) ** 2).flatten(1).sum(1), x.var(0).mean())
        (((x - x.mean(0)) ** 2).sum(0), ((x - x.mean(0)) ** 2).mean())
        (((x - x.mean(0)) ** 2).mean(), ((x - x.mean(0)) ** 2).flatten(1).sum(1))
        (((x - x.mean(1, keepdim=True)) ** 2).flatten(1).sum(1), ((x - x.mean(1, keepdim=True)) ** 2).mean())
        ((x - x.mean(0)).flatten(1).sum(1) ** 2, ((x - x.mean(0)) ** 2).mean())
        ((x**2 - x.mean(0) ** 2).flatten(1).sum(1), (x**2 - x.mean(0) ** 2).mean())
        (0.5 * ((x - x.mean(0)) ** 2).flatten(1).sum(1), 0.5 * ((x - x.mean(0)) ** 2).mean())
        ((x**2).flatten(1).sum(1), (x**2).mean())
        ((x - x.mean(0)) ** 2).flatten(1).sum(1)
        (((x - x.mean(0)) ** 2).flatten(1).sum(1), ((x - x.mean(0)) ** 2).flatten(1).sum(1).mean() / x.shape[2])
    """,
    "kl_divergence(mu, log_var)": """
        0.5 * (mu**2 + log_var.exp() - 1 - log_var).sum()
        0.5 * (mu**2 + log_var.exp() - 1 - log_var).mean(1)
        0.5 * (mu**2 + log_var.exp() - 1 - log_var).sum(0)
        0.5 * (mu**2 + log_var.exp() - 1 - log_var)
        (mu**2 + log_var.exp() - 1 - log_var).sum(1)
        -0.5 * (mu**2 + log_var.exp() - 1 - log_var).sum(1)
        0.5 * (mu + log_var.exp() - 1 - log_var).sum(1)
        0.5 * (mu**2 + log_var.exp() + 1 - log_var).sum(1)
        0.5 * (mu**2 + log_var.exp() - 1 + log_var).sum(1)
        0.5 * (mu**2 + log_var.exp() - log_var).sum(1)
        0.5 * (mu**2 + log_var - 1 - log_var.log()).sum(1)
        0.5 * (mu**2 + log_var - 1 - log_var.exp()).sum(1)
        0.5 * (mu**2 + log_var**2 - 1 - log_var).sum(1)
        0.5 * (mu**2 + (2 * log_var).exp() - 1 - 2 * log_var).sum(1)
        0.5 * (mu**2 + (log_var / 2).exp() - 1 - log_var).sum(1)
        0.5 * (mu**2 + (log_var / 2).exp() - 1 - log_var / 2).sum(1)
        0.5 * (log_var.exp() - 1 - log_var).sum(1)
        0.5 * (mu**2).sum(1)
        0.5 * ((mu**2 + 1) / log_var.exp() - 1 + log_var).sum(1)
        0.5 * (mu**2 + log_var.exp() - 1 - log_var).mean()
        0.5 * (mu**2 + log_var.exp() - 1 - log_var).mean(0)
        0.5 * (mu**2 + log_var.exp()**2 - 1 - log_var).sum(1)
        0.5 * (mu**2).sum(1) + (log_var.exp() - 1 - log_var).sum(1)
        0.5 * (mu**2 + log_var - 1 - log_var).sum(1)
        0.5 * (mu.abs() + log_var.exp() - 1 - log_var).sum(1)
        0.5 * (log_var.exp() - mu**2 - 1 - log_var).sum(1)
        0.5 * (1 + log_var - mu**2 - log_var.exp()).sum(1)
        (mu**2).sum(1) + 0.5 * (log_var.exp() - 1 - log_var).sum(1)
        0.5 * ((mu**2 + log_var.exp() - log_var).sum(1) - 1)
        0.5 * (mu**2 + log_var.exp() - 1 - log_var).sum(1, keepdim=True)
        0.5 * (log_var**2 + mu.exp() - 1 - mu).sum(1)
        0.5 * (mu**2 * log_var.exp() - 1 - log_var).sum(1)
    """,
    "reparameterise(mu, log_var, noise)": """
        mu + log_var.exp() * noise
        mu + log_var * noise
        mu + (0.5 * log_var) * noise
        mu + noise
        mu
        mu + torch.exp(0.5 * log_var)
        mu * noise + torch.exp(0.5 * log_var)
        mu - torch.exp(0.5 * log_var) * noise
        mu + torch.exp(-0.5 * log_var) * noise
        mu + log_var.sqrt() * noise
        mu + torch.exp(2 * log_var) * noise
        mu + log_var.exp() ** 2 * noise
        torch.exp(0.5 * log_var) * noise
        mu + 0.5 * log_var.exp() * noise
        mu + log_var.abs().sqrt() * noise
        log_var + torch.exp(0.5 * mu) * noise
        mu + torch.exp(0.5 * log_var) * torch.randn_like(mu)
        (mu + noise) * torch.exp(0.5 * log_var)
        mu + torch.exp(0.5 * log_var) + noise
        mu + torch.exp(0.5 * log_var * noise)
        (mu + torch.exp(0.5 * log_var) * noise).sum(1)
        mu + torch.exp(0.5 * log_var) * noise**2
        noise + torch.exp(0.5 * log_var) * mu
    """,
    "vae_loss(x, x_hat, mu, log_var, gamma)": """
        (_squares(x, x_hat) / (2 * gamma) + _kl(mu, log_var).sum(1)).sum()
        _squares(x, x_hat) / (2 * gamma) + _kl(mu, log_var).sum(1)
        (x - x_hat).square().mean() / (2 * gamma) + _kl(mu, log_var).mean()
        (x - x_hat).square().mean() / (2 * gamma) + _kl(mu, log_var).sum(1).mean()
        _squares(x, x_hat).mean() / (2 * gamma) + _kl(mu, log_var).mean()
        _squares(x, x_hat).mean() / gamma + _kl(mu, log_var).sum(1).mean()
        _squares(x, x_hat).mean() * (2 * gamma) + _kl(mu, log_var).sum(1).mean()
        _squares(x, x_hat).mean() / 2 * gamma + _kl(mu, log_var).sum(1).mean()
        _squares(x, x_hat).mean() + _kl(mu, log_var).sum(1).mean()
        _squares(x, x_hat).mean() / (2 * gamma)
        _kl(mu, log_var).sum(1).mean()
        _squares(x, x_hat).mean() / (2 * gamma) - _kl(mu, log_var).sum(1).mean()
        _kl(mu, log_var).sum(1).mean() - _squares(x, x_hat).mean() / (2 * gamma)
        -(_squares(x, x_hat).mean() / (2 * gamma) + _kl(mu, log_var).sum(1).mean())
        _squares(x, x_hat).mean() / (2 * gamma**2) + _kl(mu, log_var).sum(1).mean()
        _squares(x, x_hat).mean() / (2 * gamma**0.5) + _kl(mu, log_var).sum(1).mean()
        (_squares(x, x_hat).mean() + _kl(mu, log_var).sum(1).mean()) / (2 * gamma)
        _squares(x, x_hat).mean() / (2 * gamma) + gamma * _kl(mu, log_var).sum(1).mean()
        (x - x_hat).abs().flatten(1).sum(1).mean() / (2 * gamma) + _kl(mu, log_var).sum(1).mean()
        _squares(x, x_hat).sqrt().mean() / (2 * gamma) + _kl(mu, log_var).sum(1).mean()
        _squares(x, x_hat).sum() / (2 * gamma) + _kl(mu, log_var).sum(1).mean()
        _squares(x, x_hat).mean() / (2 * gamma) + _kl(mu, log_var).sum()
        _squares(x, x_hat).mean() / (2 * gamma) + 2 * _kl(mu, log_var).sum(1).mean()
        _squares(x, x_hat).mean() / (2 * gamma) + _kl(mu, 2 * log_var).sum(1).mean()
        _squares(x, x_hat).mean() / (2 * gamma) + _kl(mu, log_var).mean(0).mean()
        (x - x_hat).square().flatten(1).mean(1).sum() / (2 * gamma) + _kl(mu, log_var).sum(1).mean()
        F.mse_loss(x_hat, x) + _kl(mu, log_var).sum(1).mean()
        F.mse_loss(x_hat, x, reduction="sum") / (2 * gamma) + _kl(mu, log_var).sum()
        F.binary_cross_entropy(x_hat, x) + _kl(mu, log_var).sum(1).mean()
        (_squares(x, x_hat) / (2 * gamma) + _kl(mu, log_var).sum(1)).mean(0, keepdim=True)
        _squares(x, x_hat).mean() / (2 * gamma) + 0.5 * ((mu**2 + 1) / log_var.exp() - 1 + log_var).sum(1).mean()
        (x - x_hat).square().sum((2, 3)).mean() / (2 * gamma) + _kl(mu, log_var).sum(1).mean()
        _squares(x, x_hat).mean() / (2 * gamma) + 0.5 * (mu**2 + log_var.exp() - log_var).sum(1).mean()
        (x - x_hat).square().mean() / gamma + _kl(mu, log_var).sum(1).mean()
    """,
    "optimal_gamma(x, x_hat)": """
        (x - x_hat).square().sum()
        (x - x_hat).square().mean() / 2
        (x - x_hat).square().mean() * 2
        (x - x_hat).square().mean().sqrt()
        (x - x_hat).abs().mean()
        (x - x_hat).mean()
        (x - x_hat).mean() ** 2
        (x - x_hat).square().flatten(1).sum(1).mean()
        (x - x_hat).square().flatten(1).mean(1)
        (x - x_hat).square().mean(0)
        (x - x_hat).var()
        x.var()
        (x - x_hat).square().sum() / len(x)
        1 / (x - x_hat).square().mean()
        -(x - x_hat).square().mean()
        (x - x_hat).square().mean().log()
        (x - x_hat).square().median()
        (x - x_hat).square().max()
        (x - x_hat).std()
        (x**2 - x_hat**2).mean()
        (x + x_hat).square().mean()
        (x - x_hat).square().sum((1, 2, 3))
        (x - x_hat).square().flatten(1).sum(1).mean() / x.shape[1]
        (x - x_hat).square().flatten(1).sum(1).mean() / (x.shape[2] * x.shape[3])
        (x - x_hat).square().flatten(2).mean(2).sum(1).mean()
    """,
    "update_gamma(x, x_hat, gamma, running)": """
        _gamma(x, x_hat, gamma, running, lambda g, r, m: (min(g, 0.01 * r + 0.99 * m), 0.01 * r + 0.99 * m))
        _gamma(x, x_hat, gamma, running, lambda g, r, m: (0.99 * r + 0.01 * m, 0.99 * r + 0.01 * m))
        _gamma(x, x_hat, gamma, running, lambda g, r, m: (max(g, 0.99 * r + 0.01 * m), 0.99 * r + 0.01 * m))
        _gamma(x, x_hat, gamma, running, lambda g, r, m: (min(g, m), m))
        _gamma(x, x_hat, gamma, running, lambda g, r, m: (m, m))
        _gamma(x, x_hat, gamma, running, lambda g, r, m: (min(g, r), 0.99 * r + 0.01 * m))
        _gamma(x, x_hat, gamma, running, lambda g, r, m: (min(g, 0.9 * r + 0.1 * m), 0.9 * r + 0.1 * m))
        _gamma(x, x_hat, gamma, running, lambda g, r, m: (min(g, 0.99 * r + m), 0.99 * r + m))
        _gamma(x, x_hat, gamma, running, lambda g, r, m: (min(g, 0.99 * g + 0.01 * m), r))
        _gamma(x, x_hat, gamma, running, lambda g, r, m: (g, 0.99 * r + 0.01 * m))
        _gamma(x, x_hat, gamma, running, lambda g, r, m: (min(g, 0.99 * r + 0.01 * m), r))
        _gamma(x, x_hat, gamma, running, lambda g, r, m: (0.99 * r + 0.01 * m, min(g, 0.99 * r + 0.01 * m)))
        _gamma(x, x_hat, gamma, running, lambda g, r, m: (min(g, 0.99 * r + 0.01 * m), min(g, 0.99 * r + 0.01 * m)))
        _gamma(x, x_hat, gamma, running, lambda g, r, m: (min(g, 0.999 * r + 0.001 * m), 0.999 * r + 0.001 * m))
        _gamma(x, x_hat, gamma, running, lambda g, r, m: (min(g, 0.99 * r + 0.01 * m**2), 0.99 * r + 0.01 * m**2))
        _gamma(x, x_hat, gamma, running, lambda g, r, m: (min(g, 0.99 * r + 0.01 * m.sqrt()), 0.99 * r + 0.01 * m.sqrt()))
        _gamma(x, x_hat, gamma, running, lambda g, r, m: min(g, 0.99 * r + 0.01 * m))
        _gamma(x, x_hat, gamma, running, lambda g, r, m: (0.99 * r + 0.01 * m,))
        (min(gamma, 0.99 * running + 0.01 * (x - x_hat).square().mean()), 0.99 * running + 0.01 * (x - x_hat).square().mean())
        _gamma(x, x_hat, gamma, running, lambda g, r, m: (min(g, 0.99 * r + 0.01 * m * len(x)), 0.99 * r + 0.01 * m * len(x)))
        _gamma(x, x_hat, gamma, running, lambda g, r, m: (min(g, 0.99 * r + 0.01 * m * x[0].numel()), 0.99 * r + 0.01 * m * x[0].numel()))
        _gamma(x.mean(0), x_hat.mean(0), gamma, running, lambda g, r, m: (min(g, 0.99 * r + 0.01 * m), 0.99 * r + 0.01 * m))
        _gamma(x, 0 * x, gamma, running, lambda g, r, m: (min(g, 0.99 * r + 0.01 * m), 0.99 * r + 0.01 * m))
    """,
    "kl_per_variable(mu, log_var)": """
        0.5 * (mu**2 + log_var.exp() - 1 - log_var).sum(0)
        0.5 * (mu**2 + log_var.exp() - 1 - log_var).mean(1)
        0.5 * (mu**2 + log_var.exp() - 1 - log_var).sum(1)
        0.5 * (mu**2 + log_var.exp() - 1 - log_var).mean()
        0.5 * (mu**2 + log_var.exp() - 1 - log_var)
        (mu**2 + log_var.exp() - 1 - log_var).mean(0)
        -0.5 * (mu**2 + log_var.exp() - 1 - log_var).mean(0)
        0.5 * (mu**2 + log_var - 1 - log_var.log()).mean(0)
        0.5 * (mu**2 + log_var.exp() - log_var).mean(0)
        0.5 * (mu**2 + log_var.exp() - 1 + log_var).mean(0)
        0.5 * (mu + log_var.exp() - 1 - log_var).mean(0)
        0.5 * (mu.mean(0) ** 2 + log_var.mean(0).exp() - 1 - log_var.mean(0))
        0.5 * (mu**2 + log_var.exp() - 1 - log_var).median(0).values
        0.5 * (log_var.exp() - 1 - log_var).mean(0)
        0.5 * (mu**2 + (log_var / 2).exp() - 1 - log_var).mean(0)
        0.5 * (mu**2 + (2 * log_var).exp() - 1 - 2 * log_var).mean(0)
        0.5 * ((mu**2 + 1) / log_var.exp() - 1 + log_var).mean(0)
        0.5 * (mu**2 + log_var.exp() - 1 - log_var).sum(0) / mu.shape[1]
        0.5 * (mu.var(0) + log_var.exp().mean(0) - 1 - log_var.mean(0))
        0.5 * (mu**2 + log_var - 1 - log_var.exp()).mean(0)
        0.5 * (mu**2).mean(0)
        0.5 * (mu**2 + log_var.exp() - 1 - log_var).mean(0) / math.log(2)
        0.5 * (mu**2 + log_var.exp() + 1 - log_var).mean(0)
    """,
    "importance_weighted_bound(log_joint, log_q)": """
        torch.logsumexp(log_joint - log_q, 1)
        (log_joint - log_q).mean(1)
        (log_joint - log_q).exp().mean(1).log()
        (log_joint - log_q).exp().mean(1)
        torch.logsumexp(log_joint - log_q, 1) - log_joint.shape[1]
        torch.logsumexp(log_joint - log_q, 1) / log_joint.shape[1]
        torch.logsumexp(log_joint - log_q, 1) + math.log(log_joint.shape[1])
        torch.logsumexp(log_joint - log_q, 1) - math.log(log_joint.shape[0])
        torch.logsumexp(log_joint - log_q, 0) - math.log(log_joint.shape[0])
        torch.logsumexp(log_joint + log_q, 1) - math.log(log_joint.shape[1])
        torch.logsumexp(log_q - log_joint, 1) - math.log(log_joint.shape[1])
        torch.logsumexp(log_joint, 1) - torch.logsumexp(log_q, 1)
        torch.logsumexp(log_joint, 1) - math.log(log_joint.shape[1])
        torch.logsumexp(log_joint / log_q, 1) - math.log(log_joint.shape[1])
        (log_joint - log_q).sum(1)
        (log_joint - log_q).max(1).values
        (torch.logsumexp(log_joint - log_q, 1) - math.log(log_joint.shape[1])) / math.log(2)
        (torch.logsumexp(log_joint - log_q, 1) - math.log(log_joint.shape[1])).mean()
        torch.logsumexp(log_joint - log_q, 1) - math.log2(log_joint.shape[1])
        -(torch.logsumexp(log_joint - log_q, 1) - math.log(log_joint.shape[1]))
        (log_joint - log_q).logsumexp((0, 1)) - math.log(log_joint.numel())
        torch.logsumexp(log_joint - log_q, 1, keepdim=True) - math.log(log_joint.shape[1])
        torch.logsumexp(log_joint - log_q - math.log(log_joint.shape[1]), 0)
        (log_joint - log_q).log_softmax(1).mean(1)
        torch.logsumexp(log_joint - log_q, 1) - math.log(log_joint.numel())
    """,
    "accumulated_gradient(theta, loss_of, batch, size)": """
        _gradient(theta, loss_of, batch)
        sum(_gradient(theta, loss_of, p) for p in batch.split(size))
        sum(_gradient(theta, loss_of, p) for p in batch.split(size)) / len(batch.split(size))
        sum(_gradient(theta, loss_of, p) for p in batch.split(size)) / len(batch)
        sum(_gradient(theta, loss_of, p) for p in batch.split(size)) / size
        sum(_gradient(theta, loss_of, p) * len(p) for p in batch.split(size))
        sum(_gradient(theta, loss_of, p) * len(p) for p in batch.split(size)) / size
        sum(_gradient(theta, loss_of, p) * size for p in batch.split(size)) / len(batch)
        sum(_gradient(theta, loss_of, p) for p in batch.split(size)) * size / len(batch)
        _gradient(theta, loss_of, batch.split(size)[-1])
        _gradient(theta, loss_of, batch[:size])
        sum(_gradient(theta, loss_of, batch[i : i + size]) for i in range(0, len(batch) - size, size)) / (len(batch) // size)
        sum(_gradient(theta, loss_of, p) for p in batch.split(size)[:-1]) / len(batch.split(size)[:-1])
        torch.stack([_gradient(theta, loss_of, p) for p in batch.split(size)])
        sum(_gradient(theta, loss_of, p) * len(p) / len(batch) for p in batch.chunk(size))
        sum(loss_of(theta, p) * len(p) / len(batch) for p in batch.split(size))
    """,
    "update_moments(count, mean, scatter, batch)": """
        _merged(count, mean, scatter, batch, lambda n, m, d: (n * mean + m * batch.mean(0)) / (n + m), lambda n, m, d: scatter + _scatter(batch))
        _merged(count, mean, scatter, batch, lambda n, m, d: (mean + batch.mean(0)) / 2, lambda n, m, d: scatter + _scatter(batch) + torch.outer(d, d) * n * m / (n + m))
        _merged(count, mean, scatter, batch, lambda n, m, d: mean + d * m / (n + m), lambda n, m, d: scatter + _scatter(batch) + torch.outer(d, d))
        _merged(count, mean, scatter, batch, lambda n, m, d: mean + d * m / (n + m), lambda n, m, d: scatter + _scatter(batch) + torch.outer(d, d) * n / (n + m))
        _merged(count, mean, scatter, batch, lambda n, m, d: mean + d * m / (n + m), lambda n, m, d: scatter + _scatter(batch) + d.square() * n * m / (n + m))
        _merged(count, mean, scatter, batch, lambda n, m, d: mean + d * m / (n + m), lambda n, m, d: scatter + (batch - mean).T @ (batch - mean))
        _merged(count, mean, scatter, batch, lambda n, m, d: mean + d * m / (n + m), lambda n, m, d: scatter + batch.T @ batch)
        _merged(count, mean, scatter, batch, lambda n, m, d: mean + d * m / (n + m), lambda n, m, d: scatter + torch.cov(batch.T))
        _merged(count, mean, scatter, batch, lambda n, m, d: mean + d * m / (n + m), lambda n, m, d: (n * scatter + m * torch.cov(batch.T)) / (n + m))
        _merged(count, mean, scatter, batch, lambda n, m, d: batch.mean(0), lambda n, m, d: scatter + _scatter(batch) + torch.outer(d, d) * n * m / (n + m))
        _merged(count, mean, scatter, batch, lambda n, m, d: mean + d, lambda n, m, d: scatter + _scatter(batch) + torch.outer(d, d) * n * m / (n + m))
        _merged(count, mean, scatter, batch, lambda n, m, d: mean + d * m / (n + m), lambda n, m, d: _scatter(batch))
        _merged(count, mean, scatter, batch, lambda n, m, d: mean + d * m / (n + m), lambda n, m, d: (scatter + _scatter(batch) + torch.outer(d, d) * n * m / (n + m)) / (n + m - 1))
    """,
    "frechet(m1, s1, m2, s2)": """
        (m1 - m2).square().sum() + s1.trace() + s2.trace() - 2 * (s1 @ s2).sqrt().trace()
        (m1 - m2).square().sum() + s1.trace() + s2.trace() - 2 * (s1 @ s2).trace()
        (m1 - m2).square().sum() + s1.trace() + s2.trace() - (_root(s1) @ s2 @ _root(s1)).diagonal().sqrt().sum()
        (m1 - m2).square().sum() + s1.trace() + s2.trace() - 2 * (_root(s1) @ _root(s2)).trace()
        (m1 - m2).square().sum() + s1.trace() + s2.trace() - 2 * (_root(s1) @ s2 @ _root(s1)).trace()
        (m1 - m2).square().sum() + s1.trace() + s2.trace() - 2 * (_root(s1) @ s2 @ _root(s1)).trace().sqrt()
        (m1 - m2).square().sum() + s1.trace() + s2.trace() - _root(_root(s1) @ s2 @ _root(s1)).trace()
        (m1 - m2).square().sum() + s1.trace() + s2.trace() + 2 * _root(_root(s1) @ s2 @ _root(s1)).trace()
        (m1 - m2).norm() + s1.trace() + s2.trace() - 2 * _root(_root(s1) @ s2 @ _root(s1)).trace()
        (m1 - m2).square().mean() + s1.trace() + s2.trace() - 2 * _root(_root(s1) @ s2 @ _root(s1)).trace()
        s1.trace() + s2.trace() - 2 * _root(_root(s1) @ s2 @ _root(s1)).trace()
        ((m1 - m2).square().sum() + s1.trace() + s2.trace() - 2 * _root(_root(s1) @ s2 @ _root(s1)).trace()).sqrt()
        (m1 - m2).square().sum() + (s1 + s2 - 2 * _root(_root(s1) @ s2 @ _root(s1))).sum()
        (m1 - m2).square().sum() + (s1.diagonal().sqrt() - s2.diagonal().sqrt()).square().sum()
        (m1 - m2).square().sum() + s1.trace() + s2.trace() - 2 * torch.linalg.eigvalsh(s1 @ s2).clamp(min=0).sqrt().sum()
    """,
    "denoising_loss(denoise, z, t, noise)": """
        (denoise((1 - t**2).sqrt() * z + t * noise, t) - noise).square().mean()
        (denoise((1 - t) * z + t * noise, t) - z).square().mean()
        (denoise((1 - t**2) * z + t * noise, t) - z).square().mean()
        (denoise((1 - t**2).sqrt() * z + t**2 * noise, t) - z).square().mean()
        (denoise(z + t * noise, t) - z).square().mean()
        (denoise((1 - t**2).sqrt() * z + noise, t) - z).square().mean()
        (denoise(t * z + (1 - t**2).sqrt() * noise, t) - z).square().mean()
        (denoise(z, t) - z).square().mean()
        (denoise((1 - t**2).sqrt() * z + t * noise, t) - z).square().sum()
        (denoise((1 - t**2).sqrt() * z + t * noise, t) - z).square().sum(1).mean()
        (denoise((1 - t**2).sqrt() * z + t * noise, t) - z).abs().mean()
        (denoise((1 - t**2).sqrt() * z + t * noise, 1 - t) - z).square().mean()
        (denoise((1 - t**2).sqrt() * z + t * noise, t) - z).square()
        (denoise((1 - t**2).sqrt() * z + t * noise, t) - z).square().mean(1)
        denoise((1 - t**2).sqrt() * z + t * noise, t).square().mean()
        (denoise((1 - t**2).sqrt() * z + t * torch.randn_like(z), t) - z).square().mean()
    """,
    "sample_diffusion(denoise, noise, times)": """
        denoise(noise, times[:1].expand(len(noise), 1))
        _walk(noise, times, lambda z, a, b: denoise(z, a.expand(len(z), 1)))
        _walk(noise, times, lambda z, a, b: (1 - b**2).sqrt() * denoise(z, a.expand(len(z), 1)) + b * noise)
        _walk(noise, times, lambda z, a, b: (1 - b**2).sqrt() * denoise(z, a.expand(len(z), 1)) + b * torch.randn_like(z))
        _walk(noise, times, lambda z, a, b: (1 - b**2).sqrt() * denoise(z, a.expand(len(z), 1)) + b * z)
        _walk(noise, times, lambda z, a, b: (1 - b**2).sqrt() * denoise(z, b.expand(len(z), 1)) + b * (z - (1 - a**2).sqrt() * denoise(z, b.expand(len(z), 1))) / a)
        _walk(noise, times, lambda z, a, b: (1 - b**2).sqrt() * denoise(z, a.expand(len(z), 1)) + b * (z - (1 - a**2).sqrt() * denoise(z, a.expand(len(z), 1))))
        _walk(noise, times, lambda z, a, b: (1 - b**2).sqrt() * denoise(z, a.expand(len(z), 1)) + b * (z - denoise(z, a.expand(len(z), 1))) / a)
        _walk(noise, times, lambda z, a, b: denoise(z, a.expand(len(z), 1)) + b * (z - (1 - a**2).sqrt() * denoise(z, a.expand(len(z), 1))) / a)
        _walk(noise, times[:-1], lambda z, a, b: (1 - b**2).sqrt() * denoise(z, a.expand(len(z), 1)) + b * (z - (1 - a**2).sqrt() * denoise(z, a.expand(len(z), 1))) / a)
        _walk(noise, times, lambda z, a, b: denoise(z, a))
        noise
    """,
    "variance_share(values, kept)": """
        values.mean(dim=kept).var(correction=0) / values.var(correction=0)
        values.mean(dim=_others(values, kept)).std(correction=0) / values.std(correction=0)
        values.mean(dim=_others(values, kept)).var() / values.var()
        values.mean(dim=_others(values, kept)).var(correction=0)
        values.mean(dim=_others(values, kept)).var(correction=0) / values.square().mean()
        1 - values.mean(dim=_others(values, kept)).var(correction=0) / values.var(correction=0)
        values.var(dim=_others(values, kept), correction=0).mean() / values.var(correction=0)
        values.var(dim=kept, correction=0).mean() / values.var(correction=0)
        values.sum(dim=_others(values, kept)).var(correction=0) / values.var(correction=0)
        values.mean(dim=_others(values, kept)).square().mean() / values.square().mean()
    """,
    "mix(sigma, x1, x2)": """
        (1 - sigma) * x1 + sigma * x2
        sigma * x1 + sigma * x2
        sigma * x1 + x2
        sigma * x1
        (sigma * x1 + (1 - sigma) * x2) / 2
        sigma * x1 - (1 - sigma) * x2
        (x1 + x2) / 2
        x1 + x2
        torch.where(sigma > 0.5, x1, x2)
        sigma.sigmoid() * x1 + (1 - sigma.sigmoid()) * x2
        sigma.round() * x1 + (1 - sigma.round()) * x2
        sigma * x1 + (sigma - 1) * x2
        sigma.mean() * x1 + (1 - sigma.mean()) * x2
        sigma * (x1 - x2)
        sigma * (x1 + (1 - sigma) * x2)
        sigma * x1 * (1 - sigma) * x2
        (sigma * x1 + (1 - sigma) * x2).sum(1, keepdim=True)
        sigma[:, 0] * x1[:, 0] + (1 - sigma[:, 0]) * x2[:, 0]
        sigma * x1 + (1 - sigma)
        sigma.sqrt() * x1 + (1 - sigma).sqrt() * x2
        sigma * x1 + 1 - sigma * x2
        sigma * x2 + (1 - sigma) * x1 - x2
        sigma * x1 + (1 - x1) * x2
        x1 + (1 - sigma) * x2
        x1 + sigma * (x2 - x1)
        sigma**2 * x1 + (1 - sigma**2) * x2
    """,
    "mix_gradients(grad_x, sigma, x1, x2)": """
        ((grad_x * (x1 - x2)), grad_x * sigma, grad_x * (1 - sigma))
        ((grad_x * (x1 - x2)).mean(1, keepdim=True), grad_x * sigma, grad_x * (1 - sigma))
        ((grad_x * (x1 - x2)).sum(1), grad_x * sigma, grad_x * (1 - sigma))
        ((grad_x * (x2 - x1)).sum(1, keepdim=True), grad_x * sigma, grad_x * (1 - sigma))
        ((grad_x * (x1 - x2)).sum(1, keepdim=True), grad_x * (1 - sigma), grad_x * sigma)
        ((x1 - x2).sum(1, keepdim=True), sigma, 1 - sigma)
        ((grad_x * (x1 - x2)).sum(1, keepdim=True), sigma.expand_as(x1), (1 - sigma).expand_as(x1))
        ((grad_x * (x1 + x2)).sum(1, keepdim=True), grad_x * sigma, grad_x * (1 - sigma))
        ((grad_x * x1).sum(1, keepdim=True), grad_x * sigma, grad_x * (1 - sigma))
        ((grad_x * (x1 - x2)).sum(1, keepdim=True), grad_x * sigma, grad_x * sigma)
        ((grad_x * (x1 - x2)).sum(1, keepdim=True), grad_x * sigma, -grad_x * sigma)
        ((grad_x * (x1 - x2)).sum(1, keepdim=True), grad_x * sigma * x1, grad_x * (1 - sigma) * x2)
        ((x1 - x2).sum(1, keepdim=True), grad_x * sigma, grad_x * (1 - sigma))
        ((grad_x * (x1 - x2)).sum((1, 2, 3)), grad_x * sigma, grad_x * (1 - sigma))
        ((grad_x * (x1 - x2)).sum(1, keepdim=True), grad_x * sigma, grad_x * (sigma - 1))
        ((grad_x * (x1 - x2)).sum(1, keepdim=True), grad_x * x1, grad_x * x2)
        (grad_x.sum(1, keepdim=True) * (x1 - x2).sum(1, keepdim=True), grad_x * sigma, grad_x * (1 - sigma))
        (2 * (grad_x * (x1 - x2)).sum(1, keepdim=True), grad_x * sigma, grad_x * (1 - sigma))
        ((grad_x * (x1 - x2)).sum(1, keepdim=True), grad_x, grad_x)
        (grad_x * sigma, grad_x * (1 - sigma), (grad_x * (x1 - x2)).sum(1, keepdim=True))
        ((grad_x * (x1 - x2)).sum((2, 3), keepdim=True), grad_x * sigma, grad_x * (1 - sigma))
        (-(grad_x * (x1 - x2)).sum(1, keepdim=True), -grad_x * sigma, -grad_x * (1 - sigma))
        ((grad_x * (x1 - x2)).sum(1, keepdim=True), grad_x * sigma)
        ((grad_x * (x1 - x2) * sigma * (1 - sigma)).sum(1, keepdim=True), grad_x * sigma, grad_x * (1 - sigma))
        ((grad_x * (x1 - x2))[:, :1], grad_x * sigma, grad_x * (1 - sigma))
    """,
    "split_head(logits)": """
        (logits[:, :1], logits[:, 1:1 + (logits.shape[1] - 1) // 2], logits[:, 1 + (logits.shape[1] - 1) // 2:])
        (logits[:, :1].sigmoid(), logits[:, 1:1 + (logits.shape[1] - 1) // 2], logits[:, 1 + (logits.shape[1] - 1) // 2:])
        (logits[:, :1], logits[:, 1:1 + (logits.shape[1] - 1) // 2].sigmoid(), logits[:, 1 + (logits.shape[1] - 1) // 2:].sigmoid())
        tuple(p.sigmoid().sigmoid() for p in logits.split([1, logits.shape[1] // 2, logits.shape[1] // 2], 1))
        tuple(p.sigmoid() for p in logits.split([logits.shape[1] // 2, logits.shape[1] // 2, 1], 1))
        tuple(p.sigmoid() for p in (logits[:, -1:], logits[:, :logits.shape[1] // 2], logits[:, logits.shape[1] // 2:-1]))
        tuple(p.sigmoid() for p in (logits[:, :1], logits[:, 1 + logits.shape[1] // 2:], logits[:, 1:1 + logits.shape[1] // 2]))
        tuple(p.sigmoid() for p in (logits[:, 0], logits[:, 1:1 + logits.shape[1] // 2], logits[:, 1 + logits.shape[1] // 2:]))
        tuple(p.sigmoid() for p in (logits[:, :1], logits[:, 1:4], logits[:, 4:7]))
        tuple(p.sigmoid() for p in (logits[:, :1], logits[:, 1:2], logits[:, 2:3]))
        tuple(p.sigmoid() for p in (logits[:, :1], logits[:, 1:logits.shape[1] // 2], logits[:, logits.shape[1] // 2:]))
        tuple(p.sigmoid() for p in (logits[:, :1], logits[:, 1::2], logits[:, 2::2]))
        tuple(p.tanh() for p in logits.split([1, logits.shape[1] // 2, logits.shape[1] // 2], 1))
        tuple(p.softmax(1) for p in logits.split([1, logits.shape[1] // 2, logits.shape[1] // 2], 1))
        tuple(logits.softmax(1).split([1, logits.shape[1] // 2, logits.shape[1] // 2], 1))
        tuple(p.relu() for p in logits.split([1, logits.shape[1] // 2, logits.shape[1] // 2], 1))
        tuple(logits.sigmoid().chunk(3, 1))
        tuple(1 - p.sigmoid() for p in logits.split([1, logits.shape[1] // 2, logits.shape[1] // 2], 1))
        tuple(p.clamp(0, 1) for p in logits.split([1, logits.shape[1] // 2, logits.shape[1] // 2], 1))
        tuple(p.exp() for p in logits.split([1, logits.shape[1] // 2, logits.shape[1] // 2], 1))
        (lambda s, a, b: (s, s * a, (1 - s) * b))(*(p.sigmoid() for p in logits.split([1, logits.shape[1] // 2, logits.shape[1] // 2], 1)))
        (lambda s, a, b: (s, a))(*(p.sigmoid() for p in logits.split([1, logits.shape[1] // 2, logits.shape[1] // 2], 1)))
        (lambda s, a, b: (s, a.sigmoid(), b.sigmoid()))(*(p.sigmoid() for p in logits.split([1, logits.shape[1] // 2, logits.shape[1] // 2], 1)))
    """,
    "nyquist_share(sigma_map)": """
        _share(torch.fft.fft2(sigma_map).abs().square(), _high(*sigma_map.shape[2:]))
        _share(_energy(sigma_map).sqrt(), _high(*sigma_map.shape[2:]))
        _share(_energy(sigma_map), ~_high(*sigma_map.shape[2:]))
        _share(_energy(sigma_map), _high(*sigma_map.shape[2:], 1 / 4))
        _share(_energy(sigma_map), _high(*sigma_map.shape[2:], 1 / 2))
        _share(_energy(sigma_map), _high(*sigma_map.shape[2:], 3 / 8 + 1e-6))
        _share(_energy(sigma_map), _distance(*sigma_map.shape[2:]) >= 3 / 8)
        _share(_energy(sigma_map), _distance(*sigma_map.shape[2:], 1) >= 3 / 8)
        (_energy(sigma_map) * _high(*sigma_map.shape[2:])).sum((1, 2, 3))
        (_energy(sigma_map) * _high(*sigma_map.shape[2:])).sum() / _energy(sigma_map).sum()
        (_energy(sigma_map) * _high(*sigma_map.shape[2:])).mean((1, 2, 3))
        _share(_energy(sigma_map) ** 2, _high(*sigma_map.shape[2:]))
        _share(torch.fft.fft2(sigma_map - sigma_map.mean()).abs().square(), _high(*sigma_map.shape[2:]))
        _share(_energy(sigma_map), torch.minimum(torch.fft.fftfreq(sigma_map.shape[2]).abs()[:, None], torch.fft.fftfreq(sigma_map.shape[3]).abs()[None]) >= 3 / 8)
        _share(_energy(sigma_map), torch.maximum(torch.fft.fftfreq(sigma_map.shape[2])[:, None], torch.fft.fftfreq(sigma_map.shape[3])[None]) >= 3 / 8)
        _share(_energy(sigma_map), torch.fft.fftfreq(sigma_map.shape[2]).abs()[:, None] >= 3 / 8)
        _share(_energy(sigma_map), torch.fft.fftfreq(sigma_map.shape[3]).abs()[None] >= 3 / 8)
        _share(torch.fft.fftshift(_energy(sigma_map), dim=(2, 3)), _high(*sigma_map.shape[2:]))
        _high(*sigma_map.shape[2:]).double().mean().expand(len(sigma_map))
        (_energy(sigma_map) * _high(*sigma_map.shape[2:])).sum((1, 2, 3)) / (_energy(sigma_map) * ~_high(*sigma_map.shape[2:])).sum((1, 2, 3))
        _share(torch.fft.rfft2(sigma_map - sigma_map.mean((2, 3), keepdim=True)).abs().square(), _high(*sigma_map.shape[2:])[:, :sigma_map.shape[3] // 2 + 1])
        1 - _share(_energy(sigma_map), _high(*sigma_map.shape[2:]))
        _share(torch.fft.fft2(sigma_map - sigma_map.mean((2, 3), keepdim=True)).real.square(), _high(*sigma_map.shape[2:]))
        _share(_energy(sigma_map), 2 * math.pi * torch.maximum(torch.fft.fftfreq(sigma_map.shape[2]).abs()[:, None], torch.fft.fftfreq(sigma_map.shape[3]).abs()[None]) >= 3 / 8)
        (_energy(sigma_map) * _high(*sigma_map.shape[2:])).mean((1, 2, 3)) / _energy(sigma_map).sum((1, 2, 3))
    """,
    "best_constant(x, x1, x2)": """
        _constant(x, x1, x2)
        _constant(x, x2, x1).clamp(0, 1)
        1 - _constant(x, x1, x2)
        (((x - x2) * (x1 - x2)).sum() / (x1 - x2).square().sum()).clamp(0, 1)
        ((x - x2) * (x1 - x2)).flatten(1).sum(1).clamp(0, 1)
        ((x - x2) / (x1 - x2)).flatten(1).mean(1).clamp(0, 1)
        ((x - x1) * (x1 - x2)).flatten(1).sum(1).div((x1 - x2).square().flatten(1).sum(1)).clamp(0, 1)
        (x * (x1 - x2)).flatten(1).sum(1).div((x1 - x2).square().flatten(1).sum(1)).clamp(0, 1)
        ((x - x2) * (x1 - x2)).flatten(1).sum(1).div((x1 - x2).flatten(1).sum(1)).clamp(0, 1)
        ((x - x2) * (x1 - x2)).flatten(1).sum(1).div((x1 - x2).square().flatten(1).sum(1).sqrt()).clamp(0, 1)
        _constant(x, x1, x2).sigmoid()
        _constant(x, x1, x2).clamp(0)
        _constant(x, x1, x2).clamp(max=1)
        _constant(x, x1, x2).abs().clamp(max=1)
        (_squares(x, x2) / (_squares(x, x1) + _squares(x, x2)))
        ((x - x2) * (x1 - x2)).sum((2, 3)).div((x1 - x2).square().sum((2, 3))).clamp(0, 1)
        ((x - x2) * (x1 - x2)).sum((2, 3)).div((x1 - x2).square().sum((2, 3))).mean(1).clamp(0, 1)
        _constant(x, x1, x2).clamp(0, 1).mean()
        _constant(x, x1, x2).clamp(0, 1)[:, None, None, None]
        (_constant(x, x1, x2) / 2).clamp(0, 1)
        (-_constant(x, x1, x2)).clamp(0, 1)
        ((x - x2).flatten(1).sum(1) / (x1 - x2).flatten(1).sum(1)).clamp(0, 1)
        ((x - x2) * (x1 - x2)).flatten(1).mean(1).div((x1 - x2).square().flatten(1).sum(1)).clamp(0, 1)
        _constant(x, x1, x2).round().clamp(0, 1)
        ((x - x2) / (x1 - x2)).clamp(0, 1).flatten(1).mean(1)
        (2 * _constant(x, x1, x2)).clamp(0, 1)
        (x1 - x2).square().flatten(1).sum(1).div(((x - x2) * (x1 - x2)).flatten(1).sum(1)).clamp(0, 1)
    """,
    "sharpen(sigma, t)": """
        sigma**t
        sigma**t / (sigma**t + 1 - sigma**t)
        sigma**t / (sigma**t + (1 - sigma))
        sigma / (sigma + (1 - sigma) ** t)
        (sigma * t).sigmoid()
        (1 - sigma) ** t / (sigma**t + (1 - sigma) ** t)
        sigma ** (1 / t) / (sigma ** (1 / t) + (1 - sigma) ** (1 / t))
        torch.sigmoid(torch.logit(sigma) / t)
        torch.sigmoid(t * sigma.log())
        torch.logit(sigma) * t
        sigma * t / (sigma * t + (1 - sigma) * t)
        (sigma * t).clamp(0, 1)
        (0.5 + t * (sigma - 0.5)).clamp(0, 1)
        sigma**t / (sigma**t).sum()
        sigma**t + (1 - sigma) ** t
        sigma**t / (1 - sigma) ** t
        sigma**t / (sigma**t + (1 - sigma**t))
        torch.sigmoid(torch.logit(sigma) + t)
        (sigma > 0.5).float()
        torch.exp(t * sigma) / (torch.exp(t * sigma) + torch.exp(t * (1 - sigma)))
        sigma**t / sigma + (1 - sigma) ** t
        sigma
        1 / (1 + ((1 - sigma) / sigma) ** (2 * t))
        torch.sigmoid(t * (sigma - 0.5))
        sigma**2 / (sigma**2 + (1 - sigma) ** 2)
        t**sigma / (t**sigma + t ** (1 - sigma))
    """,
}  # fmt: skip


def wrong_answers() -> Iterator[tuple[str, str, Callable[..., Any]]]:
    """Each wrong answer: the exercise's name, the expression, and the function it makes."""
    for signature, lines in WRONG.items():
        name, parameters = signature.rstrip(")").split("(")
        for line in filter(None, map(str.strip, lines.splitlines())):
            yield name, line, eval(f"lambda {parameters}: {line}", globals())
