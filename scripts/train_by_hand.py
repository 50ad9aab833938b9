"""Train the networks that notebooks build by hand, and keep their weights in data/trained/by_hand.

    python scripts/train_by_hand.py [--only 01_vanilla_vae ...]

Runs the sources of these notebooks from top to bottom in the profile laptop, so that weights are
those of the notebook's own lines. Stored in half precision, replacing what is there.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

import matplotlib
import torch

from svae_lib.experiments.checkpoints import save_weights
from svae_lib.support.provenance import provenance

ROOT = Path(__file__).parent.parent
TARGET = ROOT / "data" / "trained" / "by_hand"
NETWORKS = {  # notebook: names of its variables, and of their files
    "01_vanilla_vae": {"ae": "autoencoder", "vae": "vae", "flat": "two-latent-variables"},
    "06_sampling": {"stage": "second-stage"},
    "09_beyond_the_paper": {"own": "few-faces", "denoiser": "denoiser"},
}


def run(notebook: str) -> dict[str, Any]:
    """The variables of a notebook after its last cell."""
    source = ROOT / "notebooks" / "source" / f"{notebook}.py"
    variables: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(source.read_text(encoding="utf-8"), source, "exec"), variables)
    return variables


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    arguments = parser.parse_args()
    os.environ["SVAE_PROFILE"] = "laptop"
    matplotlib.use("Agg")
    TARGET.mkdir(exist_ok=True)
    for notebook in arguments.only:
        variables = run(notebook)
        facts = {"notebook": notebook, "profile": "laptop", **provenance("cpu")}
        for variable, name in NETWORKS[notebook].items():
            path = TARGET / f"{notebook[:2]}-{name}.safetensors"
            network = variables[variable]
            save_weights(path, network, about=facts, dtype=torch.float16, overwrite=True)
            print(f"{path.name}: {path.stat().st_size / 2**20:.2f} MiB")


if __name__ == "__main__":
    main()
