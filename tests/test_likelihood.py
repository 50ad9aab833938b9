"""Bounds on log p(x): exact where the answer is known, ordered as theory says."""

from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import MultivariateNormal, Normal

import svae_lib as sv
from svae_lib.data import to_float
from svae_lib.inference import decode_all, encode_all
from svae_lib.likelihood import fitted_gamma, likelihood_bound, log_density, log_probability
from svae_lib.models import Decoded

CONFIG = sv.ModelConfig(image_size=16, latent_dim=2, base_dim=2, embedding_dim=4, num_scales=2)
GAMMA = 0.02


class Linear(sv.VAE):
    """x = 1/2 + W z + noise: p(x) and the true posterior are Gaussians, and known."""

    def __init__(self, spread: float = 1.0) -> None:
        super().__init__(CONFIG)
        generator = torch.Generator().manual_seed(1)
        w = 0.02 * torch.randn(256, 2, generator=generator)
        # Columns at right angles, so that the true posterior has no correlations either.
        w[:, 1] -= w[:, 0] * (w[:, 0] @ w[:, 1]) / w[:, 0].square().sum()
        self.w, self.spread = w, spread
        self.precision = 1 + w.square().sum(dim=0) / GAMMA  # of the true posterior

    def encode(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        mu = (x.flatten(1) - 0.5) @ self.w / GAMMA / self.precision
        return mu, (self.spread**2 / self.precision).log().expand_as(mu)

    def decode(self, z: torch.Tensor) -> Decoded:
        return Decoded((0.5 + z @ self.w.T).unflatten(1, (1, 16, 16)))

    def log_p(self, images: torch.Tensor) -> torch.Tensor:
        covariance = self.w @ self.w.T + GAMMA * torch.eye(256)
        mean = torch.full((256,), 0.5, dtype=torch.float64)
        return MultivariateNormal(mean, covariance.double()).log_prob(
            to_float(images).flatten(1).double()
        )


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    near = 0.5 + 0.14 * torch.randn(6, 1, 16, 16, generator=generator)
    return sv.data.to_uint8(near.clamp(0, 1))


def test_with_the_true_posterior_one_draw_is_exact(images) -> None:
    model = Linear().eval()
    exact = model.log_p(images).mean().item()
    found = likelihood_bound(model, images, GAMMA, draws=3, progress=False)
    assert found.elbo == pytest.approx(exact, abs=2e-3)
    assert found.importance_weighted == pytest.approx(exact, abs=2e-3)


def test_more_draws_climb_from_the_elbo_towards_the_truth(images) -> None:
    model = Linear(spread=2.0).eval()
    exact = model.log_p(images).mean().item()
    # KL of the widened q from the true posterior: the gap of the ELBO, in closed form.
    gap = 2 * 0.5 * (4 - 1 - math.log(4))
    few, many = (likelihood_bound(model, images, GAMMA, draws=m, progress=False) for m in (2, 2000))
    assert many.elbo == pytest.approx(exact - gap, abs=0.1)
    assert many.elbo < few.importance_weighted < many.importance_weighted
    assert many.importance_weighted == pytest.approx(exact, abs=0.03)


def test_a_bytes_probabilities_sum_to_one() -> None:
    every = torch.arange(256, dtype=torch.uint8).view(256, 1, 1, 1)
    for answer in (0.0, 0.3, 1.0):
        for gamma in (1e-6, 0.01, 4.0):
            log_p = log_probability(every, torch.full((256, 1, 1, 1), answer), gamma)
            assert torch.logsumexp(log_p, dim=0).item() == pytest.approx(0, abs=1e-9)
            assert (log_p <= 0).all()


def test_bytes_far_from_the_answer_keep_finite_logarithms() -> None:
    for byte, answer in ((254, 0.0), (1, 1.0), (255, 0.0), (0, 1.0)):
        x = torch.full((1, 1, 1, 1), byte, dtype=torch.uint8)
        log_p = log_probability(x, torch.full((1, 1, 1, 1), answer), 1e-5).item()
        assert -60_000 < log_p < -40_000  # about -1 / (2 gamma)


def test_narrow_bytes_agree_with_the_density(images) -> None:
    x_hat = torch.full((6, 1, 16, 16), 0.5)
    inside = images.clamp(1, 254)  # at the ends a byte has more than an interval
    expected = log_density(inside, x_hat, GAMMA) - 256 * math.log(255)
    assert torch.allclose(log_probability(inside, x_hat, GAMMA), expected, atol=0.05)


def test_density_is_pytorchs(images) -> None:
    x_hat = torch.rand(6, 1, 16, 16, generator=torch.Generator().manual_seed(3))
    by_torch = Normal(x_hat.double(), math.sqrt(GAMMA)).log_prob(to_float(images).double())
    assert torch.allclose(log_density(images, x_hat, GAMMA), by_torch.flatten(1).sum(1), rtol=1e-5)


def test_a_trained_model_by_hand(images) -> None:
    model = sv.build_model("split-vae", CONFIG).eval()
    gamma = fitted_gamma(model, images, seed=5)
    mu, log_var = encode_all(model, images)
    noise = torch.randn(mu.shape, generator=torch.Generator().manual_seed(5))
    z = mu + noise * (log_var / 2).exp()
    x_hat = decode_all(model, z).x_hat
    assert gamma == pytest.approx((to_float(images) - x_hat).square().mean().item(), rel=1e-5)
    q = Normal(mu, (log_var / 2).exp()).log_prob(z).sum(1)
    joint = log_density(images, x_hat, gamma) + Normal(0, 1).log_prob(z).sum(1)
    found = likelihood_bound(model, images, gamma, draws=1, seed=5, progress=False)
    assert found.elbo == pytest.approx((joint - q).mean().item(), rel=1e-5)
    assert found.elbo == pytest.approx(found.importance_weighted)
    bits = -(log_probability(images, x_hat, gamma) + Normal(0, 1).log_prob(z).sum(1) - q)
    assert found.bits_per_dim == pytest.approx(bits.mean().item() / 256 / math.log(2), rel=1e-5)
    assert (found.gamma, found.draws, found.n) == (gamma, 1, 6)


def test_the_batch_size_changes_nothing_and_the_seed_does(images) -> None:
    model = sv.build_model("vae", CONFIG).eval()
    whole, parts, other = (
        likelihood_bound(model, images, 0.1, draws=3, seed=s, batch_size=b, progress=False)
        for s, b in ((0, 500), (0, 4), (1, 500))
    )
    assert whole.importance_weighted == pytest.approx(parts.importance_weighted, rel=1e-6)
    assert whole.importance_weighted != other.importance_weighted
    assert fitted_gamma(model, images, batch_size=4) == pytest.approx(fitted_gamma(model, images))


def test_the_fitted_gamma_is_the_best(images) -> None:
    model = sv.build_model("vae", CONFIG).eval()
    best = fitted_gamma(model, images)
    at = {
        factor: likelihood_bound(model, images, factor * best, draws=1, progress=False).elbo
        for factor in (0.9, 1.0, 1.1)
    }
    assert max(at, key=at.__getitem__) == 1.0


def test_it_tells_what_it_found(images) -> None:
    told = str(likelihood_bound(Linear().eval(), images, GAMMA, draws=2, progress=False))
    assert "bits per dimension" in told and "2 draws, 6 images" in told


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"gamma": 0.0}, "gamma must be positive"),
        ({"gamma": math.nan}, "gamma must be positive"),
        ({"draws": 0}, "draws must be at least 1"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"seed": -1}, "seed"),
    ],
)
def test_what_cannot_be_is_said(images, wrong, message) -> None:
    with pytest.raises(sv.InputError, match=message):
        likelihood_bound(Linear().eval(), images, **({"gamma": GAMMA, "progress": False} | wrong))


def test_gamma_takes_no_impossible_counts(images) -> None:
    with pytest.raises(sv.InputError, match="batch_size must be at least 1"):
        fitted_gamma(Linear().eval(), images, batch_size=0)
    with pytest.raises(sv.InputError, match="images are empty"):
        fitted_gamma(sv.build_model("vae", CONFIG).eval(), images[:0])


def test_a_model_without_a_posterior_has_no_likelihood(images) -> None:
    model = sv.build_model("ae", CONFIG).eval()
    with pytest.raises(sv.InputError, match="no posterior"):
        likelihood_bound(model, images, GAMMA)
    with pytest.raises(sv.InputError, match="no posterior"):
        fitted_gamma(model, images)
