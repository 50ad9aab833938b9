"""What in a seed decides the kind of a split: the first weights, or the order and the noise?

    python scripts/weights_or_order.py [--out results/weights_or_order.json]

In the recorded tables the kind follows the seed, hardly beta. A seed gives two things: the weights
that a model starts from, and the stream of batches and noise that it is trained on. Here four seeds
for the one are crossed with four for the other: 16 Split VAEs of the preset quick. The number that
decides, fixed before the first run: the share of the variance of the measure "semantic" (see
svae_lib.diagnostics.split_kind, over the first 500 test digits) that goes with the weights, with
the order and noise, and with neither. Were all chance, they would be 3, 3 and 9 fifteenths.

A run that is there already is not computed again.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any

import svae_lib as sv
from svae_lib.checkpoints import build_model
from svae_lib.files import read_json, write_json
from svae_lib.provenance import provenance

WEIGHTS, ORDERS = (20, 21, 22, 23), (30, 31, 32, 33)  # seeds that no table has


def first_weights(seed: int) -> sv.SplitVAE:
    """A Split VAE of the preset quick, before training."""
    model = build_model("split-vae", sv.PRESETS["quick"].model, seed=seed)
    assert isinstance(model, sv.SplitVAE)
    return model


def split_of(model: sv.SplitVAE, order: int, sets: sv.data.ImageSets) -> dict[str, Any]:
    """Train the model with the batches and noise of seed ``order``; measure its split."""
    config = dataclasses.replace(sv.PRESETS["quick"].train, seed=order)
    trainer = sv.Trainer(model, sets.train, config)
    trainer.fit()
    trainer.check_finished()
    images = sets.test[:500]
    out = sv.inference.reconstruct_all(model, images)
    kind = sv.diagnostics.split_kind(out.sigma_map, sv.data.to_float(images), out.components)
    return dataclasses.asdict(kind)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("results/weights_or_order.json"))
    arguments = parser.parse_args()
    record: dict[str, Any] = {
        "what": "kind of split of 16 Split VAEs, preset quick: first weights by order and noise",
        "conditions": provenance(sv.devices.default_device()),
        "runs": [],
    }
    if arguments.out.exists():
        record = read_json(arguments.out)
    done = {(run["weights"], run["order"]) for run in record["runs"]}
    sets = sv.data.load("mnist-5k")
    for weights in WEIGHTS:
        for order in ORDERS:
            if (weights, order) not in done:
                split = split_of(first_weights(weights), order, sets)
                record["runs"].append({"weights": weights, "order": order, **split})
                write_json(arguments.out, record, overwrite=True)


if __name__ == "__main__":
    main()
