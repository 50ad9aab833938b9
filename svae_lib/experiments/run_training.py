"""How a run is trained: what is saved when, whatever ends it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from torch import Tensor

from ..support.files import write_json
from ..support.provenance import provenance
from ..training import Trainer
from .checkpoints import images_facts, save_model, save_trainer
from .monitoring import validate

if TYPE_CHECKING:
    from .runs import Run

KEPT_CHECKPOINTS = 3


class Training:
    """The training of a run, with a checkpoint ``every`` so many steps.

    ``validation``: the images held out, uint8 (N, C, S, S); N may be 0. Only the main process
    writes files.
    """

    def __init__(self, run: Run, trainer: Trainer, validation: Tensor, every: int) -> None:
        self.run, self.trainer, self.validation, self.every = run, trainer, validation, every
        self._saved_at = trainer.step
        self._between_steps = False

    def fit(self, progress: bool, on_log: Sequence[Callable[[Trainer], None]]) -> None:
        """Take the steps that are left, then save; what ends them early is raised afterwards.

        A checkpoint on the way that cannot be written is reported (the disk may have room again at
        the next); the last one, or the model, is an OSError.
        """
        steps = max(self.run.train_config.steps - self.trainer.step, 0)
        calls = (self._begin_entry, *on_log, self._end_entry)
        try:
            self.trainer.fit(steps, progress=progress, on_log=calls)
        except BaseException:
            self._rescue()
            raise
        try:
            self.save_checkpoint()
        finally:  # the model is smaller: the disk may have room for it
            self.save_model()

    def _begin_entry(self, trainer: Trainer) -> None:
        self._between_steps = True
        due = trainer.step - self._saved_at >= self.every
        if due and trainer.step < self.run.train_config.steps:  # (the last is saved by fit)
            with _reported(f"The checkpoint of step {trainer.step}"):
                self.save_checkpoint()
            self._saved_at = trainer.step

    def _end_entry(self, trainer: Trainer) -> None:
        self._between_steps = False

    def _rescue(self) -> None:
        """Save what was learnt before an error."""
        entries = self.trainer.history["step"]
        if self._between_steps:
            with _reported(f"The checkpoint of step {self.trainer.step}"):
                self.save_checkpoint()
        else:  # a step may be half done: go back to the weights of the last entry
            self.trainer._good.restore()
        if entries:
            with _reported(f"The model of step {entries[-1]}"):
                self.save_model(steps=entries[-1])

    def save_checkpoint(self) -> None:
        """Save the trainer's state, then delete all checkpoints but the newest few and the best."""
        if not self.trainer.processes.main:
            return
        if len(self.validation):
            self._note_validation()
        path = self.run.folder / f"checkpoint-{self.trainer.step}.safetensors"
        save_trainer(path, self.trainer)
        best = self.run.best_checkpoint()
        for old in self.run.checkpoints()[:-KEPT_CHECKPOINTS]:
            if old != best:
                old.unlink()

    def _note_validation(self) -> None:
        step, beta = self.trainer.step, self.run.train_config.beta
        found = validate(self.trainer.model, self.validation, beta)
        # Entries of a process that was killed before it saved are superseded.
        entries = [entry for entry in self.run.validation() if entry["step"] < step]
        if math.isfinite(found.loss):  # BatchNorm's running statistics may be far off at first
            entries.append({"step": step, **dataclasses.asdict(found)})
        write_json(self.run.folder / "validation.json", entries, overwrite=True)

    def save_model(self, steps: float | None = None) -> None:
        """Save model and curves over those of an earlier stop; ``steps``: behind the model."""
        trainer, folder = self.trainer, self.run.folder
        if not trainer.processes.main:
            return
        about: dict[str, Any] = {
            "data": self.run.data,
            **images_facts(trainer.images),
            "train": dataclasses.asdict(self.run.train_config),
            "steps": trainer.step if steps is None else steps,
            "seconds": round(trainer.seconds, 1),
            "precision": trainer.precision,
            **provenance(trainer.device),
        }
        save_model(folder / "model.safetensors", trainer.model, about=about, overwrite=True)
        write_json(folder / "history.json", trainer.history, overwrite=True)


@contextmanager
def _reported(what: str) -> Iterator[None]:
    """Context in which a file that cannot be written costs a line of output."""
    try:
        yield
    except OSError as error:
        print(f"{what} could not be saved ({error}): make room on the disk.")
