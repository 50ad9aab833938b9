"""Exercises of notebook 01_vanilla_vae: reparameterisation, KL divergence, loss."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ...objective import kl_divergence
from .exercise import Exercise, Mistake, draw_sizes

NOTEBOOK = "01_vanilla_vae"


# ------------------------------------------------------------------ z = mu + std * noise


def reparameterise(mu: Tensor, log_var: Tensor, noise: Tensor) -> Tensor:
    """z = mu + exp(log_var / 2) * noise, all (N, L): a draw from N(mu, exp(log_var))."""
    return mu + torch.exp(0.5 * log_var) * noise


def _posterior(g: torch.Generator) -> tuple[Tensor, Tensor]:
    """mu and log_var, (N, L) each."""
    mu, log_var = torch.randn(2, *draw_sizes(g, 2), generator=g)
    return mu, log_var


def _posterior_and_noise(g: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    mu, log_var = _posterior(g)
    return mu, log_var, torch.randn(mu.shape, generator=g)


REPARAMETERISE = Exercise(
    name="reparameterise",
    notebook=NOTEBOOK,
    reference=reparameterise,
    inputs=_posterior_and_noise,
    differentiable=True,
    mistakes=(
        Mistake(
            "std = exp(log_var)",
            lambda mu, log_var, noise: mu + log_var.exp() * noise,
            "You scale the noise by exp(log_var). That is the variance; the noise must be scaled "
            "by its square root, the standard deviation.",
        ),
        Mistake(
            "log_var as std",
            lambda mu, log_var, noise: mu + log_var * noise,
            "You scale the noise by log_var itself, which may be negative. It is the logarithm of "
            "the variance: undo the logarithm first.",
        ),
        Mistake(
            "half of log_var as std",
            lambda mu, log_var, noise: mu + 0.5 * log_var * noise,
            "Half of log_var is the logarithm of the standard deviation: undo the logarithm.",
        ),
        Mistake(
            "noise not scaled",
            lambda mu, log_var, noise: mu + noise,
            "Your draw has variance 1 whatever the encoder says: scale the noise by the standard "
            "deviation before adding it.",
        ),
        Mistake(
            "noise forgotten",
            lambda mu, log_var, noise: mu + torch.exp(0.5 * log_var),
            "Your z is not random at all: multiply the standard deviation by the noise.",
        ),
        Mistake(
            "inverse std",
            lambda mu, log_var, noise: mu + torch.exp(-0.5 * log_var) * noise,
            "You divide the noise by the standard deviation instead of multiplying: a sign in the "
            "exponent.",
        ),
        Mistake(
            "mean scaled as well",
            lambda mu, log_var, noise: torch.exp(0.5 * log_var) * (mu + noise),
            "You scale mu together with the noise; only the noise is scaled, and mu is added "
            "afterwards.",
        ),
        Mistake(
            "noise of its own",
            lambda mu, log_var, noise: mu + torch.exp(0.5 * log_var) * torch.randn_like(mu),
            "You draw noise of your own. Use the argument: then the same noise always gives the "
            "same z.",
        ),
    ),
    hints=(
        "If noise comes from N(0, 1), what are the mean and the variance of a + b * noise?",
        "You need the standard deviation. log_var is log(std ** 2); solve for std.",
        "std = torch.exp(0.5 * log_var). Now shift and scale the noise.",
    ),
)


# ------------------------------------------------------------------ the closed-form KL divergence


def _without_exp(mu: Tensor, log_var: Tensor) -> Tensor:
    return 0.5 * (mu.square() + log_var - 1 - log_var.log()).sum(dim=1)


KL_DIVERGENCE = Exercise(
    name="kl_divergence",
    notebook=NOTEBOOK,
    reference=kl_divergence,
    inputs=_posterior,
    differentiable=True,
    mistakes=(
        Mistake(
            "sign",
            lambda mu, log_var: -kl_divergence(mu, log_var),
            "Your values are the right ones with the wrong sign. A KL divergence is never "
            "negative.",
        ),
        Mistake(
            "mean instead of sum",
            lambda mu, log_var: kl_divergence(mu, log_var) / mu.shape[1],
            "You took the mean over the latent variables. They are independent, so their KL "
            "divergences add up: sum.",
        ),
        Mistake(
            "factor 1/2",
            lambda mu, log_var: 2 * kl_divergence(mu, log_var),
            "Your values are twice too large: the factor 1/2 is missing.",
        ),
        Mistake(
            "summed over the images as well",
            lambda mu, log_var: kl_divergence(mu, log_var).sum(),
            "You summed over everything. Sum over the latent variables (dim=1) alone: each image "
            "keeps its own KL divergence.",
        ),
        Mistake(
            "summed over the images instead",
            lambda mu, log_var: 0.5 * (mu.square() + log_var.exp() - 1 - log_var).sum(dim=0),
            "You summed over the images (dim=0). The latent variables are in dimension 1.",
        ),
        Mistake(
            "mean over the images",
            lambda mu, log_var: kl_divergence(mu, log_var).mean(),
            "You averaged over the images already. Return one number per image; the loss takes "
            "the mean later.",
        ),
        Mistake(
            "mu not squared",
            lambda mu, log_var: 0.5 * (mu + log_var.exp() - 1 - log_var).sum(dim=1),
            "mu enters squared: a posterior far from 0 costs the same on either side.",
        ),
        Mistake(
            "log_var as logarithm of the standard deviation",
            lambda mu, log_var: kl_divergence(mu, 2 * log_var),
            "You took log_var for log s. It is the logarithm of the variance, log s^2: the "
            "variance is exp(log_var), without a 2.",
        ),
        Mistake(
            "log s in place of log s^2",
            lambda mu, log_var: 0.5 * (mu**2 + log_var.exp() - 1 - 0.5 * log_var).sum(dim=1),
            "You subtract log s, half of log_var. The formula has log s^2: log_var itself.",
        ),
        Mistake(
            "log_var as variance",
            _without_exp,
            "You used log_var where the variance belongs, and took its logarithm once more (NaN "
            "where it was negative). The variance is exp(log_var).",
        ),
        Mistake(
            "log_var added",
            lambda mu, log_var: 0.5 * (mu.square() + log_var.exp() - 1 + log_var).sum(dim=1),
            "The sign of log_var is wrong: a very narrow posterior (log_var far below 0) must cost "
            "more, not less.",
        ),
        Mistake(
            "the 1 forgotten",
            lambda mu, log_var: 0.5 * (mu.square() + log_var.exp() - log_var).sum(dim=1),
            "Put mu = 0 and log_var = 0, which is the prior itself: the result must be 0. A "
            "constant is missing.",
        ),
        Mistake(
            "reversed",
            lambda mu, log_var: 0.5 * ((mu**2 + 1) / log_var.exp() - 1 + log_var).sum(dim=1),
            "This is the KL divergence of the prior from the posterior: the two are exchanged. The "
            "posterior comes first, and nothing is divided by its variance.",
        ),
        Mistake(
            "log_var and its exponential exchanged",
            lambda mu, log_var: 0.5 * (mu**2 + log_var - 1 - log_var.exp()).sum(dim=1),
            "log_var and exp(log_var) have changed places: the variance is added, its logarithm "
            "subtracted.",
        ),
        Mistake(
            "variance squared",
            lambda mu, log_var: 0.5 * (mu**2 + (2 * log_var).exp() - 1 - log_var).sum(dim=1),
            "You squared exp(log_var), which is the variance already.",
        ),
        Mistake(
            "log_var squared",
            lambda mu, log_var: 0.5 * (mu**2 + log_var**2 - 1 - log_var).sum(dim=1),
            "You squared log_var. The variance is its exponential, log_var.exp().",
        ),
        Mistake(
            "std instead of variance",
            lambda mu, log_var: 0.5 * (mu.square() + (0.5 * log_var).exp() - 1 - log_var).sum(1),
            "exp(log_var / 2) is the standard deviation; the formula holds the variance.",
        ),
    ),
    hints=(
        "Start with a single latent variable and the formula above; which of its terms are given "
        "directly, which through log_var?",
        "The variance is log_var.exp() and its logarithm is log_var itself: no further logarithm.",
        "0.5 * (mu ** 2 + log_var.exp() - 1 - log_var) has the shape (N, L). Sum over dim=1.",
    ),
)


# ------------------------------------------------------------------ the loss


def vae_loss(x: Tensor, x_hat: Tensor, mu: Tensor, log_var: Tensor, gamma: float) -> Tensor:
    """Mean over images of [sum((x - x_hat)^2) / (2 gamma) + KL]: a scalar.

    The negative ELBO of a Gaussian decoder of variance gamma, but for a constant.
    """
    return (_squares(x, x_hat) / (2 * gamma) + kl_divergence(mu, log_var)).mean()


def _squares(x: Tensor, x_hat: Tensor) -> Tensor:
    return (x - x_hat).square().flatten(1).sum(dim=1)


def _batch(g: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor, float]:
    *shape, latent_dim = draw_sizes(g, 5)
    x, x_hat = torch.rand(2, *shape, generator=g)
    mu, log_var = torch.randn(2, shape[0], latent_dim, generator=g)
    return x, x_hat, mu, log_var, 0.05 + 0.2 * torch.rand((), generator=g).item()


VAE_LOSS = Exercise(
    name="vae_loss",
    notebook=NOTEBOOK,
    reference=vae_loss,
    inputs=_batch,
    differentiable=True,
    mistakes=(
        Mistake(
            "mean over pixels",
            lambda x, x_hat, mu, log_var, gamma: (
                (x - x_hat).square().mean() / (2 * gamma) + kl_divergence(mu, log_var).mean()
            ),
            "You averaged the squared error over the pixels. The log-likelihood of an image is a "
            "sum over its pixels; with the mean, the KL divergence weighs far too much.",
        ),
        Mistake(
            "both terms averaged",
            lambda x, x_hat, mu, log_var, gamma: (
                (x - x_hat).square().mean() / (2 * gamma)
                + kl_divergence(mu, log_var).mean() / mu.shape[1]
            ),
            "You averaged both terms over everything. Both are sums within an image, over its "
            "pixels and over its latent variables; the mean is over the images alone.",
        ),
        Mistake(
            "pixels averaged, images summed",
            lambda x, x_hat, mu, log_var, gamma: (
                _squares(x, x_hat).sum() / x[0].numel() / (2 * gamma)
                + kl_divergence(mu, log_var).mean()
            ),
            "You averaged the squared error over the pixels and summed it over the images: it is "
            "the other way round.",
        ),
        Mistake(
            "mse_loss without gamma",
            lambda x, x_hat, mu, log_var, gamma: (
                (x - x_hat).square().mean() + kl_divergence(mu, log_var).mean()
            ),
            "You took the mean squared error as it is: sum over the pixels, and divide by 2 gamma.",
        ),
        Mistake(
            "reversed KL divergence",
            lambda x, x_hat, mu, log_var, gamma: (
                _squares(x, x_hat) / (2 * gamma)
                + 0.5 * ((mu**2 + 1) / log_var.exp() - 1 + log_var).sum(dim=1)
            ).mean(),
            "Your KL divergence is the reversed one: prior and posterior are exchanged.",
        ),
        Mistake(
            "absolute error",
            lambda x, x_hat, mu, log_var, gamma: (
                (x - x_hat).abs().flatten(1).sum(dim=1) / (2 * gamma) + kl_divergence(mu, log_var)
            ).mean(),
            "You summed absolute errors. The Gaussian's exponent holds their squares.",
        ),
        Mistake(
            "root of the squared error",
            lambda x, x_hat, mu, log_var, gamma: (
                _squares(x, x_hat).sqrt() / (2 * gamma) + kl_divergence(mu, log_var)
            ).mean(),
            "You took the root of the squared error, a distance. The error stays squared.",
        ),
        Mistake(
            "KL subtracted",
            lambda x, x_hat, mu, log_var, gamma: (
                _squares(x, x_hat) / (2 * gamma) - kl_divergence(mu, log_var)
            ).mean(),
            "You subtracted the KL divergence. The ELBO subtracts it; the loss is the negative "
            "ELBO, so both terms are costs and add up.",
        ),
        Mistake(
            "the ELBO itself",
            lambda x, x_hat, mu, log_var, gamma: -vae_loss(x, x_hat, mu, log_var, gamma),
            "This is the ELBO (up to its constant), which is to be maximised. An optimiser "
            "minimises: change the sign.",
        ),
        Mistake(
            "factor 2 in front of gamma",
            lambda x, x_hat, mu, log_var, gamma: (
                _squares(x, x_hat) / gamma + kl_divergence(mu, log_var)
            ).mean(),
            "You divide the squared error by gamma; a Gaussian's logarithm has 2 gamma there.",
        ),
        Mistake(
            "gamma squared",
            lambda x, x_hat, mu, log_var, gamma: (
                _squares(x, x_hat) / (2 * gamma**2) + kl_divergence(mu, log_var)
            ).mean(),
            "gamma is a variance already, not a standard deviation: do not square it.",
        ),
        Mistake(
            "gamma forgotten",
            lambda x, x_hat, mu, log_var, gamma: (
                _squares(x, x_hat) + kl_divergence(mu, log_var)
            ).mean(),
            "gamma does not appear in your loss: the squared error is divided by 2 gamma.",
        ),
        Mistake(
            "gamma multiplies",
            lambda x, x_hat, mu, log_var, gamma: (
                _squares(x, x_hat) * (2 * gamma) + kl_divergence(mu, log_var)
            ).mean(),
            "You multiply by 2 gamma where you should divide: a small variance makes errors dear.",
        ),
        Mistake(
            "constant kept",
            lambda x, x_hat, mu, log_var, gamma: (
                vae_loss(x, x_hat, mu, log_var, gamma)
                + x[0].numel() / 2 * math.log(2 * math.pi * gamma)
            ),
            "The constant is still in it. With gamma fixed it may be dropped, and here it is.",
        ),
        Mistake(
            "divided by 2, multiplied by gamma",
            lambda x, x_hat, mu, log_var, gamma: (
                _squares(x, x_hat) / 2 * gamma + kl_divergence(mu, log_var)
            ).mean(),
            "/ 2 * gamma divides by 2 and then multiplies by gamma: write / (2 * gamma).",
        ),
        Mistake(
            "error summed over the images",
            lambda x, x_hat, mu, log_var, gamma: (
                _squares(x, x_hat).sum() / (2 * gamma) + kl_divergence(mu, log_var).mean()
            ),
            "The error is summed over the images and the KL divergence averaged: the two are no "
            "longer in proportion. One loss per image, then the mean.",
        ),
        Mistake(
            "KL forgotten",
            lambda x, x_hat, mu, log_var, gamma: (_squares(x, x_hat) / (2 * gamma)).mean(),
            "The KL divergence is missing: this is an autoencoder's loss.",
        ),
        Mistake(
            "sum over images",
            lambda x, x_hat, mu, log_var, gamma: (
                _squares(x, x_hat) / (2 * gamma) + kl_divergence(mu, log_var)
            ).sum(),
            "You summed over the images of the batch. Take their mean, or the step size would "
            "depend on the batch size.",
        ),
        Mistake(
            "one loss per image",
            lambda x, x_hat, mu, log_var, gamma: (
                _squares(x, x_hat) / (2 * gamma) + kl_divergence(mu, log_var)
            ),
            "You return one loss per image, which is a good intermediate result: the optimiser "
            "needs their mean, one number.",
        ),
    ),
    hints=(
        "Two costs per image: how wrong the reconstruction is, and what the posterior tells.",
        "The squared error of an image is (x - x_hat).square().flatten(1).sum(dim=1), shape (N,). "
        "Divide it by 2 gamma.",
        "Add kl_divergence(mu, log_var), also (N,), and take the mean over the images last.",
    ),
)


EXERCISES = (REPARAMETERISE, KL_DIVERGENCE, VAE_LOSS)
