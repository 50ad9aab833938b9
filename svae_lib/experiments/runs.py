"""A run's folder: what was trained, on what, and everything that came of it::

    run.json                  kind, data and settings, written at the start
    checkpoint-N.safetensors  all that training needs to go on, after N steps: the last three and,
                              where images are held out, the one with the lowest validation loss
    validation.json           the validation loss at every checkpoint, where images are held out
    model.safetensors         the trained model, with its settings and how it was made
    history.json              the curves
    evaluation-*.json         the scores, a file per protocol and feature network
    samples/                  sample pictures, where they were asked for

Each file is written whole or not at all.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from ..models import VAE
from ..presets import ModelConfig, TrainConfig, check_config
from ..support.checks import InputError, check_counts, named
from ..support.distributed import join
from ..support.files import claimed, expand, read_json, write_json
from ..support.rescue import stop_requests
from ..support.tensor_files import DamagedFile
from ..training import Trainer, check_trainable
from .checkpoints import (
    MODEL_KINDS,
    History,
    build_model,
    images_facts,
    load_model,
    read_about,
    restore_trainer,
)
from .evaluation import Evaluation
from .run_training import Training

CHECKPOINT_EVERY = 1000  # steps


@dataclass(frozen=True)
class _Settings:
    """The content of run.json."""

    format: Literal[1]
    kind: str
    data: str
    model: ModelConfig
    train: TrainConfig
    held_out: int = 0


@dataclass(frozen=True)
class Run:
    """A folder with one training run; make one with :meth:`create`, read one with :meth:`open`."""

    folder: Path
    kind: str
    data: str
    model_config: ModelConfig
    train_config: TrainConfig
    held_out: int = 0
    """Training images that are kept back to find the best checkpoint by; see :meth:`split`."""

    def __post_init__(self) -> None:
        check_config(self.model_config, ModelConfig, "model_config")
        check_config(self.train_config, TrainConfig, "train_config")
        check_counts(lowest=0, held_out=self.held_out)

    @classmethod
    def create(
        cls,
        folder: str | os.PathLike[str],
        kind: str,
        data: str,
        model_config: ModelConfig,
        train_config: TrainConfig,
        held_out: int = 0,
    ) -> Run:
        """Start a new folder, which is missing or empty; otherwise it is a FileExistsError.

        ``kind`` is a name in :data:`svae_lib.experiments.checkpoints.MODEL_KINDS`, ``data`` one for
        :func:`svae_lib.data.load`.
        """
        folder = expand(folder)
        named(kind, MODEL_KINDS, "kind of model")
        run = cls(folder, kind, data, model_config, train_config, held_out)
        taken = folder.is_dir() and {*folder.iterdir()} - {*folder.glob(".*.partial*")}
        if taken or folder.is_file():  # (partial files are those of a killed process)
            raise FileExistsError(
                f"{folder} exists already and is not empty: choose another --out, continue it "
                "with --resume, or remove it yourself."
            )
        run._write_settings()
        return run

    def begun(self) -> Run:
        """This run, in a new folder if it has not begun; where another has, it is an InputError."""
        if not (self.folder / "run.json").exists():
            return Run.create(**vars(self))
        if Run.open(self.folder) != self:
            raise InputError(
                f"{self.folder} was begun with other settings, which its run.json tells: go on "
                "with those, or move it away."
            )
        return self

    def _write_settings(self, *, overwrite: bool = False) -> None:
        parts = self.kind, self.data, self.model_config, self.train_config, self.held_out
        write_json(self.folder / "run.json", asdict(_Settings(1, *parts)), overwrite=overwrite)

    @classmethod
    def open(cls, folder: str | os.PathLike[str]) -> Run:
        """Read an existing folder; what is no run of this version is an InputError."""
        folder = expand(folder)
        path = folder / "run.json"
        if not path.is_file():
            raise InputError(f"{folder} is not a run: it has no run.json (svae train makes one).")
        found: _Settings = read_json(path, _Settings)
        return cls(folder, found.kind, found.data, found.model, found.train, found.held_out)

    def lengthened(self, steps: int) -> Run:
        """This run with more steps in all, noted in its folder; :meth:`train` takes them.

        With a constant learning rate it ends like a run that was as long from its start.
        """
        if steps <= (here := self.train_config.steps):
            raise InputError(f"{self.folder} has {here} steps already: ask for more than {steps}.")
        longer = replace(self, train_config=replace(self.train_config, steps=steps))
        longer._write_settings(overwrite=True)
        return longer

    def train(
        self,
        images: Tensor,
        *,
        device: torch.device | str | None = None,
        checkpoint_every: int = CHECKPOINT_EVERY,
        progress: bool = True,
        on_log: Sequence[Callable[[Trainer], None]] = (),
    ) -> Trainer:
        """Train to the end, or go on where an earlier call stopped, and save the model.

        Whatever ends the training, the model is saved first.

        Args:
            images: uint8 (N, C, S, S), the same at every call.
            device: where to train.
            checkpoint_every: steps between two checkpoints. They are saved at entries of the
                history, so at least ``log_every`` steps apart.
            progress: show a progress bar.
            on_log: called with the trainer after each new entry of the history.

        Raises:
            InputError: another process trains in this folder, or the images do not fit.
            SystemExit: SIGTERM asked the program to end.
            KeyboardInterrupt: Ctrl-C came after the last step.
        """
        check_counts(checkpoint_every=checkpoint_every)
        rank = join(device).rank  # processes that train together have a lock each
        with claimed(self.folder / (f".lock-{rank}" if rank else ".lock")) as mine:
            if not mine:
                raise InputError(
                    f"another process is training in {self.folder}: take another folder."
                )
            for leftover in self.folder.rglob(".*.partial*"):  # of a process that was killed
                leftover.unlink(missing_ok=True)
            self.validation()  # can it be read?
            trainer = self.trainer(images, device)
            training = Training(self, trainer, self.split(images)[1], checkpoint_every)
            with stop_requests() as stop:  # also while saving: launchers send several SIGTERMs
                training.fit(progress, on_log)
        # All is saved. A script must neither go on with half a training nor ignore the request.
        if stop.terminate:
            raise SystemExit(128 + signal.SIGTERM)
        if stop.is_set() and trainer.step >= self.train_config.steps:
            raise KeyboardInterrupt
        return trainer

    def check(
        self, images: Tensor, checkpoint_every: int = CHECKPOINT_EVERY, processes: int = 1
    ) -> None:
        """Raise, before anything is written, what :meth:`train` would raise in each process."""
        check_counts(checkpoint_every=checkpoint_every)
        with torch.device("meta"):  # layers without memory
            model = build_model(self.kind, self.model_config)
        check_trainable(self.split(images)[0], model, self.train_config, processes)

    def split(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The images to train on, and the ``held_out`` others: the same at every call."""
        if self.held_out == 0:
            return images, images[:0]
        if self.held_out >= len(images):
            raise InputError(f"{self.held_out} images cannot be held out of {len(images)}.")
        generator = torch.Generator().manual_seed(self.train_config.seed)
        order = torch.randperm(len(images), generator=generator)
        return images[order[self.held_out :]], images[order[: self.held_out]]

    def trainer(self, images: Tensor, device: torch.device | str | None = None) -> Trainer:
        """A trainer for this run, at its newest readable checkpoint if there is one."""
        model = build_model(self.kind, self.model_config, self.train_config.seed)
        trainer = Trainer(model, self.split(images)[0], self.train_config, device)
        for path in reversed(self.checkpoints()):
            try:
                restore_trainer(trainer, path)
                break
            except DamagedFile as error:
                print(f"{error} Going back to the checkpoint before it, or to the beginning.")
        return trainer

    def checkpoints(self) -> list[Path]:
        """Checkpoint files, oldest first."""
        found = self.folder.glob("checkpoint-*.safetensors")
        return sorted((path for path in found if path.stem[11:].isdecimal()), key=step_of)

    def best_checkpoint(self) -> Path | None:
        """The checkpoint with the lowest validation loss; None where no images are held out."""
        losses = {entry["step"]: entry["loss"] for entry in self.validation()}
        rated = [path for path in self.checkpoints() if step_of(path) in losses]
        return min(rated, key=lambda path: losses[step_of(path)], default=None)

    def validation(self) -> list[dict[str, int | float]]:
        """Step, loss, mse and kl of the held-out images, an entry per checkpoint made."""
        path = self.folder / "validation.json"
        return read_json(path, list[dict[str, int | float]]) if path.is_file() else []

    def load_model(self, device: torch.device | str = "cpu", *, best: bool = False) -> VAE:
        """The trained model, or the one of the ``best`` validation loss, in evaluation mode."""
        here = self.folder
        path = self.best_checkpoint() if best else here / "model.safetensors"
        if path is None:
            raise InputError(
                f"{here} has no best checkpoint: it was trained without held-out images "
                "(svae train --held-out N)."
            )
        if not path.is_file():
            raise InputError(f"{here} holds no trained model yet: svae train --resume {here}")
        return load_model(path, device)

    def check_trained_on(self, images: Tensor) -> None:
        """Raise if the saved model was trained on others than these: scores would mislead."""
        about = read_about(self.folder / "model.safetensors")
        here = images_facts(self.split(images)[0])
        if any(about.get(key, here[key]) != here[key] for key in here):
            raise InputError(
                f"the training images of {self.data} are not those that {self.folder} was trained "
                "on, which may be test images now: bring the files back as they were, or train a "
                "new run."
            )

    def steps_taken(self) -> int:
        """Training steps behind the saved model."""
        about = read_about(self.folder / "model.safetensors")
        return int(about.get("steps", self.train_config.steps))

    def history(self) -> dict[str, list[float]]:
        """The curves of the run, a list per quantity: :attr:`svae_lib.training.Trainer.history`."""
        history: dict[str, list[float]] = read_json(self.folder / "history.json", History)
        return history

    def evaluation_path(self, protocol: str, weights: str, reference: str = "test") -> Path:
        """File of the scores by a protocol, on a network with these weights, from a reference."""
        name = re.sub(r"[^a-z0-9]+", "-", weights.lower()).strip("-")
        against = "" if reference == "test" else f"-{reference}"
        return self.folder / f"evaluation-{protocol}-{name}{against}.json"

    def save_evaluation(self, evaluation: Evaluation, *, overwrite: bool = False) -> Path:
        """Write the scores to :meth:`evaluation_path` and return it."""
        how, weights = evaluation.how, evaluation.rows[0].fid.weights
        path = self.evaluation_path(how["protocol"], weights, how["reference"])
        write_json(path, evaluation.to_dict(), overwrite=overwrite)
        return path


def step_of(path: Path) -> int:
    """Steps behind a checkpoint, by its name."""
    return int(path.stem.split("-")[1])
