"""The loop: it learns, it is seeded, it can be stopped and resumed, and it notices trouble."""

from __future__ import annotations

import dataclasses
import gc
import json
import math
import os
import signal
import weakref
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import svae_lib as sv
from svae_lib.experiments import checkpoints
from svae_lib.experiments.checkpoints import MODEL_KINDS, restore_trainer, save_trainer
from svae_lib.support import devices, rescue
from svae_lib.support.rescue import stop_requests
from svae_lib.training import METRICS


def trainer(
    config: sv.ModelConfig, train: sv.TrainConfig, images: Tensor, kind="split-vae", **options
):
    return sv.Trainer(sv.build_model(kind, config, train.seed), images, train, "cpu", **options)


def same_weights(a: torch.nn.Module, b: torch.nn.Module) -> bool:
    return all(torch.equal(v, b.state_dict()[k]) for k, v in a.state_dict().items())


def test_training_learns(tiny, fast, blobs) -> None:
    t = trainer(tiny, dataclasses.replace(fast, steps=100), blobs)
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


def test_noise_is_standard_gaussian_and_new_at_every_step(tiny, fast, blobs) -> None:
    t = trainer(tiny, fast, blobs)
    noise = torch.stack([t.feed.noise(step, 3) for step in range(400)])
    assert noise.mean().abs() < 0.03 and (noise.std() - 1).abs() < 0.03
    assert len({tuple(n[0].tolist()) for n in noise}) == 400
    other = trainer(tiny, dataclasses.replace(fast, seed=2), blobs)
    assert not torch.equal(other.feed.noise(0, 3), noise[0])
    assert not torch.equal(other.feed.batch(0), t.feed.batch(0))


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


def test_each_step_is_taken_with_its_own_learning_rate(tiny, fast, blobs) -> None:
    t = trainer(tiny, dataclasses.replace(fast, warmup_steps=10, schedule="cosine"), blobs)
    for step in (0, 1, 20):
        t.step = step
        t.train_step()
        assert t.optimizer.param_groups[0]["lr"] == t.learning_rate(step)


def test_steps_by_hand_after_a_training_go_on_with_it(tiny, fast, blobs) -> None:
    by_hand, at_once = trainer(tiny, fast, blobs), trainer(tiny, fast, blobs)
    by_hand.fit(2, progress=False)  # leaves the model in evaluation mode
    by_hand.train_step()
    at_once.fit(3, progress=False)
    assert same_weights(by_hand.model, at_once.model)
    assert by_hand.model.training


def test_one_step_is_adam_on_the_loss(tiny, fast, blobs) -> None:
    ours, by_hand = trainer(tiny, fast, blobs), trainer(tiny, fast, blobs)
    ours.train_step()
    model = by_hand.model
    optimizer = torch.optim.Adam(model.parameters(), lr=fast.learning_rate, eps=1e-7)
    model.train()
    out = model(by_hand.feed.batch(0), by_hand.feed.noise(0, 3))
    gamma = sv.objective.pixel_variance(blobs)
    loss = sv.variational_loss(
        by_hand.feed.batch(0), out.x_hat, out.mu, out.log_var, gamma, fast.beta
    )
    loss.total.backward()
    optimizer.step()
    for name, value in model.state_dict().items():  # (one of them is fused)
        torch.testing.assert_close(ours.model.state_dict()[name], value, rtol=1e-5, atol=1e-6)


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


def test_settings_newer_than_a_checkpoint_count_as_their_defaults(
    tiny, fast, blobs, tmp_path, monkeypatch
) -> None:
    old = trainer(tiny, fast, blobs)
    old.fit(3, progress=False)
    inner = dataclasses.asdict
    without = ("accumulate", "sync_norm")
    monkeypatch.setattr(
        checkpoints,
        "asdict",
        lambda config: {k: v for k, v in inner(config).items() if k not in without},
    )
    save_trainer(tmp_path / "old.safetensors", old)
    monkeypatch.undo()
    new = trainer(tiny, fast, blobs)
    restore_trainer(new, tmp_path / "old.safetensors")
    assert new.step == 3 and same_weights(new.model, old.model)
    other = trainer(tiny, dataclasses.replace(fast, sync_norm=False), blobs)
    with pytest.raises(sv.InputError, match=r"sync_norm \(True there, False here\)"):
        restore_trainer(other, tmp_path / "old.safetensors")


def test_a_run_may_move_to_a_card_that_needs_a_scaled_loss(tiny, fast, blobs, tmp_path) -> None:
    here = trainer(tiny, fast, blobs)
    here.fit(3, progress=False)
    save_trainer(tmp_path / "t.safetensors", here)
    there = trainer(tiny, fast, blobs)
    there.scaler = torch.amp.GradScaler("cpu", enabled=True)  # as with fp16
    restore_trainer(there, tmp_path / "t.safetensors")
    assert there.step == 3 and there.scaler.get_scale() > 1
    there.fit(3, progress=False)
    save_trainer(tmp_path / "scaled.safetensors", there)
    for t in (there, here):  # and back
        restore_trainer(t, tmp_path / "scaled.safetensors")
        assert t.step == 6


def test_a_run_may_go_on_in_finer_parts(tiny, fast, blobs, tmp_path) -> None:
    whole = trainer(tiny, fast, blobs)
    whole.fit(3, progress=False)
    save_trainer(tmp_path / "t.safetensors", whole)
    finer = trainer(tiny, dataclasses.replace(fast, accumulate=4), blobs)
    restore_trainer(finer, tmp_path / "t.safetensors")
    assert finer.step == 3 and same_weights(whole.model, finer.model)


@pytest.fixture
def without_nohup() -> Iterator[None]:
    """Whoever starts the tests with nohup has them ignore SIGHUP."""
    if not hasattr(signal, "SIGHUP"):
        yield
        return
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("without_nohup")
@pytest.mark.parametrize(
    "number", [getattr(signal, n) for n in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, n)]
)
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


def test_the_second_ctrl_c_is_no_request_but_further_sigterms_are() -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # shells may ignore it
    with stop_requests() as stop:
        for _ in range(3):  # launchers and schedulers send several
            signal.raise_signal(signal.SIGTERM)
        assert stop.is_set() and stop.terminate
        signal.raise_signal(signal.SIGINT)
        assert stop.terminate  # the program is still to end
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("without_nohup")
@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="Windows has no SIGHUP")
def test_a_lost_connection_ends_the_program_unless_nohup_says_otherwise() -> None:
    before = signal.getsignal(signal.SIGHUP)
    try:
        with stop_requests() as stop:
            signal.raise_signal(signal.SIGHUP)
            assert stop.is_set() and stop.terminate
        assert signal.getsignal(signal.SIGHUP) == before
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # what nohup does
        with stop_requests() as stop:
            signal.raise_signal(signal.SIGHUP)
            assert not stop.is_set()
    finally:
        signal.signal(signal.SIGHUP, before)


def test_what_a_watcher_cannot_write_is_warned_about_once(tiny, fast, blobs, recwarn) -> None:
    seen: list[int] = []

    def full(t: sv.Trainer) -> None:
        raise OSError(28, "No space left on device", "events")

    t = trainer(tiny, fast, blobs)
    t.fit(progress=False, on_log=[full, lambda t: seen.append(t.step)])
    assert t.step == 24 and seen == [5, 10, 15, 20, 24]
    assert len([w for w in recwarn if "No space left" in str(w.message)]) == 1

    def mistaken(t: sv.Trainer) -> None:
        raise TypeError("a mistake of the user's program")

    with pytest.raises(TypeError, match="mistake"):
        trainer(tiny, fast, blobs).fit(progress=False, on_log=[mistaken])


def test_the_history_is_shown_in_one_line_and_is_json(tiny, fast, blobs) -> None:
    t = trainer(tiny, fast, blobs)
    assert "\n" not in repr(t.history)
    history = t.fit(progress=False)
    assert "\n" not in repr(history) and len(repr(history)) < 150
    assert "5 entries" in repr(history) and f"{history['loss'][-1]:.4g}" in repr(history)
    assert json.loads(json.dumps(history)) == history and isinstance(history, dict)


@pytest.mark.parametrize(
    "kind",
    [
        kind if kind in ("split-vae", "rae-gp") else pytest.param(kind, marks=pytest.mark.thorough)
        for kind in MODEL_KINDS
    ],
)
@pytest.mark.parametrize("where", ["no_grad", "float64 by default"])
def test_training_in_a_program_with_other_settings(tiny, fast, blobs, kind, where) -> None:
    expected = trainer(tiny, fast, blobs, kind)
    start = {name: value.clone() for name, value in expected.model.state_dict().items()}
    expected.fit(7, progress=False)
    if where == "float64 by default":
        torch.set_default_dtype(torch.float64)
        try:
            t = trainer(tiny, fast, blobs.clone(), kind)
            assert all(value.dtype != torch.float64 for value in t.model.state_dict().values())
            t.model.load_state_dict(start)  # PyTorch draws others for float64 layers
            t.fit(7, progress=False)
        finally:
            torch.set_default_dtype(torch.float32)
    else:
        model = sv.build_model(kind, tiny, fast.seed)
        with torch.no_grad():
            t = sv.Trainer(model, blobs.clone(), fast, "cpu")
            t.fit(3, progress=False)
            t.fit(4, progress=False)
    assert same_weights(t.model, expected.model)
    assert t.history == expected.history


# ---------------------------------------------------------------------- Adam, fused


@pytest.mark.parametrize(
    ("precision", "grad_clip"), [("float32", None), ("bf16", 1.0), ("fp16", None), ("fp16", 1.0)]
)
def test_fused_adam_takes_the_usual_steps(
    tiny, fast, blobs, tmp_path, monkeypatch, precision, grad_clip
) -> None:
    """Also from a checkpoint that Adam left which was not fused."""
    config = dataclasses.replace(fast, precision=precision, grad_clip=grad_clip)
    fused = trainer(tiny, config, blobs)
    assert fused.optimizer.defaults["fused"]
    adam = torch.optim.Adam
    with monkeypatch.context() as patched:
        patched.setattr(torch.optim, "Adam", lambda *a, **k: adam(*a, **k | {"fused": False}))
        plain = trainer(tiny, config, blobs)
    for t in (fused, plain):
        t.fit(5, progress=False)
    save_trainer(tmp_path / "plain.safetensors", plain)
    resumed = trainer(tiny, config, blobs)
    restore_trainer(resumed, tmp_path / "plain.safetensors")
    for t in (fused, plain, resumed):
        t.fit(5, progress=False)
    close = pytest.approx(plain.history["loss"], rel=1e-3 if precision == "float32" else 2e-2)
    assert fused.history["loss"] == close and resumed.history["loss"] == close


def test_a_step_whose_scaled_gradients_overflow_is_left_out(tiny, fast, blobs) -> None:
    t = trainer(tiny, dataclasses.replace(fast, precision="fp16"), blobs)
    t.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**120)
    before = {k: v.clone() for k, v in t.model.named_parameters()}
    t.train_step()
    assert all(torch.equal(v, before[k]) for k, v in t.model.named_parameters())
    assert t.scaler.get_scale() < 2.0**120


def give_nan(model: sv.VAE) -> None:
    """From now on the model's loss is NaN."""
    inner = model.loss

    def broken(*args):
        loss = inner(*args)
        loss.total = loss.total * float("nan")
        return loss

    model.loss = broken


def test_nan_stops_with_the_last_good_weights(tiny, fast, blobs) -> None:
    t = trainer(tiny, fast, blobs)
    t.fit(10, progress=False)
    good = {k: v.clone() for k, v in t.model.state_dict().items()}
    give_nan(t.model)
    with pytest.raises(sv.TrainingDiverged, match=r"by step 15.*learning rate"):
        t.fit(10, progress=False)
    assert all(torch.equal(good[k], v) for k, v in t.model.state_dict().items())
    assert t.history["step"] == [5, 10]
    assert not t.model.training


def test_nan_after_a_restore_goes_back_to_what_was_restored(tiny, fast, blobs, tmp_path) -> None:
    saved = trainer(tiny, fast, blobs)
    saved.fit(7, progress=False)
    save_trainer(tmp_path / "t.safetensors", saved)
    t = trainer(tiny, fast, blobs)
    t.fit(10, progress=False)  # has good weights of its own
    restore_trainer(t, tmp_path / "t.safetensors")
    give_nan(t.model)
    with pytest.raises(sv.TrainingDiverged):
        t.fit(10, progress=False)
    assert same_weights(t.model, saved.model)


def test_nan_among_the_weights_is_noticed_before_the_loss_shows_it(tiny, fast, blobs) -> None:
    t = trainer(tiny, fast, blobs)
    inner = t.train_step

    def breaking():
        loss = inner()
        if t.step == 10:  # after this step's loss, and before the next would be NaN
            next(t.model.parameters()).data[0] = float("nan")
        return loss

    t.train_step = breaking
    with pytest.raises(sv.TrainingDiverged, match="by step 10"):
        t.fit(progress=False)
    assert all(p.isfinite().all() for p in t.model.parameters())


def test_the_time_of_earlier_calls_counts(tiny, fast, blobs, tmp_path) -> None:
    t = trainer(tiny, fast, blobs)
    t.seconds = 1000.0
    t.fit(2, progress=False)
    assert t.seconds > 1000
    save_trainer(tmp_path / "t.safetensors", t)
    resumed = trainer(tiny, fast, blobs)
    restore_trainer(resumed, tmp_path / "t.safetensors")
    assert resumed.seconds == t.seconds


@pytest.mark.parametrize("scaled", [False, True])  # as with fp16
def test_gradient_clipping_is_off_by_default_and_limits_the_step(
    tiny, fast, blobs, scaled: bool
) -> None:
    assert sv.TrainConfig().grad_clip is None
    t = trainer(tiny, dataclasses.replace(fast, grad_clip=1e-3), blobs)
    t.scaler = torch.amp.GradScaler("cpu", enabled=scaled)
    t.train_step()
    norm = math.sqrt(sum(p.grad.square().sum().item() for p in t.model.parameters()))
    assert norm == pytest.approx(1e-3, rel=1e-3)


def test_a_whole_preset_is_no_configuration(tiny, blobs) -> None:
    preset: Any = sv.PRESETS["quick"]
    with pytest.raises(sv.InputError, match=r"must be a ModelConfig, not Preset.*part .model"):
        sv.VAE(preset)
    with pytest.raises(sv.InputError, match=r"must be a TrainConfig, not Preset.*part .train"):
        sv.train(sv.VAE(tiny), blobs, preset)


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
        ({"seed": 2**32}, "seed must be below 2"),
        ({"batch_size": 0}, "batch_size"),
        ({"accumulate": 0}, "accumulate must be at least 1"),
        ({"batch_size": 100, "accumulate": 3}, "cannot be split into accumulate=3 equal parts"),
        ({"learning_rate": float("nan")}, "learning_rate must be positive"),
        ({"learning_rate": "1e-3"}, "learning_rate must be a number, not '1e-3'"),  # from YAML
        ({"learning_rate": float("inf")}, "learning_rate must be positive and finite"),
        ({"steps": 1.5}, "steps must be a whole number, not 1.5"),
        ({"seed": -1}, "seed must be at least 0"),
        ({"seed": None}, "seed must be a whole number"),
        ({"warmup_steps": -1}, "warmup_steps must be at least 0"),
        ({"beta": -1.0}, "beta"),
        ({"beta": float("inf")}, "beta must be a finite number"),
        ({"grad_clip": 0.0}, "grad_clip"),
        ({"schedule": "step"}, "schedule must be one of"),
        ({"precision": "int8"}, "precision must be one of"),
    ],
)
def test_impossible_training_settings(change, message) -> None:
    with pytest.raises(sv.InputError, match=message):
        sv.TrainConfig(**change)


@pytest.mark.parametrize("change", [{"batch_size": 1}, {"accumulate": 16}])
def test_single_images_cannot_be_trained_on(tiny, fast, blobs, change) -> None:
    with pytest.raises(sv.InputError, match="at least two images at a time"):
        trainer(tiny, dataclasses.replace(fast, **change), blobs)


# ---------------------------------------------------------------------- accumulation, memory


def without_norm(t: sv.Trainer) -> sv.Trainer:
    """The trainer with BatchNorm taken out: it alone sees how a batch is split."""
    for module in list(t.model.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.BatchNorm1d | nn.BatchNorm2d):
                setattr(module, name, nn.Identity())
    assert not any("running_mean" in name for name in t.model.state_dict())
    return t


def test_accumulated_gradients_are_those_of_the_large_batch(tiny, fast, blobs) -> None:
    whole = without_norm(trainer(tiny, fast, blobs))
    parts = without_norm(trainer(tiny, dataclasses.replace(fast, accumulate=4), blobs))
    a, b = whole.train_step(), parts.train_step()
    for one, other in zip(whole.model.parameters(), parts.model.parameters(), strict=True):
        scale = one.grad.abs().max()
        torch.testing.assert_close(one.grad / scale, other.grad / scale, rtol=1e-4, atol=1e-5)
    for name in ("total", "reconstruction", "kl", "mse"):
        torch.testing.assert_close(getattr(a, name), getattr(b, name), rtol=1e-5, atol=0)
    whole.fit(progress=False)
    parts.fit(progress=False)
    assert parts.history["loss"] == pytest.approx(whole.history["loss"], rel=1e-3)
    assert parts.history["gamma"] == pytest.approx(whole.history["gamma"], rel=1e-4)


def test_gamma_follows_the_error_of_the_whole_step(tiny, fast, blobs) -> None:
    t = trainer(tiny, dataclasses.replace(fast, accumulate=4, gamma_start="one"), blobs)
    errors, inner = [], t.model.loss

    def recording(*args):
        loss = inner(*args)
        errors.append(loss.mse.item())
        return loss

    t.model.loss = recording
    loss = t.train_step()
    assert len(errors) == 4 and max(errors) > min(errors)
    assert loss.mse.item() == pytest.approx(sum(errors) / 4, rel=1e-6)
    assert t.gamma.value.item() == pytest.approx(0.99 + 0.01 * sum(errors) / 4, rel=1e-6)


def cpu_allocation_error() -> RuntimeError:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 50)  # a million gigabytes
    return caught.value


@pytest.mark.parametrize("where", ["accelerator", "cpu"])
def test_out_of_memory_names_the_setting_that_helps(tiny, fast, blobs, where: str) -> None:
    error = torch.OutOfMemoryError("CUDA out of memory.") if where == "accelerator" else None
    t = trainer(tiny, dataclasses.replace(fast, batch_size=15, accumulate=3), blobs)
    t.fit(10, progress=False)
    good = {k: v.clone() for k, v in t.model.state_dict().items()}
    inner, held = t.model.loss, []

    def hungry(x, *args):
        inner(x, *args)  # moves the running statistics of BatchNorm
        activations = x * 2
        held.append(weakref.ref(activations))
        raise error or cpu_allocation_error()

    t.model.loss = hungry
    message = r"step 11, at 5 images at a time.*accumulate=5.*parts of 3.*smaller batch_size"
    with pytest.raises(sv.TrainingOutOfMemory, match=message):
        t.fit(10, progress=False)
    assert all(torch.equal(good[k], v) for k, v in t.model.state_dict().items())
    assert all(p.grad is None for p in t.model.parameters())
    gc.collect()
    assert held[0]() is None  # the message does not hold the memory that it tells of
    t.model.loss = inner
    t.fit(5, progress=False)
    assert t.step == 15


@pytest.mark.parametrize(("change", "at_once"), [({"accumulate": 8}, 2), ({"batch_size": 7}, 7)])
def test_out_of_memory_at_the_first_step_with_no_smaller_part(
    tiny, fast, blobs, change, at_once: int
) -> None:
    t = trainer(tiny, dataclasses.replace(fast, **change), blobs)
    start = {k: v.clone() for k, v in t.model.state_dict().items()}

    def hungry(*args):
        nn.init.zeros_(next(t.model.parameters()))
        raise torch.OutOfMemoryError

    t.model.loss = hungry
    message = rf"step 1, at {at_once} images.*Try a smaller batch_size or model"
    with pytest.raises(sv.TrainingOutOfMemory, match=message):
        t.fit(progress=False)
    assert all(torch.equal(start[k], v) for k, v in t.model.state_dict().items())


@pytest.mark.parametrize("trouble", ["memory", "divergence"])
def test_going_back_leaves_no_trace_of_the_steps_since(tiny, fast, blobs, trouble: str) -> None:
    straight, t = trainer(tiny, fast, blobs), trainer(tiny, fast, blobs)
    straight.fit(20, progress=False)
    t.fit(10, progress=False)
    inner = t.model.loss

    def breaks(*args):
        loss = inner(*args)
        if t.step < 13:
            return loss
        if trouble == "memory":
            raise torch.OutOfMemoryError
        return sv.Loss(loss.total * math.nan, loss.reconstruction, loss.kl, loss.mse * math.nan)

    t.model.loss = breaks
    with pytest.raises((sv.TrainingOutOfMemory, sv.TrainingDiverged), match="back at step 10"):
        t.fit(10, progress=False)
    assert t.step == 10 and t.gamma.value.isfinite()
    t.model.loss = inner
    t.fit(10, progress=False)
    assert same_weights(t.model, straight.model) and t.history == straight.history


def test_a_trainer_that_nobody_holds_frees_its_memory_at_once(tiny, fast, blobs) -> None:
    t = trainer(tiny, fast, blobs)
    t.fit(5, progress=False)
    gc.collect()
    gone = weakref.ref(t)
    gc.disable()
    try:
        del t
        assert gone() is None
    finally:
        gc.enable()


def test_memory_that_runs_out_before_the_first_step_is_not_called_a_way_back(
    tiny, fast, blobs
) -> None:
    t = trainer(tiny, fast, blobs)

    def hungry(*args):
        raise torch.OutOfMemoryError

    t.model.loss = hungry
    with pytest.raises(sv.TrainingOutOfMemory, match="nothing was kept"):
        t.train_step()


@pytest.mark.parametrize(
    ("said", "lack"),
    [
        ("CUDA error: out of memory", True),
        ("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`", True),
        ("MPS backend out of memory (MPS allocated: 1 GB)", True),
        ("CUDA error: an illegal memory access was encountered", False),
    ],
)
def test_lack_of_memory_is_told_from_other_errors(said: str, lack: bool) -> None:
    assert rescue.is_out_of_memory(RuntimeError(said)) is lack


def test_other_errors_pass_unchanged(tiny, fast, blobs) -> None:
    t = trainer(tiny, fast, blobs)

    def broken(*args):
        raise RuntimeError("shapes do not match")

    t.model.loss = broken
    with pytest.raises(RuntimeError, match="shapes do not match"):
        t.fit(progress=False)


# ---------------------------------------------------------------------- speed


def test_copied_images_train_to_the_same_weights(tiny, fast, blobs) -> None:
    resident, copied = (trainer(tiny, fast, blobs, resident=r) for r in (True, False))
    for t in (resident, copied):
        t.fit(10, progress=False)
    assert same_weights(resident.model, copied.model)


def test_no_step_waits_for_its_device(tiny, fast, blobs) -> None:
    """On the device "meta" no tensor has a value: whoever asks for one fails."""
    config = dataclasses.replace(fast, grad_clip=1.0, accumulate=2)
    t = sv.Trainer(sv.build_model("split-vae", tiny), blobs, config, "meta")
    t.feed.noise = lambda step, latent_dim: torch.empty(
        16, latent_dim, device="meta"
    )  # there is no generator for it
    t.model.train()
    for _ in range(3):
        t._add(t.train_step())
    assert t.step == 3
    with pytest.raises(RuntimeError, match=r"item\(\)|meta"):
        t.gamma.value.item()


def test_channels_last_is_a_memory_format_and_no_other_training(
    tiny, fast, blobs, tmp_path
) -> None:
    planes, pixels = (
        trainer(tiny, fast, blobs, memory_format=f)
        for f in (torch.contiguous_format, torch.channels_last)
    )
    kernel = next(p for p in pixels.model.parameters() if p.ndim == 4 and p.shape[1] > 1)
    assert kernel.is_contiguous(memory_format=torch.channels_last) and not kernel.is_contiguous()
    for t in (planes, pixels):
        t.fit(5, progress=False)
    assert pixels.history["loss"] == pytest.approx(planes.history["loss"], rel=1e-4)
    save_trainer(tmp_path / "t.safetensors", pixels)
    resumed = trainer(tiny, fast, blobs, memory_format=torch.channels_last)
    restore_trainer(resumed, tmp_path / "t.safetensors")
    for parameter, moments in resumed.optimizer.state.items():  # fused Adam wants them alike
        assert moments["exp_avg"].stride() == parameter.stride()
    for t in (pixels, resumed):
        t.fit(progress=False)
    assert same_weights(pixels.model, resumed.model)


def test_activations_have_one_memory_format_without_gaps(tiny, fast, blobs) -> None:
    """Grey images too, which count as contiguous in every format; and after a crop."""
    t = trainer(tiny, fast, blobs, memory_format=torch.channels_last)
    x = t.feed.batch(0)
    assert x.dtype == torch.float32 and x.min() >= 0 and 0.5 < x.max() <= 1
    assert x.stride() == (16 * 16, 1, 16, 1)
    seen = []
    for layer in t.model.modules():
        if isinstance(layer, nn.Conv2d | nn.BatchNorm2d):
            layer.register_forward_pre_hook(lambda layer, inputs: seen.append(inputs[0]))
    t.train_step()
    assert len(seen) > 15
    assert all(value.is_contiguous(memory_format=torch.channels_last) for value in seen)
    assert {value.stride(1) for value in seen} == {1}


def test_a_compiled_trainer_takes_the_same_steps(tiny, fast, blobs, monkeypatch) -> None:
    """The compiler's front end with PyTorch's own kernels behind it: no code is generated."""
    config = dataclasses.replace(fast, accumulate=2)
    plain = trainer(tiny, config, blobs)
    asked, compiler = [], torch.compile

    def compile(module, **how):
        asked.append(how)
        return compiler(module, backend="eager")

    monkeypatch.setattr("torch.compile", compile)
    compiled = trainer(tiny, config, blobs, compile="max-autotune-no-cudagraphs")
    for t in (plain, compiled):
        t.fit(6, progress=False)
    (how,) = asked
    assert how["options"]["max_autotune"] and how["options"]["realize_reads_threshold"] > 4
    assert how["dynamic"] is False  # batches have one size, whatever was compiled before
    assert compiled.history["loss"] == pytest.approx(plain.history["loss"], rel=1e-5)
    assert set(compiled.model.state_dict()) == set(plain.model.state_dict())


def test_cuda_graphs_are_for_whole_steps(tiny, fast, blobs) -> None:
    config = dataclasses.replace(fast, accumulate=2)
    for compile in ("reduce-overhead", "max-autotune", {"triton.cudagraphs": True}):
        with pytest.raises(sv.InputError, match=r"accumulate=1: use compile=True"):
            trainer(tiny, config, blobs, compile=compile)


def test_where_the_compiler_fails_training_goes_on(tiny, fast, blobs, monkeypatch) -> None:
    """Only where compiling was the library's choice; whoever asks for it sees the error."""

    def broken(module, **how):
        def backend(graph, inputs):
            raise RuntimeError("no compiler here")

        return compiler(module, backend=backend)

    import torch._dynamo

    compiler = torch.compile
    monkeypatch.setattr("torch.compile", broken)
    monkeypatch.setattr("svae_lib.support.devices.compile_pays", lambda device, steps: True)
    with torch._dynamo.config.patch(suppress_errors=False):  # and as it was, afterwards
        with pytest.raises(Exception, match="no compiler here"):
            trainer(tiny, fast, blobs, compile=True).fit(1, progress=False)
        torch._dynamo.reset()
        plain, chosen = trainer(tiny, fast, blobs, compile=False), trainer(tiny, fast, blobs)
        for t in (plain, chosen):
            t.fit(2, progress=False)
    assert chosen.history["loss"] == pytest.approx(plain.history["loss"], rel=1e-5)


def test_the_compiler_knows_the_options(tiny, fast, blobs) -> None:
    """torch.compile checks names and types when it is called, not when it compiles."""
    modes = (True, "reduce-overhead", "max-autotune-no-cudagraphs", {"epilogue_fusion": True})
    for compile in modes:
        t = trainer(tiny, fast, blobs, compile=compile)
        assert t.loss is not t.loss._orig_mod
    with pytest.raises(RuntimeError, match="no_such_option"):
        trainer(tiny, fast, blobs, compile={"no_such_option": 1})


def test_exact_products_inside_and_what_was_set_outside(monkeypatch) -> None:
    """Whether a program sets PyTorch's old names, the new ones of version 2.9, or nothing."""
    b = torch.backends
    new = hasattr(b, "fp32_precision")
    parts = [b.cuda.matmul, b.cudnn.conv, b.mkldnn.matmul] if new else [b.cuda.matmul, b.cudnn]
    name, exact, fast = ("fp32_precision", "ieee", "tf32") if new else ("allow_tf32", False, True)
    for chosen in (None, *parts):
        with monkeypatch.context() as patch:
            patch.setattr(b.cudnn, "deterministic", False)
            if chosen is not None:
                was = getattr(chosen, name)
                setattr(chosen, name, fast)
            before = [getattr(part, name) for part in parts]
            with pytest.raises(ZeroDivisionError), devices.exact_float32():
                assert [getattr(part, name) for part in parts] == [exact] * len(parts)
                assert b.cudnn.deterministic
                raise ZeroDivisionError
            assert [getattr(part, name) for part in parts] == before
            assert not b.cudnn.deterministic
            if chosen is not None:
                setattr(chosen, name, was)


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_a_programs_own_autocast_changes_nothing(tiny, fast, blobs, precision: str) -> None:
    """Neither the arithmetic nor, through autocast's cache, the weights that a step sees."""
    config = dataclasses.replace(fast, precision=precision)
    alone, within = (trainer(tiny, config, blobs) for _ in range(2))
    alone.fit(4, progress=False)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        within.fit(4, progress=False)
    assert within.history == alone.history
    for one, other in zip(alone.model.parameters(), within.model.parameters(), strict=True):
        assert torch.equal(one, other)


def test_steps_to_take_are_checked(tiny, fast, blobs) -> None:
    for steps in (-3, 2.5, "3"):
        with pytest.raises(sv.InputError, match="steps must be"):
            trainer(tiny, fast, blobs).fit(steps)


def test_what_pays_is_decided_by_device_and_length(monkeypatch, tmp_path) -> None:
    cpu, card = torch.device("cpu"), torch.device("cuda", 0)
    assert not devices.compile_pays(cpu, 10**6)
    assert devices.best_memory_format(card) is torch.channels_last
    monkeypatch.setattr(devices.importlib.util, "find_spec", lambda name: name)
    monkeypatch.setattr(devices.sysconfig, "get_path", lambda name: tmp_path)
    (tmp_path / "Python.h").touch()
    monkeypatch.setattr(devices.shutil, "which", lambda name: name)
    for capability, steps, pays in [
        ((9, 0), 10**6, True),
        ((6, 1), 10**6, False),
        ((9, 0), 100, False),
    ]:
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device, c=capability: c)
        assert devices.compile_pays(card, steps) is pays
    (tmp_path / "Python.h").unlink()
    assert not devices.compile_pays(card, 10**6)  # no headers
    (tmp_path / "Python.h").touch()
    monkeypatch.setattr(devices.shutil, "which", lambda name: None)
    assert not devices.compile_pays(card, 10**6)  # no C compiler
