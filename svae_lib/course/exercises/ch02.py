"""Exercises of notebook 02_balancing_the_elbo: gamma, and what each latent variable tells."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .compare import blank
from .exercise import Exercise, Function, Mistake, draw_sizes

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
    relative=1e-5,  # one less than ten thousand numbers is nearly right
    absolute=1e-6,
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


# ------------------------------------------------------------------ gamma inside the training loop


def update_gamma(x: Tensor, x_hat: Tensor, gamma: Tensor, running: Tensor) -> tuple[Tensor, Tensor]:
    """gamma and the running mean of the MSE after a batch, as in :class:`RunningGamma`.

    running = 0.99 running + 0.01 MSE, gamma = min(gamma, running): the authors' code of Asperti,
    Bugo and Filippini, arXiv:2202.02738.

    Args:
        x: the batch's images (N, C, H, W).
        x_hat: their reconstructions, which may need a gradient.
        gamma: before the batch, a scalar.
        running: before the batch, a scalar.

    Returns:
        gamma and running after it, scalars without a gradient.
    """
    mse = (x - x_hat.detach()).square().mean()
    running = 0.99 * running + 0.01 * mse
    return torch.minimum(gamma, running), running


def _batch(g: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Images, reconstructions with an MSE well above gamma, and a running mean just above gamma."""
    x, deviation = torch.rand(2, *draw_sizes(g, 4), generator=g)
    gamma = 0.02 + 0.02 * torch.rand((), generator=g)
    return x, x + 0.5 + 0.5 * deviation, gamma, 1.003 * gamma


def _three_batches(function: Function, inputs: tuple[Any, ...]) -> Any:
    """gamma, running and whether both are free of a gradient, after errors of different sizes."""
    x, x_hat, gamma, running = inputs
    answers = []
    for size, old in ((1.0, gamma), (0.01, running), (1.0, 2 * running)):
        leaf = x_hat.clone().requires_grad_()
        value = function(x, x + size * (leaf - x), gamma, old)
        if not isinstance(value, tuple | list) or len(value) != 2 or blank(value):
            answers.append(value)
            continue
        free = not any(isinstance(v, Tensor) and v.requires_grad for v in value)
        answers.append((*value, free))
    return tuple(answers)


def _updated(
    *,
    weight: float = 0.01,
    error: Callable[[Tensor], Tensor] = lambda gap: gap.detach().square().mean(),
    choose: Callable[..., Any] = lambda gamma, old, new, mse: (torch.minimum(gamma, new), new),
) -> Function:
    """:func:`update_gamma` with one thing or another done differently."""

    def update(x: Tensor, x_hat: Tensor, gamma: Tensor, running: Tensor) -> Any:
        mse = error(x - x_hat)
        return choose(gamma, running, (1 - weight) * running + weight * mse, mse)

    return update


UPDATE_GAMMA = Exercise(
    name="update_gamma",
    notebook=NOTEBOOK,
    reference=update_gamma,
    inputs=_batch,
    observe=_three_batches,
    tries=("When the error is large", "When the error is small", "When running is above gamma"),
    mistakes=(
        Mistake(
            "gradient kept",
            _updated(error=lambda gap: gap.square().mean()),
            "The numbers are right, but a gradient hangs on them: the next loss would be "
            "differentiated through gamma, and through every batch before. detach() the error.",
        ),
        Mistake(
            "min forgotten",
            _updated(choose=lambda gamma, old, new, mse: (new, new)),
            "Your gamma rises again when the error does. It may only fall: take the smaller of the "
            "old gamma and the running mean.",
        ),
        Mistake(
            "weights swapped",
            _updated(weight=0.99),
            "Your weights are swapped: the old running mean keeps 99 %, a new batch brings 1 %.",
        ),
        Mistake(
            "no running mean",
            _updated(choose=lambda gamma, old, new, mse: (torch.minimum(gamma, mse), mse)),
            "You compare gamma with the MSE of the batch, so one lucky batch would pull it down "
            "for good. Average first: running = 0.99 * running + 0.01 * mse.",
        ),
        Mistake(
            "gamma of the batch's error",
            _updated(choose=lambda gamma, old, new, mse: (torch.minimum(gamma, mse), new)),
            "Your running mean is right, but gamma looks past it at the MSE of the batch: one "
            "lucky batch would pull it down for good.",
        ),
        Mistake(
            "the running mean held down as well",
            _updated(
                choose=lambda gamma, old, new, mse: (
                    torch.minimum(gamma, new),
                    torch.minimum(gamma, new),
                )
            ),
            "You let the running mean go on from gamma. Keep two numbers: the running mean follows "
            "the error up and down, gamma its lowest value so far.",
        ),
        Mistake(
            "running mean from gamma",
            _updated(
                choose=lambda gamma, old, new, mse: (
                    torch.minimum(gamma, 0.99 * gamma + 0.01 * mse),
                    0.99 * gamma + 0.01 * mse,
                )
            ),
            "Your running mean goes on from gamma, its lowest value. It has to go on from running: "
            "0.99 * running + 0.01 * mse.",
        ),
        Mistake(
            "max instead of min",
            _updated(choose=lambda gamma, old, new, mse: (torch.maximum(gamma, new), new)),
            "Your gamma can only rise. It should only fall: min, not max.",
        ),
        Mistake(
            "one step late",
            _updated(choose=lambda gamma, old, new, mse: (torch.minimum(gamma, old), new)),
            "Right, but one step late: update running first, then gamma from the new running.",
        ),
        Mistake(
            "decay 0.9",
            _updated(weight=0.1),
            "Your running mean forgets ten times too fast: the old value keeps 0.99, not 0.9.",
        ),
        Mistake(
            "error of an image",
            _updated(error=lambda gap: gap.detach().square().flatten(1).sum(dim=1).mean()),
            "You take the squared error of an image, summed over its D pixels. gamma is the "
            "variance of one pixel: mean over everything.",
        ),
        Mistake(
            "standard deviation",
            _updated(error=lambda gap: gap.detach().square().mean().sqrt()),
            "You average the root of the MSE, a standard deviation. gamma is a variance.",
        ),
        Mistake(
            "absolute error",
            _updated(error=lambda gap: gap.detach().abs().mean()),
            "You average the absolute error. gamma is a variance: squares.",
        ),
        Mistake(
            "results exchanged",
            lambda x, x_hat, gamma, running: update_gamma(x, x_hat, gamma, running)[::-1],
            "The two results are exchanged: gamma first, then running.",
        ),
        Mistake(
            "running forgotten",
            _updated(choose=lambda gamma, old, new, mse: (torch.minimum(gamma, new), old)),
            "gamma is right, but you hand on the old running mean: the next batch would begin "
            "where this one did.",
        ),
        Mistake(
            "nothing moves",
            lambda x, x_hat, gamma, running: (gamma.clone(), running.clone()),
            "Both come back as they were: the batch's error plays no part.",
        ),
    ),
    hints=(
        "Three lines: the error of a pixel in this batch, the running mean, gamma.",
        "running is 99 % of itself plus 1 % of the MSE, whatever gamma is. No gradient may reach "
        "either: x_hat.detach().",
        "mse = (x - x_hat.detach()).square().mean(); running = 0.99 * running + 0.01 * mse; then "
        "torch.minimum(gamma, running), running",
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


EXERCISES = (OPTIMAL_GAMMA, UPDATE_GAMMA, KL_PER_VARIABLE)
