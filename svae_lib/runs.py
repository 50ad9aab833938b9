"""A run's folder: what was trained, on what, and everything that came of it.

run.json                    kind, data and settings, written at the start
checkpoint-N.safetensors    all that training needs to go on, after N steps
model.safetensors           the trained model, with its settings and how it was made
history.json                the curves
evaluation-*.json           the scores, a file per protocol and feature network
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from torch import Tensor

from .checkpoints import build_model, load_model, restore_trainer, save_model, save_trainer
from .distributed import join
from .evaluation import Evaluation
from .files import read_json, write_json
from .models import VAE
from .presets import ModelConfig, TrainConfig
from .provenance import provenance
from .training import Trainer
from .validation import InputError

FORMAT = 1
KEPT_CHECKPOINTS = 3


@dataclass(frozen=True)
class Run:
    """A folder with one training run; make one with :meth:`create`, read one with :meth:`open`."""

    folder: Path
    kind: str
    data: str
    model_config: ModelConfig
    train_config: TrainConfig

    # ------------------------------------------------------------------ making and opening

    @classmethod
    def create(
        cls,
        folder: str | os.PathLike[str],
        kind: str,
        data: str,
        model_config: ModelConfig,
        train_config: TrainConfig,
    ) -> Run:
        """Start a new folder.

        Raises:
            FileExistsError: the folder holds something already; nothing in it is touched.
            OSError: the folder cannot be written.
        """
        folder = Path(folder)
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise FileExistsError(
                f"{folder} exists already and is not empty: choose another --out, continue it "
                "with --resume, or remove it yourself."
            )
        run = cls(folder, kind, data, model_config, train_config)
        settings = {
            "format": FORMAT,
            "kind": kind,
            "data": data,
            "model": dataclasses.asdict(model_config),
            "train": dataclasses.asdict(train_config),
        }
        write_json(folder / "run.json", settings)
        return run

    @classmethod
    def open(cls, folder: str | os.PathLike[str]) -> Run:
        """Read an existing folder.

        Raises:
            InputError: it is no run of this version of the library.
        """
        folder = Path(folder)
        if not (folder / "run.json").is_file():
            raise InputError(f"{folder} is not a run: it has no run.json (svae train makes one).")
        settings = read_json(folder / "run.json")
        try:
            if settings["format"] != FORMAT:
                raise InputError(
                    f"{folder} has format {settings['format']}, this library reads {FORMAT}."
                )
            return cls(
                folder,
                settings["kind"],
                settings["data"],
                ModelConfig(**settings["model"]),
                TrainConfig(**settings["train"]),
            )
        except (KeyError, TypeError) as error:
            raise InputError(
                f"{folder / 'run.json'} does not describe a run of this version ({error})."
            ) from None

    # ------------------------------------------------------------------ training

    def train(
        self,
        images: Tensor,
        *,
        device: torch.device | str | None = None,
        checkpoint_every: int = 1000,
        progress: bool = True,
        on_log: Sequence[Callable[[Trainer], None]] = (),
    ) -> Trainer:
        """Train to the end, or go on where an earlier call stopped, and save the model.

        Args:
            images: uint8 (N, C, S, S), the same at every call.
            device: where to train.
            checkpoint_every: steps between two checkpoints; one is also saved at a stop.
            progress: show a progress bar.
            on_log: called with the trainer after each new entry of the history.

        Raises:
            InputError: another process is training in this folder, or the images do not fit.
        """
        rank = join(device).rank  # processes that train together have a lock each
        lock = FileLock(self.folder / (f".lock-{rank}" if rank else ".lock"))
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise InputError(
                f"another process is training in {self.folder}: wait for it, or take another "
                "folder."
            ) from None
        with lock:
            for leftover in self.folder.glob(".*.partial*"):  # of a process that was killed
                leftover.unlink()
            trainer = self.trainer(images, device)
            saved_at = trainer.step

            def save_now_and_then(trainer: Trainer) -> None:
                nonlocal saved_at
                if trainer.step - saved_at >= checkpoint_every:
                    self.save_checkpoint(trainer)
                    saved_at = trainer.step

            trainer.fit(
                max(self.train_config.steps - trainer.step, 0),
                progress=progress,
                on_log=(save_now_and_then, *on_log),
            )
            self.save_checkpoint(trainer)
            self.finish(trainer)
        return trainer

    def trainer(self, images: Tensor, device: torch.device | str | None = None) -> Trainer:
        """A trainer for this run, at its newest readable checkpoint if there is one."""
        model = build_model(self.kind, self.model_config, self.train_config.seed)
        trainer = Trainer(model, images, self.train_config, device)
        for path in reversed(self.checkpoints()):
            try:
                restore_trainer(trainer, path)
                break
            except InputError as error:
                if "damaged" not in str(error):
                    raise
                print(f"{error} Going back to the checkpoint before it.")
        return trainer

    def checkpoints(self) -> list[Path]:
        """Checkpoint files, oldest first."""
        return sorted(self.folder.glob("checkpoint-*.safetensors"), key=_step_of)

    def save_checkpoint(self, trainer: Trainer) -> None:
        """Save the trainer's state, then drop all but the newest few checkpoints."""
        if not trainer.processes.main:
            return  # one writer
        save_trainer(self.folder / f"checkpoint-{trainer.step}.safetensors", trainer)
        for old in self.checkpoints()[:-KEPT_CHECKPOINTS]:
            old.unlink()

    def finish(self, trainer: Trainer, about: dict[str, Any] | None = None) -> None:
        """Save model and curves, replacing those of an earlier stop of the same run."""
        if not trainer.processes.main:
            return  # one writer
        about = {
            "data": self.data,
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

    def load_model(self, device: torch.device | str = "cpu") -> VAE:
        """The trained model, in evaluation mode.

        Raises:
            InputError: training has not been finished or stopped yet, or the file is of another
                model than run.json says.
        """
        path = self.folder / "model.safetensors"
        if not path.is_file():
            raise InputError(
                f"{self.folder} holds no trained model yet: train it, or continue it with "
                f"svae train --resume {self.folder}."
            )
        model = load_model(path, device)
        if model.config != self.model_config:
            raise InputError(f"{path} is of another model than {self.folder / 'run.json'} says.")
        return model

    def history(self) -> dict[str, list[float]]:
        """The curves of the run."""
        history: dict[str, list[float]] = read_json(self.folder / "history.json")
        return history

    def evaluation_path(self, protocol: str, network: str) -> Path:
        """File of the scores by a protocol on a feature network's features."""
        return self.folder / f"evaluation-{protocol}-{network.lower()}.json"

    def save_evaluation(self, evaluation: Evaluation, *, overwrite: bool = False) -> Path:
        """Write the scores to a file named by protocol and network, and return its path."""
        path = self.evaluation_path(evaluation.how["protocol"], evaluation.rows[0].fid.network)
        write_json(path, evaluation.to_dict(), overwrite=overwrite)
        return path


def _step_of(path: Path) -> int:
    return int(path.stem.split("-")[1])
