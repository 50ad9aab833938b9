"""Stages of the GPU session that score images, and train and score the course's models."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest import mock

import numpy as np
import pytorch_fid.fid_score
import pytorch_fid.inception
import scipy.linalg
import torch
from gpu_checks import TINY
from gpu_speed import fastest_mode
from PIL import Image
from session import Context, Skipped, save_small
from torch import Tensor, nn

import svae_lib as sv
from svae_lib.data import to_uint8
from svae_lib.experiments import tables
from svae_lib.experiments.checkpoints import read_about
from svae_lib.experiments.tables import Scoring, Table, Variant
from svae_lib.fid import FeatureNetwork, FeatureStatistics, feature_statistics
from svae_lib.fid.inception import WEIGHTS, build_inception, load_inception
from svae_lib.inference import decode_all
from svae_lib.support.devices import compiler_options
from svae_lib.support.files import sha256

# ---------------------------------------------------------------------- FID's speed

AT_ONCE = 500  # images


def fid_speed(context: Context) -> dict[str, Any]:
    """Seconds from a model to its FID: the library, and PNG files scored by pytorch-fid.

    10,000 generated 32x32 images of the paper's CIFAR-10 model with its initial weights. Both
    decode the same latent vectors, use the same weights of Inception and the same statistics of a
    reference, which are not part of the time. pytorch-fid's own code runs, with its usual batch of
    50 and 8 worker processes, but for two things: the weights are taken from a file, and SciPy's
    newer sqrtm is called without the argument that it no longer has.
    """
    config = context.pick(sv.PRESETS["cifar10"].model, dataclasses.replace(TINY, channels=3))
    model = sv.build_model("split-vae", config, seed=0).to(context.device).eval()
    n, dims = context.pick((10_000, 2048), (12, 64))
    weights = _inception_file(context)
    network = _network(weights, dims, context.device)
    references = sv.sampling.prior_latents(n, config.latent_dim, seed=1) * 1.5
    reference = feature_statistics(_images(model, references), network)
    z = sv.sampling.prior_latents(n, config.latent_dim, seed=0)
    _ours(model, z[:100], network, reference)  # not counted: libraries are loaded
    start = time.perf_counter()
    value = _ours(model, z, network, reference)
    seconds = time.perf_counter() - start
    ours = {"images": n, "ours_seconds": round(seconds, 2), "fid": value, "features": dims}
    context.noted |= ours  # should the other side fail
    context.note()
    theirs = _by_pytorch_fid(context, model, z, weights, reference)
    return ours | {
        "pytorch_fid": theirs,
        "times_faster": round(theirs["seconds"] / seconds, 2),
        "relative_difference": abs(value - theirs["fid"]) / theirs["fid"],
        "weights": network.weights,
        "genuine_weights": network.weights_hash == WEIGHTS.digest,
        "scipy": scipy.__version__,
    }


def _ours(model: sv.VAE, z: Tensor, network: FeatureNetwork, reference: FeatureStatistics) -> float:
    return sv.fid.fid(_images(model, z), reference, network, batch_size=AT_ONCE).value


def _images(model: sv.VAE, z: Tensor) -> Any:
    """Generated images, uint8, batch by batch."""
    return (to_uint8(decode_all(model, part).x_hat) for part in z.split(AT_ONCE))


def _by_pytorch_fid(
    context: Context, model: sv.VAE, z: Tensor, weights: Path, reference: FeatureStatistics
) -> dict[str, Any]:
    said = io.StringIO()
    with TemporaryDirectory(dir=context.work) as name:
        folder, known = Path(name) / "images", Path(name) / "reference.npz"
        np.savez(known, mu=reference.mean.numpy(), sigma=reference.covariance.numpy())
        folder.mkdir()
        start = time.perf_counter()
        pixels = to_uint8(decode_all(model, z).x_hat).permute(0, 2, 3, 1).numpy()
        for index, image in enumerate(pixels):
            Image.fromarray(image).save(folder / f"{index:05d}.png")
        written = time.perf_counter() - start
        with _patched(weights), contextlib.redirect_stdout(said):
            value = pytorch_fid.fid_score.calculate_fid_given_paths(
                [str(folder), str(known)],
                batch_size=50,
                device=context.device,
                dims=reference.dim,
                num_workers=context.pick(8, 0),
            )
        seconds = time.perf_counter() - start
    return {
        "seconds": round(seconds, 2),
        "of_it_decoding_and_writing": round(written, 2),
        "fid": float(value),
        "singular_product": "singular product" in said.getvalue(),  # then sqrtm runs twice
    }


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
    folders.append(Path(torch.hub.get_dir()) / "checkpoints")
    for folder in folders:
        if (folder / WEIGHTS.name).is_file():
            return folder / WEIGHTS.name
    path = context.work / "random-inception.pth"
    if not path.exists():
        torch.manual_seed(0)
        network = build_inception()
        for layer in network.modules():
            if isinstance(layer, nn.Conv2d):  # or the features would be of the order of 1e-8
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        torch.save(network.state_dict(), path)
    return path


class _First(nn.Module):
    """pytorch-fid's own network up to its first pooling: 64 features, for tiny sessions."""

    def __init__(self, weights: Path) -> None:
        super().__init__()
        with _patched(weights):
            self.blocks = pytorch_fid.inception.InceptionV3([0])

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.blocks(images)[0]
        return features.mean(dim=(2, 3))


def _network(weights: Path, dims: int, device: torch.device) -> FeatureNetwork:
    if dims == 2048:
        return load_inception(weights, device, genuine=False)
    return FeatureNetwork(
        name="Inception, first pooling",
        weights=weights.name,
        weights_hash=sha256(weights),
        dim=dims,
        channels=3,
        resize="bilinear to 299x299",
        value_range="[0, 1] scaled to [-1, 1]",
        device=device,
        module=_First(weights),
    )


# ---------------------------------------------------------------------- the course's models

PAIR = (Variant("vae"), Variant("split-vae"))


def _compact(data: str, **model: Any) -> sv.Preset:
    """The course's compact preset, for another data set and longer than on a laptop."""
    compact = sv.PRESETS["compact"]
    return dataclasses.replace(
        compact,
        data=data,
        model=dataclasses.replace(compact.model, **model),
        train=dataclasses.replace(compact.train, steps=6000, learning_rate=1e-3),
        source="the preset compact on other data, for longer",
    )


CIFAR_JPEG = "folder:cifar10-jpeg?size=32"  # train/CLASS and test/CLASS below the root
# Tables of the session, beside the library's own.
EXTRA: dict[str, Table] = {
    "compact-mnist": Table(
        _compact("mnist"), PAIR, (0, 1, 2), Scoring("lenet-mnist", mixture_components=20)
    ),
    "compact-fashion-mnist": Table(
        _compact("fashion-mnist"),
        PAIR,
        (0, 1, 2),
        Scoring("lenet-fashion-mnist", mixture_components=20),
    ),
    "compact-cifar10-jpeg": Table(
        _compact(CIFAR_JPEG, channels=3, latent_dim=128),
        PAIR,
        (0, 1, 2),
        Scoring("efficientnet-lite0", mixture_components=20),
    ),
    "cifar10-jpeg": Table(
        dataclasses.replace(sv.PRESETS["cifar10"], data=CIFAR_JPEG),
        PAIR,
        (0, 1, 2),
        Scoring("efficientnet-lite0", mixture_components=20),
    ),
}


def course_table(
    context: Context, name: str, seeds: tuple[int, ...] | None = None
) -> dict[str, Any]:
    """Train and score a table's models, of some seeds or all; keep those of the first seed.

    Where this session knows which mode of the compiler is the fastest, that one is used.
    """
    table = EXTRA.get(name) or tables.TABLES[name]
    preset = sv.PRESETS[table.preset] if isinstance(table.preset, str) else table.preset
    if context.tiny:
        preset, table = _tiny(preset, table)
    elif context.root is None:
        raise Skipped("it needs the data: name their folder with --root or SVAE_DATA")
    root = None if context.tiny else context.root
    try:
        sv.data.load(preset.data, root)
    except sv.InputError as error:
        raise Skipped(str(error)) from None
    runs = context.work / "runs"
    mode = fastest_mode(context)
    with (
        mock.patch("svae_lib.training.compiler_options", lambda _: compiler_options(mode)),
        mock.patch.dict(tables.TABLES, {name: dataclasses.replace(table, preset=preset)}),
    ):
        path = tables.reproduce(
            name,
            results=context.out,
            runs=runs,
            seeds=seeds,
            root=root,
            device=context.device,
            progress=False,
        )
    columns, rows = tables.summarise(tables.read_table(path))
    return {
        "table": path.name,
        "columns": columns,
        "rows": rows,
        "models": _kept(name, table, runs / f"{name}-{preset.train.steps}", context.out),
        "seed": table.seeds[0],
        "compiler_mode": mode or "default",
    }


def _kept(name: str, table: Table, runs: Path, out: Path) -> dict[str, Any]:
    """Store a table's models of the first seed in ``out``; what was stored, by variant."""
    kept = {}
    for variant in table.variants:
        run = runs / f"{variant.name}-{table.seeds[0]}".replace(" ", "")
        weights = run / "model.safetensors"
        kept[variant.name] = save_small(
            sv.load_model(weights), f"{name}-{variant.kind}", read_about(weights), out
        )
    return kept


def _tiny(preset: sv.Preset, table: Table) -> tuple[sv.Preset, Table]:
    train = dataclasses.replace(preset.train, steps=2, batch_size=8)
    smaller = dataclasses.replace(preset, data="mnist-5k", model=TINY, train=train)
    return smaller, dataclasses.replace(
        table, seeds=(0,), scoring=Scoring("lenet", mixture_components=2, n=40)
    )
