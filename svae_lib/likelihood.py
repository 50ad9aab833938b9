"""How probable a model makes images: bounds on log p(x), one image at a time.

log p(x) is an integral over z that nobody can compute. With draws z from the posterior q(z | x),
the mean of log p(x, z) / q(z | x) estimates the ELBO; the logarithm of the mean fraction,

    log 1/M sum_m p(x, z_m) / q(z_m | x),

is in expectation at least as high for more draws, and never above log p(x): Burda, Grosse and
Salakhutdinov, "Importance weighted autoencoders", ICLR 2016, arXiv:1509.00519, equation 8.

p(x | z) can be read in two ways. As a *density* of pixels in [0, 1] it is the Gaussian of variance
gamma that training assumes: it has no upper limit, and compares only models of the same images on
the same scale. As a *probability of bytes* it is the same Gaussian's mass in each byte's interval,
where 0 and 255 have all that lies beyond them (Ho, Jain and Abbeel, "Denoising diffusion
probabilistic models", NeurIPS 2020, arXiv:2006.11239, equation 13): it is at most 1, and compares
models of any kind, as bits per dimension.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from .baselines import is_deterministic
from .data import to_float
from .inference import decode_batches, device_of, encode_all
from .models import VAE
from .objective import reconstruction_error
from .support.checks import InputError, check_counts, check_positive, check_seed
from .support.devices import as_float64, fits
from .support.progress import counter


@dataclass(frozen=True)
class LikelihoodBound:
    """Means over images of bounds on log p(x), in nats per image unless it says otherwise."""

    elbo: float
    """Of densities, the mean of the draws' logarithms."""
    importance_weighted: float
    """Of densities, the logarithm of the draws' mean."""
    bits_per_dim: float
    """Of bytes, importance-weighted: upper bound on bits per pixel and channel; lower is better."""
    gamma: float
    """Variance of a pixel given the latent variables."""
    draws: int
    """Latent vectors per image, M."""
    n: int
    """Images."""

    def __str__(self) -> str:
        return (
            f"log p(x) at least {self.importance_weighted:.1f} nats (ELBO {self.elbo:.1f}), "
            f"at most {self.bits_per_dim:.3f} bits per dimension; {self.draws} draws, "
            f"{self.n} images"
        )


def fitted_gamma(model: VAE, images: Tensor, seed: int = 0, batch_size: int = 500) -> float:
    """Variance gamma that maximises the ELBO of the images, the rest of the model kept.

    It is the mean squared error per pixel and channel of one draw from each image's posterior: Dai
    and Wipf, "Diagnosing and enhancing VAE models", ICLR 2019, section 4. Fit it to *training*
    images. The arguments are those of :func:`likelihood_bound`.
    """
    _check_posterior(model)
    check_seed(seed)
    mu, log_var = encode_all(model, images, batch_size)
    z, _ = _draw(mu, log_var, torch.Generator().manual_seed(seed))
    return mean_squared_error(model, images, z, batch_size)


def mean_squared_error(model: VAE, images: Tensor, z: Tensor, batch_size: int = 500) -> float:
    """Per pixel and channel, of uint8 images (N, C, S, S) and what z, (N, L), is decoded to."""
    pairs = _decoded(model, images, z, batch_size)
    errors = [reconstruction_error(to_float(x), x_hat) for x, x_hat in pairs]
    return as_float64(torch.cat(errors)).sum().item() / images.numel()


def likelihood_bound(
    model: VAE,
    images: Tensor,
    gamma: float,
    *,
    draws: int = 100,
    seed: int = 0,
    batch_size: int = 500,
    progress: bool = True,
) -> LikelihoodBound:
    """Bounds on the mean log p(x) of images; see the module's text.

    Time grows with ``draws``, each of which decodes all images once.

    Args:
        model: in evaluation mode, with a posterior.
        images: uint8 (N, C, S, S); a border of zeros counts as pixels.
        gamma: variance of a pixel given the latent variables, above 0: see :func:`fitted_gamma`.
        draws: latent vectors per image; more are tighter.
        seed: of the draws.
        batch_size: images at a time; the result does not depend on it.
        progress: show a progress bar.
    """
    _check_posterior(model)
    check_counts(draws=draws)
    check_seed(seed)
    check_positive(gamma=gamma)
    mu, log_var = encode_all(model, images, batch_size)
    if fits(images, device_of(model)):
        images = images.to(device_of(model))  # once, not once a draw
    generator = torch.Generator().manual_seed(seed)
    fractions = []  # of each draw, log p(x, z) / q(z | x): (2, N), of densities and of bytes
    with counter(draws, "bounding log p(x)", "draw", show=progress) as bar:
        for _ in range(draws):
            z, noise = _draw(mu, log_var, generator)
            given_z = [
                torch.stack((log_density(x, x_hat, gamma), log_probability(x, x_hat, gamma)))
                for x, x_hat in _decoded(model, images, z, batch_size)
            ]
            # Log p(z) / q(z | x): factors of 2 pi cancel, and noise is z standardised by q.
            prior_over_q = 0.5 * as_float64(noise.square() + log_var - z.square()).sum(dim=1)
            fractions.append(torch.cat(given_z, dim=1) + prior_over_q.to(given_z[0].device))
            bar.update()
    density, byte = torch.stack(fractions, dim=1).unbind()  # (M, N) each
    return LikelihoodBound(
        elbo=density.mean().item(),
        importance_weighted=_log_mean(density),
        bits_per_dim=-_log_mean(byte) / (images[0].numel() * math.log(2)),
        gamma=gamma,
        draws=draws,
        n=len(images),
    )


def _log_mean(logarithms: Tensor) -> float:
    """Mean over images of log 1/M sum_m exp(a_m), for a of shape (M, N)."""
    return (torch.logsumexp(logarithms, dim=0) - math.log(len(logarithms))).mean().item()


def log_density(x: Tensor, x_hat: Tensor, gamma: float) -> Tensor:
    """Log density N(x; x_hat, gamma), summed over pixels and channels: float64 (N,), nats.

    Args:
        x: uint8 images (N, C, S, S), taken to [0, 1].
        x_hat: decoded images, float (N, C, S, S) in [0, 1].
        gamma: variance of a pixel, above 0.
    """
    squared = as_float64(reconstruction_error(to_float(x), x_hat), stay=True)
    return -squared / (2 * gamma) - 0.5 * x[0].numel() * math.log(2 * math.pi * gamma)


def log_probability(x: Tensor, x_hat: Tensor, gamma: float) -> Tensor:
    """Logarithm of the probability of bytes, summed over pixels and channels: float64 (N,), nats.

    A byte's probability is the Gaussian's mass within half a step of 1/255 about it; 0 and 255 have
    all that lies beyond them. Ho et al., arXiv:2006.11239, equation 13. The arguments are those of
    :func:`log_density`.
    """
    # In standard deviations from x_hat, and mirrored into the lower tail, where the logarithm of a
    # tiny mass is still exact.
    scale = math.sqrt(gamma)
    values, half = as_float64(x, stay=True), 0.5 / 255 / scale
    distance = (values / 255 - as_float64(x_hat, stay=True)) / scale
    lower = (distance - half).masked_fill(values == 0, -math.inf)
    upper = (distance + half).masked_fill(values == 255, math.inf)
    mirrored = distance > 0
    lower, upper = torch.where(mirrored, -upper, lower), torch.where(mirrored, -lower, upper)
    log_upper = torch.special.log_ndtr(upper)
    log_mass = log_upper + torch.log(-torch.expm1(torch.special.log_ndtr(lower) - log_upper))
    return log_mass.flatten(1).sum(dim=1)  # type: ignore[no-any-return]


def _draw(mu: Tensor, log_var: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Latent vectors from the posteriors, and the noise that they were made of: (N, L) each."""
    noise = torch.randn(mu.shape, generator=generator, dtype=mu.dtype)
    return mu + noise * torch.exp(0.5 * log_var), noise


def _decoded(
    model: VAE, images: Tensor, z: Tensor, batch_size: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of images with what their latent vectors are decoded to, on the model's device."""
    decoded = decode_batches(model, z, batch_size)
    for x, out in zip(images.split(batch_size), decoded, strict=True):
        yield x.to(out.x_hat.device), out.x_hat


def _check_posterior(model: VAE) -> None:
    if is_deterministic(model):
        raise InputError(
            f"{type(model).__name__} has no posterior, so no density p(x): bounds are for VAEs."
        )
