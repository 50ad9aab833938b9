"""Choose the baselines' weights of the table mnist-5k, on held-out *training* digits.

    python scripts/tune_baselines.py [--out results/baseline_weights.json]

3,200 training digits train, the other 800 are the reference; the test digits are not touched. The
seed is none of the table's. A value that is there already is not computed again.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

import torch

import svae_lib as sv
from svae_lib.experiments.checkpoints import build_model
from svae_lib.experiments.evaluation import Scoring, evaluate
from svae_lib.support.files import read_json, write_json
from svae_lib.support.provenance import provenance

SEED = 100
TRIED = {  # (beta, weight of the decoder's penalty or None)
    "beta-vae": [(0.03, None), (0.1, None), (0.5, None), (1.0, None), (4.0, None)],
    "rae-l2": [(0.0128, 1e-4), (0.1, 1e-4), (0.5, 1e-4)],
    "rae-gp": [(0.0128, 0.01), (0.0128, 0.1), (0.1, 0.1)],
}


def held_out(sets: sv.data.ImageSets) -> sv.data.ImageSets:
    """The training digits in two parts, as a data set of their own."""
    order = torch.randperm(len(sets.train), generator=torch.Generator().manual_seed(SEED))
    train, test = order[:3200], order[3200:]
    return dataclasses.replace(
        sets,
        name=f"{sets.name} (held-out training digits)",
        train=sets.train[train],
        train_labels=sets.train_labels[train],
        test=sets.train[test],
        test_labels=sets.train_labels[test],
    )


def score(kind: str, beta: float, penalty: float | None, sets: sv.data.ImageSets) -> dict:
    preset = sv.PRESETS["quick"]
    config = dataclasses.replace(preset.train, seed=SEED, beta=beta)
    model = build_model(kind, preset.model, SEED)
    if penalty is not None:
        model.penalty_weight = penalty
    trainer = sv.Trainer(model, sets.train, config)
    trainer.fit()
    trainer.check_finished()
    result = evaluate(model, sets, Scoring("lenet", mixture_components=40, seed=SEED))
    rows = {row.source: row.fid.value for row in result.rows}
    return {"kind": kind, "beta": beta, "penalty_weight": penalty, "fid": rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("results/baseline_weights.json"))
    arguments = parser.parse_args()
    record = {
        "what": "FID (LeNet) of 800 images against 800 held-out training digits, preset quick",
        "seed": SEED,
        "conditions": provenance(sv.devices.default_device()),
        "tried": [],
    }
    if arguments.out.exists():
        record = read_json(arguments.out)
    done = {(r["kind"], r["beta"], r["penalty_weight"]) for r in record["tried"]}
    sets = held_out(sv.data.load("mnist-5k"))
    for kind, values in TRIED.items():
        for beta, penalty in values:
            if (kind, beta, penalty) in done:
                continue
            record["tried"].append(score(kind, beta, penalty, sets))
            write_json(arguments.out, record, overwrite=True)
            print(record["tried"][-1], flush=True)


if __name__ == "__main__":
    main()
