"""Train the models that come with the course, into data/trained.

    python scripts/train_shipped.py [--presets quick ...] [--kinds vae split-vae] [--device cpu]

A model that is there already is left alone unless --overwrite is given. Weights are stored in half
precision; the header says how they were trained. An interrupted training goes on at the next call.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

import svae_lib as sv
from svae_lib.checkpoints import save_model
from svae_lib.provenance import provenance
from svae_lib.runs import Run

ROOT = Path(__file__).parent.parent
LIMIT = 8 * 2**20  # bytes


def ship(preset_name: str, kind: str, device: str | None, overwrite: bool) -> None:
    target = ROOT / "data" / "trained" / f"{preset_name}-{kind}.safetensors"
    if target.exists() and not overwrite:
        print(f"{target.name} is there already")
        return
    preset = sv.PRESETS[preset_name]
    sets = sv.data.load(preset.data)
    folder = ROOT / "runs" / "shipped" / f"{preset_name}-{kind}"
    if folder.exists():
        run = Run.open(folder)
    else:
        run = Run.create(folder, kind, preset.data, preset.model, preset.train)
    trainer = run.train(sets.train, device=device)
    if trainer.step < preset.train.steps:
        print(f"{target.name}: stopped at step {trainer.step}; call again to go on")
        return
    about = {
        "preset": preset_name,
        "data": preset.data,
        "steps": trainer.step,
        "seed": preset.train.seed,
        "seconds": round(trainer.seconds),
        "precision": trainer.precision,
        "stored_as": "float16",
        **provenance(trainer.device),
    }
    save_model(target, trainer.model, about=about, dtype=torch.float16, overwrite=overwrite)
    size = target.stat().st_size
    print(f"{target.name}: {size / 2**20:.2f} MiB")
    if size > LIMIT:
        target.unlink()
        raise SystemExit(f"{target.name} is larger than 8 MiB: narrow the preset.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--presets", nargs="+", default=["quick"], choices=sv.PRESETS)
    parser.add_argument(
        "--kinds", nargs="+", default=["vae", "split-vae"], choices=sv.checkpoints.MODEL_KINDS
    )
    parser.add_argument("--device")
    parser.add_argument("--overwrite", action="store_true")
    arguments = parser.parse_args()
    for preset in arguments.presets:
        for kind in arguments.kinds:
            ship(preset, kind, arguments.device, arguments.overwrite)


if __name__ == "__main__":
    main()
