"""Stages of the GPU session that train and score models, time FID, and time the notebooks."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from unittest import mock

import numpy as np
import pytorch_fid.fid_score
import pytorch_fid.inception
import scipy.linalg
import torch
from feature_networks import save_random_inception
from gpu_checks import ROOT, TINY, judged
from PIL import Image
from torch import Tensor, nn

import svae_lib as sv
from svae_lib.data import to_uint8
from svae_lib.experiments import tables
from svae_lib.experiments.checkpoints import read_about, save_model
from svae_lib.fid import FeatureStatistics, feature_statistics
from svae_lib.fid.inception import WEIGHTS, load_inception
from svae_lib.inference import decode_all
from svae_lib.support.files import read_json

if TYPE_CHECKING:
    from gpu_session import Context

# ---------------------------------------------------------------------- tables

TABLES = (
    *("mnist-half-width", "mnist-full-width", "fashion-half-width"),
    *("photographs-30-epochs", "faces", "mnist", "fashion-mnist"),
)


def table(context: Context, name: str) -> dict[str, Any]:
    """Compute the missing cells of a table; keep the models of its first seed, as float16.

    A tiny session trains two models of the table "reconstructions" for two steps instead, with
    embedded data.
    """
    chosen = context.pick(name, "reconstructions")
    seeds = context.pick(tables.TABLES[name].seeds, (40,))
    path = tables.reproduce(
        chosen,
        results=context.out / "tables",
        runs=context.work / "runs",
        steps=context.pick(None, 2),
        seeds=seeds,
        root=context.root,
        device=context.device,
        progress=False,
    )
    folder = context.out / "models"
    folder.mkdir(exist_ok=True)
    kept = []
    found = (context.work / "runs").glob(f"{chosen}-*/*-{seeds[0]}/model.safetensors")
    for weights in sorted(found):
        kept.append(f"{chosen}-{weights.parent.name}.safetensors")
        about = read_about(weights) | {"stored_as": "float16"}
        model = sv.load_model(weights)
        save_model(folder / kept[-1], model, about=about, dtype=torch.float16, overwrite=True)
    columns, rows = tables.summarise(tables.read_table(path))
    return {"table": path.name, "columns": columns, "rows": rows, "models": kept}


# ---------------------------------------------------------------------- FID

AT_ONCE = 500  # images


def fid_speed(context: Context) -> dict[str, Any]:
    """Seconds from latent vectors to FID: the library, and PNG files scored by pytorch-fid.

    10,000 images of 32x32 pixels by the paper's CIFAR-10 model with its initial weights. Both
    sides have the same latent vectors, weights of Inception and statistics of a reference, whose
    time does not count. pytorch-fid runs with its usual batch of 50 and 8 worker processes. Two
    things are replaced in it: weights come from a file, and SciPy's sqrtm is called without the
    argument that newer versions have not. A tiny session stops at Inception's first pooling.
    """
    config = context.pick(sv.PRESETS["cifar10"].model, dataclasses.replace(TINY, channels=3))
    model = sv.build_model("split-vae", config, seed=0).to(context.device).eval()
    n = context.pick(10_000, 12)
    weights = _inception_file(context)
    network = load_inception(weights, context.device, genuine=False)
    if context.tiny:
        network = dataclasses.replace(network, dim=64, module=_First(weights))
    references = sv.sampling.prior_latents(n, config.latent_dim, seed=1) * 1.5
    reference = feature_statistics(_images(model, references), network)
    z = sv.sampling.prior_latents(n, config.latent_dim, seed=0)
    sv.fid.fid(_images(model, z[:100]), reference, network)  # not counted: libraries are loaded
    start = time.perf_counter()
    statistics = feature_statistics(_images(model, z), network, AT_ONCE)
    value = sv.fid.fid(statistics, reference, network).value
    seconds = time.perf_counter() - start
    ours = {"images": n, "seconds": round(seconds, 2), "fid": value, "features": network.dim}
    context.note(ours)
    theirs = _by_pytorch_fid(context, model, z, weights, reference)
    return ours | {
        "pytorch_fid": theirs,
        "times_faster": round(theirs["seconds"] / seconds, 2),
        "value": judged(abs(value - theirs["fid"]) / theirs["fid"], 1e-2),
        "network": network.name,
        "weights": network.weights,
        "scipy": scipy.__version__,
    }


def _images(model: sv.VAE, z: Tensor) -> Iterator[Tensor]:
    """Generated images, uint8, batch by batch."""
    return (to_uint8(decode_all(model, part).x_hat) for part in z.split(AT_ONCE))


def _by_pytorch_fid(
    context: Context, model: sv.VAE, z: Tensor, weights: Path, reference: FeatureStatistics
) -> dict[str, Any]:
    with TemporaryDirectory(dir=context.work) as name:
        folder, known = Path(name) / "images", Path(name) / "reference.npz"
        np.savez(known, mu=reference.mean.numpy(), sigma=reference.covariance.numpy())
        folder.mkdir()
        start = time.perf_counter()
        pixels = to_uint8(decode_all(model, z).x_hat).permute(0, 2, 3, 1).numpy()
        for index, image in enumerate(pixels):
            Image.fromarray(image).save(folder / f"{index:05d}.png")
        written = time.perf_counter() - start
        with _patched(weights):
            value = pytorch_fid.fid_score.calculate_fid_given_paths(
                [str(folder), str(known)],
                batch_size=50,
                device=context.device,
                dims=reference.dim,
                num_workers=context.pick(8, 0),
            )
        seconds = time.perf_counter() - start
    found = {"seconds": round(seconds, 2), "of_it_decoding_and_writing": round(written, 2)}
    return found | {"fid": float(value)}


@contextlib.contextmanager
def _patched(weights: Path) -> Iterator[None]:
    def sqrtm(matrix: Any, disp: bool = True) -> Any:
        root = scipy.linalg.sqrtm(matrix)
        return root if disp else (root, None)

    def state(*args: Any, **kwargs: Any) -> Any:
        return torch.load(weights, map_location="cpu", weights_only=True)

    with (
        mock.patch.object(pytorch_fid.fid_score, "linalg", mock.Mock(sqrtm=sqrtm)),
        mock.patch.object(pytorch_fid.inception, "load_state_dict_from_url", state),
    ):
        yield


def _inception_file(context: Context) -> Path:
    """The genuine weights where they are at hand, else random ones, which cost as much."""
    folders = [context.root] if context.root else []
    for folder in (*folders, Path(torch.hub.get_dir()) / "checkpoints"):
        if (folder / WEIGHTS.name).is_file():
            return folder / WEIGHTS.name
    path = context.work / "random-inception.pth"
    save_random_inception(path)
    return path


class _First(nn.Module):
    """pytorch-fid's own network up to its first pooling: 64 features."""

    def __init__(self, weights: Path) -> None:
        super().__init__()
        with _patched(weights):
            self.blocks = pytorch_fid.inception.InceptionV3([0])

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.blocks(images)[0]
        return features.mean(dim=(2, 3))


# ---------------------------------------------------------------------- notebooks

TRAINED_ON_CUDA = "05_train_on_cuda"


def notebooks(context: Context) -> dict[str, Any]:
    """Minutes of each notebook by scripts/time_notebooks.py; notebook 05 solved, with its outputs.

    In a copy of the course, because the scripts write the times into the notebooks.
    """
    copy = context.work / "course"
    left_out = shutil.ignore_patterns(".*", "__pycache__", "runs", "node_modules")
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(ROOT, copy, ignore=left_out)
    environment = os.environ | {"PYTHONPATH": str(copy)}
    if context.root:
        environment["SVAE_DATA"] = str(context.root)
    profile = context.pick("gpu", "smoke")
    minutes = copy / "benchmarks" / "results" / "notebook_minutes.json"
    minutes.write_text("{}", encoding="utf-8")  # so that all that stands there is new
    names = sorted(path.stem for path in (copy / "notebooks").glob("[0-9]*.ipynb"))
    failed: dict[str, list[str]] = {}

    def script(name: str, *arguments: str) -> None:
        command = [sys.executable, f"scripts/{name}.py", *arguments]
        found = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True)
        if found.returncode:
            failed[" ".join((name, *arguments))] = found.stderr.splitlines()[-15:]

    def measured() -> dict[str, Any]:
        found: dict[str, Any] = read_json(minutes)
        return {name: profiles[profile] for name, profiles in found.items()}

    for name in context.pick(names, names[:1]):
        script("time_notebooks", profile, name)
        context.note({"profile": profile, "notebooks": measured(), "failed": failed})
    if not context.tiny:
        script("build_notebooks", TRAINED_ON_CUDA, "--profile", "gpu", "--execute")
        solved = copy / "notebooks" / "solutions" / f"{TRAINED_ON_CUDA}.ipynb"
        shutil.copy(solved, context.out / solved.name)
    result = {"profile": profile, "notebooks": measured(), "failed": failed}
    return result | {"passed": not failed}
