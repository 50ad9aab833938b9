"""New images: latent vectors from the prior or from a Gaussian mixture, and paths between two.

A VAE's decoder is trained on the aggregate posterior (all training images' posteriors together),
not on the prior N(0, 1) that it is meant to match. A density fitted to the posterior means closes
most of that gap: Ghosh et al., "From variational to deterministic autoencoders", ICLR 2020,
section 4, and the Split VAE's authors.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from .inference import decode_all
from .models import VAE, Decoded
from .support.checks import InputError, check_counts, check_tensors

Way = Literal["linear", "spherical"]


def prior_latents(n: int, latent_dim: int, seed: int = 0) -> Tensor:
    """Latent vectors from the prior N(0, 1): float32 (n, latent_dim).

    Raises:
        InputError: ``n`` is below 1.
    """
    check_counts(n=n)
    return torch.randn(n, latent_dim, generator=torch.Generator().manual_seed(seed))


def sample_prior(model: VAE, n: int, seed: int = 0) -> Decoded:
    """Decode ``n`` latent vectors drawn from the prior: images (n, C, S, S) on the CPU.

    Raises:
        InputError: ``n`` is below 1, or the model is in training mode.
    """
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

    Raises:
        InputError: ``components`` is below 1.
    """

    def __init__(self, components: int = 100, regularisation: float = 1e-3, seed: int = 0) -> None:
        check_counts(components=components)
        from sklearn.mixture import GaussianMixture  # here: its import takes a second or two

        self.components = components
        self._mixture = GaussianMixture(
            components,
            covariance_type="full",
            reg_covar=regularisation,
            random_state=seed,
            max_iter=200,
        )

    def fit(self, latents: Tensor) -> LatentMixture:
        """Fit to posterior means, float (N, L), and return self.

        Raises:
            InputError: no tensor, not a matrix, not finite, or fewer vectors than components.
        """
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
        self._mixture.fit(latents.detach().cpu().double().numpy())
        return self

    @property
    def is_fitted(self) -> bool:
        """Whether :meth:`fit` has been called."""
        return hasattr(self._mixture, "weights_")

    def sample(self, n: int, seed: int = 0) -> Tensor:
        """Draw ``n`` latent vectors, float32 (n, L), in random order.

        Raises:
            InputError: the mixture has not been fitted, or ``n`` is below 1.
        """
        if not self.is_fitted:
            raise InputError("the mixture is not fitted yet: call fit(posterior_means) first.")
        check_counts(n=n)
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
    """Decode ``n`` latent vectors drawn from a fitted mixture: images (n, C, S, S) on the CPU.

    Raises:
        InputError: as :meth:`LatentMixture.sample`, or the model is in training mode.
    """
    return decode_all(model, mixture.sample(n, seed))


def interpolate(z0: Tensor, z1: Tensor, steps: int, path: Way = "spherical") -> Tensor:
    """Latent vectors on the way from ``z0`` to ``z1``, both ends included.

    A straight line between two Gaussian vectors passes through lengths that the prior hardly ever
    has; the great circle keeps the length (White, "Sampling generative networks",
    arXiv:1609.04468, section 2.1).

    Args:
        z0: start, float (L,).
        z1: end, float (L,).
        steps: vectors in all, at least 2.
        path: along a line or along a great circle.

    Returns:
        float (steps, L).

    Raises:
        InputError: the ends differ in shape, an unknown path, or fewer than two steps.
    """
    if z0.ndim != 1 or z0.shape != z1.shape:
        raise InputError(
            f"z0 and z1 must be vectors of one length, not {tuple(z0.shape)}, {tuple(z1.shape)}."
        )
    if path not in get_args(Way):
        raise InputError(f"path must be one of {get_args(Way)}, not {path!r}.")
    if steps < 2:
        raise InputError(f"steps must be at least 2, both ends included, not {steps}.")
    t = torch.linspace(0, 1, steps, dtype=z0.dtype, device=z0.device)[:, None]
    cosine = torch.nn.functional.cosine_similarity(z0, z1, dim=0).clamp(-1, 1)
    angle = torch.arccos(cosine)
    if path == "linear" or torch.sin(angle) < 1e-6:  # no great circle through parallel vectors
        return (1 - t) * z0 + t * z1
    return (torch.sin((1 - t) * angle) * z0 + torch.sin(t * angle) * z1) / torch.sin(angle)
