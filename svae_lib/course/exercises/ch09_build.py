"""More of notebook 09_beyond_the_paper: a small diffusion model, its loss and its sampler."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from .exercise import Exercise, Mistake, draw_sizes

NOTEBOOK = "09_beyond_the_paper"
Denoiser = Callable[[Tensor, Tensor], Tensor]


# ------------------------------------------------------------------ what the network is trained on


def denoising_loss(denoise: Denoiser, z: Tensor, t: Tensor, noise: Tensor) -> Tensor:
    """Mean squared error of a network that guesses z from z_t, a scalar.

    z_t = sqrt(1 - t^2) z + t noise. Ho, Jain and Abbeel, "Denoising diffusion probabilistic
    models", NeurIPS 2020, arXiv:2006.11239, with z in place of the noise as what is guessed.

    Args:
        denoise: guesses z (N, L) from z_t (N, L) and t (N, 1).
        z: vectors (N, L).
        t: a time for each, (N, 1), between 0 and 1.
        noise: standard Gaussian (N, L).
    """
    return _loss_of(denoise, z, t, noise, (1 - t.square()).sqrt(), t)


def _loss_of(
    denoise: Denoiser, z: Tensor, t: Tensor, noise: Tensor, alpha: Tensor, s: Tensor
) -> Tensor:
    return (denoise(alpha * z + s * noise, t) - z).square().mean()


def _denoiser(g: torch.Generator, latent: int) -> Denoiser:
    """A network of one layer that listens to z and to t."""
    weight = torch.randn(latent + 1, latent, generator=g) / 2
    return partial(_guess, weight)  # a lambda could not be pickled


def _guess(weight: Tensor, z: Tensor, t: Tensor) -> Tensor:
    return torch.tanh(torch.cat((z, t), dim=1) @ weight)


def _pairs(g: torch.Generator) -> tuple[Denoiser, Tensor, Tensor, Tensor]:
    """A network, vectors (N, L), a time for each (N, 1) and noise (N, L)."""
    n, latent = draw_sizes(g, 2, low=3)
    z, noise = torch.randn(2, n, latent, generator=g)
    t = 0.1 + 0.8 * torch.rand(n, 1, generator=g)
    return _denoiser(g, latent), 1.5 * z + 0.5, t, noise


DENOISING_LOSS = Exercise(
    name="denoising_loss",
    notebook=NOTEBOOK,
    reference=denoising_loss,
    inputs=_pairs,
    differentiable=True,
    mistakes=(
        Mistake(
            "compared with the noise",
            lambda denoise, z, t, e: (
                (denoise((1 - t.square()).sqrt() * z + t * e, t) - e).square().mean()
            ),
            "You compare the guess with the noise. (So do Ho and others, whose network guesses the "
            "noise. Ours guesses z.)",
        ),
        Mistake(
            "compared with z_t",
            lambda denoise, z, t, e: (
                (
                    denoise((1 - t.square()).sqrt() * z + t * e, t)
                    - (1 - t.square()).sqrt() * z
                    - t * e
                )
                .square()
                .mean()
            ),
            "You compare the guess with the noisy vector, which the network was shown. It has to "
            "guess the clean one.",
        ),
        Mistake(
            "no noise",
            lambda denoise, z, t, e: _loss_of(denoise, z, t, 0 * e, (1 - t.square()).sqrt(), t),
            "The network is shown a vector without noise: there is nothing to guess.",
        ),
        Mistake(
            "noise of its own",
            lambda denoise, z, t, e: denoising_loss(denoise, z, t, torch.randn_like(z)),
            "You draw noise of your own. Use the argument: the same noise gives the same loss.",
        ),
        Mistake(
            "clean vector shown",
            lambda denoise, z, t, e: (denoise(z, t) - z).square().mean(),
            "You show the network z itself. It has to see z_t.",
        ),
        Mistake(
            "fades linearly",
            lambda denoise, z, t, e: _loss_of(denoise, z, t, e, 1 - t, t),
            "Your factor of z is 1 - t. With t for the noise it is the root of 1 - t^2, or the "
            "variance would sag on the way.",
        ),
        Mistake(
            "root forgotten",
            lambda denoise, z, t, e: _loss_of(denoise, z, t, e, 1 - t.square(), t),
            "alpha^2 + s^2 = 1: your factor of z is alpha^2. Take the root.",
        ),
        Mistake(
            "does not fade",
            lambda denoise, z, t, e: _loss_of(denoise, z, t, e, torch.ones_like(t), t),
            "z does not fade. At t = 1 nothing of it may be left.",
        ),
        Mistake(
            "factors exchanged",
            lambda denoise, z, t, e: _loss_of(denoise, z, t, e, t, (1 - t.square()).sqrt()),
            "The two factors are exchanged: at t = 0 there is no noise.",
        ),
        Mistake(
            "sum instead of mean",
            lambda denoise, z, t, e: denoising_loss(denoise, z, t, e) * z.numel(),
            "You summed. A mean over all numbers is asked for: its size does not depend on the "
            "batch.",
        ),
        Mistake(
            "sum over the variables",
            lambda denoise, z, t, e: denoising_loss(denoise, z, t, e) * z.shape[1],
            "You summed over the L variables of a vector. Take the mean over them, too.",
        ),
        Mistake(
            "absolute error",
            lambda denoise, z, t, e: (
                (denoise((1 - t.square()).sqrt() * z + t * e, t) - z).abs().mean()
            ),
            "This is the absolute error, whose best answer is a median. Square it.",
        ),
        Mistake(
            "root at the end",
            lambda denoise, z, t, e: denoising_loss(denoise, z, t, e).sqrt(),
            "You took the root at the end. The squared error is asked for.",
        ),
    ),
    hints=(
        "Make the noisy vector z_t, let the network guess z from it, and compare.",
        "z_t = (1 - t**2).sqrt() * z + t * noise; t is (N, 1), so that each vector has its own.",
        "(denoise(z_t, t) - z).square().mean()",
    ),
)


# ------------------------------------------------------------------ from noise to a vector


def sample_diffusion(denoise: Denoiser, noise: Tensor, times: Tensor) -> Tensor:
    """Go from noise to vectors in a few steps, without new noise: (N, L).

    In each step the network's guess of z also says which noise z_t holds; both are put together
    again for the next time. Song, Meng and Ermon, "Denoising diffusion implicit models", ICLR 2021,
    arXiv:2010.02502, equation 12 with sigma = 0.

    Args:
        denoise: guesses z (N, L) from z_t (N, L) and t (N, 1).
        noise: where to begin, z_1 (N, L).
        times: (T + 1,), falling from 1 to 0.
    """
    return _walk(denoise, noise, times)


def _walk(
    denoise: Denoiser,
    z: Tensor,
    times: Tensor,
    *,
    told: Callable[[Tensor, Tensor], Tensor] = lambda now, then: now,
    noise_in: Callable[..., Tensor] = lambda z, guess, now: (
        (z - (1 - now.square()).sqrt() * guess) / now
    ),
    mix: Callable[..., Tensor] = lambda guess, noise, then: (
        (1 - then.square()).sqrt() * guess + then * noise
    ),
) -> Tensor:
    """The loop, with one thing or another done differently."""
    for now, then in itertools.pairwise(times):
        guess = denoise(z, told(now, then).expand(len(z), 1))
        z = mix(guess, noise_in(z, guess, now), then)
    return z


def _start(g: torch.Generator) -> tuple[Denoiser, Tensor, Tensor]:
    """A network, noise (N, L) and falling times (T,)."""
    n, latent, count = draw_sizes(g, 3, low=3)
    between = torch.rand(count - 2, generator=g).sort(descending=True).values
    times = torch.cat((torch.ones(1), 0.1 + 0.8 * between, torch.zeros(1)))
    return _denoiser(g, latent), torch.randn(n, latent, generator=g), times


SAMPLE_DIFFUSION = Exercise(
    name="sample_diffusion",
    notebook=NOTEBOOK,
    reference=sample_diffusion,
    inputs=_start,
    mistakes=(
        Mistake(
            "one step",
            lambda denoise, noise, times: denoise(noise, times[:1].expand(len(noise), 1)),
            "You guess once, from noise alone: that is the mean of everything. Go through all "
            "times.",
        ),
        Mistake(
            "guess handed on",
            lambda denoise, noise, times: _walk(
                denoise, noise, times, mix=lambda guess, e, then: guess
            ),
            "You hand the clean guess to the next step. The network expects a vector with the "
            "noise of that time: put the two together again.",
        ),
        Mistake(
            "old noise",
            lambda denoise, noise, times: _walk(
                denoise, noise, times, noise_in=lambda z, guess, now: noise
            ),
            "You mix in the noise that you began with. Take the noise that z_t holds by the "
            "present guess: (z_t - alpha guess) / t.",
        ),
        Mistake(
            "new noise",
            lambda denoise, noise, times: _walk(
                denoise, noise, times, noise_in=lambda z, guess, now: torch.randn_like(z)
            ),
            "You draw new noise in each step. That samples, too (with less of it), but here the "
            "noise is what z_t holds by the guess: (z_t - alpha guess) / t.",
        ),
        Mistake(
            "told the next time",
            lambda denoise, noise, times: _walk(denoise, noise, times, told=lambda now, then: then),
            "You tell the network the next time. It has to know how much noise there is now.",
        ),
        Mistake(
            "noise not divided by t",
            lambda denoise, noise, times: _walk(
                denoise,
                noise,
                times,
                noise_in=lambda z, guess, now: z - (1 - now.square()).sqrt() * guess,
            ),
            "z_t - alpha guess is t times the noise: divide by t.",
        ),
        Mistake(
            "guess does not fade",
            lambda denoise, noise, times: _walk(
                denoise, noise, times, noise_in=lambda z, guess, now: (z - guess) / now
            ),
            "To find the noise you subtract the guess itself. In z_t it has faded: subtract alpha "
            "times the guess.",
        ),
        Mistake(
            "fades no more on the way back",
            lambda denoise, noise, times: _walk(
                denoise, noise, times, mix=lambda guess, e, then: guess + then * e
            ),
            "The noise for the next time is right, the guess should fade as well: times alpha of "
            "that time.",
        ),
        Mistake(
            "mixed at the present time",
            lambda denoise, noise, times: _walk(
                denoise, noise, torch.cat((times[:-1], times[-2:-1]))
            ),
            "Your last step does not reach t = 0, so a rest of noise stays.",
        ),
        Mistake(
            "backwards",
            lambda denoise, noise, times: _walk(
                denoise,
                noise,
                times.flip(0),
                noise_in=lambda z, guess, now: (
                    (z - (1 - now.square()).sqrt() * guess) / now.clamp(min=1e-6)
                ),
            ),
            "You go from t = 0 to t = 1. The way back begins with noise, at 1.",
        ),
    ),
    hints=(
        "For each pair of neighbouring times, now and then: guess z, find the noise in z_t, mix "
        "the two for the next time.",
        "guess = denoise(z, now.expand(len(z), 1)); the noise is (z - (1 - now**2).sqrt() * "
        "guess) / now.",
        "z = (1 - then**2).sqrt() * guess + then * noise, for now, then in zip(times, times[1:]).",
    ),
)

EXERCISES = (DENOISING_LOSS, SAMPLE_DIFFUSION)
