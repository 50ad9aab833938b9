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
import itertools
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import svae_lib as sv
from svae_lib.experiments.checkpoints import build_model
from svae_lib.support.files import read_json, write_json
from svae_lib.support.provenance import provenance

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


def complete(
    path: Path,
    facts: dict[str, Any],
    names: tuple[str, ...],
    combinations: Iterable[tuple[int, ...]],
    run: Callable[..., dict[str, Any]],
) -> None:
    """Run the combinations of seeds that the record in ``path`` lacks, and note each at once.

    Args:
        path: the JSON file; made of ``facts`` where it is not there yet.
        facts: what a new record begins with.
        names: of the seeds in a combination.
        combinations: one seed for each name.
        run: called with the seeds; what it returns is noted beside them.
    """
    conditions = provenance(sv.devices.default_device())
    record = read_json(path) if path.exists() else {**facts, "conditions": conditions, "runs": []}
    done = {tuple(entry[name] for name in names) for entry in record["runs"]}
    for seeds in combinations:
        if seeds not in done:
            record["runs"].append(dict(zip(names, seeds, strict=True)) | run(*seeds))
            write_json(path, record, overwrite=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("results/weights_or_order.json"))
    arguments = parser.parse_args()
    sets = sv.data.load("mnist-5k")
    complete(
        arguments.out,
        {"what": "kind of split of 16 Split VAEs, preset quick: first weights by order and noise"},
        ("weights", "order"),
        itertools.product(WEIGHTS, ORDERS),
        lambda weights, order: split_of(first_weights(weights), order, sets),
    )


if __name__ == "__main__":
    main()
