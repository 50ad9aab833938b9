"""A run's folder: what was trained, on what, and everything that came of it::

    run.json                  kind, data and settings, written at the start
    checkpoint-N.safetensors  all that training needs to go on, after N steps: the last three and,
                              where images are held out, the one with the lowest validation loss
    validation.json           the validation loss at every checkpoint, where images are held out
    model.safetensors         the trained model, with its settings and how it was made
    history.json              the curves
    evaluation-*.json         the scores, a file per protocol and feature network
    samples/, events/         sample pictures and TensorBoard events, where they were asked for

Each file is written whole or not at all.
"""

from __future__ import annotations

import dataclasses
import math
import os
import re
import signal
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..models import VAE
from ..presets import ModelConfig, TrainConfig, check_config
from ..support.checks import InputError, check_counts
from ..support.console import say
from ..support.distributed import join
from ..support.files import claimed, expand, is_leftover, read_json, write_json
from ..support.provenance import provenance
from ..support.records import convert
from ..support.signals import StopRequest, stop_requests
from ..support.tensor_files import DamagedFile
from ..training import Trainer, check_trainable
from .checkpoints import (
    History,
    build_model,
    check_history,
    check_kind,
    images_facts,
    load_checkpoint,
    load_model,
    read_about,
    restore_trainer,
    save_model,
    save_trainer,
)
from .evaluation import Evaluation
from .monitoring import validate

FORMAT = 1
KEPT_CHECKPOINTS = 3
CHECKPOINT_EVERY = 1000  # steps


@dataclass(frozen=True)
class _Settings:
    """The content of run.json."""

    format: int
    kind: str
    data: str
    model: ModelConfig
    train: TrainConfig
    held_out: int = 0


@dataclass(frozen=True)
class _Validated:
    """An entry of validation.json."""

    step: int
    loss: float
    mse: float
    kl: float


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

    # ------------------------------------------------------------------ making and opening

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
        """Start a new folder.

        Args:
            folder: missing or empty; what a killed process left half written does not count.
            kind: of model, a name in :data:`svae_lib.experiments.checkpoints.MODEL_KINDS`.
            data: name for :func:`svae_lib.data.load`.
            model_config: size and shape of the model.
            train_config: how it is to be trained.
            held_out: training images to keep back; see :meth:`split`.

        Raises:
            InputError: an unknown kind, or ``held_out`` is negative.
            FileExistsError: the folder holds something already; nothing in it is touched.
            OSError: the folder cannot be written.
        """
        folder = expand(folder)
        check_kind(kind)
        run = cls(folder, kind, data, model_config, train_config, held_out)
        if folder.exists() and not (folder.is_dir() and all(map(is_leftover, folder.iterdir()))):
            raise FileExistsError(
                f"{folder} exists already and is not empty: choose another --out, continue it "
                "with --resume, or remove it yourself."
            )
        run._write_settings()
        return run

    def _write_settings(self, *, overwrite: bool = False) -> None:
        parts = self.kind, self.data, self.model_config, self.train_config, self.held_out
        settings = dataclasses.asdict(_Settings(FORMAT, *parts))
        write_json(self.folder / "run.json", settings, overwrite=overwrite)

    @classmethod
    def open(cls, folder: str | os.PathLike[str]) -> Run:
        """Read an existing folder.

        Raises:
            InputError: it is no run of this version of the library.
        """
        folder = expand(folder)
        path = folder / "run.json"
        if not path.is_file():
            raise InputError(f"{folder} is not a run: it has no run.json (svae train makes one).")
        read = read_json(path, dict[str, Any])
        if read.get("format", FORMAT) != FORMAT:
            raise InputError(f"{folder} has format {read['format']}, this library reads {FORMAT}.")
        found = convert(read, _Settings, path)
        return cls(folder, found.kind, found.data, found.model, found.train, found.held_out)

    def lengthened(self, steps: int) -> Run:
        """This run with more steps to take, which its folder notes; :meth:`train` takes them.

        With a constant learning rate the longer run is the one that would have had so many steps
        from its start. (A cosine schedule is stretched to the new length, so that at this point
        the learning rate jumps up.)

        Args:
            steps: in all, those that have been taken included.

        Raises:
            InputError: not more steps than the run has now.
        """
        if steps <= self.train_config.steps:
            raise InputError(
                f"{self.folder} has {self.train_config.steps} steps already: ask for more than "
                f"that, not for {steps}."
            )
        train_config = dataclasses.replace(self.train_config, steps=steps)
        longer = dataclasses.replace(self, train_config=train_config)
        longer._write_settings(overwrite=True)
        return longer

    # ------------------------------------------------------------------ training

    def train(
        self,
        images: Tensor,
        *,
        device: torch.device | str | None = None,
        checkpoint_every: int | None = None,
        progress: bool = True,
        on_log: Sequence[Callable[[Trainer], None]] = (),
    ) -> Trainer:
        """Train to the end, or go on where an earlier call stopped, and save the model.

        Whatever ends the training, what was learnt is saved first.

        Args:
            images: uint8 (N, C, S, S), the same at every call.
            device: where to train.
            checkpoint_every: steps between two checkpoints, which are saved at entries of the
                history: at least ``log_every``; default: 1000, or ``log_every`` if that is more.
            progress: show a progress bar.
            on_log: called with the trainer after each new entry of the history.

        Raises:
            InputError: another process is training in this folder, the images do not fit, or
                checkpoints are asked for more often than entries of the history.
            SystemExit: SIGTERM asked the program to end; everything is saved.
            KeyboardInterrupt: Ctrl-C came after the last step; everything is saved.
            OSError: the last checkpoint or the model cannot be written; earlier checkpoints are
                untouched. (A checkpoint on the way that cannot be written is reported, and
                training goes on: the disk may have room again at the next.)
        """
        checkpoint_every = self._checkpoint_every(checkpoint_every)
        with self._claimed(join(device).rank):
            for leftover in self.folder.rglob(".*.partial*"):  # of a process that was killed
                leftover.unlink(missing_ok=True)
            self.validation()  # is it readable?
            trainer = self.trainer(images, device)
            _, validation = self.split(images)
            with stop_requests() as stop:  # also while saving: launchers send several SIGTERMs
                self._fit(trainer, validation, checkpoint_every, progress, on_log)
                try:
                    self.save_checkpoint(trainer, validation)
                finally:  # the model is smaller: it may fit where the checkpoint does not
                    self.finish(trainer)
        self._honour(stop, trainer)
        return trainer

    @contextmanager
    def _claimed(self, rank: int) -> Iterator[None]:
        # Processes that train together have a lock each.
        with claimed(self.folder / (f".lock-{rank}" if rank else ".lock")) as mine:
            if not mine:
                raise InputError(
                    f"another process is training in {self.folder}: wait for it, or take another "
                    "folder."
                )
            yield

    def _fit(
        self,
        trainer: Trainer,
        validation: Tensor,
        checkpoint_every: int,
        progress: bool,
        on_log: Sequence[Callable[[Trainer], None]],
    ) -> None:
        """Take the steps that are left, with checkpoints on the way and when an error ends it."""
        saved_at = trainer.step
        between_steps = True

        def begin(trainer: Trainer) -> None:
            nonlocal saved_at, between_steps
            between_steps = True
            due = trainer.step - saved_at >= checkpoint_every
            if due and trainer.step < self.train_config.steps:  # (train saves the last)
                self._try_to_save(trainer, validation)
                saved_at = trainer.step

        def end(trainer: Trainer) -> None:
            nonlocal between_steps
            between_steps = False

        try:
            left = max(self.train_config.steps - trainer.step, 0)
            between_steps = left == 0
            trainer.fit(left, progress=progress, on_log=(begin, *on_log, end))
        except BaseException:
            if between_steps:
                self._try_to_save(trainer, validation)
            else:  # a step may be half done: the weights of the last entry are whole
                trainer._good.restore()
            if entries := trainer.history["step"]:
                with _reported(f"The model of step {entries[-1]}"):
                    self.finish(trainer, {"steps": entries[-1]})
            raise

    @staticmethod
    def _honour(stop: StopRequest, trainer: Trainer) -> None:
        """All is saved: a script must not go on with half a training, nor as if nobody had asked.

        Raises:
            SystemExit, KeyboardInterrupt: see :meth:`train`.
        """
        if stop.terminate:
            raise SystemExit(128 + signal.SIGTERM)
        if stop.is_set() and trainer.step >= trainer.config.steps:
            raise KeyboardInterrupt

    def check(
        self, images: Tensor, checkpoint_every: int | None = None, processes: int = 1
    ) -> None:
        """Raise, before anything is written, if this run cannot be trained on these images.

        Args:
            images: uint8 (N, C, S, S), all training images.
            checkpoint_every: as :meth:`train` will be asked for.
            processes: how many will share each batch.

        Raises:
            InputError: an unknown kind, or as :meth:`train`, :meth:`split` and
                :func:`svae_lib.training.check_trainable`.
        """
        self._checkpoint_every(checkpoint_every)
        self._check_held_out(images)
        with torch.device("meta"):  # layers without memory
            model = build_model(self.kind, self.model_config)
        check_trainable(images[self.held_out :], model, self.train_config, processes)

    def _checkpoint_every(self, asked: int | None) -> int:
        log_every = self.train_config.log_every
        if asked is None:
            return max(CHECKPOINT_EVERY, log_every)
        check_counts(checkpoint_every=asked)
        if asked < log_every:
            raise InputError(
                f"checkpoint_every={asked} is more often than the history has entries, at which "
                f"checkpoints are saved: ask for {log_every} or more, or start a run with a lower "
                f"log_every than {log_every}."
            )
        return asked

    def split(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The images to train on, and the ``held_out`` others: the same at every call.

        Args:
            images: uint8 (N, C, S, S), all training images.

        Raises:
            InputError: nothing would be left to train on.
        """
        if self.held_out == 0:
            return images, images[:0]
        self._check_held_out(images)
        generator = torch.Generator().manual_seed(self.train_config.seed)
        order = torch.randperm(len(images), generator=generator)
        return images[order[self.held_out :]], images[order[: self.held_out]]

    def _check_held_out(self, images: Tensor) -> None:
        if self.held_out and self.held_out >= len(images):
            raise InputError(
                f"{self.held_out} images cannot be held out of {len(images)}: none is left to "
                "train on."
            )

    def trainer(self, images: Tensor, device: torch.device | str | None = None) -> Trainer:
        """A trainer for this run, at its newest readable checkpoint if there is one.

        Args:
            images: uint8 (N, C, S, S), all training images.
            device: where to train.
        """
        model = build_model(self.kind, self.model_config, self.train_config.seed)
        trainer = Trainer(model, self.split(images)[0], self.train_config, device)
        for path in reversed(self.checkpoints()):
            try:
                restore_trainer(trainer, path)
                break
            except DamagedFile as error:
                say(f"{error} Going back to the checkpoint before it.")
        else:
            if self.checkpoints():
                say("No checkpoint is left to go back to: training starts from the beginning.")
        return trainer

    # ------------------------------------------------------------------ checkpoints

    def checkpoints(self) -> list[Path]:
        """Checkpoint files, oldest first."""
        found = self.folder.glob("checkpoint-*.safetensors")
        return sorted((path for path in found if path.stem[11:].isdecimal()), key=_step_of)

    def best_checkpoint(self) -> Path | None:
        """The checkpoint with the lowest validation loss; None where no images are held out."""
        losses = {entry["step"]: entry["loss"] for entry in self.validation()}
        rated = [path for path in self.checkpoints() if _step_of(path) in losses]
        return min(rated, key=lambda path: losses[_step_of(path)], default=None)

    def validation(self) -> list[dict[str, float]]:
        """Step, loss, mse and kl of the held-out images, an entry per checkpoint made."""
        path = self.folder / "validation.json"
        if not path.is_file():
            return []
        return [dataclasses.asdict(entry) for entry in read_json(path, list[_Validated])]

    def save_checkpoint(self, trainer: Trainer, validation: Tensor | None = None) -> None:
        """Save the trainer's state, then drop all checkpoints but the newest few and the best.

        Args:
            trainer: what to save.
            validation: the held-out images, uint8 (N, C, S, S); without any, no best is kept.

        Raises:
            OSError: the disk is full or not writable; the checkpoints before are untouched.
        """
        if not trainer.processes.main:
            return  # one writer
        if validation is not None and len(validation):
            self._note_validation(trainer, validation)
        save_trainer(self.folder / f"checkpoint-{trainer.step}.safetensors", trainer)
        best = self.best_checkpoint()
        for old in self.checkpoints()[:-KEPT_CHECKPOINTS]:
            if old != best:
                old.unlink()

    def _note_validation(self, trainer: Trainer, validation: Tensor) -> None:
        found = validate(trainer.model, validation, self.train_config.beta)
        # Entries of a process that was killed before it saved are superseded.
        entries = [entry for entry in self.validation() if entry["step"] < trainer.step]
        if math.isfinite(found.loss):  # BatchNorm's running statistics may be far off at first
            entries.append({"step": trainer.step, **dataclasses.asdict(found)})
        write_json(self.folder / "validation.json", entries, overwrite=True)

    def _try_to_save(self, trainer: Trainer, validation: Tensor) -> None:
        with _reported(f"The checkpoint of step {trainer.step}"):
            self.save_checkpoint(trainer, validation)

    def finish(self, trainer: Trainer, about: dict[str, Any] | None = None) -> None:
        """Save model and curves, replacing those of an earlier stop of the same run."""
        if not trainer.processes.main:
            return  # one writer
        about = {
            "data": self.data,
            **images_facts(trainer.images),
            "train": dataclasses.asdict(self.train_config),
            "steps": trainer.step,
            "seconds": round(trainer.seconds, 1),
            "precision": trainer.precision,
            **provenance(trainer.device),
            **(about or {}),
        }
        save_model(self.folder / "model.safetensors", trainer.model, about=about, overwrite=True)
        write_json(self.folder / "history.json", trainer.history, overwrite=True)

    # ------------------------------------------------------------------ results

    def load_model(self, device: torch.device | str = "cpu", *, best: bool = False) -> VAE:
        """The trained model, in evaluation mode.

        Args:
            device: where to put it.
            best: the weights with the lowest validation loss in place of the last ones.

        Raises:
            InputError: training has not been finished or stopped yet, the file is of another
                model than run.json says, or the best is asked for and no images were held out.
        """
        if best:
            return self._load_best(device)
        path = self.folder / "model.safetensors"
        if not path.is_file():
            raise InputError(
                f"{self.folder} holds no trained model yet: train it, or continue it with "
                f"svae train --resume {self.folder}."
            )
        model = load_model(path, device)
        if model.config != self.model_config:
            raise InputError(f"{path} is of another model than {self.folder / 'run.json'} says.")
        newest = max(map(_step_of, self.checkpoints()), default=0)
        if newest > (saved := self.steps_taken()):
            warnings.warn(
                f"{path} is of step {saved}, but training has gone on to step {newest}, where it "
                f"was interrupted: svae train --resume {self.folder} brings the model up to date.",
                UserWarning,
                stacklevel=2,
            )
        return model

    def _load_best(self, device: torch.device | str) -> VAE:
        path = self.best_checkpoint()
        if path is None:
            raise InputError(
                f"{self.folder} has no best checkpoint: it was trained without held-out images "
                "(svae train --held-out N)."
            )
        return load_checkpoint(path, device)

    def check_trained_on(self, images: Tensor) -> None:
        """Raise if the saved model was trained on other images: scores of it would mislead.

        Args:
            images: uint8 (N, C, S, S), all training images.

        Raises:
            InputError: other images, or there is no model yet.
        """
        here = images_facts(self.split(images)[0])
        about = read_about(self.folder / "model.safetensors")
        there = {key: about.get(key, here[key]) for key in here}  # an older file does not say
        if here != there:
            raise InputError(
                f"the training images of {self.data} ({here['images']} now) are not those that "
                f"{self.folder} was trained on ({there['images']}), and some of those may be test "
                "images now: bring the files back as they were, or train a new run."
            )

    def steps_taken(self) -> int:
        """Training steps behind the saved model.

        Raises:
            InputError: there is no model yet, or its file is damaged.
        """
        path = self.folder / "model.safetensors"
        return convert(read_about(path).get("steps", self.train_config.steps), int, path)

    def history(self) -> dict[str, list[float]]:
        """The curves of the run, a list per quantity: :attr:`svae_lib.training.Trainer.history`.

        Raises:
            InputError: training has not been finished or stopped yet, or the file is damaged.
        """
        path = self.folder / "history.json"
        history: dict[str, list[float]] = read_json(path, History)
        check_history(history, path)
        return history

    def evaluation_path(self, protocol: str, weights: str, reference: str = "test") -> Path:
        """File of the scores by a protocol, on a network with these weights, from a reference."""
        name = re.sub(r"[^a-z0-9]+", "-", weights.lower()).strip("-")
        against = "" if reference == "test" else f"-{reference}"
        return self.folder / f"evaluation-{protocol}-{name}{against}.json"

    def save_evaluation(self, evaluation: Evaluation, *, overwrite: bool = False) -> Path:
        """Write the scores to :meth:`evaluation_path`, and return it."""
        how, weights = evaluation.how, evaluation.rows[0].fid.weights
        path = self.evaluation_path(how["protocol"], weights, how["reference"])
        write_json(path, evaluation.to_dict(), overwrite=overwrite)
        return path


def _step_of(path: Path) -> int:
    return int(path.stem.split("-")[1])


@contextmanager
def _reported(what: str) -> Iterator[None]:
    """A file that cannot be written is reported, and no reason to stop."""
    try:
        yield
    except OSError as error:
        say(f"{what} could not be saved ({error}): make room on the disk.")
