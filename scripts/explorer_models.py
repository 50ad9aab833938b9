"""The explorer's models: ONNX files with a JSON file beside each, and test images for each kind."""

from __future__ import annotations

import base64
import gzip
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from PIL import Image
from torch import Tensor

import svae_lib as sv
from svae_lib.data import toy_faces
from svae_lib.experiments.checkpoints import weights_hash
from svae_lib.experiments.export import Part, export_onnx

SAMPLES = 128
DIGITS_OF_A_KIND = 2
FACES = 12
FACES_FOR_THE_MIXTURE = 4_000
HALF_A_GREY_LEVEL = 0.5 / 255
HALVED_FROM = 256
"""Numbers in the smallest tensor that is stored in 16 bits."""


@dataclass(frozen=True)
class Shown:
    """A model of the page, and the images that it is measured on and shown with."""

    preset: str
    name: str
    images: str
    """Which of the page's test images it takes: "digits" or "faces"."""


SHOWN = (
    Shown("quick", "digits, seed 0", "digits"),
    Shown("quick-seed-1", "digits, seed 1", "digits"),
    Shown("quick-seed-2", "digits, seed 2", "digits"),
    Shown("faces", "faces", "faces"),
)


def images_of(kind: str) -> tuple[Tensor, Tensor, list[str]]:
    """Training and test images, uint8 (N, C, S, S), and what each test image is called."""
    if kind == "digits":
        sets = sv.data.load("mnist-5k")
        return sets.train, sets.test, [f"a {label}" for label in sets.test_labels.tolist()]
    # The first of toy-faces: drawing all of them would take most of a minute.
    train, _ = toy_faces.draw_faces(FACES_FOR_THE_MIXTURE, toy_faces.TRAIN_SEED)
    test, _ = toy_faces.draw_faces(toy_faces.TEST_COUNT, toy_faces.TEST_SEED)
    return train, test, ["a face"] * len(test)


def about(model: sv.VAE, train: Tensor, test: Tensor, shown: Shown) -> dict[str, Any]:
    """What the page needs to know of a model, measured on the test images."""
    with torch.no_grad():
        images = test.float() / 255  # (N, C, S, S)
        out = model.reconstruct(images)
        means = torch.cat([model.encode(part.float() / 255)[0] for part in train.split(500)])
    statistics = sv.diagnostics.latent_statistics(out.mu, out.log_var)
    kind = sv.diagnostics.split_kind(out.sigma_map, images, out.components)
    mixture = sv.LatentMixture(40).fit(means)
    spread = statistics.variance_of_means
    return {
        "name": shown.name,
        "images": shown.images,
        "image_size": model.config.image_size,
        "channels": model.config.channels,
        "kind": kind.label,
        "alternation": round(kind.syntactic, 3),
        "contours": round(kind.semantic, 3),
        "latent_dim": model.config.latent_dim,
        "order": spread.argsort(descending=True).tolist(),
        "variance_of_means": [round(v, 4) for v in spread.tolist()],
        "active": statistics.active_count,
        "mixture": [[round(v, 3) for v in z] for z in mixture.sample(SAMPLES).tolist()],
        "sha256": weights_hash(model),
    }


def stored(test: Tensor, names: list[str], kind: str) -> list[dict[str, str]]:
    """Test images as PNG in base64: digits of each kind, or the first faces."""
    if kind == "digits":
        of_a_kind = [[i for i, name in enumerate(names) if name == f"a {d}"] for d in range(10)]
        chosen = [of_a_kind[d][place] for place in range(DIGITS_OF_A_KIND) for d in range(10)]
    else:
        chosen = list(range(FACES))
    return [{"name": names[i], "png": _png(test[i])} for i in chosen]


def _png(image: Tensor) -> str:
    pixels = image.permute(1, 2, 0).numpy()  # (S, S, C)
    file = io.BytesIO()
    Image.fromarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def shrink(path: Path) -> None:
    """Drop the exporter's notes on each node, and store large tensors in 16 bits.

    A node widens each to float32 again when the file is opened, so nothing is computed in 16 bits.
    Most weights lose nothing: they are shipped in half precision.

    Raises:
        AssertionError: an output changes by more than half a grey level.
    """
    import onnx
    import onnxruntime
    from onnx import numpy_helper

    model = onnx.load(str(path))
    before = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    graph = model.graph
    graph.ClearField("value_info")
    graph.ClearField("metadata_props")
    for node in graph.node:
        node.ClearField("metadata_props")
    casts = []
    for tensor in graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.size < HALVED_FROM:
            continue
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}.half"))
        casts.append(onnx.helper.make_node("Cast", [f"{name}.half"], [name], to=1))
    nodes = [*casts, *graph.node]
    graph.ClearField("node")
    graph.node.extend(nodes)
    onnx.save(model, str(path))
    after = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (wanted,) = before.get_inputs()
    shape = [4, *wanted.shape[1:]]
    rng = np.random.default_rng(0)
    images = wanted.name == "images"
    example = (rng.random(shape) if images else rng.standard_normal(shape)).astype(np.float32)
    pairs = zip(*(s.run(None, {wanted.name: example}) for s in (before, after)), strict=True)
    worst = max(float(np.abs(a - b).max()) for a, b in pairs)
    assert worst < HALF_A_GREY_LEVEL, f"{path.name} differs by {worst:.2g} in 16 bits"


def write(folder: Path) -> None:
    """Write all files of the explorer's models into a new folder."""
    folder.mkdir(parents=True)
    listed = []
    for kind in dict.fromkeys(shown.images for shown in SHOWN):
        train, test, called = images_of(kind)
        (folder / f"{kind}.json").write_text(json.dumps(stored(test, called, kind)))
        for shown in SHOWN:
            if shown.images != kind:
                continue
            model = sv.load_trained(shown.preset, "split-vae").eval()
            name = f"{shown.preset}-split-vae"
            for part in get_args(Part):
                if part != "both":
                    path = folder / f"{name}.{part}.onnx"
                    export_onnx(model, path, part)
                    shrink(path)
                    path.with_suffix(".onnx.z").write_bytes(gzip.compress(path.read_bytes()))
                    path.unlink()
            told = about(model, train, test, shown)
            (folder / f"{name}.json").write_text(json.dumps(told))
            listed.append({"file": name} | {k: told[k] for k in ("name", "kind", "images")})
    (folder / "models.json").write_text(json.dumps(listed))
