"""Sampling: the prior, the mixture and the paths between two latent vectors."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import svae_lib as sv
from svae_lib.inference import decode_all, encode_all, reconstruct_all
from svae_lib.sampling import prior_latents


def two_clouds(n: int = 2000) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(n, 2, generator=generator) * torch.tensor([0.5, 0.1])
    z[: n // 4] += torch.tensor([5.0, 0.0])
    z[n // 4 :] -= torch.tensor([5.0, 0.0])
    return z


def test_the_mixture_has_the_moments_of_what_it_was_fitted_on() -> None:
    z = two_clouds()
    samples = sv.LatentMixture(2).fit(z).sample(40_000, seed=1)
    assert samples.dtype == torch.float32 and samples.shape == (40_000, 2)
    torch.testing.assert_close(samples.mean(0), z.mean(0), atol=0.1, rtol=0)
    torch.testing.assert_close(samples.T.cov(), z.T.cov(), atol=0.2, rtol=0.02)
    assert (samples[:, 0] > 0).float().mean().item() == pytest.approx(0.25, abs=0.01)


def test_the_mixtures_latents_are_correlated_as_those_it_was_fitted_on() -> None:
    """In a thin diagonal cloud the order of a factor's rows and columns matters."""
    generator = torch.Generator().manual_seed(0)
    factor = torch.tensor([[1.0, 0.0], [2.0, 0.3]])
    z = torch.randn(5000, 2, generator=generator) @ factor.T
    samples = sv.LatentMixture(1).fit(z).sample(40_000)
    torch.testing.assert_close(samples.T.cov(), factor @ factor.T, atol=0.1, rtol=0.05)


def test_the_fit_is_seeded() -> None:
    z = torch.rand(300, 2, generator=torch.Generator().manual_seed(0))
    one, same, other = (sv.LatentMixture(5, seed=s).fit(z).sample(20) for s in (1, 1, 2))
    assert torch.equal(one, same) and not torch.equal(one, other)


def test_regularisation_is_the_least_variance() -> None:
    z = torch.randn(400, 2, generator=torch.Generator().manual_seed(0))
    z[:, 1] = 0.7  # a collapsed latent variable
    samples = sv.LatentMixture(1, regularisation=0.25).fit(z).sample(20_000)
    assert samples[:, 1].var().item() == pytest.approx(0.25, rel=0.05)


def test_mixture_samples_are_shuffled_and_seeded() -> None:
    mixture = sv.LatentMixture(2).fit(two_clouds())
    right = mixture.sample(1000, seed=4)[:, 0] > 0
    first, second = right[:500].float().mean(), right[500:].float().mean()
    assert abs(first - second) < 0.1  # grouped by component, one half would hold none
    assert torch.equal(mixture.sample(10, seed=4), mixture.sample(10, seed=4))
    assert not torch.equal(mixture.sample(10, seed=4), mixture.sample(10, seed=5))


def test_covariances_stay_positive_definite_with_few_vectors_per_component() -> None:
    z = torch.randn(40, 16, generator=torch.Generator().manual_seed(0))
    z[:, 3] = 0.7  # a collapsed latent variable
    mixture = sv.LatentMixture(20).fit(z)
    samples = mixture.sample(500)
    assert samples.isfinite().all()
    assert (samples[:, 3] - 0.7).abs().max() < 0.5


def test_sampling_before_fitting_is_refused(tiny) -> None:
    mixture = sv.LatentMixture(3)
    with pytest.raises(sv.InputError, match="not fitted yet: call fit"):
        mixture.sample(5)
    with pytest.raises(sv.InputError, match="not fitted yet"):
        sv.sample_mixture(sv.VAE(tiny).eval(), mixture, 5)


@pytest.mark.parametrize(
    ("latents", "message"),
    [
        (torch.zeros(3, 2), "too few for 5 components"),
        (torch.zeros(9), r"\(N, L\)"),
        (torch.full((9, 2), float("nan")), "NaN"),
        (np.zeros((9, 2)), "latents must be a torch tensor, not ndarray"),
    ],
)
def test_latents_that_cannot_be_fitted(latents, message) -> None:
    with pytest.raises(sv.InputError, match=message):
        sv.LatentMixture(5).fit(latents)


def test_prior_latents_are_standard_gaussian_and_seeded() -> None:
    z = prior_latents(20_000, 3, seed=2)
    torch.testing.assert_close(z.T.cov(), torch.eye(3), atol=0.03, rtol=0)
    assert torch.equal(z, prior_latents(20_000, 3, seed=2))
    with pytest.raises(sv.InputError, match="at least 1"):
        prior_latents(0, 3)


def test_interpolation_has_both_ends_and_keeps_the_length_on_the_circle() -> None:
    z0, z1 = torch.tensor([3.0, 0.0]), torch.tensor([0.0, 3.0])
    circle, line = sv.interpolate(z0, z1, 5), sv.interpolate(z0, z1, 5, "linear")
    for path in (circle, line):
        torch.testing.assert_close(path[0], z0)
        torch.testing.assert_close(path[-1], z1, atol=1e-6, rtol=0)
    torch.testing.assert_close(circle.norm(dim=1), torch.full((5,), 3.0))
    torch.testing.assert_close(line[2], torch.tensor([1.5, 1.5]))
    assert sv.interpolate(z0, 2 * z0, 3).isfinite().all()


def test_interpolation_between_parallel_vectors_is_finite() -> None:
    """Rounding puts the cosine of some of them above 1."""
    for z in torch.randn(50, 32, generator=torch.Generator().manual_seed(0)):
        torch.testing.assert_close(sv.interpolate(z, z, 3), z.expand(3, -1))
        assert sv.interpolate(z, -3 * z, 4).isfinite().all()


def test_interpolation_refuses_nonsense() -> None:
    with pytest.raises(sv.InputError, match="one length"):
        sv.interpolate(torch.zeros(2), torch.zeros(3), 4)
    with pytest.raises(sv.InputError, match="at least 2"):
        sv.interpolate(torch.zeros(2), torch.zeros(2), 1)
    with pytest.raises(sv.InputError, match="not 'slerp'"):
        sv.interpolate(torch.zeros(2), torch.ones(2), 3, path="slerp")


def test_batches_do_not_change_the_result(tiny, blobs) -> None:
    model = sv.build_model("split-vae", tiny).eval()
    mu, log_var = encode_all(model, blobs[:10], batch_size=3)
    whole_mu, whole_log_var = encode_all(model, blobs[:10])
    torch.testing.assert_close(mu, whole_mu)
    torch.testing.assert_close(log_var, whole_log_var)
    small, whole = decode_all(model, mu, batch_size=4), reconstruct_all(model, blobs[:10])
    for name in ("x_hat", "components", "weights"):
        torch.testing.assert_close(getattr(small, name), getattr(whole, name))


def test_a_model_in_training_mode_is_refused(tiny, blobs) -> None:
    model = sv.build_model("vae", tiny)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    with pytest.raises(sv.InputError, match=r"model\.eval"):
        sv.sample_prior(model, 2)
    with pytest.raises(sv.InputError, match=r"model\.eval"):
        encode_all(model, blobs)
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())


def test_samples_are_images(tiny, blobs) -> None:
    model = sv.build_model("split-vae", tiny).eval()
    mixture = sv.LatentMixture(3).fit(encode_all(model, blobs)[0])
    for out in (sv.sample_prior(model, 7), sv.sample_mixture(model, mixture, 7)):
        assert out.x_hat.shape == (7, 1, 16, 16)
        assert np.isfinite(out.x_hat.numpy()).all() and 0 <= out.x_hat.min() <= out.x_hat.max() <= 1


def test_other_seeds_give_other_samples(tiny, blobs) -> None:
    model = sv.build_model("vae", tiny).eval()
    mixture = sv.LatentMixture(3).fit(encode_all(model, blobs)[0])
    for draw in (
        lambda seed: sv.sample_prior(model, 2, seed).x_hat,
        lambda seed: sv.sample_mixture(model, mixture, 2, seed).x_hat,
    ):
        assert torch.equal(draw(1), draw(1)) and not torch.equal(draw(1), draw(2))
