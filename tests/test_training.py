"""The loop: it learns, it is seeded, it can be stopped and resumed, and it notices trouble."""

from __future__ import annotations

import dataclasses
import math
import os
import signal

import pytest
import torch
from torch import Tensor

import svae_lib as sv
from svae_lib.checkpoints import restore_trainer, save_trainer
from svae_lib.training import METRICS


def trainer(config: sv.ModelConfig, train: sv.TrainConfig, images: Tensor, kind="split-vae"):
    return sv.Trainer(sv.build_model(kind, config, train.seed), images, train, "cpu")


def same_weights(a: torch.nn.Module, b: torch.nn.Module) -> bool:
    return all(torch.equal(v, b.state_dict()[k]) for k, v in a.state_dict().items())


@pytest.mark.parametrize("kind", ["vae", "split-vae"])
def test_training_learns(tiny, fast, blobs, kind: str) -> None:
    config = dataclasses.replace(fast, steps=150)
    t = trainer(tiny, config, blobs, kind)
    history = t.fit(progress=False)
    guess = sv.objective.pixel_variance(blobs)  # the error of the mean image
    assert history["mse"][-1] < 0.7 * guess
    assert history["gamma"] == sorted(history["gamma"], reverse=True)
    assert not t.model.training


def test_history_is_the_mean_over_its_steps(tiny, fast, blobs) -> None:
    t = trainer(tiny, fast, blobs)
    losses = []
    inner = t.train_step

    def recording():
        losses.append(inner())
        return losses[-1]

    t.train_step = recording
    history = t.fit(progress=False)
    assert history["step"] == [5, 10, 15, 20, 24]
    assert set(history) == {"step", "gamma", *METRICS}
    for entry, (a, b) in enumerate([(0, 5), (5, 10), (10, 15), (15, 20), (20, 24)]):
        mean = sum(loss.total.item() for loss in losses[a:b]) / (b - a)
        assert history["loss"][entry] == pytest.approx(mean, rel=1e-5)


def test_same_seed_same_weights(tiny, fast, blobs) -> None:
    a, b = trainer(tiny, fast, blobs), trainer(tiny, fast, blobs)
    other = trainer(tiny, dataclasses.replace(fast, seed=2), blobs)
    for t in (a, b, other):
        t.fit(8, progress=False)
    assert same_weights(a.model, b.model)
    assert not same_weights(a.model, other.model)


def test_an_epoch_shows_every_image_once_and_drops_the_incomplete_batch(tiny, fast, blobs) -> None:
    marked = blobs[:55].clone()
    marked[:, 0, 0, 0] = torch.arange(55, dtype=torch.uint8)
    t = trainer(tiny, fast, marked)
    assert t.batches_per_epoch == 3
    for epoch in (0, 1):
        seen = [t.batch(3 * epoch + i)[:, 0, 0, 0] * 255 for i in range(3)]
        assert len(set(torch.cat(seen).round().int().tolist())) == 48
    assert not torch.equal(t.batch(0), t.batch(3))


def test_noise_is_standard_gaussian_and_new_at_every_step(tiny, fast, blobs) -> None:
    t = trainer(tiny, fast, blobs)
    noise = torch.stack([t.noise(step) for step in range(400)])
    assert noise.mean().abs() < 0.03 and (noise.std() - 1).abs() < 0.03
    assert len({tuple(n[0].tolist()) for n in noise}) == 400


def test_learning_rate_schedule(tiny, fast, blobs) -> None:
    config = dataclasses.replace(
        fast, steps=110, warmup_steps=10, schedule="cosine", learning_rate=1.0
    )
    t = trainer(tiny, config, blobs)
    assert t.learning_rate(0) == pytest.approx(0.1)
    assert t.learning_rate(10) == pytest.approx(1.0)
    assert t.learning_rate(60) == pytest.approx(0.5)
    assert t.learning_rate(110) == pytest.approx(0.0)
    constant = trainer(tiny, dataclasses.replace(config, schedule="constant"), blobs)
    assert constant.learning_rate(60) == 1.0


def test_one_step_is_adam_on_the_loss(tiny, fast, blobs) -> None:
    ours, by_hand = trainer(tiny, fast, blobs), trainer(tiny, fast, blobs)
    ours.train_step()
    model = by_hand.model
    optimizer = torch.optim.Adam(model.parameters(), lr=fast.learning_rate, eps=1e-7)
    model.train()
    out = model(by_hand.batch(0), by_hand.noise(0))
    gamma = sv.objective.pixel_variance(blobs)
    loss = sv.variational_loss(by_hand.batch(0), out.x_hat, out.mu, out.log_var, gamma, fast.beta)
    loss.total.backward()
    optimizer.step()
    assert same_weights(ours.model, model)


def test_stopped_and_resumed_equals_never_stopped(tiny, fast, blobs, tmp_path) -> None:
    straight = trainer(tiny, fast, blobs)
    straight.fit(progress=False)
    stopped = trainer(tiny, fast, blobs)
    stopped.fit(13, progress=False)  # in the middle of an epoch and of a log entry
    save_trainer(tmp_path / "t.safetensors", stopped)
    resumed = trainer(tiny, fast, blobs)
    restore_trainer(resumed, tmp_path / "t.safetensors")
    resumed.fit(progress=False, steps=fast.steps - 13)
    assert same_weights(straight.model, resumed.model)
    assert straight.history == resumed.history
    assert torch.equal(straight.gamma.running, resumed.gamma.running)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_request_finishes_the_step_and_keeps_what_was_learnt(
    tiny, fast, blobs, number, capsys
) -> None:
    t = trainer(tiny, fast, blobs)
    handler = signal.getsignal(number)

    def ask(t: sv.Trainer) -> None:
        if t.step == 10:
            os.kill(os.getpid(), number)

    t.fit(on_log=[ask])
    assert t.step == 10
    assert "Stopped at step 10 of 24" in capsys.readouterr().out
    assert signal.getsignal(number) == handler
    t.fit(progress=False)
    whole = trainer(tiny, fast, blobs)
    whole.fit(progress=False)
    assert t.step == 24 and same_weights(t.model, whole.model)


def test_nan_stops_with_the_last_good_weights(tiny, fast, blobs) -> None:
    t = trainer(tiny, fast, blobs)
    t.fit(10, progress=False)
    good = {k: v.clone() for k, v in t.model.state_dict().items()}
    inner = t.model.loss

    def broken(*args):
        loss = inner(*args)
        loss.total = loss.total * float("nan")
        return loss

    t.model.loss = broken
    with pytest.raises(sv.TrainingDiverged, match=r"by step 15.*learning rate"):
        t.fit(10, progress=False)
    assert all(torch.equal(good[k], v) for k, v in t.model.state_dict().items())
    assert t.history["step"] == [5, 10]


def test_gradient_clipping_is_off_by_default_and_limits_the_step(tiny, fast, blobs) -> None:
    assert sv.TrainConfig().grad_clip is None
    t = trainer(tiny, dataclasses.replace(fast, grad_clip=1e-3), blobs)
    t.train_step()
    norm = math.sqrt(sum(p.grad.square().sum().item() for p in t.model.parameters()))
    assert norm == pytest.approx(1e-3, rel=1e-3)


def test_bf16_trains_to_about_the_same_loss(tiny, fast, blobs) -> None:
    losses = {}
    for precision in ("float32", "bf16"):
        t = trainer(tiny, dataclasses.replace(fast, precision=precision, steps=100), blobs)
        losses[precision] = t.fit(progress=False)["loss"][-1]
    assert losses["bf16"] == pytest.approx(losses["float32"], rel=0.1)


def test_images_that_do_not_fit_are_refused(tiny, fast, blobs) -> None:
    for images, message in [
        (blobs[:10], "do not fill one batch of 16"),
        (blobs[:0], "empty"),
        (blobs.float() / 255, "uint8"),
        (blobs.expand(-1, 3, -1, -1), "1 channel"),
        (blobs[..., :8, :8], "16x16 pixels"),
    ]:
        with pytest.raises(sv.InputError, match=message):
            trainer(tiny, fast, images)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 0}, "steps must be at least 1"),
        ({"batch_size": 0}, "batch_size"),
        ({"learning_rate": float("nan")}, "learning_rate must be positive"),
        ({"beta": -1.0}, "beta"),
        ({"grad_clip": 0.0}, "grad_clip"),
        ({"schedule": "step"}, "schedule must be one of"),
        ({"precision": "int8"}, "precision must be one of"),
    ],
)
def test_impossible_training_settings(change, message) -> None:
    with pytest.raises(sv.InputError, match=message):
        sv.TrainConfig(**change)
