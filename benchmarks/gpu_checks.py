"""Stages of the GPU session that compare a device's arithmetic with the CPU's."""

from __future__ import annotations

import dataclasses
import statistics
from typing import Any

import torch
from session import Context
from torch import Tensor

import svae_lib as sv
from svae_lib.experiments.checkpoints import restore_trainer, save_trainer
from svae_lib.support.devices import autocast, exact_float32

TINY = sv.ModelConfig(latent_dim=4, base_dim=4, embedding_dim=16, norm_momentum=0.05)


def judged(difference: float, tolerance: float) -> dict[str, Any]:
    return {
        "difference": difference,
        "tolerance": tolerance,
        "passed": difference <= tolerance,  # NaN does not pass
    }


def all_passed(result: Any) -> bool:
    """Whether every judgement inside a result is positive."""
    if isinstance(result, dict):
        return result.get("passed", True) and all(map(all_passed, result.values()))
    return all(map(all_passed, result)) if isinstance(result, list) else True


def relative(found: Tensor, expected: Tensor) -> float:
    """Norm of the difference over the norm of what is expected."""
    return ((found - expected).norm() / expected.norm()).item()


# ---------------------------------------------------------------------- forward and backward


def forward_and_gradients(context: Context) -> dict[str, Any]:
    """One training step's numbers in float32 on the device against the same on the CPU.

    The paper's MNIST model with its initial weights, 16 digits, BatchNorm in training mode.
    TensorFloat-32 is off, which the library leaves as it is in training.
    """
    there = _step_on(context.device, context)
    here = _step_on(torch.device("cpu"), context)
    return {
        "x_hat": judged((there["x_hat"] - here["x_hat"]).abs().max().item(), 1e-4),
        "loss": judged(relative(there["loss"], here["loss"]), 1e-4),
        "gradients": judged(relative(there["gradients"], here["gradients"]), 1e-3),
        "images": len(here["x_hat"]),
        "seed": 0,
    }


def _step_on(device: torch.device, context: Context) -> dict[str, Tensor]:
    config = context.pick(sv.PRESETS["mnist"].model, TINY)
    model = sv.build_model("split-vae", config, seed=0).to(device).train()
    images = sv.data.load("mnist-5k").test[: context.pick(16, 4)]
    x = sv.data.to_float(images).to(device)
    noise = sv.sampling.prior_latents(len(x), config.latent_dim, seed=0).to(device)
    with exact_float32():
        out = model(x, noise)
        loss = sv.variational_loss(x, out.x_hat, out.mu, out.log_var, 0.1, 8.0).total
        loss.backward()
    gradients = [p.grad.flatten() for p in model.parameters() if p.grad is not None]
    found = {"x_hat": out.x_hat, "loss": loss, "gradients": torch.cat(gradients)}
    return {name: value.detach().cpu() for name, value in found.items()}


# ---------------------------------------------------------------------- resuming


def resumed_run(context: Context) -> dict[str, Any]:
    """A run stopped half-way and resumed from its file, against one that was never stopped.

    A GPU may add in another order every time: how far three equal runs that are never stopped
    drift apart is the measure of how far the resumed one may.
    """
    steps = context.pick(100, 4)
    straight, *others = (_trained(context, steps) for _ in range(3))
    path = context.work / "resumed.safetensors"
    save_trainer(path, _trained(context, steps, upto=steps // 2))
    resumed = _trainer(context, steps)
    restore_trainer(resumed, path)
    resumed.fit(steps - steps // 2, progress=False)
    path.unlink()
    drift = max(relative(_weights(other), _weights(straight)) for other in others)
    difference = relative(_weights(resumed), _weights(straight))
    return {
        "weights": judged(difference, max(3 * drift, 1e-6)),
        "bit_identical": difference == 0,
        "drift_of_equal_runs": drift,
        "steps": steps,
        "precision": straight.precision,
        "seed": 0,
    }


def _trainer(context: Context, steps: int, **changes: Any) -> sv.Trainer:
    preset = sv.PRESETS["quick"]
    config = context.pick(preset.model, TINY)
    batch = context.pick(preset.train.batch_size, 8)
    train = dataclasses.replace(preset.train, steps=steps, batch_size=batch, **changes)
    images = sv.data.load("mnist-5k").train[: context.pick(5000, 64)]
    model = sv.build_model("split-vae", config, train.seed)
    return sv.Trainer(model, images, train, context.device)


def _trained(context: Context, steps: int, upto: int | None = None, **changes: Any) -> sv.Trainer:
    trainer = _trainer(context, steps, **changes)
    trainer.fit(upto, progress=False)
    return trainer


def _weights(trainer: sv.Trainer) -> Tensor:
    return torch.cat([p.detach().flatten().cpu() for p in trainer.model.parameters()])


# ---------------------------------------------------------------------- precision


def precisions(context: Context) -> dict[str, Any]:
    """bf16 and fp16 against float32: outputs of a trained model, and the loss training ends at.

    Outputs: mean absolute difference over 100 test digits' reconstructions by the course's quick
    model. Loss: the mean over the last hundred steps, preset quick; mean over three seeds.
    """
    steps, seeds = context.pick(400, 12), context.pick((0, 1, 2), (0,))
    losses = {
        name: [_final_loss(context, steps, seed, name) for seed in seeds]
        for name in ("float32", "bf16", "fp16")
    }
    exact = statistics.fmean(losses["float32"])
    # A tiny session's few steps tell nothing about where training ends.
    tolerance = context.pick(0.01, 0.5)
    return {
        "reconstructions": {
            name: judged(_reconstruction_difference(context, name), 0.01)
            for name in ("bf16", "fp16")
        },
        "losses_by_seed": losses,
        "mean_losses_against_float32": {
            name: judged(abs(statistics.fmean(losses[name]) / exact - 1), tolerance)
            for name in ("bf16", "fp16")
        },
        "steps": steps,
        "seeds": seeds,
    }


@torch.inference_mode()
def _reconstruction_difference(context: Context, precision: Any) -> float:
    model = sv.load_trained("quick", "split-vae", context.device)
    x = sv.data.to_float(sv.data.load("mnist-5k").test[: context.pick(100, 4)]).to(context.device)
    exact = model.reconstruct(x).x_hat
    with autocast(precision, context.device):
        rough = model.reconstruct(x).x_hat
    return (rough.float() - exact).abs().mean().item()


def _final_loss(context: Context, steps: int, seed: int, precision: str) -> float:
    every = context.pick(10, 2)
    trained = _trained(context, steps, precision=precision, seed=seed, log_every=every)
    return statistics.fmean(trained.history["loss"][-context.pick(10, 5) :])
