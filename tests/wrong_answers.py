# ruff: noqa: E501, F401  # the expressions use the imports
"""Wrong answers to the exercises of notebooks 0 to 4 that learners might plausibly give.

One expression a line, after the function's parameters. They were written from the notebooks' texts,
without the exercises' own lists of mistakes at hand, so that their share with a named mistake says
something about answers not foreseen.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.nn import functional as F


def _running(mses: list[float], start: float, step: Callable[..., Any]) -> torch.Tensor:
    """The notebook's loop around an update of (gamma, running)."""
    gamma = running = start
    gammas = []
    for mse in mses:
        gamma, running = step(gamma, running, mse)
        gammas.append(gamma)
    return torch.tensor(gammas)


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
    "running_gamma(mses, start)": """
        _running(mses, start, lambda g, r, m: (min(g, 0.01 * r + 0.99 * m), 0.01 * r + 0.99 * m))
        _running(mses, start, lambda g, r, m: (0.99 * r + 0.01 * m, 0.99 * r + 0.01 * m))
        _running(mses, start, lambda g, r, m: (max(g, 0.99 * r + 0.01 * m), 0.99 * r + 0.01 * m))
        _running(mses, start, lambda g, r, m: (min(g, m), m))
        _running(mses, start, lambda g, r, m: (m, m))
        _running(mses, start, lambda g, r, m: (min(g, r), 0.99 * r + 0.01 * m))
        _running(mses, start, lambda g, r, m: (min(g, 0.9 * r + 0.1 * m), 0.9 * r + 0.1 * m))
        _running(mses, start, lambda g, r, m: (min(g, r + 0.01 * m), r + 0.01 * m))
        _running(mses, start, lambda g, r, m: (min(g, 0.99 * r + m), 0.99 * r + m))
        _running(mses, start, lambda g, r, m: (min(g, 0.99 * g + 0.01 * m), r))
        _running(mses, start, lambda g, r, m: (min(m, 0.99 * r + 0.01 * m), 0.99 * r + 0.01 * m))
        _running(mses, start, lambda g, r, m: (g, 0.99 * r + 0.01 * m))
        _running(mses, start, lambda g, r, m: (min(g, 0.99 * r + 0.1 * m), 0.99 * r + 0.1 * m))
        _running(mses, start, lambda g, r, m: (min(g, (r + m) / 2), (r + m) / 2))
        _running(mses, start, lambda g, r, m: (min(start, 0.99 * r + 0.01 * m), 0.99 * r + 0.01 * m))
        _running(mses, start, lambda g, r, m: (min(g, 0.99 * r + 0.01 * m), min(g, 0.99 * r + 0.01 * m)))
        _running(mses, start, lambda g, r, m: (min(g, 0.99 * start + 0.01 * m), r))
        _running(mses, start, lambda g, r, m: (min(g, 0.999 * r + 0.001 * m), 0.999 * r + 0.001 * m))
        _running(mses, start, lambda g, r, m: (0.99 * g + 0.01 * min(g, m), r))
        _running(mses, start, lambda g, r, m: (min(g, 0.99 * r + 0.01 * m**2), 0.99 * r + 0.01 * m**2))
        _running(mses, start, lambda g, r, m: (min(g, 0.99 * r + 0.01 * m), 0.99 * r + 0.01 * m))[-1]
        torch.cat([torch.tensor([start]), _running(mses, start, lambda g, r, m: (min(g, 0.99 * r + 0.01 * m), 0.99 * r + 0.01 * m))])
        torch.cat([torch.tensor([start]), _running(mses, start, lambda g, r, m: (min(g, 0.99 * r + 0.01 * m), 0.99 * r + 0.01 * m))[:-1]])
        _running(mses, mses[0], lambda g, r, m: (min(g, 0.99 * r + 0.01 * m), 0.99 * r + 0.01 * m))
        torch.tensor(mses).cummin(0).values
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
    "inactive(mu, log_var)": """
        (mu.var(0) < 0.05) & (log_var.exp().mean(0) > 0.95)
        ~((mu.var(0) < 0.05) | (log_var.exp().mean(0) > 0.95))
        mu.var(0) < 0.05
        log_var.exp().mean(0) > 0.95
        (mu.std(0) < 0.05) | (log_var.exp().mean(0) > 0.95)
        (mu.var(0) < 0.05) | (log_var.mean(0) > 0.95)
        (mu.var(0) < 0.05) | ((log_var / 2).exp().mean(0) > 0.95)
        (mu.var(0) < 0.05) | (log_var.mean(0).exp() > 0.95)
        (mu.var(1) < 0.05) | (log_var.exp().mean(1) > 0.95)
        (mu.var(0) > 0.05) | (log_var.exp().mean(0) < 0.95)
        (mu.var(0) > 0.05) & (log_var.exp().mean(0) < 0.95)
        (mu.mean(0).abs() < 0.05) | (log_var.exp().mean(0) > 0.95)
        (mu.var(0) < 0.05) ^ (log_var.exp().mean(0) > 0.95)
        (mu.var(0) < 0.95) | (log_var.exp().mean(0) > 0.05)
        (mu.var(0) < 0.05) | ((2 * log_var).exp().mean(0) > 0.95)
        ((mu.var(0) < 0.05) | (log_var.exp().mean(0) > 0.95)).float()
        ((mu.var(0) < 0.05) | (log_var.exp().mean(0) > 0.95)).sum()
        (mu.var() < 0.05) | (log_var.exp().mean() > 0.95)
        (mu.var(0) < 0.05) or (log_var.exp().mean(0) > 0.95)
        mu.var(0) < 0.05 | log_var.exp().mean(0) > 0.95
        ((mu**2).mean(0) < 0.05) | (log_var.exp().mean(0) > 0.95)
        (mu.var(0) < 0.05) | (log_var.exp() > 0.95).all(0)
        (mu.var(0) < 0.05) | (log_var.exp().mean(0) < 0.95)
        (mu.var(0) < 0.05) | (log_var.exp().sum(0) > 0.95)
        (mu.var(0) < 0.05) | (log_var.exp().var(0) > 0.95)
        (mu.var(0) < 0.05) | (log_var.exp().median(0).values > 0.95)
        ((mu.var(0) < 0.05) | (log_var.exp().mean(0) > 0.95)).nonzero()
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
