"""``svae reproduce``, ``svae campaign``, ``svae splits`` and ``svae demo``: many runs at once."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from .. import plots
from ..experiments.campaign import Options, campaign, plans, status, told
from ..experiments.claim import claim_tests, kinds_of, summarise_claim
from ..experiments.demo import demo
from ..experiments.records import lock_of, read_table, write_table
from ..experiments.report import format_table
from ..experiments.summaries import summarise
from ..experiments.tables import reproduce
from ..support.checks import InputError
from .pictures import check_free, save_figure


@dataclass
class Reproduce:
    """Train and score the models of a table, cell by cell; an interrupted table goes on."""

    name: tyro.conf.Positional[str]
    """Name of the table, such as mnist-5k or splits: one of svae_lib.experiments.tables.TABLES."""
    results: Path = Path("results")
    """Folder of the tables' files."""
    steps: int | None = None
    """Training steps of each model, a second stage in proportion; default: the preset's."""
    seeds: tuple[int, ...] | None = None
    """Seeds; default: the table's."""
    root: Path | None = None
    """Folder with the data set's files."""
    device: str | None = None
    """cuda, cpu, ..."""

    def __call__(self) -> None:
        options = vars(self).copy()
        path = reproduce(options.pop("name"), **options)
        print(format_table(*summarise(read_table(path))))
        print(f"mean and 95 % interval over seeds; all of it: {path}")


@dataclass
class Campaign:
    """Work off tables for hours; what was interrupted is taken up from its last checkpoint."""

    names: tyro.conf.Positional[tuple[str, ...]]
    """A campaign such as scale, or tables in their order; TABLE:0,1 for the seeds 0 and 1 alone."""
    options: Annotated[Options, tyro.conf.arg(name="")] = field(default_factory=Options)
    status: bool = False
    """Only say what is done, running and left."""
    results: Path = Path("results")
    """Folder of the tables' files."""
    runs: Path = Path("runs/tables")
    """Folder of the trained models."""

    def __call__(self) -> None:
        todo = plans(self.names, self.results, self.runs)
        finished = self.status or campaign(todo, self.options)
        columns, rows, left = told(status(todo))
        if self.status:
            print(format_table(columns, rows))
        print(left)
        if not finished:
            raise InputError("some models could not be made; the reasons are above.")


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

    def __call__(self) -> None:
        if self.picture is not None:
            check_free(self.picture)
        path = reproduce(
            "splits", results=self.results, steps=self.steps, seeds=self.seeds, device=self.device
        )
        with lock_of(path):  # another process may be about to add a cell
            record = read_table(path)
            tests = claim_tests(record)
            write_table(path, record | {"claim": [t.to_dict() for t in tests]})
        if self.picture is not None:
            names = [f"beta {cell['beta']:g}" for cell in record["cells"] if cell["split"]]
            save_figure(self.picture, plots.split_plane(kinds_of(record), names))
        print(format_table(*summarise_claim(tests)))
        print(f"every run, and the test: {path}")


@dataclass
class Demo:
    """The main job: train a VAE and a Split VAE on real digits, score them, write a report."""

    out: Path = Path("runs/demo")
    """Folder for the runs and the report; a finished demo in it is kept, see --overwrite."""
    steps: int | None = None
    """Training steps per model; default: those of the preset "quick"."""
    notebooks: bool = True
    """Execute the first notebooks, where the course is at hand."""
    seed: int = 0
    """Seeds everything random."""
    overwrite: bool = False
    """Throw away an earlier demo in this folder and start again."""

    def __call__(self) -> None:
        options = vars(self).copy()
        demo(options.pop("out"), **options)
