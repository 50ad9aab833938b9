"""In a program with another default dtype, or without gradients, the library does the same."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch

import svae_lib as sv
from svae_lib import fid
from svae_lib.baselines import SecondStage
from svae_lib.experiments.checkpoints import MODEL_KINDS
from svae_lib.inference import decode_all, encode_all
from svae_lib.likelihood import fitted_gamma, likelihood_bound
from svae_lib.sampling import prior_latents


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


PROGRAMS = {
    "float64": lambda: default_dtype(torch.float64),
    "bf16": lambda: default_dtype(torch.bfloat16),
    "no_grad": torch.no_grad,
    "inference_mode": torch.inference_mode,
}


@pytest.fixture(params=PROGRAMS)
def program(request: pytest.FixtureRequest) -> Iterator[str]:
    with PROGRAMS[request.param]():
        yield request.param


@pytest.mark.parametrize("kind", MODEL_KINDS)
def test_models_are_float32(tiny: sv.ModelConfig, kind: str, program: str, blobs) -> None:
    model = sv.build_model(kind, tiny).eval()
    floats = {v.dtype for v in model.state_dict().values() if v.is_floating_point()}
    assert floats == {torch.float32}
    mu, log_var = encode_all(model, blobs)
    assert decode_all(model, mu).x_hat.dtype == mu.dtype == log_var.dtype == torch.float32
    assert prior_latents(2, 3).dtype == sv.RunningGamma(0.5).value.dtype == torch.float32


def test_the_second_stage_trains(program: str) -> None:
    generator = torch.Generator().manual_seed(0)
    mu = torch.randn(100, 3, generator=generator, dtype=torch.float32)
    stage = SecondStage(3, width=8, steps=20)
    before = stage.decoder.last.weight.detach().clone()
    samples = stage.fit(mu, -mu.abs()).sample(5)
    assert not torch.equal(before, stage.decoder.last.weight)
    assert samples.dtype == torch.float32 and not samples.requires_grad


def test_bounds_and_scores_are_the_same(tiny: sv.ModelConfig, blobs, program: str) -> None:
    def found() -> tuple[float, ...]:
        model = sv.build_model("split-vae", tiny).eval()
        model.load_state_dict(weights)
        gamma = fitted_gamma(model, blobs)
        bound = likelihood_bound(model, blobs, gamma, draws=2, progress=False)
        net = fid.network("lenet", device="cpu")
        score = fid.kid(blobs, decode_all(model, encode_all(model, blobs)[0]).x_hat, net)
        return gamma, bound.elbo, bound.bits_per_dim, score.value

    weights = sv.build_model("split-vae", tiny).state_dict()
    here = found()
    with torch.inference_mode(False), torch.enable_grad(), default_dtype(torch.float32):
        assert here == pytest.approx(found(), rel=1e-5)


def test_faces_are_the_same(program: str) -> None:
    images, factors = sv.data.draw_faces(3, seed=5, image_size=32)
    with torch.inference_mode(False), default_dtype(torch.float32):
        there, known = sv.data.draw_faces(3, seed=5, image_size=32)
    assert torch.equal(images, there) and torch.equal(factors, known)
    assert factors.dtype == torch.float32
