"""Every kind of model computes in every precision, whatever this processor would choose."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor

import svae_lib as sv
from svae_lib.baselines import SecondStage, is_deterministic
from svae_lib.experiments.checkpoints import MODEL_KINDS
from svae_lib.experiments.evaluation import evaluate
from svae_lib.experiments.scoring import Scoring
from svae_lib.inference import decode_all, encode_all
from svae_lib.likelihood import likelihood_bound
from svae_lib.sampling import mix
from svae_lib.support import devices
from svae_lib.support.devices import autocast, resolve_precision

CPU = torch.device("cpu")
PRECISIONS = ("float32", "bf16", "fp16")
MODELS = [(kind, 2) for kind in MODEL_KINDS] + [("split-vae", 3)]


@pytest.fixture(params=("bf16", "fp16"))
def precision(request) -> str:
    return request.param


def build(kind: str, components: int, tiny: sv.ModelConfig) -> sv.VAE:
    return sv.build_model(kind, dataclasses.replace(tiny, components=components))


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize(("kind", "components"), MODELS)
def test_every_kind_trains(kind, components, precision, tiny, fast, blobs) -> None:
    config = dataclasses.replace(fast, precision=precision, steps=15, accumulate=2, grad_clip=1.0)
    model = build(kind, components, tiny)
    before = {name: weight.clone() for name, weight in model.named_parameters()}
    trainer = sv.Trainer(model, blobs, config, "cpu")
    assert trainer.precision == precision
    history = trainer.fit(progress=False)
    assert history["mse"][-1] < history["mse"][0]
    for name, weight in model.named_parameters():
        assert weight.dtype == torch.float32
        # (Nothing depends on the bias of a layer that BatchNorm follows.)
        assert name.endswith("layer1.bias") or not torch.equal(weight, before[name]), name


@pytest.mark.parametrize(("kind", "components"), MODELS)
def test_losses_and_gradients_agree(kind, components, precision, tiny, blobs) -> None:
    model = build(kind, components, tiny).train()
    noise = torch.randn(64, 3, generator=torch.Generator().manual_seed(1))
    found = []
    for arithmetic in ("float32", precision):
        model.zero_grad()
        with autocast(arithmetic, CPU):
            loss = model.loss(blobs / 255, noise, 0.1, 0.7)
        loss.total.backward()
        found.append((loss.total.item(), model.latent.back.weight.grad.clone()))
    (exact, slope), (rough, rough_slope) = found
    assert rough == pytest.approx(exact, rel=0.02)
    assert (rough_slope - slope).norm() < 0.1 * slope.norm()


@pytest.mark.parametrize(("kind", "components"), MODELS)
def test_a_model_is_applied_and_scored(kind, components, precision, tiny, blobs) -> None:
    """Within the caller's autocast: latent vectors, changed splits, likelihood, scores."""
    model = build(kind, components, tiny).eval()
    with autocast(precision, CPU):
        found = applied(model, blobs)
    for name, value in applied(model, blobs).items():
        torch.testing.assert_close(found[name].float(), value, rtol=0.1, atol=0.1, msg=name)


def applied(model: sv.VAE, images: Tensor) -> dict[str, Tensor]:
    mu, log_var = encode_all(model, images)
    out = decode_all(model, mu)
    found = {"mu": mu, "log_var": log_var, "image": out.x_hat}
    if out.components is not None and out.weights is not None and out.components.shape[1] == 2:
        found["sharper"] = mix(out, swap=True, sharpness=3.0).x_hat
    if not is_deterministic(model):
        bound = likelihood_bound(model, images[:8], 0.1, draws=2, progress=False)
        found["bound"] = torch.tensor(bound.elbo / 1000)
        stage = SecondStage(3, steps=10, width=16).fit(mu, log_var)
        found["second stage"] = stage.sample(2000).mean(dim=0)
    return found


def test_evaluation(tiny, blobs) -> None:
    labels = torch.arange(64) % 10
    sets = sv.data.ImageSets(
        "blobs", blobs, blobs.flip(3), labels, labels, tuple("0123456789"), "drawn"
    )
    scoring = Scoring(n=16, mixture_components=2, second_stage_steps=5, likelihood_draws=2)
    model = build("split-vae", 3, tiny).eval()
    exact = evaluate(model, sets, scoring, progress=False)
    for precision in ("bf16", "fp16"):
        with autocast(precision, CPU):
            found = evaluate(model, sets, scoring, progress=False)
        for row, expected in zip(found.rows, exact.rows, strict=True):
            assert row.fid.value == pytest.approx(expected.fid.value, rel=0.3)


# ---------------------------------------------------------------------- the choice


@pytest.mark.parametrize("has_bf16", [True, False])
def test_auto_looks_at_the_processor(monkeypatch, has_bf16: bool) -> None:
    monkeypatch.delenv("SVAE_PRECISION", raising=False)
    monkeypatch.setattr(devices, "cpu_has_bf16", lambda: has_bf16)
    assert resolve_precision("auto", CPU) == ("bf16" if has_bf16 else "float32")
    assert resolve_precision("fp16", CPU) == "fp16"
    assert resolve_precision("auto", torch.device("mps")) == "float32"


@pytest.mark.parametrize("forced", PRECISIONS)
def test_the_choice_can_be_forced(monkeypatch, tiny, fast, blobs, forced: str) -> None:
    monkeypatch.setenv("SVAE_PRECISION", forced)
    auto = dataclasses.replace(fast, precision="auto")
    assert sv.Trainer(sv.VAE(tiny), blobs, auto, "cpu").precision == forced
    assert sv.Trainer(sv.VAE(tiny), blobs, fast, "cpu").precision == "float32"  # it is set
    monkeypatch.setenv("SVAE_PRECISION", "int8")
    with pytest.raises(sv.InputError, match="SVAE_PRECISION"):
        sv.Trainer(sv.VAE(tiny), blobs, auto, "cpu")


@pytest.mark.parametrize("kind", MODEL_KINDS)
def test_images_have_all_their_greys_in_bf16(kind: str, tiny: sv.ModelConfig) -> None:
    """Above 1/2, bf16 itself knows fewer values than bytes have."""
    model = sv.build_model(kind, tiny).eval()
    z = torch.randn(200, 3, generator=torch.Generator().manual_seed(0))
    with torch.no_grad(), autocast("bf16", CPU):
        x_hat = model.decode(z).x_hat
    assert x_hat.dtype == torch.float32
    assert not torch.equal(x_hat, x_hat.bfloat16().float())
