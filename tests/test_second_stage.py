"""The second stage: it learns a distribution that is not Gaussian, and refuses strangers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import svae_lib as sv
from svae_lib.baselines import SecondStage
from svae_lib.experiments.checkpoints import load_weights, save_weights


def ring(n: int, seed: int) -> torch.Tensor:
    """Points on a noisy circle of radius 3 around (5, -2): float32 (n, 2)."""
    generator = torch.Generator().manual_seed(seed)
    angle = 2 * torch.pi * torch.rand(n, generator=generator)
    points = 3 * torch.stack((angle.cos(), angle.sin()), dim=1) + torch.tensor([5.0, -2.0])
    return points + 0.1 * torch.randn(n, 2, generator=generator)


@pytest.mark.thorough
def test_it_learns_what_a_gaussian_cannot() -> None:
    points = ring(2000, seed=0)
    stage = SecondStage(2, width=64, steps=1500, seed=0)
    stage.fit(points, torch.full_like(points, -10.0))
    samples = stage.sample(2000, seed=1)
    assert samples.shape == (2000, 2) and samples.dtype == torch.float32
    assert not samples.requires_grad
    centre = torch.tensor([5.0, -2.0])
    radius = (samples - centre).norm(dim=1)
    gaussian = points.mean(dim=0) + torch.randn(2000, 2) @ torch.linalg.cholesky(points.T.cov()).T
    hole = ((gaussian - centre).norm(dim=1) < 1.5).float().mean()
    assert (radius < 1.5).float().mean() < hole / 3  # hardly any inside the ring
    assert (samples.mean(dim=0) - centre).abs().max() < 0.5


def test_the_same_seed_gives_the_same_samples() -> None:
    points = ring(100, seed=0)
    state = torch.get_rng_state()
    a, b = (
        SecondStage(2, width=8, steps=5, seed=3).fit(points, points * 0).sample(7, seed=1)
        for _ in range(2)
    )
    assert torch.equal(a, b)
    assert torch.equal(state, torch.get_rng_state())
    other = SecondStage(2, width=8, steps=5, seed=4).fit(points, points * 0).sample(7, seed=1)
    assert not torch.equal(a, other)


def test_the_seed_is_also_that_of_the_fit() -> None:
    points, (a, b) = ring(100, seed=0), (SecondStage(2, width=8, steps=5, seed=s) for s in (3, 4))
    b.load_state_dict(a.state_dict())
    first, second = (stage.fit(points, points * 0).sample(7) for stage in (a, b))
    assert not torch.equal(first, second)


def test_samples_have_gammas_noise_on_the_first_stages_scale() -> None:
    stage = SecondStage(2, width=8, steps=1).fit(ring(100, seed=0), torch.zeros(100, 2))
    for parameter in stage.decoder.parameters():
        torch.nn.init.zeros_(parameter)  # it answers 0 to all
    stage.gamma.fill_(0.04)
    stage.mean, stage.std = torch.tensor([5.0, -2.0]), torch.tensor([1.0, 10.0])
    samples = stage.sample(10_000)
    assert samples.mean(dim=0) == pytest.approx(stage.mean, abs=0.1)
    assert samples.std(dim=0) == pytest.approx(0.2 * stage.std, rel=0.05)


def test_the_learning_rate_ends_at_zero() -> None:
    stage, seen = SecondStage(2, width=8, steps=50), []
    inner = stage._loss

    def recording(*args: torch.Tensor) -> sv.objective.Loss:
        seen.append(stage.decoder.last.weight.detach().clone())
        return inner(*args)

    stage._loss = recording  # type: ignore[method-assign]
    stage.fit(ring(100, seed=0), torch.full((100, 2), -10.0))
    first, last = seen[1] - seen[0], stage.decoder.last.weight - seen[-1]
    assert last.abs().max() < 0.05 * first.abs().max()  # Adam's steps have the rate's size


def test_the_posteriors_noise_is_part_of_what_is_learnt() -> None:
    """All means equal: the samples' spread can only come from the posteriors' variances."""
    mu = torch.zeros(50, 2)
    stage = SecondStage(2, width=32, steps=400).fit(mu, torch.full_like(mu, 2.0).log() * 2)
    assert stage.sample(2000).std(dim=0) == pytest.approx(torch.full((2,), 2.0), rel=0.15)


def test_strangers_are_refused() -> None:
    stage = SecondStage(2, width=8, steps=1)
    with pytest.raises(sv.InputError, match="not fitted"):
        stage.sample(3)
    with pytest.raises(sv.InputError, match=r"\(N, 2\)"):
        stage.fit(torch.zeros(5, 3), torch.zeros(5, 3))
    with pytest.raises(sv.InputError, match="NaN"):
        stage.fit(torch.full((5, 2), torch.nan), torch.zeros(5, 2))
    with pytest.raises(sv.InputError, match="steps"):
        SecondStage(2, steps=0)
    stage.fit(torch.zeros(5, 2), torch.zeros(5, 2))
    with pytest.raises(sv.InputError, match="at least 1"):
        stage.sample(0)


def test_the_state_dict_holds_all_that_sampling_needs(tmp_path: Path) -> None:
    points = torch.randn(200, 2, generator=torch.Generator().manual_seed(0)) * 3 + 1
    stage = SecondStage(2, width=8, steps=20).fit(points, points * 0)
    save_weights(tmp_path / "stage.safetensors", stage)
    other = SecondStage(2, width=8, steps=20, seed=7)
    load_weights(other, tmp_path / "stage.safetensors")
    torch.testing.assert_close(other.sample(50, seed=1), stage.sample(50, seed=1), rtol=0, atol=0)


def test_one_image_is_refused_and_so_are_arrays() -> None:
    stage = SecondStage(2, width=8, steps=1)
    with pytest.raises(sv.InputError, match="at least two"):
        stage.fit(torch.zeros(1, 2), torch.zeros(1, 2))
    with pytest.raises(sv.InputError, match=r"torch\.from_numpy"):
        stage.fit(torch.zeros(5, 2).numpy(), torch.zeros(5, 2))  # type: ignore[arg-type]


def test_building_leaves_the_generators_of_gpus_alone(monkeypatch, tiny) -> None:
    seeded: list[int] = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeded.append)
    before = torch.get_rng_state()
    SecondStage(2, width=8, seed=3)
    sv.build_model("vae", tiny, seed=3)
    assert not seeded and torch.equal(before, torch.get_rng_state())
