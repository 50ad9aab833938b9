"""Sampling: the prior, the mixture and the paths between two latent vectors."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import svae_lib as sv
from svae_lib.inference import decode_all, encode_all, reconstruct_all
from svae_lib.models import Decoded
from svae_lib.sampling import mix, prior_latents, sharpen
from svae_lib.support.checks import InputError


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


def test_a_draw_without_a_seed_is_refused() -> None:
    mixture = sv.LatentMixture(2).fit(torch.randn(40, 2))
    for seed in (None, -1, 0.5):
        with pytest.raises(sv.InputError, match="seed must be"):
            mixture.sample(3, seed)


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
    with pytest.raises(sv.InputError, match="z0 must be a torch tensor"):
        sv.interpolate(np.zeros(2), np.zeros(2), 3)
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


# ---------------------------------------------------------------- a part set by hand


@pytest.fixture
def split() -> Decoded:
    """A split of 5 RGB images, drawn at random."""
    generator = torch.Generator().manual_seed(3)
    components = torch.rand(5, 2, 3, 8, 8, generator=generator)
    sigma = torch.rand(5, 1, 8, 8, generator=generator)
    weights = torch.stack((sigma, 1 - sigma), dim=1)
    return Decoded((weights * components).sum(dim=1), components, weights)


# ---------------------------------------------------------------- sharpening


def test_sharpen_is_the_ratio_of_powers() -> None:
    sigma = torch.linspace(0, 1, 21, dtype=torch.float64)
    for t in (0.0, 0.5, 1.0, 2.0, 3.5):
        expected = sigma**t / (sigma**t + (1 - sigma) ** t)
        torch.testing.assert_close(sharpen(sigma, t), expected)


def test_sharpen_treats_both_images_alike_and_ends_in_a_choice() -> None:
    sigma = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(sharpen(1 - sigma, 3.0), 1 - sharpen(sigma, 3.0))
    torch.testing.assert_close(sharpen(sharpen(sigma, 2.0), 3.0), sharpen(sigma, 6.0))
    assert torch.equal(sharpen(sigma, 1e6).round(), (sigma > 0.5).float())


@pytest.mark.parametrize("t", [-1.0, float("nan"), float("inf")])
def test_a_sharpness_without_meaning_is_refused(t: float) -> None:
    with pytest.raises(InputError, match="sharpness"):
        sharpen(torch.tensor([0.5]), t)


# ---------------------------------------------------------------- mixing


def test_nothing_changed_is_the_models_own_mixture(split: Decoded) -> None:
    again = mix(split)
    torch.testing.assert_close(again.x_hat, split.x_hat)
    assert torch.equal(again.sigma_map, split.sigma_map)


def test_a_constant_of_one_zero_and_a_half(split: Decoded) -> None:
    torch.testing.assert_close(mix(split, 1.0).x_hat, split.x1)
    torch.testing.assert_close(mix(split, 0.0).x_hat, split.x2)
    torch.testing.assert_close(mix(split, 0.5).x_hat, (split.x1 + split.x2) / 2)


def test_one_sigma_per_image(split: Decoded) -> None:
    each = torch.linspace(0, 1, 5)[:, None, None, None]
    mixed = mix(split, each)
    assert mixed.sigma_map.shape == split.sigma_map.shape
    torch.testing.assert_close(mixed.x_hat, each * split.x1 + (1 - each) * split.x2)


def test_swapping_the_images_is_turning_the_map_around(split: Decoded) -> None:
    swapped = mix(split, swap=True)
    assert torch.equal(swapped.x1, split.x2)
    assert torch.equal(swapped.sigma_map, split.sigma_map)
    torch.testing.assert_close(swapped.x_hat, mix(split, 1 - split.sigma_map).x_hat)
    # What the model emits, x and its mirror image add up to x1 + x2.
    torch.testing.assert_close(swapped.x_hat + split.x_hat, split.x1 + split.x2)


def test_the_map_is_replaced_then_sharpened(split: Decoded) -> None:
    torch.testing.assert_close(mix(split, 0.8, sharpness=2.0).sigma_map[0, 0, 0, 0].item(), 16 / 17)
    assert torch.equal(mix(split, sharpness=0.0).sigma_map, torch.full((5, 1, 8, 8), 0.5))


def test_mixing_leaves_its_argument_alone(split: Decoded) -> None:
    assert split.components is not None and split.weights is not None
    before = split.components.clone(), split.weights.clone()
    mix(split, 0.3, swap=True, sharpness=4.0)
    assert torch.equal(split.components, before[0])
    assert torch.equal(split.weights, before[1])


def test_what_cannot_be_mixed_is_refused(split: Decoded, tiny: sv.ModelConfig) -> None:
    with pytest.raises(InputError, match="split into two"):
        mix(Decoded(split.x_hat))
    for shape in ((5, 8, 8), (8,), (4, 1, 8, 8), (5, 3, 8, 8)):
        with pytest.raises(InputError, match="shape"):
            mix(split, torch.rand(shape))
    with pytest.raises(InputError, match=r"sigma must (lie in \[0, 1\]|not hold NaN)"):
        mix(split, 1.5)
    with pytest.raises(InputError, match=r"sigma must (lie in \[0, 1\]|not hold NaN)"):
        mix(split, float("nan"))


@pytest.mark.parametrize("wrong", [{"regularisation": -1.0}, {"seed": -1}, {"components": 0}])
def test_a_mixture_refuses_what_cannot_be_fitted(wrong: dict[str, float]) -> None:
    with pytest.raises(sv.InputError):
        sv.LatentMixture(**({"components": 2} | wrong))
