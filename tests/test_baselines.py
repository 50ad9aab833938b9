"""The baselines: each objective against its definition, equal sizes, one trainer for all."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import nn

import svae_lib as sv
from svae_lib.baselines import AE, POINT_LOG_VAR, RAEGP, RAEL2, BetaVAE, is_deterministic
from svae_lib.experiments.checkpoints import MODEL_KINDS, build_model, kind_of
from svae_lib.support.devices import autocast

TINY = sv.ModelConfig(image_size=16, latent_dim=3, base_dim=2, embedding_dim=8, num_scales=2)
BASELINES = [kind for kind in MODEL_KINDS if kind not in ("vae", "split-vae")]


@pytest.fixture
def x() -> torch.Tensor:
    return torch.rand(6, 1, 16, 16, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def noise() -> torch.Tensor:
    return torch.randn(6, 3, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("preset", ["quick", "mnist", "cifar10", "celeba"])
def test_sizes_are_equal_within_two_per_cent(preset: str) -> None:
    config = sv.PRESETS[preset].model
    with torch.device("meta"):
        counts = {
            kind: sv.parameter_count(cls(config))
            for kind, cls in MODEL_KINDS.items()
            if kind != "small-vae"  # no baseline: the course's quick experiment
        }
    assert max(counts.values()) <= 1.02 * min(counts.values()), counts


@pytest.mark.parametrize("kind", BASELINES)
def test_every_parameter_is_trained(kind: str, x: torch.Tensor, noise: torch.Tensor) -> None:
    model = build_model(kind, TINY).train()
    model.loss(x, noise, 1.0, 0.5).total.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name


@pytest.mark.parametrize("kind", BASELINES)
def test_one_trainer_for_all(kind: str) -> None:
    images = torch.randint(0, 256, (40, 1, 16, 16), dtype=torch.uint8)
    config = sv.TrainConfig(steps=30, batch_size=20, learning_rate=3e-3, log_every=10)
    history = sv.train(build_model(kind, TINY), images, config, device="cpu", progress=False)
    assert history["mse"][-1] < history["mse"][0]


def test_beta_vae_has_a_fixed_gamma(x: torch.Tensor, noise: torch.Tensor) -> None:
    model = build_model("beta-vae", TINY).eval()
    out = model(x, noise)
    expected = (x - out.x_hat).square().sum() / 6 + 3 * sv.kl_divergence(out.mu, out.log_var).mean()
    for gamma in (1.0, 0.01):  # the running gamma makes no difference
        torch.testing.assert_close(model.loss(x, noise, gamma, 3.0).total, expected)


def test_an_autoencoder_answers_with_points(x: torch.Tensor, noise: torch.Tensor) -> None:
    model = build_model("ae", TINY).eval()
    mu, log_var = model.encode(x)
    assert (log_var == POINT_LOG_VAR).all()
    torch.testing.assert_close(model(x, noise).z, mu)
    error = (x - model.reconstruct(x).x_hat).square().sum() / 6
    loss = model.loss(x, noise, 0.1, 9.0)
    torch.testing.assert_close(loss.total, error)
    assert loss.kl == 0 and loss.mse.item() == pytest.approx(error.item() / 256)
    assert not hasattr(model.latent, "log_var")
    assert [is_deterministic(build_model(k, TINY)) for k in ("vae", "beta-vae", "rae-l2")] == [
        False,
        False,
        True,
    ]


def test_rae_l2(x: torch.Tensor, noise: torch.Tensor) -> None:
    model = build_model("rae-l2", TINY).eval()
    z, _ = model.encode(x)
    kernels = [
        layer.weight
        for part in (model.latent.back, model.decoder)
        for layer in part.modules()
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d)
    ]
    expected = (
        (x - model.decode(z).x_hat).square().sum() / 6
        + 0.7 * z.square().sum() / 2 / 6
        + RAEL2.penalty_weight * sum(k.square().sum() for k in kernels)
    )
    loss = model.loss(x, noise, 0.1, 0.7)
    torch.testing.assert_close(loss.total, expected)
    torch.testing.assert_close(loss.kl, z.square().sum() / 2 / 6)


def test_rae_gp_penalises_the_jacobian(x: torch.Tensor, noise: torch.Tensor) -> None:
    """Against the whole Jacobian of every image, built by autograd."""
    model = build_model("rae-gp", TINY).eval()
    z, _ = model.encode(x)
    change = torch.stack(
        [
            torch.autograd.functional.jacobian(
                lambda v: model.decode(v[None]).x_hat[0], row
            ).flatten(0, 2)
            @ u
            for row, u in zip(z.detach(), noise, strict=True)
        ]
    )  # (6, 256): J u of each image
    expected = (
        (x - model.decode(z).x_hat).square().sum() / 6
        + 0.7 * z.square().sum() / 2 / 6
        + RAEGP.penalty_weight * change.square().sum() / 6
    )
    torch.testing.assert_close(model.loss(x, noise, 0.1, 0.7).total, expected)


def test_the_penalties_gradient_is_right(x: torch.Tensor, noise: torch.Tensor) -> None:
    """Reverse over forward mode against a central difference along the gradient itself."""
    model = build_model("rae-gp", TINY).eval()
    model.penalty_weight = 50.0  # type: ignore[misc]  # so that the penalty rules the loss
    weight = model.decoder.start.weight
    (gradient,) = torch.autograd.grad(model.loss(x, noise, 1.0, 0.7).total, weight)
    direction, values = gradient / gradient.norm(), []
    with torch.no_grad():
        for shift in (2e-3, -4e-3):
            weight += shift * direction
            values.append(model.loss(x, noise, 1.0, 0.7).total.item())
    assert (values[0] - values[1]) / 4e-3 == pytest.approx(gradient.norm().item(), rel=1e-2)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
@pytest.mark.parametrize("kind", BASELINES)
def test_losses_in_half_precision(kind: str, precision, x: torch.Tensor, noise) -> None:
    model = build_model(kind, TINY)
    exact = model.loss(x, noise, 0.1, 0.7).total
    with autocast(precision, x.device):
        rough = model.loss(x, noise, 0.1, 0.7).total
    rough.backward()
    assert rough.item() == pytest.approx(exact.item(), rel=0.02)


@pytest.mark.parametrize("cls", [BetaVAE, AE, RAEL2, RAEGP])
def test_they_can_be_saved_and_loaded(cls: type[sv.VAE], tmp_path, x: torch.Tensor) -> None:
    kind = next(k for k, c in MODEL_KINDS.items() if c is cls)
    model = build_model(kind, dataclasses.replace(TINY, latent_dim=2)).eval()
    sv.save_model(tmp_path / "m.safetensors", model)
    loaded = sv.load_model(tmp_path / "m.safetensors")
    assert kind_of(loaded) == kind
    assert torch.equal(loaded.reconstruct(x).x_hat, model.reconstruct(x).x_hat)
