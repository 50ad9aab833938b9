"""What all stages of the GPU session share, and those that compare its device with the CPU."""

from __future__ import annotations

import dataclasses
import itertools
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import svae_lib as sv
from svae_lib.experiments.checkpoints import (
    MODEL_KINDS,
    load_model,
    restore_trainer,
    save_trainer,
)
from svae_lib.presets import Precision
from svae_lib.support.devices import autocast, exact_float32

ROOT = Path(__file__).parent.parent
TINY = sv.ModelConfig(latent_dim=4, base_dim=4, embedding_dim=16, norm_momentum=0.05)
PRECISIONS: tuple[Precision, ...] = ("float32", "bf16", "fp16")
TOLERANCES = {
    "float32": {"x_hat": 1e-4, "loss": 1e-4, "gradients": 1e-3},
    "bf16": {"x_hat": 0.02, "loss": 0.005, "gradients": 0.1},
    "fp16": {"x_hat": 0.005, "loss": 0.001, "gradients": 0.02},
}
"""Relative errors: in 16 bits more than a CPU makes, in float32 what other orders of sums make."""


@dataclass
class Context:
    """What every stage is given."""

    device: torch.device
    out: Path  # folder of the results
    work: Path  # folder of training runs and other large files
    tiny: bool = False  # the smallest sizes at which everything still runs
    note: Callable[[dict[str, Any]], None] = lambda result: None  # writes what is measured so far

    def pick(self, full: Any, tiny: Any) -> Any:
        """The first in a real session, the second in a tiny one."""
        return tiny if self.tiny else full

    def synchronise(self) -> None:
        """Wait until the device has done its work."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def judged(difference: float, tolerance: float) -> dict[str, Any]:
    """A difference, and whether it is within its tolerance; NaN is not."""
    passed = difference <= tolerance
    return {"difference": difference, "tolerance": tolerance, "passed": passed}


def all_passed(result: Any) -> bool:
    """Whether every judgement inside a result is positive."""
    if isinstance(result, dict):
        return result.get("passed", True) and all(map(all_passed, result.values()))
    return all(map(all_passed, result)) if isinstance(result, list) else True


def relative(found: Tensor, expected: Tensor) -> float:
    """Norm of the difference over the norm of what is expected."""
    return ((found - expected).norm() / expected.norm()).item()


def models(context: Context) -> dict[str, Any]:
    """One training step of every kind of model in every precision, against float32 on the CPU.

    The course's quick model with its initial weights, 100 digits, BatchNorm in training mode.
    """
    rows = []
    for kind in MODEL_KINDS:
        expected = _step(context, kind, "float32", torch.device("cpu"))
        for precision in PRECISIONS:
            found = _step(context, kind, precision, context.device)
            rows.append({"kind": kind, "precision": precision})
            for name, tolerance in TOLERANCES[precision].items():
                rows[-1][name] = judged(relative(found[name], expected[name]), tolerance)
            context.note({"rows": rows})
    return {"rows": rows, "images": context.pick(100, 8), "seed": 0}


def _step(
    context: Context, kind: str, precision: Precision, device: torch.device
) -> dict[str, Tensor]:
    config = context.pick(sv.PRESETS["quick"].model, TINY)
    model = sv.build_model(kind, config, seed=0).to(device).train()
    x = sv.data.to_float(sv.data.load("mnist-5k").test[: context.pick(100, 8)]).to(device)
    noise = sv.sampling.prior_latents(len(x), config.latent_dim, seed=0).to(device)
    with exact_float32():
        with autocast(precision, device):
            x_hat = model(x, noise).x_hat
            loss = model.loss(x, noise, 0.1, 8.0).total
        loss.backward()
    gradients = [p.grad.flatten() for p in model.parameters() if p.grad is not None]
    found = {"x_hat": x_hat, "loss": loss, "gradients": torch.cat(gradients)}
    return {name: value.detach().float().cpu() for name, value in found.items()}


def resumed(context: Context) -> dict[str, Any]:
    """Runs stopped half-way and resumed from their file, against runs that were never stopped.

    For every kind of model in every precision, with exact products and deterministic convolutions.
    Should a GPU add in another order all the same, the resumed run may differ by three times as
    much as two equal runs do. The file's model must reconstruct the same images on the CPU.
    """
    rows = []
    for kind, precision in itertools.product(MODEL_KINDS, PRECISIONS):
        rows.append({"kind": kind, "precision": precision, **_resume(context, kind, precision)})
        context.note({"rows": rows})
    return {"rows": rows, "steps": context.pick(60, 4), "seed": 0}


@exact_float32()
def _resume(context: Context, kind: str, precision: Precision) -> dict[str, Any]:
    steps = context.pick(60, 4)
    straight, again, stopped, resumed = (_trainer(context, kind, precision) for _ in range(4))
    straight.fit(steps, progress=False)
    again.fit(steps, progress=False)
    stopped.fit(steps // 2, progress=False)
    path = context.work / "resumed.safetensors"
    save_trainer(path, stopped)
    restore_trainer(resumed, path)
    resumed.fit(steps - steps // 2, progress=False)
    expected, repeated, found = (
        torch.cat([p.detach().flatten() for p in trainer.model.parameters()])
        for trainer in (straight, again, resumed)
    )
    drift = relative(repeated, expected)
    x = sv.data.to_float(sv.data.load("mnist-5k").test[:8])
    with torch.inference_mode():
        there = stopped.model.reconstruct(x.to(context.device)).x_hat.cpu()
        here = load_model(path).reconstruct(x).x_hat
    return {
        "weights": judged(relative(found, expected), max(3 * drift, 1e-6)),
        "drift_of_equal_runs": drift,
        "read_on_the_cpu": judged(relative(here, there), 1e-3),
    }


def _trainer(context: Context, kind: str, precision: Precision) -> sv.Trainer:
    preset = sv.PRESETS["quick"]
    batch = context.pick(preset.train.batch_size, 8)
    train = dataclasses.replace(preset.train, batch_size=batch, precision=precision)
    model = sv.build_model(kind, context.pick(preset.model, TINY), seed=0)
    images = sv.data.load("mnist-5k").train[: context.pick(5000, 64)]
    return sv.Trainer(model, images, train, context.device)


def tests(context: Context) -> dict[str, Any]:
    """Tests that leave the choice of a device to the library, which takes a GPU."""
    names = context.pick(("demo", "cli", "snippets", "fid_neighbours"), ("fid_neighbours",))
    files = [f"tests/test_{name}.py" for name in names]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *files]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    said = (found.stdout + found.stderr).splitlines()[-30:]
    return {"files": files, "passed": found.returncode == 0, "said": said}
