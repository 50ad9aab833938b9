"""Stages of the GPU session that train and score models, time FID, and time the notebooks."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import scipy.linalg
import torch
from feature_networks import save_random_inception
from gpu_checks import ROOT, TINY, Context, judged
from PIL import Image
from torch import Tensor, nn

import svae_lib as sv
from svae_lib.data import to_uint8
from svae_lib.experiments import tables
from svae_lib.experiments.checkpoints import read_about, save_model
from svae_lib.fid import FeatureStatistics, feature_statistics
from svae_lib.fid.imagenet import load_inception
from svae_lib.inference import decode_batches
from svae_lib.support.files import read_json

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
        device=context.device,
        progress=False,
    )
    for weights in (context.work / "runs").glob(f"{chosen}-[0-9]*/*-{seeds[0]}/model.*"):
        target = context.out / "models" / f"{chosen}-{weights.parent.name}.safetensors"
        target.parent.mkdir(exist_ok=True)
        about = read_about(weights) | {"stored_as": "float16"}
        model = sv.load_model(weights)
        save_model(target, model, about=about, dtype=torch.float16, overwrite=True)
    columns, rows = tables.summarise(tables.read_table(path))
    return {"table": path.name, "columns": columns, "rows": rows}


def fid_speed(context: Context) -> dict[str, Any]:
    """Seconds from latent vectors to FID: the library, and PNG files scored by pytorch-fid.

    10,000 images of 32x32 pixels by the paper's CIFAR-10 model with its initial weights. Both
    sides have the same latent vectors, weights of Inception (random ones, which cost as much, where
    SVAE_INCEPTION names no file) and statistics of a reference, whose time does not count. A tiny
    session stops at Inception's first pooling.
    """
    config = context.pick(sv.PRESETS["cifar10"].model, dataclasses.replace(TINY, channels=3))
    model = sv.build_model("split-vae", config, seed=0).to(context.device).eval()
    n = context.pick(10_000, 12)
    weights = Path(os.environ.get("SVAE_INCEPTION", context.work / "random-inception.pth"))
    if not weights.exists():
        save_random_inception(weights)
    network = load_inception(weights, context.device, genuine=False)
    with _pytorch_fid_works(weights) as pytorch_fid:
        if context.tiny:
            first = nn.Sequential(pytorch_fid.InceptionV3([0]), _Pooled())
            network = dataclasses.replace(network, dim=64, module=first)
        z, references = (sv.sampling.prior_latents(n, config.latent_dim, seed=s) for s in (0, 1))
        reference = feature_statistics(_images(model, 1.5 * references), network)
        sv.fid.fid(_images(model, z[:100]), reference, network)  # not counted: loads libraries
        start = time.perf_counter()
        statistics = feature_statistics(_images(model, z), network, batch_size=500)
        value = sv.fid.fid(statistics, reference, network).value
        seconds = time.perf_counter() - start
        result = {"images": n, "network": network.name, "fid": value, "seconds": round(seconds, 2)}
        context.note(result)
        theirs = _by_pytorch_fid(pytorch_fid, context, model, z, reference)
    return result | {
        "pytorch_fid": theirs,
        "times_faster": round(theirs["seconds"] / seconds, 2),
        "value": judged(abs(value - theirs["fid"]) / theirs["fid"], 1e-2),
    }


def _images(model: sv.VAE, z: Tensor) -> Iterator[Tensor]:
    """Generated images, uint8, batch by batch."""
    return (to_uint8(out.x_hat) for out in decode_batches(model, z))


def _by_pytorch_fid(
    pytorch_fid: Any, context: Context, model: sv.VAE, z: Tensor, reference: FeatureStatistics
) -> dict[str, Any]:
    """With its usual batch of 50, and 8 worker processes."""
    with TemporaryDirectory(dir=context.work) as name:
        folder, known = Path(name) / "images", Path(name) / "reference.npz"
        np.savez(known, mu=reference.mean.numpy(), sigma=reference.covariance.numpy())
        folder.mkdir()
        start = time.perf_counter()
        for index, image in enumerate(itertools.chain.from_iterable(_images(model, z))):
            pixels = image.permute(1, 2, 0).cpu().numpy()
            Image.fromarray(pixels).save(folder / f"{index:05d}.png")
        paths, workers = [str(folder), str(known)], context.pick(8, 0)
        scored = paths, 50, context.device, reference.dim, workers
        value = pytorch_fid.calculate_fid_given_paths(*scored)
        seconds = time.perf_counter() - start
    return {"seconds": round(seconds, 2), "fid": float(value)}


@contextlib.contextmanager
def _pytorch_fid_works(weights: Path) -> Iterator[Any]:
    """Without network, and with new versions of SciPy, whose sqrtm has no argument ``disp``."""
    from pytorch_fid import fid_score  # here: the other stages do without it

    def sqrtm(matrix: Any, disp: bool = True) -> Any:
        root = scipy.linalg.sqrtm(matrix)
        return root if disp else (root, None)

    state = torch.load(weights, map_location="cpu", weights_only=True)
    linalg = SimpleNamespace(sqrtm=sqrtm)
    with (
        mock.patch.object(fid_score, "linalg", linalg),
        mock.patch("pytorch_fid.inception.load_state_dict_from_url", lambda *_, **__: state),
    ):
        yield fid_score


class _Pooled(nn.Module):
    """The first of the maps that pytorch-fid's network gives, averaged over their pixels."""

    def forward(self, maps: list[Tensor]) -> Tensor:
        return maps[0].mean(dim=(2, 3))


TRAINED_ON_CUDA = "05_train_on_cuda"


def notebooks(context: Context) -> dict[str, Any]:
    """Minutes of each notebook by scripts/time_notebooks.py; notebook 05 solved, with its outputs.

    In a copy of the course, because the scripts write the times into the notebooks.
    """
    copy = context.work / "course"
    left_out = (".*", "__pycache__", "runs", "node_modules", context.out.name, context.work.name)
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(*left_out))
    environment = os.environ | {"PYTHONPATH": f"{copy}{os.pathsep}{os.getenv('PYTHONPATH', '')}"}
    profile = context.pick("gpu", "smoke")
    minutes = copy / "benchmarks" / "results" / "notebook_minutes.json"
    minutes.write_text("{}", encoding="utf-8")  # so that all that stands there is new
    names = sorted(path.stem for path in (copy / "notebooks").glob("[0-9]*.ipynb"))
    scripts = [("time_notebooks", profile, name) for name in context.pick(names, names[:1])]
    if not context.tiny:
        scripts.insert(0, ("build_notebooks", TRAINED_ON_CUDA, "--profile", "gpu", "--execute"))
    failed: dict[str, list[str]] = {}
    result: dict[str, Any] = {}
    for name, *arguments in scripts:
        command = [sys.executable, f"scripts/{name}.py", *arguments]
        found = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True)
        if found.returncode:
            failed[" ".join((name, *arguments))] = found.stderr.splitlines()[-15:]
        taken = {name: profiles[profile] for name, profiles in read_json(minutes).items()}
        result = {"profile": profile, "notebooks": taken, "failed": failed, "passed": not failed}
        context.note(result)
        if name == "build_notebooks" and not found.returncode:
            shutil.copy(copy / "notebooks" / "solutions" / f"{TRAINED_ON_CUDA}.ipynb", context.out)
    return result
