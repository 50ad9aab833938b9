"""What a trained run makes and holds: ``svae sample``, ``reconstruct``, ``export`` and ``info``."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
import tyro
from matplotlib.figure import Figure

from .. import data, fid, plots
from .._version import __version__
from ..data import to_float
from ..experiments.checkpoints import MODEL_KINDS, load_model, read_about
from ..experiments.evaluation import fitting_images
from ..experiments.export import TOLERANCE, Part, export_onnx
from ..experiments.runs import Run
from ..experiments.scoring import Scoring
from ..inference import decode_all, encode_all, reconstruct_all
from ..models import VAE, parameter_count
from ..plots.pictures import MOST_IMAGES
from ..presets import PRESETS
from ..sampling import LatentMixture, prior_latents
from ..support.checks import InputError, check_counts
from ..support.files import atomic_path, check_writable


@dataclass(kw_only=True)
class _Picture:
    run: tyro.conf.Positional[Path]
    """Folder that svae train made."""
    out: Path
    """PNG file."""
    n: int = 12
    """Number of images."""
    root: Path | None = None
    """Folder with the data set's files."""
    overwrite: bool = False
    """Replace an existing file."""

    def _check(self) -> None:
        check_writable(self.out, overwrite=self.overwrite)
        check_counts(n=self.n)
        if self.n > MOST_IMAGES:
            raise InputError(f"a picture holds {MOST_IMAGES:,} images at most: lower --n.")

    def _save(self, figure: Figure) -> None:
        with atomic_path(self.out, overwrite=self.overwrite) as temporary:
            figure.savefig(temporary, format="png")


@dataclass(kw_only=True)
class Sample(_Picture):
    """Draw new images from a trained run and save them as one picture."""

    n: int = 64
    """Number of images."""
    source: Literal["prior", "mixture"] = "prior"
    """Draw latent vectors from N(0, 1), or from a mixture fitted as svae evaluate fits it."""
    seed: int = 0
    """Seeds everything random."""

    def __call__(self) -> None:
        self._check()
        scoring = Scoring(seed=self.seed)
        run = Run.open(self.run)
        model = run.load_model()
        if self.source == "prior":
            z = prior_latents(self.n, model.config.latent_dim, self.seed)
        else:
            sets = data.load(run.data, self.root)
            mu, _ = encode_all(model, fitting_images(sets, self.seed))
            mixture = LatentMixture(scoring.components(sets), seed=self.seed).fit(mu)
            z = mixture.sample(self.n, self.seed)
        images = decode_all(model, z).x_hat
        self._save(plots.image_grid(images, title=f"samples ({self.source})"))
        print(f"{self.n} images: {self.out}")


@dataclass(kw_only=True)
class Reconstruct(_Picture):
    """Show the first test images beside a run's reconstructions, with sigma, x1 and x2."""

    def __call__(self) -> None:
        self._check()
        run = Run.open(self.run)
        model = run.load_model()
        images = data.load(run.data, self.root).test[: self.n]
        out = reconstruct_all(model, images)
        rows = {"original": to_float(images), "reconstruction": out.x_hat}
        split = out.components is not None
        self._save(plots.split_rows(out, self.n) if split else plots.image_rows(rows))
        print(f"{len(images)} images: {self.out}")


@dataclass
class Info:
    """Say what a run or a model file holds; without one, what this library offers."""

    path: tyro.conf.Positional[Path | None] = None
    """A run's folder or a model's .safetensors file."""

    def __call__(self) -> None:
        if self.path is None:
            print(f"svae_lib {__version__}, torch {torch.__version__}")
            print("data sets:", ", ".join((*data.available(), "folder:PATH")))
            print("kinds of model:", ", ".join(MODEL_KINDS))
            print("feature networks:", ", ".join(fid.NETWORKS))
            for name, preset in PRESETS.items():
                print(f"preset {name}: {preset.model} {preset.train} ({preset.source})")
            return
        model = _model_in(self.path)
        path = self.path / "model.safetensors" if self.path.is_dir() else self.path
        print(f"{type(model).__name__}: {parameter_count(model):,} trainable parameters")
        for name, value in (dataclasses.asdict(model.config) | read_about(path)).items():
            if name != "history":  # hundreds of numbers
                print(f"  {name}: {value}")


@dataclass
class Export:
    """Write a trained model as ONNX, for browsers and programs without PyTorch."""

    model: tyro.conf.Positional[Path]
    """A run's folder or a model's .safetensors file."""
    out: Path
    """ONNX file. It takes any number of images, and is checked against PyTorch before it is kept;
    its metadata hold the model's configuration and the SHA-256 of its weights."""
    part: Part = "both"
    """encoder: images to mu, log_var. decoder: z to x_hat, components, weights. both: to all."""
    overwrite: bool = False
    """Replace an existing file."""

    def __call__(self) -> None:
        check_writable(self.out, overwrite=self.overwrite)
        export_onnx(_model_in(self.model), self.out, self.part, overwrite=self.overwrite)
        print(f"{self.part}, within {TOLERANCE:g} of PyTorch: {self.out}")


def _model_in(path: Path) -> VAE:
    """The model of a run's folder, or of a file."""
    return Run.open(path).load_model() if path.is_dir() else load_model(path)
