"""Reconstruction, KL and gamma against closed forms, Monte Carlo and autograd."""

from __future__ import annotations

import pytest
import torch
from torch.distributions import Normal
from torch.distributions import kl_divergence as torch_kl

import svae_lib as sv
from svae_lib.objective import pixel_variance


def test_reconstruction_error_sums_per_image() -> None:
    x = torch.zeros(2, 3, 4, 4)
    x_hat = torch.stack((torch.full((3, 4, 4), 0.5), torch.ones(3, 4, 4)))
    assert sv.reconstruction_error(x, x_hat).tolist() == [48 * 0.25, 48.0]


def test_kl_equals_pytorchs_summed_over_latent_variables() -> None:
    mu, log_var = torch.randn(7, 5, dtype=torch.float64), torch.randn(7, 5, dtype=torch.float64)
    prior = Normal(torch.zeros(()), torch.ones(()))
    expected = torch_kl(Normal(mu, (log_var / 2).exp()), prior).sum(dim=1)
    torch.testing.assert_close(sv.kl_divergence(mu, log_var), expected)


def test_kl_equals_its_monte_carlo_estimate() -> None:
    mu, log_var = torch.tensor([[0.7, -1.2]]), torch.tensor([[-1.0, 0.3]])
    posterior = Normal(mu, (log_var / 2).exp())
    generator = torch.Generator().manual_seed(0)
    z = mu + torch.randn(200_000, 2, generator=generator) * (log_var / 2).exp()
    ratio = posterior.log_prob(z) - Normal(0.0, 1.0).log_prob(z)
    assert sv.kl_divergence(mu, log_var).item() == pytest.approx(
        ratio.sum(dim=1).mean().item(), abs=0.02
    )


def test_kl_is_zero_at_the_prior_and_its_gradient_is_known() -> None:
    mu, log_var = torch.randn(3, 4, requires_grad=True), torch.randn(3, 4, requires_grad=True)
    assert sv.kl_divergence(torch.zeros(1, 4), torch.zeros(1, 4)).item() == 0
    sv.kl_divergence(mu, log_var).sum().backward()
    torch.testing.assert_close(mu.grad, mu.detach())  # d KL / d mu = mu
    torch.testing.assert_close(log_var.grad, (log_var.detach().exp() - 1) / 2)


def test_loss_is_the_mean_over_images_of_both_parts() -> None:
    x, x_hat = torch.rand(6, 3, 8, 8), torch.rand(6, 3, 8, 8)
    mu, log_var = torch.randn(6, 2), torch.randn(6, 2)
    loss = sv.variational_loss(x, x_hat, mu, log_var, gamma=0.2, beta=3.0)
    one_by_one = [
        ((a - b) ** 2).sum() / 0.4 + 3 * 0.5 * (m**2 + s.exp() - 1 - s).sum()
        for a, b, m, s in zip(x, x_hat, mu, log_var, strict=True)
    ]
    assert loss.total.item() == pytest.approx(torch.stack(one_by_one).mean().item(), rel=1e-5)
    assert loss.mse.item() == pytest.approx(((x - x_hat) ** 2).mean().item(), rel=1e-5)


def test_gradient_of_the_loss_by_finite_differences() -> None:
    x = torch.rand(2, 1, 2, 2, dtype=torch.float64)
    inputs = [torch.rand(2, 1, 2, 2, dtype=torch.float64, requires_grad=True)]
    inputs += [torch.randn(2, 3, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    assert torch.autograd.gradcheck(
        lambda x_hat, mu, lv: sv.variational_loss(x, x_hat, mu, lv, 0.1, 2.0).total, inputs
    )


def test_gamma_follows_the_authors_rule() -> None:
    gamma, running, expected = sv.RunningGamma(1.0), 1.0, 1.0
    for mse in (0.5, 0.1, 3.0, 0.02):
        gamma.update(torch.tensor(mse))
        running = 0.99 * running + 0.01 * mse
        expected = min(expected, running)
        assert gamma.running.item() == pytest.approx(running, rel=1e-6)
        assert gamma.value.item() == pytest.approx(expected, rel=1e-6)


def test_gamma_never_rises() -> None:
    gamma = sv.RunningGamma(0.1)
    gamma.update(torch.tensor(10.0))
    assert gamma.value.item() == pytest.approx(0.1)
    assert gamma.running.item() > 0.1


def test_both_starts_of_gamma() -> None:
    images = torch.randint(0, 256, (2500, 1, 4, 4), dtype=torch.uint8)
    expected = (images.double() / 255).var(dim=0, unbiased=False).mean().item()
    assert sv.RunningGamma.for_images(images, "one").value.item() == 1
    assert sv.RunningGamma.for_images(images, "data").value.item() == pytest.approx(expected)
    assert pixel_variance(images) == pytest.approx(expected, rel=1e-9)
    with pytest.raises(sv.InputError, match="not 'two'"):
        sv.RunningGamma.for_images(images, "two")
    with pytest.raises(sv.InputError, match="must be uint8"):
        pixel_variance(images / 255)


def test_images_that_are_all_alike_still_start_gamma_above_zero() -> None:
    alike = torch.full((5, 1, 4, 4), 7, dtype=torch.uint8)
    assert 0 < sv.RunningGamma.for_images(alike, "data").value.item() < 1e-4


def test_gamma_at_the_mse_maximises_the_likelihood() -> None:
    # Per pixel: log N(x; x_hat, gamma) has its maximum over gamma at the mean squared error.
    error = torch.randn(10_000, dtype=torch.float64) * 0.3
    mse = error.square().mean()

    def log_likelihood(gamma: torch.Tensor) -> torch.Tensor:
        return Normal(0.0, gamma.sqrt()).log_prob(error).mean()

    best = log_likelihood(mse)
    assert best > log_likelihood(mse * 1.1) and best > log_likelihood(mse * 0.9)


@pytest.mark.parametrize("function", [sv.reconstruction_error, sv.kl_divergence])
def test_unequal_shapes_are_refused(function) -> None:
    with pytest.raises(sv.InputError, match="one shape"):
        function(torch.zeros(2, 3), torch.zeros(2, 4))


def test_gamma_must_start_above_zero() -> None:
    with pytest.raises(sv.InputError, match="above 0"):
        sv.RunningGamma(0.0)


def test_bytes_and_arrays_are_refused_where_they_would_be_wrong() -> None:
    bright, dark = (torch.full((1, 1, 2, 2), v, dtype=torch.uint8) for v in (200, 10))
    with pytest.raises(sv.InputError, match="to_float"):
        sv.reconstruction_error(bright, dark)
    with pytest.raises(sv.InputError, match="mu must be a torch tensor, not ndarray"):
        sv.kl_divergence(torch.zeros(1, 2).numpy(), torch.zeros(1, 2).numpy())
