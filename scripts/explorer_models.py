"""The explorer's models: ONNX files with a JSON file beside each, and some test digits."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any, get_args

import torch

import svae_lib as sv
from svae_lib.experiments.checkpoints import weights_hash
from svae_lib.experiments.export import Part, export_onnx

PRESETS = ("quick", "quick-seed-1", "quick-seed-2")
SAMPLES = 256
DIGITS_OF_A_KIND = 2


def about(model: sv.SplitVAE, sets: Any, seed: int) -> dict[str, Any]:
    """What the page needs to know of a model, measured on the test images."""
    with torch.no_grad():
        images = sets.test.float() / 255  # (N, 1, 32, 32)
        out = model.reconstruct(images)
        means = torch.cat([model.encode(part.float() / 255)[0] for part in sets.train.split(500)])
    statistics = sv.diagnostics.latent_statistics(out.mu, out.log_var)
    kind = sv.diagnostics.split_kind(out.sigma_map, images, out.components)
    mixture = sv.LatentMixture(40).fit(means)
    spread = statistics.variance_of_means
    return {
        "name": f"seed {seed}",
        "kind": kind.label,
        "alternation": round(kind.syntactic, 3),
        "contours": round(kind.semantic, 3),
        "latent_dim": model.config.latent_dim,
        "order": spread.argsort(descending=True).tolist(),
        "variance_of_means": [round(v, 4) for v in spread.tolist()],
        "active": statistics.active_count,
        "mixture": [[round(v, 4) for v in z] for z in mixture.sample(SAMPLES).tolist()],
        "sha256": weights_hash(model),
    }


def digits(sets: Any) -> list[dict[str, Any]]:
    """Test digits, some of each kind: label and 32 x 32 bytes in base64."""
    chosen = []
    for place in range(DIGITS_OF_A_KIND):
        for label in range(10):
            index = int((sets.test_labels == label).nonzero()[place])
            pixels = base64.b64encode(sets.test[index].numpy().tobytes()).decode()
            chosen.append({"label": label, "pixels": pixels})
    return chosen


def strip(path: Path) -> None:
    """Drop what the exporter notes of each node, such as the lines of code it came from."""
    import onnx

    model = onnx.load(str(path))
    graph = model.graph
    graph.ClearField("value_info")
    graph.ClearField("metadata_props")
    for node in graph.node:
        node.ClearField("metadata_props")
    onnx.save(model, str(path))


def write(folder: Path) -> None:
    """Write all files of the explorer's models into a new folder."""
    folder.mkdir(parents=True)
    sets = sv.data.load("mnist-5k")
    names = []
    for seed, preset in enumerate(PRESETS):
        model = sv.load_trained(preset, "split-vae").eval()
        name = f"{preset}-split-vae"
        for part in get_args(Part):
            if part != "both":
                export_onnx(model, folder / f"{name}.{part}.onnx", part)
                strip(folder / f"{name}.{part}.onnx")
        (folder / f"{name}.json").write_text(json.dumps(about(model, sets, seed)))
        names.append(name)
    (folder / "models.json").write_text(json.dumps({"models": names, "digits": digits(sets)}))
