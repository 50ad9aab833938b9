"""How a run is trained: what is saved when, whatever ends it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict
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

    ``validation``: the images held out, uint8 (N, C, S, S); N may be 0.
    """

    def __init__(self, run: Run, trainer: Trainer, validation: Tensor, every: int) -> None:
        self.run, self.trainer, self.validation, self.every = run, trainer, validation, every
        self._saved_at = trainer.step

    def fit(self, progress: bool, on_log: Sequence[Callable[[Trainer], None]]) -> None:
        """Take the steps that are left, then save; what ends them early is raised afterwards.

        A checkpoint on the way that cannot be written is warned about, and tried again at the next
        entry of the history; the last one, or the model, is an OSError.
        """
        try:
            self.trainer.fit(progress=progress, on_log=(self._save_if_due, *on_log))
        except BaseException:
            self._rescue()
            raise
        try:
            self.save_checkpoint()
        finally:  # the model is smaller: the disk may have room for it
            self.save_model(self.trainer.step)

    def _save_if_due(self, trainer: Trainer) -> None:
        due = trainer.step - self._saved_at >= self.every
        if due and trainer.step < trainer.config.steps:  # (the last is saved by fit)
            self.save_checkpoint()
            self._saved_at = trainer.step

    def _rescue(self) -> None:
        """Save the last good model: a step may be half done."""
        self.trainer._good.restore()
        if step := self.trainer.step:
            try:
                self.save_model(step)
            except OSError as error:  # what ended the training says more
                print(f"The model of step {step} could not be saved: {error}")

    def save_checkpoint(self) -> None:
        """Save the trainer's state, then delete all checkpoints but the newest few and the best."""
        if not self.trainer.processes.main:
            return
        if len(self.validation):
            self._note_validation()
        save_trainer(self.run.folder / f"checkpoint-{self.trainer.step}.safetensors", self.trainer)
        best = self.run.best_checkpoint()
        for old in self.run.checkpoints()[:-KEPT_CHECKPOINTS]:
            if old != best:
                old.unlink()

    def _note_validation(self) -> None:
        step = self.trainer.step
        found = validate(self.trainer.model, self.validation, self.trainer.config.beta)
        # Entries of a process that was killed before it saved are superseded.
        entries = [entry for entry in self.run.validation() if entry["step"] < step]
        if math.isfinite(found.loss):  # BatchNorm's running statistics may be far off at first
            entries.append({"step": step, **asdict(found)})
        write_json(self.run.folder / "validation.json", entries, overwrite=True)

    def save_model(self, steps: float) -> None:
        """Save model and curves over those of an earlier stop; ``steps``: behind the model."""
        trainer, folder = self.trainer, self.run.folder
        if not trainer.processes.main:
            return
        about: dict[str, Any] = {
            "data": self.run.data,
            **images_facts(trainer.images),
            "train": asdict(trainer.config),
            "steps": steps,
            "seconds": round(trainer.seconds, 1),
            "precision": trainer.precision,
            **provenance(trainer.device),
        }
        save_model(folder / "model.safetensors", trainer.model, about=about, overwrite=True)
        write_json(folder / "history.json", trainer.history, overwrite=True)
