"""``svae reproduce``, ``svae campaign``, ``svae splits`` and ``svae demo``: many runs at once."""

import math
from dataclasses import dataclass
from pathlib import Path

import tyro

from ..experiments.campaign import campaign, plans, status
from ..experiments.claim import claim_tests, summarise_claim
from ..experiments.demo import demo
from ..experiments.records import read_table
from ..experiments.report import format_table
from ..experiments.summaries import summarise
from ..experiments.tables import reproduce


@dataclass(kw_only=True)
class _Tables:
    """What the commands that make tables have in common."""

    results: Path = Path("results")
    """Folder of the tables' files."""
    runs: Path = Path("runs/tables")
    """Folder of the trained models."""
    root: Path | None = None
    """Folder with the data sets' files."""
    device: str | None = None
    """cuda, cpu, ..."""


@dataclass(kw_only=True)
class _Table(_Tables):
    """What the commands that make one table have in common."""

    steps: int | None = None
    """Training steps of each model, a second stage in proportion; default: the preset's."""
    seeds: tuple[int, ...] | None = None
    """Seeds; default: the table's."""


@dataclass(kw_only=True)
class Reproduce(_Table):
    """Train and score the models of a table, cell by cell; an interrupted table goes on."""

    name: tyro.conf.Positional[str]
    """Name of the table, such as mnist-5k or splits: one of svae_lib.experiments.tables.TABLES."""

    def __call__(self) -> None:
        path = reproduce(**vars(self))
        print(format_table(*summarise(read_table(path))))
        print(f"mean and 95 % interval over seeds; all of it: {path}")


@dataclass(kw_only=True)
class Campaign(_Tables):
    """Work off tables for hours; what was interrupted is taken up from its last checkpoint."""

    names: tyro.conf.Positional[tuple[str, ...]]
    """A campaign such as scale, or tables in their order."""
    hours: float = math.inf
    """Stop after this time; default: when all is done. A model trained by then is scored."""
    processes: int = 1
    """Models trained at once, each in a process of its own with one thread."""
    status: bool = False
    """Only say what is done, running and left."""

    def __call__(self) -> None:
        todo = plans(self.names, self.results, self.runs)
        if not self.status:
            campaign(
                todo, hours=self.hours, processes=self.processes, root=self.root, device=self.device
            )
        columns, rows = status(todo)
        if self.status:
            print(format_table(columns, rows))
        left = sum("done" not in row for row in rows)
        print(f"{left} of {len(rows)} models are left." if left else "all models are done.")


@dataclass(kw_only=True)
class Splits(_Table):
    """Train the many small Split VAEs of the table "splits", and test the claim about halves."""

    def __call__(self) -> None:
        path = reproduce("splits", **vars(self))
        print(format_table(*summarise_claim(claim_tests(read_table(path)))))
        print(f"every run: {path}")


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
        demo(**vars(self))
