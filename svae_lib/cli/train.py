"""``svae train``: start a run, or go on with one."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from .. import data
from ..experiments.monitoring import SamplePictures
from ..experiments.runs import CHECKPOINT_EVERY, Run
from ..presets import PRESETS, ModelConfig, TrainConfig
from ..support.checks import InputError, check_counts
from ..support.distributed import Processes, join, leave


@dataclass
class Train:
    """Train a model and save it in a folder of its own; Ctrl-C keeps what was learnt so far."""

    out: Path | None = None
    """Folder for the run; it must not hold anything yet."""
    resume: Path | None = None
    """Continue the run in this folder with its own model, data and training settings (of them,
    --train.accumulate may change); give the other options again."""
    preset: str = "quick"
    """Source of the settings that are not given; svae info lists the presets."""
    kind: str = "split-vae"
    """Kind of model, such as vae or split-vae; svae info lists them."""
    data: str | None = None
    """Data set, such as mnist or folder:PATH?size=32&channels=1; default: the preset's. The run
    notes PATH as an absolute one: change it in RUN/run.json where the images have moved."""
    root: Path | None = None
    """Folder with the data set's files, where they are on this machine already."""
    device: str | None = None
    """cuda, cpu, ...; default: a GPU where there is one."""
    checkpoint_every: int = CHECKPOINT_EVERY
    """Steps between two checkpoints; they are saved only every --train.log-every steps."""
    held_out: int = 0
    """Training images to keep back; the checkpoint with the lowest loss on them is kept too."""
    samples_every: int | None = None
    """Steps between two pictures in RUN/samples; default: none are drawn."""
    model: ModelConfig = field(default_factory=ModelConfig)
    train: TrainConfig = field(default_factory=TrainConfig)

    def __call__(self) -> None:
        folder = self.out or self.resume
        if folder is None or (self.out and self.resume):
            raise InputError("give either --out FOLDER for a new run or --resume FOLDER.")
        processes = join(self.device)
        with processes.main_first():  # it may download, and it makes the folder
            resumed = None if self.resume is None else self._resumed(Run.open(self.resume))
            name = resumed.data if resumed else self._data_name()
            sets = data.load(name, self.root)
            on_log = []
            if self.samples_every is not None:  # before a folder is made
                check_counts(samples_every=self.samples_every)
                on_log.append(SamplePictures(folder / "samples", sets.test, self.samples_every))
            run = resumed or self._new(name, sets.train, processes)
        try:
            trainer = run.train(
                sets.train,
                device=self.device,
                checkpoint_every=self.checkpoint_every,
                on_log=on_log,
            )
        finally:
            leave()  # also when SIGTERM ends it
        if not processes.main:
            return
        print(f"{trainer.step} steps in {trainer.seconds:.0f} s; the model is in {run.folder}")
        if trainer.step < run.train_config.steps:
            print(f"Continue with: svae train --resume {run.folder}")

    def _new(self, data_name: str, images: torch.Tensor, processes: Processes) -> Run:
        """A new run, if it can be trained at all; the main process makes its folder."""
        assert self.out is not None
        new = self.out, self.kind, data_name, self.model, self.train, self.held_out
        Run(*new).check(images, self.checkpoint_every, processes.count)
        processes.check_shares(self.train.batch_size, self.train.accumulate, self.train.sync_norm)
        if processes.main:
            Run.create(*new)
        return Run.open(self.out)

    def _resumed(self, run: Run) -> Run:
        """The run with its own settings, which no option may change but --train.accumulate."""
        accumulate = self.train.accumulate
        resumed = replace(run, train_config=replace(run.train_config, accumulate=accumulate))
        asked = run.folder, self.kind, self._data_name(), self.model, self.train, self.held_out
        same_data = data.absolute(run.data, self.root)
        if self.preset != Train.preset or Run(*asked) != replace(resumed, data=same_data):
            raise InputError(
                f"--resume goes on with the settings of {run.folder}: of preset, kind, data, "
                "held-out, model and train options it takes --train.accumulate alone."
            )
        return resumed

    def _data_name(self) -> str:
        """The data set to train on, by a name that is valid in any working directory."""
        return data.absolute(self.data or PRESETS[self.preset].data, self.root)
