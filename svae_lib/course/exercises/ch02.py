"""Exercises of notebook 02_balancing_the_elbo: gamma, latent variables, a tighter bound."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ...diagnostics import latent_statistics
from .exercise import Exercise, Mistake, draw_sizes

NOTEBOOK = "02_balancing_the_elbo"


# ------------------------------------------------------------------ gamma's best value


def optimal_gamma(x: Tensor, x_hat: Tensor) -> Tensor:
    """Variance of a Gaussian decoder at which images (N, C, H, W) are likeliest: the MSE, a scalar.

    Dai and Wipf, "Diagnosing and enhancing VAE models", ICLR 2019, section 4.
    """
    return (x - x_hat).square().mean()


def _pair(g: torch.Generator) -> tuple[Tensor, Tensor]:
    """Images and reconstructions that are too dark on average."""
    x = torch.rand(draw_sizes(g, 4), generator=g)
    scale = 0.1 + 0.2 * torch.rand((), generator=g)
    return x, x - 0.2 - scale * torch.randn(x.shape, generator=g)


OPTIMAL_GAMMA = Exercise(
    name="optimal_gamma",
    notebook=NOTEBOOK,
    reference=optimal_gamma,
    inputs=_pair,
    mistakes=(
        Mistake(
            "sum over pixels",
            lambda x, x_hat: (x - x_hat).square().flatten(1).sum(dim=1).mean(),
            "This is the squared error of an image, summed over its D pixels. gamma is the "
            "variance of one pixel: where has the D of (D/2) log gamma gone?",
        ),
        Mistake(
            "sum over everything",
            lambda x, x_hat: (x - x_hat).square().sum(),
            "You summed over all images and pixels. The derivative's two terms grow with their "
            "number alike, so it cancels: a mean.",
        ),
        Mistake(
            "standard deviation",
            lambda x, x_hat: (x - x_hat).square().mean().sqrt(),
            "You took the square root: that is the standard deviation. gamma is a variance.",
        ),
        Mistake(
            "factor 2",
            lambda x, x_hat: (x - x_hat).square().mean() / 2,
            "Half of the right value: the derivative of log gamma times D/2 also has a 2 below, "
            "and the two cancel.",
        ),
        Mistake(
            "factor 2 lost",
            lambda x, x_hat: 2 * (x - x_hat).square().mean(),
            "Twice the right value: both terms of the derivative are divided by 2, so it cancels.",
        ),
        Mistake(
            "precision",
            lambda x, x_hat: 1 / (x - x_hat).square().mean(),
            "This is 1/gamma, the precision: turn it upside down.",
        ),
        Mistake(
            "variance of the error",
            lambda x, x_hat: (x - x_hat).var(correction=0),
            "You subtract the mean error before squaring, as .var() does. The decoder's Gaussian "
            "is centred on x_hat, so an answer that is too dark throughout counts as error.",
        ),
        Mistake(
            "unbiased variance of the error",
            lambda x, x_hat: (x - x_hat).var(),
            ".var() subtracts the mean error first, and divides by one less than the number of "
            "pixels. Here nothing is subtracted: the mean of the squared error.",
        ),
        Mistake(
            "variance of the images",
            lambda x, x_hat: x.var(correction=0),
            "This is the variance of the images themselves; x_hat does not appear in it.",
        ),
        Mistake(
            "one gamma per image",
            lambda x, x_hat: (x - x_hat).square().flatten(1).mean(dim=1),
            "You have one gamma per image. A single one serves all of them: take the mean over the "
            "images too.",
        ),
        Mistake(
            "one gamma per pixel",
            lambda x, x_hat: (x - x_hat).square().mean(dim=0),
            "You have one gamma per pixel, which is a fine model, but another one: here all pixels "
            "share a single number.",
        ),
        Mistake(
            "absolute error",
            lambda x, x_hat: (x - x_hat).abs().mean(),
            "This is the mean absolute error: the Gaussian's exponent holds the square.",
        ),
    ),
    hints=(
        "Differentiate ||x - x_hat||^2 / (2 gamma) + (D/2) log gamma with respect to gamma, and "
        "set the derivative to 0.",
        "The derivative is -||x - x_hat||^2 / (2 gamma^2) + D / (2 gamma). Multiply by 2 gamma^2.",
        "gamma = ||x - x_hat||^2 / D, averaged over the images: (x - x_hat).square().mean()",
    ),
)


# ------------------------------------------------------------------ gamma while training


def running_gamma(mses: list[float], start: float, decay: float = 0.99) -> Tensor:
    """gamma after each step, as :class:`svae_lib.objective.RunningGamma` computes it.

    running = decay running + (1 - decay) MSE, gamma = min(gamma, running), both from ``start``:
    the authors' code of Asperti, Bugo and Filippini, arXiv:2202.02738.

    Args:
        mses: mean squared error of each step's batch.
        start: first value of both.
        decay: weight of the old running mean.

    Returns:
        float32 (len(mses),).
    """
    gamma = running = start
    gammas = []
    for mse in mses:
        running = decay * running + (1 - decay) * mse
        gamma = min(gamma, running)
        gammas.append(gamma)
    return torch.tensor(gammas)


def _errors(g: torch.Generator) -> tuple[list[float], float]:
    """Errors that fall, rise and fall again over some 60 steps, and a start between them."""
    (steps,) = draw_sizes(g, 1, low=18)
    low, high, end = (
        torch.rand(3, steps, generator=g) + torch.tensor([[0.2], [3.0], [0.1]])
    ).tolist()
    return low + high + end, 1.5 + torch.rand((), generator=g).item()


def _track(
    mses: list[float],
    start: float,
    *,
    weight: float = 0.01,
    falls_only: bool = True,
    running_falls_too: bool = False,
    late: bool = False,
) -> Tensor:
    """:func:`running_gamma` with one thing or another done differently."""
    gamma = running = start
    gammas = []
    for mse in mses:
        before = gamma
        running = (1 - weight) * running + weight * mse
        gamma = min(gamma, running) if falls_only else running
        running = gamma if running_falls_too else running
        gammas.append(before if late else gamma)
    return torch.tensor(gammas)


def _largest(mses: list[float], start: float) -> Tensor:
    gamma = running = start
    gammas = []
    for mse in mses:
        running = 0.99 * running + 0.01 * mse
        gamma = max(gamma, running)
        gammas.append(gamma)
    return torch.tensor(gammas)


RUNNING_GAMMA = Exercise(
    name="running_gamma",
    notebook=NOTEBOOK,
    reference=running_gamma,
    inputs=_errors,
    mistakes=(
        Mistake(
            "min forgotten",
            lambda mses, start: _track(mses, start, falls_only=False),
            "Your gamma rises again when the error does. It may only fall: take the smaller of the "
            "old gamma and the running mean.",
        ),
        Mistake(
            "weights swapped",
            lambda mses, start: _track(mses, start, weight=0.99),
            "Your weights are swapped: the old running mean keeps 99 %, a new batch brings 1 %.",
        ),
        Mistake(
            "no running mean",
            lambda mses, start: _track(mses, start, weight=1.0),
            "You compare gamma with the MSE of the batch, so one lucky batch would pull it down "
            "for good. Average first: running = 0.99 * running + 0.01 * mse.",
        ),
        Mistake(
            "the running mean held down as well",
            lambda mses, start: _track(mses, start, running_falls_too=True),
            "You let the running mean go on from gamma. Keep two numbers: the running mean follows "
            "the error up and down, gamma its lowest value so far.",
        ),
        Mistake(
            "max instead of min",
            _largest,
            "Your gamma can only rise. It should only fall: min, not max.",
        ),
        Mistake(
            "one step late",
            lambda mses, start: _track(mses, start, late=True),
            "Right, but one step late: update running first, then gamma from the new running.",
        ),
        Mistake(
            "decay 0.9",
            lambda mses, start: _track(mses, start, weight=0.1),
            "Your running mean forgets ten times too fast: the old value keeps 0.99, not 0.9.",
        ),
        Mistake(
            "gamma never leaves start",
            lambda mses, start: torch.full((len(mses),), start),
            "Your gamma never leaves start. Either it is not updated (gamma = min(gamma, "
            "running)), or running never falls: the two weights must add up to 1, 0.99 and 0.01.",
        ),
    ),
    hints=(
        "Two lines: first the running mean, then gamma.",
        "running is 99 % of itself plus 1 % of mse, whatever gamma is.",
        "running = 0.99 * running + 0.01 * mse, then gamma = min(gamma, running)",
    ),
)


# ------------------------------------------------------------------ what each latent variable tells


def kl_per_variable(mu: Tensor, log_var: Tensor) -> Tensor:
    """KL divergence of each latent variable from N(0, 1), mean over the images: (N, L) to (L,)."""
    return _kl(mu, log_var).mean(dim=0)


def _kl(mu: Tensor, log_var: Tensor) -> Tensor:
    return 0.5 * (mu.square() + log_var.exp() - 1 - log_var)


def _posterior(g: torch.Generator) -> tuple[Tensor, Tensor]:
    """mu and log_var, (N, L) each."""
    mu, log_var = torch.randn(2, *draw_sizes(g, 2), generator=g)
    return mu, log_var


KL_PER_VARIABLE = Exercise(
    name="kl_per_variable",
    notebook=NOTEBOOK,
    reference=kl_per_variable,
    inputs=_posterior,
    mistakes=(
        Mistake(
            "summed over the variables",
            lambda mu, log_var: _kl(mu, log_var).sum(dim=1),
            "You summed over the latent variables and got one number per image, as in notebook 1. "
            "Here each variable (dimension 1) should keep its own.",
        ),
        Mistake(
            "summed over the images",
            lambda mu, log_var: _kl(mu, log_var).sum(dim=0),
            "You summed over the images: twice the images would give twice the nats. Take their "
            "mean.",
        ),
        Mistake(
            "one mean for all",
            lambda mu, log_var: _kl(mu, log_var).mean(),
            "You averaged over everything. Average over the images alone, dim=0.",
        ),
        Mistake(
            "mean before the formula",
            lambda mu, log_var: _kl(mu.mean(dim=0), log_var.mean(dim=0)),
            "You averaged mu and log_var first. The formula is not linear: a variable whose means "
            "are spread evenly around 0 would seem to tell nothing. Average the KL divergences.",
        ),
        Mistake(
            "factor 1/2",
            lambda mu, log_var: 2 * kl_per_variable(mu, log_var),
            "Your values are twice too large: the factor 1/2 is missing.",
        ),
        Mistake(
            "sign",
            lambda mu, log_var: -kl_per_variable(mu, log_var),
            "Right but for the sign: a KL divergence is never negative.",
        ),
        Mistake(
            "log_var as variance",
            lambda mu, log_var: 0.5 * (mu.square() + log_var - 1 - log_var.log()).mean(dim=0),
            "You used log_var where the variance belongs, and took its logarithm once more (NaN "
            "where it was negative); the variance is log_var.exp().",
        ),
        Mistake(
            "log_var added",
            lambda mu, log_var: 0.5 * (mu**2 + log_var.exp() - 1 + log_var).mean(dim=0),
            "The sign of log_var is wrong: a very narrow posterior must cost more, not less.",
        ),
        Mistake(
            "mu not squared",
            lambda mu, log_var: 0.5 * (mu + log_var.exp() - 1 - log_var).mean(dim=0),
            "mu enters squared.",
        ),
        Mistake(
            "reversed",
            lambda mu, log_var: 0.5 * ((mu**2 + 1) / log_var.exp() - 1 + log_var).mean(dim=0),
            "Prior and posterior are exchanged: this is the reversed KL divergence.",
        ),
        Mistake(
            "std instead of variance",
            lambda mu, log_var: 0.5 * (mu**2 + (0.5 * log_var).exp() - 1 - log_var).mean(dim=0),
            "exp(log_var / 2) is the standard deviation; the formula holds the variance.",
        ),
        Mistake(
            "divided by the number of variables",
            lambda mu, log_var: _kl(mu, log_var).sum(dim=0) / mu.shape[1],
            "You divided the sum over the images by the number of latent variables. Divide by the "
            "number of images.",
        ),
        Mistake(
            "in bits",
            lambda mu, log_var: kl_per_variable(mu, log_var) / 0.6931471805599453,
            "These are bits, with the logarithm to base 2. Nats are asked for: leave the natural "
            "logarithm as it is.",
        ),
    ),
    hints=(
        "Start from notebook 1: 0.5 * (mu ** 2 + log_var.exp() - 1 - log_var), of shape (N, L).",
        "Dimension 0 counts images, dimension 1 latent variables. Which should remain?",
        "Take .mean(dim=0) of it.",
    ),
)


# ------------------------------------------------------------------ which of them are inactive


def inactive(mu: Tensor, log_var: Tensor) -> Tensor:
    """Bool (L,): var(mu) < .05 or mean(exp(log_var)) > .95, over images, from (N, L) both."""
    return latent_statistics(mu, log_var).inactive


_CASES = (
    # mean and variance of mu, the two alternating values of the posterior variance
    (0.0, 0.9, 0.05, 0.15),  # active
    (0.3, 0.001, 0.40, 0.60),  # inactive: the means hardly move
    (0.0, 0.001, 0.98, 1.00),  # inactive by both criteria
    (1.2, 0.01, 0.40, 0.60),  # inactive: the means do not move, though they are far from 0
    (0.0, 0.5, 0.96, 0.98),  # inactive: as wide as the prior, on average
    (0.0, 0.5, 0.02, 1.98),  # the same, though the mean of log_var is low
    (0.0, 0.01, 0.40, 0.60),  # inactive, though the standard deviation of mu is .1
    (0.2, 0.3, 0.91, 0.93),  # active, though the posterior's standard deviation is above .95
    (0.0, 0.5, 3.0, 3.2),  # inactive: wider than the prior, and the mean of log_var is above .95
    (0.0, 0.5, 0.02, 1.2),  # active, though the posterior is as wide as the prior for some images
)


def _latent_variables(g: torch.Generator) -> tuple[Tensor, Tensor]:
    """mu and log_var, (N, L) each: the cases above and some again, shuffled, slightly blurred."""
    pairs, extra = draw_sizes(g, 2)
    images, latent_dim = 2 * (pairs + 8), len(_CASES) + extra
    order = torch.randperm(latent_dim, generator=g) % len(_CASES)
    mean, variance, low, high = torch.tensor(_CASES)[order].T
    signs = torch.tensor([1.0, -1.0]).repeat(images // 2)[:, None]  # (N, 1), half each
    jitter = 1 + 0.01 * torch.randn(images, latent_dim, generator=g)
    mu = mean + variance.sqrt() * signs.roll(1, dims=0) * jitter
    blur = 1 + 0.002 * torch.randn(images, latent_dim, generator=g)
    return mu, (torch.where(signs > 0, low, high) * blur).log()


INACTIVE = Exercise(
    name="inactive",
    notebook=NOTEBOOK,
    reference=inactive,
    inputs=_latent_variables,
    mistakes=(
        Mistake(
            "and instead of or",
            lambda mu, log_var: (mu.var(dim=0) < 0.05) & (log_var.exp().mean(dim=0) > 0.95),
            "You ask for both at once; either is enough. Combine them with |.",
        ),
        Mistake(
            "active instead of inactive",
            lambda mu, log_var: ~inactive(mu, log_var),
            "Exactly the wrong way round: you return the active ones.",
        ),
        Mistake(
            "log_var as variance",
            lambda mu, log_var: (mu.var(dim=0) < 0.05) | (log_var.mean(dim=0) > 0.95),
            "You compare log_var itself with .95: the variance is log_var.exp().",
        ),
        Mistake(
            "mean of log_var",
            lambda mu, log_var: (mu.var(dim=0) < 0.05) | (log_var.mean(dim=0).exp() > 0.95),
            "You average log_var and then take the exponential. The mean variance is the other way "
            "round: log_var.exp() first, then its mean.",
        ),
        Mistake(
            "standard deviation of the posterior",
            lambda mu, log_var: (mu.var(dim=0) < 0.05) | ((log_var / 2).exp().mean(dim=0) > 0.95),
            "exp(log_var / 2) is the posterior's standard deviation; the threshold .95 is meant "
            "for its variance.",
        ),
        Mistake(
            "standard deviation of the means",
            lambda mu, log_var: (mu.std(dim=0) < 0.05) | (log_var.exp().mean(dim=0) > 0.95),
            "You compare the standard deviation of mu with .05, a threshold for its variance.",
        ),
        Mistake(
            "mean square of the means",
            lambda mu, log_var: (
                (mu.square().mean(dim=0) < 0.05) | (log_var.exp().mean(dim=0) > 0.95)
            ),
            "You take the mean of mu ** 2. A variable with the same mean, far from 0, for every "
            "image tells nothing about the image: what counts is the variance of mu.",
        ),
        Mistake(
            "the means alone",
            lambda mu, log_var: mu.var(dim=0) < 0.05,
            "You look at var(mu) alone. A posterior about as wide as the prior, mean exp(log_var) "
            "above .95, makes a variable inactive too.",
        ),
        Mistake(
            "the widths alone",
            lambda mu, log_var: log_var.exp().mean(dim=0) > 0.95,
            "You look at the posterior's width alone. A variable whose means hardly move, var(mu) "
            "below .05, is inactive too.",
        ),
        Mistake(
            "variance over the variables",
            lambda mu, log_var: (mu.var(dim=1) < 0.05) | (log_var.exp().mean(dim=1) > 0.95),
            "You computed the statistics of each image over its latent variables (dim=1). They are "
            "statistics of each variable over the images: dim=0.",
        ),
        Mistake(
            "both comparisons turned round",
            lambda mu, log_var: (mu.var(dim=0) > 0.05) | (log_var.exp().mean(dim=0) < 0.95),
            "Both comparisons are turned round: < 0.05 for var(mu), > 0.95 for the mean variance.",
        ),
        Mistake(
            "second comparison turned round",
            lambda mu, log_var: (mu.var(dim=0) < 0.05) | (log_var.exp().mean(dim=0) < 0.95),
            "The second comparison is turned round: a posterior as wide as the prior, above .95, "
            "is inactive.",
        ),
        Mistake(
            "means near 0",
            lambda mu, log_var: (mu.mean(dim=0).abs() < 0.05) | (log_var.exp().mean(dim=0) > 0.95),
            "You ask whether the mean of mu is near 0. What counts is whether mu varies.",
        ),
        Mistake(
            "how many",
            lambda mu, log_var: inactive(mu, log_var).sum(),
            "You return how many they are. Return True or False for each of them; the notebook "
            "counts.",
        ),
    ),
    hints=(
        "Both numbers are statistics over the images, dimension 0, one per latent variable.",
        "mu.var(dim=0) < 0.05 is the first criterion, a tensor of True and False.",
        "The second is log_var.exp().mean(dim=0) > 0.95; join them with |. | binds tighter than <: "
        "put brackets around each comparison.",
    ),
)


# ------------------------------------------------------------------ a tighter bound


def importance_weighted_bound(log_joint: Tensor, log_q: Tensor) -> Tensor:
    """Importance-weighted estimate of log p(x), whose expectation is a lower bound.

    log of the mean over M draws of p(x, z) / q(z | x): Burda, Grosse and Salakhutdinov, "Importance
    weighted autoencoders", ICLR 2016, arXiv:1509.00519, equation 8. With one draw, the ELBO's.

    Args:
        log_joint: log p(x, z) of each image's draws z from q(z | x), float (N, M).
        log_q: log q(z | x) of the same draws, the same shape.

    Returns:
        float (N,), nats.
    """
    return _log_sum(log_joint, log_q) - math.log(log_joint.shape[1])


def _log_sum(log_joint: Tensor, log_q: Tensor) -> Tensor:
    return torch.logsumexp(log_joint - log_q, dim=1)


def _log_densities(g: torch.Generator) -> tuple[Tensor, Tensor]:
    """(N, M) each: of some images a density that a float holds, of others too small or large."""
    shape = draw_sizes(g, 2, low=3)
    size = torch.tensor([0.0, -1500.0, 1200.0, 900.0]).repeat(shape[0])[: shape[0], None]
    log_q = -20 + 3 * torch.randn(shape, generator=g)
    return size + log_q + 2 * torch.randn(shape, generator=g), log_q


IMPORTANCE_WEIGHTED_BOUND = Exercise(
    name="importance_weighted_bound",
    notebook=NOTEBOOK,
    reference=importance_weighted_bound,
    inputs=_log_densities,
    mistakes=(
        Mistake(
            "mean of the logarithms",
            lambda log_joint, log_q: (log_joint - log_q).mean(dim=1),
            "You averaged the logarithms: that estimates the ELBO, however many draws there are. "
            "Average the fractions first and take the logarithm of their mean.",
        ),
        Mistake(
            "log M forgotten",
            _log_sum,
            "This is the logarithm of the fractions' sum. Of their mean it should be: where is the "
            "1/M? Without it more draws would raise the bound beyond log p(x).",
        ),
        Mistake(
            "divided by M outside the logarithm",
            lambda log_joint, log_q: _log_sum(log_joint, log_q) / log_joint.shape[1],
            "You divide by M after the logarithm. It belongs inside, where division by M turns "
            "into subtraction of its logarithm.",
        ),
        Mistake(
            "N instead of M",
            lambda log_joint, log_q: _log_sum(log_joint, log_q) - math.log(len(log_joint)),
            "You divide by the number of images, the first dimension. The mean is over the draws, "
            "the second.",
        ),
        Mistake(
            "log_q added",
            lambda log_joint, log_q: importance_weighted_bound(log_joint, -log_q),
            "You added log_q. q stands below the fraction line, so its logarithm is subtracted.",
        ),
        Mistake(
            "log_q forgotten",
            lambda log_joint, log_q: importance_weighted_bound(log_joint, 0 * log_q),
            "You averaged p(x, z) alone. The draws come from q, not spread evenly over all z: each "
            "has to be divided by the density q with which it was drawn.",
        ),
        Mistake(
            "exp without logsumexp",
            lambda log_joint, log_q: (log_joint - log_q).exp().mean(dim=1).log(),
            "The right formula, but exp() of numbers like 1000 or -1000 is infinite or 0, and so "
            "is your answer for some images. torch.logsumexp computes the same without leaving "
            "the range of floats.",
        ),
        Mistake(
            "upside down",
            lambda log_joint, log_q: importance_weighted_bound(log_q, log_joint),
            "Your fractions are upside down, q(z | x) / p(x, z): exchange the two.",
        ),
        Mistake(
            "two sums",
            lambda log_joint, log_q: torch.logsumexp(log_joint, 1) - torch.logsumexp(log_q, 1),
            "You summed p and q apart. Divide first, draw by draw: log_joint - log_q inside.",
        ),
        Mistake(
            "the largest draw",
            lambda log_joint, log_q: (log_joint - log_q).max(dim=1).values,
            "You took the largest fraction alone. The mean counts all of them: logsumexp.",
        ),
        Mistake(
            "averaged over the images",
            lambda log_joint, log_q: importance_weighted_bound(log_joint, log_q).mean(),
            "You also averaged over the images. Each image keeps its own bound: a number per row.",
        ),
        Mistake(
            "over the images instead of the draws",
            lambda log_joint, log_q: importance_weighted_bound(log_joint.T, log_q.T),
            "You summed over dimension 0, the images: fractions of different images have nothing "
            "to do with each other. An image's draws are along dimension 1.",
        ),
    ),
    hints=(
        "The logarithm of each fraction is log_joint - log_q. What turns it into the fraction, and "
        "what is done with the M fractions before the logarithm is taken again?",
        "torch.logsumexp(t, dim=1) is the logarithm of the sum of exp(t) along each row, without "
        "overflow. A mean is a sum divided by M: what becomes of the division under a logarithm?",
        "torch.logsumexp(log_joint - log_q, dim=1) - math.log(log_joint.shape[1])",
    ),
)


EXERCISES = (OPTIMAL_GAMMA, RUNNING_GAMMA, KL_PER_VARIABLE, INACTIVE, IMPORTANCE_WEIGHTED_BOUND)
