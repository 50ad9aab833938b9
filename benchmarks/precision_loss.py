"""Does training in half precision end at the same loss as in float32?

    python benchmarks/precision_loss.py [--preset quick] [--precision bf16] [--seeds 0 1 2]
                                        [--device cpu]

Paired by seed: the same first weights, images and noise. The figure is the training loss per
image (the paper's objective), averaged over the last tenth of the steps; beside it the loss of
the held-out images with the posterior's means, scored in float32. Two trainings in the same
arithmetic differ too: float32 with one image less in the order would; the spread over seeds says
how much. A processor without the instructions emulates the precision, slowly, with the same
rounding of the products' factors and results.
"""

from __future__ import annotations

import argparse
import statistics
from dataclasses import replace
from typing import Any

import torch
from record import save

import svae_lib as sv
from svae_lib.support.devices import default_device, resolve_precision


def final_losses(
    preset: sv.Preset, precision: str, seed: int, device: str | None
) -> dict[str, float]:
    """Train one Split VAE; its loss per image at the end, on training and held-out images."""
    sets = sv.data.load(preset.data)
    config = replace(preset.train, precision=precision, seed=seed)  # type: ignore[arg-type]
    model = sv.build_model("split-vae", preset.model, seed)
    trainer = sv.Trainer(model, sets.train, config, device)
    history = trainer.fit(progress=False)
    last = [
        loss
        for step, loss in zip(history["step"], history["loss"], strict=True)
        if step > 0.9 * config.steps
    ]
    return {"training": statistics.mean(last), "held_out": held_out(trainer, sets.test)}


@torch.no_grad()
def held_out(trainer: sv.Trainer, images: torch.Tensor) -> float:
    """The objective on images that were not trained on: float32, the posterior's means.

    At the gamma that training ended with, which is part of what is compared
    (:func:`svae_lib.experiments.monitoring.validate` takes the best one).
    """
    total = 0.0
    for part in images.split(100):
        x = sv.data.to_float(part.to(trainer.device))
        noise = torch.zeros(len(x), trainer.model.config.latent_dim, device=trainer.device)
        loss = trainer.model.loss(x, noise, trainer.gamma.value, trainer.config.beta)
        total += loss.total.item() * len(x)
    return total / len(images)


def compare(preset: sv.Preset, precision: str, seed: int, device: str | None) -> dict[str, Any]:
    """Both arithmetics from one seed."""
    full = final_losses(preset, "float32", seed, device)
    half = final_losses(preset, precision, seed, device)
    return {
        "seed": seed,
        "float32": full,
        precision: half,
        "relative_difference": {name: half[name] / full[name] - 1 for name in full},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", default="quick", choices=sv.PRESETS)
    parser.add_argument("--precision", default="bf16", choices=("bf16", "fp16"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--device", help="default: CUDA where there is one")
    options = parser.parse_args()
    preset = sv.PRESETS[options.preset]
    results: list[dict[str, Any]] = []
    for seed in options.seeds:
        results.append(compare(preset, options.precision, seed, options.device))
        print(results[-1], flush=True)
    differences = [result["relative_difference"] for result in results]
    device = torch.device(options.device or default_device())
    usual = resolve_precision("auto", device)
    save(
        f"precision_loss_{device.type}",
        {
            "what": __doc__.split("\n")[0],
            "preset": options.preset,
            "steps": preset.train.steps,
            "precision": options.precision,
            "emulated": device.type == "cpu" and usual != options.precision,
            "mean_relative_difference": {
                name: statistics.mean(difference[name] for difference in differences)
                for name in differences[0]
            },
            "results": results,
        },
        device,
    )


if __name__ == "__main__":
    main()
