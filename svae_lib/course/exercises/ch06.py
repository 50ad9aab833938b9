"""Exercises of notebook 06_sampling: variance law, a Gaussian's samples, leakage, great circles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from .exercise import TRIALS, Exercise, Function, Mistake, draw_sizes

if TYPE_CHECKING:
    from sklearn.mixture import GaussianMixture

NOTEBOOK = "06_sampling"


# ------------------------------------------------------------------ variance of q(z)


def aggregate_variance(mu: Tensor, log_var: Tensor) -> Tensor:
    """Variance of the aggregate posterior, (L,), of N posteriors (N, L): the law of total variance.

    The mixture of exactly these N posteriors: the variance of the means is divided by N.
    """
    return mu.var(dim=0, correction=0) + log_var.exp().mean(dim=0)


def _posteriors(g: torch.Generator) -> tuple[Tensor, Tensor]:
    """mu and log_var, (N, L) each, with means that are not centred on 0."""
    mu, log_var = torch.randn(2, *draw_sizes(g, 2, low=3), generator=g)
    return 0.5 + mu, log_var


AGGREGATE_VARIANCE = Exercise(
    name="aggregate_variance",
    notebook=NOTEBOOK,
    reference=aggregate_variance,
    inputs=_posteriors,
    mistakes=(
        Mistake(
            "posterior width forgotten",
            lambda mu, log_var: mu.var(dim=0, correction=0),
            "This is how far the means spread. Each posterior also has a width of its own: its "
            "mean over the images is to be added.",
        ),
        Mistake(
            "spread of the means forgotten",
            lambda mu, log_var: log_var.exp().mean(dim=0),
            "This is the mean width of a single posterior. The posteriors also lie in different "
            "places: the variance of their means is missing.",
        ),
        Mistake(
            "mean of log_var",
            lambda mu, log_var: mu.var(dim=0, correction=0) + log_var.mean(dim=0).exp(),
            "You averaged log_var and took exp of the average, a geometric mean. Variances are "
            "averaged themselves: first exp, then the mean.",
        ),
        Mistake(
            "log_var as variance",
            lambda mu, log_var: mu.var(dim=0, correction=0) + log_var.mean(dim=0),
            "log_var is the logarithm of the variance: undo it before averaging.",
        ),
        Mistake(
            "std instead of variance",
            lambda mu, log_var: mu.std(dim=0, correction=0) + (0.5 * log_var).exp().mean(dim=0),
            "You added standard deviations. Variances add up, standard deviations do not.",
        ),
        Mistake(
            "exp(log_var / 2)",
            lambda mu, log_var: mu.var(dim=0, correction=0) + (0.5 * log_var).exp().mean(dim=0),
            "exp(log_var / 2) is a standard deviation; the law adds variances.",
        ),
        Mistake(
            "means not centred",
            lambda mu, log_var: mu.square().mean(dim=0) + log_var.exp().mean(dim=0),
            "You took the mean of mu squared, which also counts how far all means together lie "
            "from 0. A variance is measured from the mean of the means.",
        ),
        Mistake(
            "divided by N - 1",
            lambda mu, log_var: mu.var(dim=0) + log_var.exp().mean(dim=0),
            "Tensor.var divides by N - 1, to estimate a larger population from a sample. q(z) is "
            "the mixture of exactly these N posteriors: correction=0.",
        ),
        Mistake(
            "over the latent variables",
            lambda mu, log_var: mu.var(dim=1, correction=0) + log_var.exp().mean(dim=1),
            "You have one number per image. Average over the images (dim=0): each latent variable "
            "keeps its own variance.",
        ),
    ),
    hints=(
        "Draw an image, then z from its posterior. z varies for two reasons; which?",
        "The law of total variance: the variance of the conditional means plus the mean of the "
        "conditional variances, each over the images (dim=0).",
        "mu.var(dim=0, correction=0) is one part; log_var.exp().mean(dim=0) is the other.",
    ),
)


# ------------------------------------------------------------------ samples of one Gaussian


def sample_gaussian(mean: Tensor, covariance: Tensor, noise: Tensor) -> Tensor:
    """Turn noise (N, L) of N(0, I) into samples (N, L) of N(mean, covariance).

    With the Cholesky factor covariance = A A': one sample is mean + A noise, so rows are
    noise A'.
    """
    factor: Tensor = torch.linalg.cholesky(covariance)
    return mean + noise @ factor.T


def _gaussian(g: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """A mean (L,), a correlated covariance (L, L); as noise 0, the unit vectors, and more.

    All float64, as in the notebook.
    """
    latent_dim, samples = draw_sizes(g, 2, low=3)
    more = 15 + samples - (1 + latent_dim)
    eye = torch.eye(latent_dim, dtype=torch.float64)
    factor = torch.randn(latent_dim, latent_dim + 2, generator=g, dtype=torch.float64)
    covariance = factor @ factor.T / latent_dim + 0.1 * eye
    mean = torch.randn(latent_dim, generator=g, dtype=torch.float64)
    drawn = torch.randn(more, latent_dim, generator=g, dtype=torch.float64)
    return mean, covariance, torch.cat([torch.zeros_like(eye[:1]), eye, drawn])


def _moments(function: Function, inputs: tuple[Any, ...]) -> Any:
    """The mean and covariance that the samples would have, and what is not affine in the noise.

    Any factor of the covariance is right, so it is not the samples that are compared. An affine
    map of the noise is known by its values at 0 and at the unit vectors; the other rows of noise
    tell whether it is one.
    """
    samples, noise = function(*inputs), inputs[2]
    if not isinstance(samples, Tensor) or samples.shape != noise.shape:
        return samples
    end = 1 + noise.shape[1]
    mean, rows = samples[:1], samples[1:end] - samples[:1]
    rest = samples[end:] - mean - noise[end:].to(samples.dtype) @ rows
    return torch.cat([mean, rows.T @ rows, rest])


def _by_eigenvectors(mean: Tensor, covariance: Tensor, noise: Tensor, power: float) -> Tensor:
    values, vectors = torch.linalg.eigh(covariance)
    factor: Tensor = (vectors * values**power) @ vectors.T
    return mean + noise @ factor


SAMPLE_GAUSSIAN = Exercise(
    name="sample_gaussian",
    notebook=NOTEBOOK,
    reference=sample_gaussian,
    inputs=_gaussian,
    observe=_moments,
    mistakes=(
        Mistake(
            "transposed Cholesky factor",
            lambda mean, cov, noise: mean + noise @ torch.linalg.cholesky(cov),
            "The factor A is on the wrong side: A A' is the covariance, A' A is another matrix. "
            "One sample is mean + A noise; with samples in rows, noise is multiplied by A'.",
        ),
        Mistake(
            "covariance instead of its factor",
            lambda mean, cov, noise: mean + noise @ cov,
            "You multiplied the noise by the covariance itself, so the samples have its square as "
            "covariance. In one dimension: the standard deviation is needed, not the variance.",
        ),
        Mistake(
            "correlations forgotten",
            lambda mean, cov, noise: mean + noise * cov.diagonal().sqrt(),
            "Each variable has its right variance, but your variables are independent: the entries "
            "beside the diagonal are not used.",
        ),
        Mistake(
            "variance instead of standard deviation",
            lambda mean, cov, noise: mean + noise * cov.diagonal(),
            "You scaled each variable by its variance, and forgot the correlations. A matrix A "
            "with A A' = covariance does both.",
        ),
        Mistake(
            "mean forgotten",
            lambda mean, cov, noise: noise @ torch.linalg.cholesky(cov).T,
            "The spread is right, but all is centred on 0: add the mean.",
        ),
        Mistake(
            "mean transformed as well",
            lambda mean, cov, noise: (mean + noise) @ torch.linalg.cholesky(cov).T,
            "You added the mean before multiplying by the factor, which moves it. First shape the "
            "noise, then shift it.",
        ),
        Mistake(
            "inverse factor",
            lambda mean, cov, noise: _by_eigenvectors(mean, cov, noise, -0.5),
            "Your samples have the inverse of the covariance: this turns samples into noise "
            "(whitening), the way back.",
        ),
        Mistake(
            "noise of its own",
            lambda mean, cov, noise: mean + torch.randn_like(noise) @ torch.linalg.cholesky(cov).T,
            "You draw noise of your own. Use the argument: then the same noise always gives the "
            "same samples.",
        ),
    ),
    hints=(
        "In one dimension z = mean + std * noise. What takes the place of the square root of the "
        "variance, if the variance is a matrix?",
        "A = torch.linalg.cholesky(covariance) has A @ A.T = covariance. One sample is the column "
        "mean + A @ noise.",
        "Here samples are rows. Transposing mean + A @ noise gives mean + noise @ A.T.",
    ),
)


# ------------------------------------------------------------------ leakage


def held_out_score(mixture: GaussianMixture, train: Tensor, held_out: Tensor) -> float:
    """Mean log-likelihood (nats) per held-out vector (M, L), after fitting to train (N, L)."""
    return float(mixture.fit(train.numpy()).score(held_out.numpy()))


def _mixture_and_vectors(g: torch.Generator) -> tuple[GaussianMixture, Tensor, Tensor]:
    """An unfitted mixture of one to three components, vectors to fit, and others held out."""
    from sklearn.mixture import GaussianMixture  # here: its import takes a second or two

    latent_dim, fitted, scored = draw_sizes(g, 3)
    scale = 1 + torch.arange(latent_dim)
    train = torch.randn(20 + fitted, latent_dim, generator=g, dtype=torch.float64) * scale
    held_out = torch.randn(20 + scored, latent_dim, generator=g, dtype=torch.float64) * scale + 0.7
    components = 1 + g.initial_seed() % TRIALS
    return GaussianMixture(components, reg_covar=0.1, random_state=0), train, held_out


HELD_OUT_SCORE = Exercise(
    name="held_out_score",
    notebook=NOTEBOOK,
    reference=held_out_score,
    inputs=_mixture_and_vectors,
    mistakes=(
        Mistake(
            "leakage: fitted on the held-out vectors",
            lambda mixture, train, held_out: held_out_score(mixture, held_out, held_out),
            "You fitted the mixture to the very vectors that it is scored on: test-set leakage. "
            "The score only says how well it remembers them.",
        ),
        Mistake(
            "leakage: fitted on both",
            lambda mixture, train, held_out: held_out_score(
                mixture, torch.cat([train, held_out]), held_out
            ),
            "You fitted the mixture to all vectors, the held-out ones among them: test-set "
            "leakage. More data, but nothing left to judge by.",
        ),
        Mistake(
            "scored on what it was fitted to",
            lambda mixture, train, held_out: held_out_score(mixture, train, train),
            "You scored the mixture on the vectors that it was fitted to. More components would "
            "always look better; score the held-out vectors.",
        ),
        Mistake(
            "the two sets exchanged",
            lambda mixture, train, held_out: held_out_score(mixture, held_out, train),
            "You fitted to the held-out vectors and scored the training vectors: the other way "
            "round.",
        ),
        Mistake(
            "sum instead of mean",
            lambda mixture, train, held_out: (
                held_out_score(mixture, train, held_out) * len(held_out)
            ),
            "You summed the log-likelihoods. Take their mean, so that sets of different sizes "
            "compare.",
        ),
        Mistake(
            "likelihood, not its logarithm",
            lambda mixture, train, held_out: float(
                np.exp(held_out_score(mixture, train, held_out))
            ),
            "You took exp of the score. Log-likelihoods are compared; in many dimensions "
            "likelihoods are too small or too large for floating point.",
        ),
        Mistake(
            "sign",
            lambda mixture, train, held_out: -held_out_score(mixture, train, held_out),
            "The sign is wrong: this is the negative log-likelihood, where lower is better.",
        ),
    ),
    hints=(
        "Which of the two sets may the mixture see before it is judged?",
        "mixture.fit(...) fits and returns the mixture; mixture.score(...) is the mean "
        "log-likelihood of vectors.",
        "One line: mixture.fit(train).score(held_out)",
    ),
)


# ------------------------------------------------------------------ great circles


def slerp(z0: Tensor, z1: Tensor, t: Tensor) -> Tensor:
    """Vectors (T, L) on the great circle from z0 to z1, both (L,), at the positions t (T,).

    Shoemake 1985, "Animating rotation with quaternion curves"; for latent vectors White,
    arXiv:1609.04468, section 2.1.
    """
    return _with_angle(z0, z1, t, _angle(z0, z1))


def _angle(z0: Tensor, z1: Tensor) -> Tensor:
    return torch.arccos(z0 @ z1 / (z0.norm() * z1.norm()))


def _with_angle(z0: Tensor, z1: Tensor, t: Tensor, angle: Tensor) -> Tensor:
    t = t[:, None]
    return (torch.sin((1 - t) * angle) * z0 + torch.sin(t * angle) * z1) / torch.sin(angle)


def _lerp(z0: Tensor, z1: Tensor, t: Tensor) -> Tensor:
    return (1 - t[:, None]) * z0 + t[:, None] * z1


def _ends(g: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Two vectors (L,) of different lengths, between 45 and 135 degrees apart; positions (T,)."""
    latent_dim, positions = draw_sizes(g, 2, low=3)
    first, second = torch.randn(2, latent_dim, generator=g)
    first = first / first.norm()
    across = second - (second @ first) * first
    angle = torch.pi * (0.25 + 0.5 * torch.rand((), generator=g))
    z1 = torch.cos(angle) * first + torch.sin(angle) * across / across.norm()
    return 1.5 * first, 2.5 * z1, torch.rand(positions, generator=g).sort().values


def _rescaled_line(z0: Tensor, z1: Tensor, t: Tensor) -> Tensor:
    line: Tensor = _lerp(z0, z1, t)
    lengths: Tensor = (1 - t) * z0.norm() + t * z1.norm()
    unit: Tensor = line / line.norm(dim=1, keepdim=True)
    return unit * lengths[:, None]


SLERP = Exercise(
    name="slerp",
    notebook=NOTEBOOK,
    reference=slerp,
    inputs=_ends,
    mistakes=(
        Mistake(
            "straight line",
            _lerp,
            "This is the straight line from z0 to z1; it cuts through the inside of the sphere.",
        ),
        Mistake(
            "ends exchanged",
            lambda z0, z1, t: slerp(z1, z0, t),
            "You walk from z1 to z0: at t = 0 the result must be z0.",
        ),
        Mistake(
            "ends of length 1",
            lambda z0, z1, t: slerp(z0 / z0.norm(), z1 / z1.norm(), t),
            "You walk between z0 and z1 scaled to length 1: at t = 0 the result must be z0 itself. "
            "Normalise for the angle alone.",
        ),
        Mistake(
            "cosine as angle",
            lambda z0, z1, t: _with_angle(z0, z1, t, z0 @ z1 / (z0.norm() * z1.norm())),
            "You used the cosine as if it were the angle: take its arccos.",
        ),
        Mistake(
            "vectors not normalised",
            lambda z0, z1, t: _with_angle(z0, z1, t, torch.arccos(z0 @ z1)),
            "The scalar product is the cosine of the angle only for vectors of length 1: divide it "
            "by both lengths (arccos beyond 1 is NaN).",
        ),
        Mistake(
            "denominator forgotten",
            lambda z0, z1, t: slerp(z0, z1, t) * torch.sin(_angle(z0, z1)),
            "At t = 0 your result is z0 times the sine of the angle: divide by that sine.",
        ),
        Mistake(
            "divided by the angle",
            lambda z0, z1, t: slerp(z0, z1, t) * torch.sin(_angle(z0, z1)) / _angle(z0, z1),
            "You divide by the angle; divide by its sine.",
        ),
        Mistake(
            "line stretched to length",
            _rescaled_line,
            "You stretched the straight line to the right length. It has the right ends, but walks "
            "at an uneven pace, fastest in the middle.",
        ),
    ),
    hints=(
        "The path is a weighted sum of z0 and z1. Which weights does it have at t = 0 and t = 1?",
        "The angle is arccos(z0 @ z1 / (z0.norm() * z1.norm())); the weights are "
        "sin((1 - t) * angle) / sin(angle) and sin(t * angle) / sin(angle).",
        "t has the shape (T,): with t = t[:, None] the weights (T, 1) multiply z0 (L,) to (T, L).",
    ),
)


EXERCISES = (AGGREGATE_VARIANCE, SAMPLE_GAUSSIAN, HELD_OUT_SCORE, SLERP)
