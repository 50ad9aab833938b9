"""The command line: svae train, evaluate, sample, reproduce and others.

Every field of ModelConfig and TrainConfig is an option of "svae train", as in
"svae train --preset quick --out runs/a --model.latent-dim 8 --train.seed 3".
"svae info" lists data sets, kinds of model, feature networks and presets; "svae --version" says
which version this is.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import io
import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
import tyro
from matplotlib.figure import Figure
from PIL import Image

from . import data, fid, plots
from ._version import __version__
from .data import ImageSets, to_float, to_uint8
from .experiments.checkpoints import MODEL_KINDS, load_model, read_about
from .experiments.claim import claim_tests, kinds_of, summarise_claim
from .experiments.demo import demo
from .experiments.evaluation import (
    PROTOCOLS,
    Evaluation,
    Protocol,
    Reference,
    evaluate,
    fitting_images,
)
from .experiments.monitoring import SamplePictures, TensorBoard
from .experiments.pages import Subject, score_table, write_page
from .experiments.report import format_table
from .experiments.runs import Run
from .experiments.tables import lock_of, read_table, reproduce, summarise
from .inference import decode_all, encode_all, reconstruct_all
from .models import Decoded, parameter_count
from .presets import PRESETS, ModelConfig, TrainConfig
from .sampling import LatentMixture, prior_latents
from .support.checks import InputError, check_seed
from .support.devices import find_device
from .support.distributed import Processes, join, leave
from .support.files import atomic_path, write_json
from .support.rescue import TrainingDiverged, TrainingOutOfMemory
from .training import Trainer

RunFolder = tyro.conf.Positional[Path]


@dataclass
class Train:
    """Train a model and save it in a folder of its own; Ctrl-C keeps what was learnt so far."""

    out: Path | None = None
    """Folder for the run; it must not hold anything yet."""
    resume: Path | None = None
    """Continue the run in this folder, with its own settings; --train.accumulate may change."""
    preset: str = "quick"
    """Where settings come from that are not given; svae info lists the presets."""
    kind: str = "split-vae"
    """Kind of model, such as vae or split-vae; svae info lists them."""
    data: str | None = None
    """Data set, such as mnist or folder:PATH?size=32&channels=1; default: the preset's. The run
    notes PATH as an absolute one: change it in RUN/run.json where the images have moved."""
    root: Path | None = None
    """Folder with the data set's files, where they are on this machine already."""
    device: str | None = None
    """cuda, cpu, ...; default: a GPU where there is one."""
    checkpoint_every: int | None = None
    """Steps between two checkpoints, not below --train.log-every; default: 1000 or that."""
    held_out: int = 0
    """Training images to keep back; the checkpoint with the lowest loss on them is kept too."""
    samples_every: int | None = None
    """Steps between two pictures in RUN/samples; default: none are drawn."""
    tensorboard: bool = False
    """Write TensorBoard events into RUN/events."""
    model: ModelConfig = field(default_factory=ModelConfig)
    train: TrainConfig = field(default_factory=TrainConfig)

    def run(self) -> None:
        """Do it."""
        if (self.out is None) == (self.resume is None):
            raise InputError("give either --out FOLDER for a new run or --resume FOLDER.")
        if self.kind not in MODEL_KINDS:
            raise InputError(f"--kind must be one of {', '.join(MODEL_KINDS)}.")
        processes = join(self.device)
        with contextlib.ExitStack() as stack:
            with processes.main_first():  # it may download, and it makes the folder
                resumed = None if self.resume is None else self._resumed(Run.open(self.resume))
                name = resumed.data if resumed else self._data_name()
                sets = data.load(name, self.root)
                on_log = self._watchers(sets.test, stack) if processes.main else []
                # after the watchers: they may refuse, and then there shall be no folder
                run = resumed or self._new(name, sets.train, processes)
            stack.callback(leave)  # in good order, also when SIGTERM ends it
            trainer = run.train(
                sets.train,
                device=self.device,
                checkpoint_every=self.checkpoint_every,
                on_log=on_log,
            )
        if not processes.main:
            return
        print(f"{trainer.step} steps in {trainer.seconds:.0f} s; the model is in {run.folder}")
        if trainer.step < run.train_config.steps:
            print(f"Continue with: svae train --resume {run.folder}")

    def _new(self, data_name: str, images: torch.Tensor, processes: Processes) -> Run:
        """The run in a folder that the main process makes, if it can be trained at all."""
        assert self.out is not None
        new = self.out, self.kind, data_name, self.model, self.train, self.held_out
        Run(*new).check(images, self.checkpoint_every, processes.count)
        processes.check_shares(self.train.batch_size, self.train.accumulate)
        if processes.main:
            Run.create(*new)
        return Run.open(self.out)

    def _resumed(self, run: Run) -> Run:
        """The run with its own settings, but in finer parts if it ran out of memory.

        Raises:
            InputError: other settings are given: they would be without effect.
        """
        usual = PRESETS[Train.preset]
        given: list[tuple[object, object, object]] = [  # here, by default, in the run
            (self.kind, Train.kind, run.kind),
            (self._data_asked_for(), None, data.absolute(run.data, self.root)),
            (self.held_out, Train.held_out, run.held_out),
            (self.model, usual.model, run.model_config),
            (_in_one_part(self.train), _in_one_part(usual.train), _in_one_part(run.train_config)),
        ]
        if any(asked not in (default, own) for asked, default, own in given):
            raise InputError(
                f"--resume goes on with the settings of {run.folder}: of preset, kind, data, "
                "held-out, model and train options it takes --train.accumulate alone."
            )
        if self.train.accumulate == PRESETS[self.preset].train.accumulate:
            return run
        train = dataclasses.replace(run.train_config, accumulate=self.train.accumulate)
        return dataclasses.replace(run, train_config=train)

    def _data_asked_for(self) -> str | None:
        """The data set that was named, or that a preset brings that was named."""
        named = self.data is not None or self.preset != Train.preset
        return self._data_name() if named else None

    def _data_name(self) -> str:
        """The data set to train on, by a name that holds in any working directory."""
        return data.absolute(self.data or PRESETS[self.preset].data, self.root)

    def _watchers(
        self, images: torch.Tensor, stack: contextlib.ExitStack
    ) -> list[Callable[[Trainer], None]]:
        """What is called at each entry of the history; ``stack`` closes it."""
        folder = self.out or self.resume
        assert folder is not None
        watchers: list[Callable[[Trainer], None]] = []
        if self.samples_every is not None:
            watchers.append(SamplePictures(folder / "samples", images, self.samples_every))
        if self.tensorboard:
            watchers.append(stack.enter_context(TensorBoard(folder / "events")))
        return watchers


def _in_one_part(train: TrainConfig) -> TrainConfig:
    return dataclasses.replace(train, accumulate=1)


@dataclass
class _Scoring:
    """How runs are scored."""

    features: str = "lenet"
    """Feature network, such as lenet or inception; svae info lists them."""
    weights: Path | None = None
    """File with the feature network's weights."""
    n: int | None = None
    """Images to generate; default: as many as the reference has, at most 10,000."""
    reference: Reference = "test"
    """What is compared with: test or training images."""
    n_reference: int | None = None
    """Images of the reference; default: as many as are generated."""
    mixture_components: int = 100
    """Gaussians in the mixture."""
    second_stage_steps: int = 0
    """Steps to train the second stage of a two-stage VAE for; default: no such samples."""
    likelihood_draws: int = 0
    """Latent vectors per test image for a bound on log p(x), such as 100; default: no bound."""
    seed: int = 0
    """Seeds everything random."""
    root: Path | None = None
    """Folder with the data set's files."""
    device: str | None = None
    """cuda, cpu, ..."""

    def network(self) -> fid.FeatureNetwork:
        """The feature network, on the device."""
        return fid.network(self.features, self.weights, self.device)

    def score(
        self, run: Run, sets: ImageSets, network: fid.FeatureNetwork, protocol: Protocol = "clean"
    ) -> Evaluation:
        """Scores of a run, with its model on the device; ``how`` tells how far it was trained.

        Raises:
            InputError: it was trained on other images than those of ``sets``.
        """
        model = run.load_model(find_device(self.device))
        run.check_trained_on(sets.train)
        result = evaluate(
            model,
            sets,
            network,
            n=self.n,
            reference=self.reference,
            n_reference=self.n_reference,
            protocol=protocol,
            mixture_components=self.mixture_components,
            second_stage_steps=self.second_stage_steps,
            likelihood_draws=self.likelihood_draws,
            seed=self.seed,
        )
        steps = {"steps_taken": run.steps_taken(), "steps": run.train_config.steps}
        return dataclasses.replace(result, how=result.how | steps)


Scoring = Annotated[_Scoring, tyro.conf.arg(name="")]  # --seed, not --scoring.seed


@dataclass
class Evaluate:
    """Score a trained run: FID, KID, precision and recall of its images, and its statistics."""

    run_folder: Annotated[RunFolder, tyro.conf.arg(name="run")]
    """Folder that svae train made."""
    protocol: Protocol = "clean"
    """clean: mixture fitted on training images. paper: on test images, as the authors (leaks)."""
    overwrite: bool = False
    """Replace the scores of an earlier evaluation."""
    scoring: Scoring = field(default_factory=_Scoring)

    def run(self) -> None:
        """Do it."""
        run = Run.open(self.run_folder)
        network = self.scoring.network()
        path = run.evaluation_path(self.protocol, network.weights, self.scoring.reference)
        if path.exists() and not self.overwrite:  # before minutes are spent on it
            raise FileExistsError(f"{path} exists already: --overwrite replaces it.")
        sets = data.load(run.data, self.scoring.root)
        result = self.scoring.score(run, sets, network, self.protocol)
        run.save_evaluation(result, overwrite=self.overwrite)
        print(format_table(*result.table()))
        print(f"protocol {self.protocol}: {PROTOCOLS[self.protocol]}")
        print(f"steps taken: {result.how['steps_taken']} of {result.how['steps']}")
        print(result.rows[-1].fid)
        print(result.latent)
        if result.split is not None:
            print(f"split: {result.split}")
        if result.likelihood is not None:
            print(result.likelihood)
        print(f"scores: {path}")


@dataclass
class Report:
    """Score trained runs of one data set and show them on one page: pictures, scores, curves."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Folders that svae train made."""
    out: Path
    """HTML file."""
    overwrite: bool = False
    """Replace an earlier page."""
    scoring: Scoring = field(default_factory=_Scoring)

    def run(self) -> None:
        """Do it."""
        if self.out.exists() and not self.overwrite:  # before minutes are spent on it
            raise FileExistsError(f"{self.out} exists already: --overwrite replaces it.")
        runs = [Run.open(folder) for folder in self.runs]
        if not runs or len({run.data for run in runs}) > 1:
            raise InputError("name one run, or several of one data set.")
        names = _told_apart([run.folder for run in runs])
        sets = data.load(runs[0].data, self.scoring.root)
        network = self.scoring.network()
        subjects = [
            Subject(f"{run.kind} ({name})", run, self.scoring.score(run, sets, network))
            for name, run in zip(names, runs, strict=True)
        ]
        title = f"Trained on {runs[0].data}"
        write_page(self.out, subjects, sets, title=title, overwrite=self.overwrite)
        print(format_table(*score_table(subjects)))
        print(f"page: {self.out}")


def _told_apart(folders: list[Path]) -> list[str]:
    """Each folder's name, with as much of the path before it as tells it from the others.

    Raises:
        InputError: a folder is there twice.
    """
    paths = [folder.resolve().parts for folder in folders]
    for depth in range(1, max(map(len, paths)) + 1):
        names = ["/".join(parts[-depth:]) for parts in paths]
        if len(set(names)) == len(names):
            return names
    raise InputError("name each run once.")


@dataclass
class Sample:
    """Draw new images from a trained run and save them as one picture, or one file each."""

    run_folder: Annotated[RunFolder, tyro.conf.arg(name="run")]
    """Folder that svae train made."""
    out: Path
    """PNG file for a picture of all, or with --separate a new folder."""
    n: int = 64
    """Number of images."""
    source: Literal["prior", "mixture"] = "prior"
    """Draw latent vectors from N(0, 1), or from a mixture fitted as svae evaluate fits it."""
    mixture_components: int = 100
    """Gaussians in the mixture."""
    separate: bool = False
    """One PNG per image, in a folder."""
    seed: int = 0
    """Seeds everything random."""
    root: Path | None = None
    """Folder with the data set's files (for the mixture)."""

    def run(self) -> None:
        """Do it."""
        _check_free(self.out)
        check_seed(self.seed)
        run = Run.open(self.run_folder)
        model = run.load_model()
        if self.source == "prior":
            z = prior_latents(self.n, model.config.latent_dim, self.seed)
        else:
            mu, _ = encode_all(model, fitting_images(data.load(run.data, self.root), self.seed))
            mixture = LatentMixture(self.mixture_components, seed=self.seed).fit(mu)
            z = mixture.sample(self.n, self.seed)
        images = decode_all(model, z).x_hat
        if self.separate:
            _save_each(self.out, images)
        else:
            _save_figure(self.out, plots.image_grid(images, title=f"samples ({self.source})"))
        print(f"{self.n} images: {self.out}")


@dataclass
class Reconstruct:
    """Show test images beside a trained run's reconstructions, with sigma, x1 and x2."""

    run_folder: Annotated[RunFolder, tyro.conf.arg(name="run")]
    """Folder that svae train made."""
    out: Path
    """PNG file."""
    n: int = 12
    """Number of test images, from the first on."""
    root: Path | None = None
    """Folder with the data set's files."""

    def run(self) -> None:
        """Do it."""
        _check_free(self.out)
        run = Run.open(self.run_folder)
        model = run.load_model()
        images = data.load(run.data, self.root).test[: self.n]
        out: Decoded = reconstruct_all(model, images)
        if out.components is None:
            rows = {"original": to_float(images), "reconstruction": out.x_hat}
            figure = plots.image_rows(rows)
        else:
            figure = plots.split_rows(out, n=self.n)
        _save_figure(self.out, figure)
        print(f"{len(images)} images: {self.out}")


@dataclass
class Info:
    """Say what a run or a model file holds; without one, what this library offers."""

    path: tyro.conf.Positional[Path | None] = None
    """A run's folder or a model's .safetensors file."""

    def run(self) -> None:
        """Do it."""
        if self.path is None:
            print(f"svae_lib {__version__}, torch {torch.__version__}")
            print("data sets:", ", ".join((*data.available(), "folder:PATH")))
            print("kinds of model:", ", ".join(MODEL_KINDS))
            print("feature networks:", ", ".join(fid.NETWORKS))
            for name, preset in PRESETS.items():
                print(f"preset {name}: {preset.model} {preset.train} ({preset.source})")
            return
        if self.path.is_dir():
            model, path = Run.open(self.path).load_model(), self.path / "model.safetensors"
        else:
            model, path = load_model(self.path), self.path
        print(f"{type(model).__name__}: {parameter_count(model):,} trainable parameters")
        for name, value in (dataclasses.asdict(model.config) | read_about(path)).items():
            if name != "history":  # hundreds of numbers
                print(f"  {name}: {value}")


@dataclass
class Reproduce:
    """Train and score the models of a table, cell by cell; an interrupted table goes on."""

    name: tyro.conf.Positional[str]
    """Name of the table, such as mnist-5k or splits: one of svae_lib.experiments.tables.TABLES."""
    results: Path = Path("results")
    """Folder of the tables' files."""
    steps: int | None = None
    """Training steps of each model; default: the preset's."""
    seeds: tuple[int, ...] | None = None
    """Seeds; default: the table's."""
    root: Path | None = None
    """Folder with the data set's files."""
    device: str | None = None
    """cuda, cpu, ..."""

    def run(self) -> None:
        """Do it."""
        path = reproduce(
            self.name,
            results=self.results,
            steps=self.steps,
            seeds=self.seeds,
            root=self.root,
            device=self.device,
        )
        print(format_table(*summarise(read_table(path))))
        print(f"mean and 95 % interval over seeds; all of it: {path}")


@dataclass
class Splits:
    """Train the many small Split VAEs of the table "splits", and test the claim about halves."""

    results: Path = Path("results")
    """Folder of the table's file."""
    picture: Path | None = None
    """PNG file for the plane of the two measures, a point per run."""
    seeds: tuple[int, ...] | None = None
    """Seeds; default: the table's."""
    steps: int | None = None
    """Training steps of each model; default: the preset's."""
    device: str | None = None
    """cuda, cpu, ..."""

    def run(self) -> None:
        """Do it."""
        if self.picture is not None:
            _check_free(self.picture)
        path = reproduce(
            "splits", results=self.results, steps=self.steps, seeds=self.seeds, device=self.device
        )
        with lock_of(path):  # another process may be about to add a cell
            record = read_table(path)
            tests = claim_tests(record)
            write_json(path, record | {"claim": [t.to_dict() for t in tests]}, overwrite=True)
        if self.picture is not None:
            names = [f"beta {cell['beta']:g}" for cell in record["cells"] if cell["split"]]
            _save_figure(self.picture, plots.split_plane(kinds_of(record), names))
        print(format_table(*summarise_claim(tests)))
        print(f"every run, and the test: {path}")


@dataclass
class Demo:
    """The main job: train a VAE and a Split VAE on real digits, score them, write a report."""

    out: Path = Path("runs/demo")
    """Folder for the runs and the report; a finished demo in it is kept, see --overwrite."""
    steps: int | None = None
    """Training steps per model; default: those of the unfinished demo, or of the preset "quick"."""
    notebooks: bool = True
    """Execute the first notebooks, where the course is at hand."""
    seed: int | None = None
    """Seeds everything random; default: that of the unfinished demo, or 0."""
    overwrite: bool = False
    """Throw away an earlier demo in this folder and start again."""

    def run(self) -> None:
        """Do it."""
        demo(
            self.out,
            steps=self.steps,
            notebooks=self.notebooks,
            seed=self.seed,
            overwrite=self.overwrite,
        )


COMMANDS: dict[str, type] = {
    "train": Train,
    "evaluate": Evaluate,
    "sample": Sample,
    "reconstruct": Reconstruct,
    "info": Info,
    "report": Report,
    "reproduce": Reproduce,
    "splits": Splits,
    "demo": Demo,
}


def main(arguments: list[str] | None = None) -> int:
    """Run one command.

    Returns:
        0 on success, 2 with one sentence on bad input, 1 if training failed, 130 where Ctrl-C
        ended the command, as shells have it.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        _at_home(_parse(arguments)).run()
    except (InputError, OSError) as error:
        print(f"svae: {error}", file=sys.stderr)
        return 2
    except (TrainingDiverged, TrainingOutOfMemory) as error:
        print(f"svae: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("svae: stopped.", file=sys.stderr)
        return 130
    return 0


def _parse(arguments: list[str]) -> Any:
    """The command that the arguments ask for, its options filled in."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            return tyro.cli(_commands(arguments), prog="svae", args=arguments, description=__doc__)
    except SystemExit as stop:
        if not stop.code:  # --help
            raise
        # tyro draws a box of several lines around what was wrong: keep its words.
        frame = "╭─+ ?[A-Za-z ]*|[\u2500-\u257f]+|-{3,}"
        words = re.sub(frame + r"|Error parsing \S+:|Value error", " ", said.getvalue())
        raise InputError(" ".join(words.split())) from None


def _at_home(value: Any) -> Any:
    """A command with ~ in its paths as the home folder: after "--out=" most shells leave it."""
    if isinstance(value, Path):
        # (Path.expanduser raises RuntimeError where there is no such user.)
        return Path(os.path.expanduser(value))  # noqa: PTH111
    if isinstance(value, tuple):
        return tuple(map(_at_home, value))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        named = {f.name: _at_home(getattr(value, f.name)) for f in dataclasses.fields(value)}
        return dataclasses.replace(value, **named)
    return value


def _commands(arguments: list[str]) -> Any:
    """All commands as one union type; the preset asked for gives the defaults of "train"."""
    early = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    early.add_argument("--version", action="version", version=f"svae_lib {__version__}")
    early.add_argument("--preset", default="quick")
    name = early.parse_known_args(arguments)[0].preset
    if name not in PRESETS:
        raise InputError(f"unknown preset {name!r}; the known ones are {', '.join(PRESETS)}.")
    preset = PRESETS[name]
    start = Train(preset=name, model=preset.model, train=preset.train)
    union: Any = Annotated[Train, tyro.conf.subcommand("train", default=start)]
    for command, cls in COMMANDS.items():
        if cls is not Train:
            union = union | Annotated[cls, tyro.conf.subcommand(command)]
    return union


def _check_free(path: Path) -> None:
    """Raise FileExistsError if a file is there already: before minutes are spent on another."""
    if path.exists():
        raise FileExistsError(f"{path} exists already: choose another name.")


def _save_figure(path: Path, figure: Figure) -> None:
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png")


def _save_each(folder: Path, images: torch.Tensor) -> None:
    folder.mkdir(parents=True)
    for index, pixels in enumerate(to_uint8(images).permute(0, 2, 3, 1).numpy()):
        Image.fromarray(pixels.squeeze()).save(folder / f"{index:05d}.png")
