"""New images: from the prior, from a mixture, between two images, or with a part set by hand.

A VAE's decoder is trained on the aggregate posterior (all training images' posteriors together),
not on the prior N(0, 1) that it is meant to match. A density fitted to the posterior means closes
most of that gap: Ghosh et al., "From variational to deterministic autoencoders", ICLR 2020,
section 4, and the Split VAE's authors. (The second stage is another way: see
:class:`svae_lib.baselines.SecondStage`.)

N images, C channels, H x W pixels, L latent variables.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from .inference import decode_all
from .models import VAE, Decoded
from .support.checks import InputError, check_counts, check_positive, check_tensors, check_values
from .support.devices import as_float64

Way = Literal["linear", "spherical"]


def prior_latents(n: int, latent_dim: int, seed: int = 0) -> Tensor:
    """Draw latent vectors from the prior N(0, 1): float32 (n, latent_dim)."""
    check_counts(n=n)
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, latent_dim, generator=generator, dtype=torch.float32)


def sample_prior(model: VAE, n: int, seed: int = 0) -> Decoded:
    """Decode ``n`` latent vectors drawn from the prior: images (n, C, S, S) on the CPU."""
    return decode_all(model, prior_latents(n, model.config.latent_dim, seed))


class LatentMixture:
    """Full-covariance Gaussian mixture over latent vectors, fitted to posterior means.

    Fit it on *training* images. (The authors fit theirs on the test images that their FID is also
    measured against; see :mod:`svae_lib.experiments.evaluation` for that protocol and its name.)

    Args:
        components: Gaussians in the mixture; the authors use 100.
        regularisation: added to the covariances' diagonals, which keeps them positive definite
            even where a component holds fewer vectors than dimensions.
        seed: seeds the fit.
    """

    def __init__(self, components: int = 100, regularisation: float = 1e-3, seed: int = 0) -> None:
        check_counts(components=components)
        check_counts(lowest=0, seed=seed)
        check_positive(or_zero=True, regularisation=regularisation)
        from sklearn.mixture import GaussianMixture  # here: its import takes a second or two

        self.components = components
        self._mixture = GaussianMixture(  # of full covariances by default
            components, reg_covar=regularisation, random_state=seed, max_iter=200
        )

    def fit(self, latents: Tensor) -> LatentMixture:
        """Fit to posterior means, float (N, L), and return self."""
        check_tensors(latents=latents)
        if latents.ndim != 2:
            raise InputError(f"latents must have the shape (N, L), not {tuple(latents.shape)}.")
        if len(latents) < self.components:
            raise InputError(
                f"{len(latents)} latent vectors are too few for {self.components} components: "
                "use more images or fewer components."
            )
        if not latents.isfinite().all():
            raise InputError("latents contain NaN or infinity: the model may have diverged.")
        self._mixture.fit(as_float64(latents).numpy())
        return self

    def sample(self, n: int, seed: int = 0) -> Tensor:
        """Draw ``n`` latent vectors, float32 (n, L), in random order."""
        if not hasattr(self._mixture, "weights_"):
            raise InputError("the mixture is not fitted yet: call fit(posterior_means) first.")
        check_counts(n=n)
        check_counts(lowest=0, seed=seed)
        rng = np.random.default_rng(seed)
        # scikit-learn returns samples sorted by component; drawing the components ourselves
        # gives them shuffled, so that any part of the result is a fair sample.
        mixture = self._mixture
        chosen = rng.choice(self.components, size=n, p=mixture.weights_ / mixture.weights_.sum())
        z = rng.standard_normal((n, mixture.means_.shape[1]))
        for k in np.unique(chosen):
            rows = chosen == k
            z[rows] = z[rows] @ np.linalg.cholesky(mixture.covariances_[k]).T + mixture.means_[k]
        return torch.from_numpy(z).float()


def sample_mixture(model: VAE, mixture: LatentMixture, n: int, seed: int = 0) -> Decoded:
    """Decode ``n`` latent vectors drawn from a fitted mixture: images (n, C, S, S) on the CPU."""
    return decode_all(model, mixture.sample(n, seed))


def interpolate(z0: Tensor, z1: Tensor, steps: int, path: Way = "spherical") -> Tensor:
    """Latent vectors (steps, L) on the way from ``z0`` to ``z1``, both ends included.

    A straight line between two Gaussian vectors passes through lengths that the prior hardly ever
    has; the great circle keeps the length (White, "Sampling generative networks",
    arXiv:1609.04468, section 2.1).

    Args:
        z0: start, float (L,).
        z1: end, float (L,).
        steps: vectors in all, at least 2.
        path: along a line or along a great circle.
    """
    check_tensors(z0=z0, z1=z1)
    if z0.ndim != 1 or z0.shape != z1.shape:
        raise InputError(
            f"z0 and z1 must be vectors of one length, not {tuple(z0.shape)}, {tuple(z1.shape)}."
        )
    if path not in get_args(Way):
        raise InputError(f"path must be one of {get_args(Way)}, not {path!r}.")
    check_counts(lowest=2, steps=steps)
    t = torch.linspace(0, 1, steps, dtype=z0.dtype, device=z0.device)[:, None]
    cosine = torch.nn.functional.cosine_similarity(z0, z1, dim=0).clamp(-1, 1)
    angle = torch.arccos(cosine)
    if path == "linear" or torch.sin(angle) < 1e-6:  # no great circle through parallel vectors
        return (1 - t) * z0 + t * z1
    return (torch.sin((1 - t) * angle) * z0 + torch.sin(t * angle) * z1) / torch.sin(angle)


# ---------------------------------------------------------------------- a part set by hand


def sharpen(sigma: Tensor, sharpness: float) -> Tensor:
    """Push a map towards 0 and 1, or back towards 1/2: sigma^t / (sigma^t + (1 - sigma)^t).

    It multiplies the log-odds of sigma by t: sigmoid(t * logit(sigma)). With t = 1 the map stays,
    with t = 0 it is 1/2 everywhere, and as t grows each pixel becomes a choice of one image. 1/2
    is fixed, the order of the pixels stays, and the weight of x2 is sharpened alike:
    sharpen(1 - sigma, t) = 1 - sharpen(sigma, t).

    Args:
        sigma: values in [0, 1], any shape.
        sharpness: t, at least 0 (a negative one would swap the images).
    """
    check_positive(or_zero=True, sharpness=sharpness)
    if sharpness == 0:  # 0 times the infinite log-odds of a sigma of exactly 0 or 1 has no value
        return torch.full_like(sigma, 0.5)
    return torch.sigmoid(sharpness * torch.logit(sigma))


def mix(
    output: Decoded,
    sigma: Tensor | float | None = None,
    *,
    swap: bool = False,
    sharpness: float = 1.0,
) -> Decoded:
    """The mixture of a split's two images under another map.

    In this order: the map is replaced, then sharpened; then x1 and x2 change places under it, so
    that sigma weighs what was x2.

    Args:
        output: what a SplitVAE with two components returns.
        sigma: the map to use, in [0, 1]: (N, 1, H, W), one value per image (N, 1, 1, 1), or one
            number; None keeps the model's own.
        swap: exchange x1 and x2, but not the map.
        sharpness: t of :func:`sharpen`; 1 leaves the map as it is.
    """
    if output.components is None or output.components.shape[1] != 2:
        raise InputError("only a split into two images can be mixed anew: use a SplitVAE's output.")
    weight = output.sigma_map if sigma is None else _as_map(sigma, output.sigma_map)
    if sharpness != 1:
        weight = sharpen(weight, sharpness)
    components = output.components.flip(1) if swap else output.components  # (N, 2, C, H, W)
    weights = torch.stack((weight, 1 - weight), dim=1)  # (N, 2, 1, H, W)
    return Decoded((weights * components).sum(dim=1), components, weights)


def _as_map(sigma: Tensor | float, like: Tensor) -> Tensor:
    values = torch.as_tensor(sigma, dtype=like.dtype, device=like.device)
    sizes = zip(values.shape, like.shape, strict=False)
    if values.ndim not in (0, 4) or not all(own in (1, full) for own, full in sizes):
        raise InputError(
            f"sigma must be one number or a map of the shape {tuple(like.shape)}, not "
            f"{tuple(values.shape)}."
        )
    check_values(values, "sigma", slack=0.0)
    return values.expand_as(like)
