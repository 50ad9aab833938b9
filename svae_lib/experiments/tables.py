"""Tables made of recorded runs: models by seeds, trained, scored, written cell by cell.

``results/NAME.json`` grows by a cell whenever a model is scored; a cell that is there is never
computed again, so an interrupted table goes on where it stopped. Several processes may work on one
table at once: each takes the next cell that nobody has.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock

from .. import data, fid
from ..data import ImageSets
from ..models import parameter_count
from ..presets import PRESETS, ModelConfig, Preset, TrainConfig
from ..support.checks import InputError
from ..support.files import claimed, read_json, write_json
from .evaluation import Metric, Protocol, Reference, check_metric, evaluate, with_error
from .runs import Run

FORMAT = 2  # 2: cells name their variant


@dataclass(frozen=True)
class Variant:
    """A model of a table: its kind, and where it differs from the table's preset."""

    kind: str
    """One of :data:`svae_lib.experiments.checkpoints.MODEL_KINDS`."""
    beta: float | None = None
    """Weight of the KL divergence; None: the preset's."""
    components: int = 2
    """Images that a split-vae mixes."""

    @property
    def name(self) -> str:
        """Name in the table, such as "split-vae, K = 3"."""
        beta = "" if self.beta is None else f", beta {self.beta:g}"
        return self.kind + beta + ("" if self.components == 2 else f", K = {self.components}")


@dataclass(frozen=True)
class Table:
    """What is trained and how it is scored."""

    preset: str | Preset
    """A name in :data:`svae_lib.presets.PRESETS`, or a preset of your own."""
    variants: tuple[Variant, ...]
    seeds: tuple[int, ...]
    features: str
    mixture_components: int
    second_stage_steps: int = 0
    protocol: Protocol = "clean"
    n: int | None = None
    """Images to score; None: as many as the reference has, at most 10,000."""
    reference: Reference = "test"
    """Images that samples are compared with."""
    likelihood_draws: int = 0
    """Latent vectors per test image for bounds on log p(x); 0: no bounds."""


def _pair(beta: float | None = None) -> tuple[Variant, Variant]:
    """The two models that the course compares; beta: the preset's, or another."""
    return Variant("vae", beta), Variant("split-vae", beta)


_PAIR = _pair()
_BASELINES = (  # beta as chosen by scripts/tune_baselines.py
    Variant("ae"),
    Variant("beta-vae", beta=0.03),
    Variant("rae-l2", beta=0.5),
    Variant("rae-gp", beta=0.0128),
)

_PAPER_DIGITS = PRESETS["mnist"]
_HALF_WIDTH = dataclasses.replace(
    _PAPER_DIGITS,
    model=dataclasses.replace(
        _PAPER_DIGITS.model, base_dim=32, embedding_dim=256, norm_momentum=0.01
    ),
    train=TrainConfig(
        steps=12_000,  # 20 epochs
        batch_size=100,
        learning_rate=1e-3,
        schedule="cosine",
        warmup_steps=200,
        beta=8.0,
        grad_clip=1.0,
        log_every=50,
    ),
    source="the paper's network at half its width, beta and latent variables; training is ours",
)
_FULL_WIDTH = dataclasses.replace(
    _HALF_WIDTH,
    model=dataclasses.replace(_PAPER_DIGITS.model, norm_momentum=0.01),
    train=dataclasses.replace(_HALF_WIDTH.train, steps=7200, learning_rate=5e-4),  # 12 epochs
    source="the paper's network, beta and latent variables; training is ours",
)
_FACES = Preset(
    data="toy-faces-32k",
    model=ModelConfig(
        image_size=64, channels=3, base_dim=16, embedding_dim=256, latent_dim=64, norm_momentum=0.01
    ),
    train=TrainConfig(
        steps=10_000,  # 20 epochs
        batch_size=64,
        learning_rate=2e-3,
        schedule="cosine",
        warmup_steps=200,
        beta=1.0,
        grad_clip=1.0,
        log_every=50,
    ),
    source="ours: the paper's CelebA network at a quarter of its width, for the drawn faces",
)
_PHOTOGRAPHS = Preset(
    data="folder:cifar10-jpeg?size=32",
    model=ModelConfig(
        channels=3, base_dim=24, embedding_dim=256, latent_dim=128, norm_momentum=0.01
    ),
    train=dataclasses.replace(_HALF_WIDTH.train, steps=15_000, beta=3.0),  # 30 epochs
    source="ours: the paper's CIFAR-10 network narrowed to 2.1 million parameters",
)

TABLES: dict[str, Table] = {
    "mnist-5k": Table("quick", (*_PAIR, *_BASELINES), (0, 1, 2, 3, 4), "lenet", 40, 3000),
    # Seeds that no other table has: mnist-5k raised the question, these answer it.
    "same-beta": Table(
        "quick",
        (*_pair(1.0), *_pair(4.0)),
        tuple(range(10, 20)),
        "lenet",
        40,
    ),
    "splits": Table(
        "quick",
        tuple(Variant("split-vae", beta=beta) for beta in (1.0, 4.0, 16.0)),
        tuple(range(7)),
        "lenet",
        40,
    ),
    "k-way": Table(
        "quick",
        tuple(Variant("split-vae", components=k) for k in (2, 3, 4)),
        (0, 1, 2),
        "lenet",
        40,
    ),
    # Colour photographs: CIFAR-10 as JPEG files, in train/CLASS and test/CLASS of this folder.
    "photographs": Table(
        dataclasses.replace(PRESETS["quick-cifar10"], data="folder:cifar10-jpeg?size=32"),
        _PAIR,
        (0, 1, 2, 3, 4),
        "efficientnet-lite0",
        20,
        n=1000,
    ),
    # What both models maximise at beta = 1, held against test digits; again seeds of its own.
    "likelihood": Table(
        "quick", _pair(1.0), tuple(range(30, 40)), "lenet", 40, likelihood_draws=100
    ),
    # The three tables above hint at better reconstructions: asked for, with seeds of its own.
    "reconstructions": Table("quick", _pair(1.0), tuple(range(40, 60)), "lenet", 40),
    # At the paper's scale, or near it: hours of processor time for each model.
    "faces": Table(_FACES, _PAIR[::-1], (0,), "efficientnet-lite0", 100, n=1000),
    "mnist-half-width": Table(_HALF_WIDTH, _PAIR, (0, 1, 2), "lenet-mnist", 100),
    "mnist-full-width": Table(_FULL_WIDTH, _PAIR[::-1], (0,), "lenet-mnist", 100),
    "fashion-half-width": Table(
        dataclasses.replace(_HALF_WIDTH, data="fashion-mnist"),
        _PAIR,
        (0,),
        "lenet-fashion-mnist",
        100,
    ),
    "photographs-30-epochs": Table(_PHOTOGRAPHS, _PAIR, (0,), "efficientnet-lite0", 100),
    "mnist": Table("mnist", _PAIR, (0, 1, 2), "lenet-mnist", 100),
    "fashion-mnist": Table("fashion-mnist", _PAIR, (0, 1, 2), "lenet-fashion-mnist", 100),
    "cifar10": Table("cifar10", _PAIR, (0, 1, 2), "inception", 100),
    "celeba": Table("celeba", _PAIR, (0,), "inception", 100),
}
"""The course's tables by name; one of your own may be added."""


BOUNDS = {
    "elbo": "ELBO (nats)",
    "importance_weighted": "log p(x) at least (nats)",
    "bits_per_dim": "bits per dimension at most",
}
"""Fields of :class:`svae_lib.likelihood.LikelihoodBound` that tables show, and their columns."""


@dataclass(frozen=True)
class Published:
    """A figure that the paper's authors give, with the protocol it was measured by."""

    table: str
    """The table whose data set it is about."""
    source: str
    part: str
    value: float
    where: str
    protocol: str


_AUTHORS = (
    "features of ImageNet Inception as Keras ships it; 10,000 generated against 10,000 test "
    "images; mixture of 100 Gaussians fitted on those test images (leaking)"
)
_PAGE = "README of the authors' code, github.com/asperti/Split-VAE"
PUBLISHED: tuple[Published, ...] = (
    Published("mnist", "mixture", "x", 7.47, _PAGE, _AUTHORS),
    Published("celeba", "mixture", "x", 35.1, _PAGE, _AUTHORS),
)
"""Figures to stand beside ours, not to be compared with them: no protocol here is the authors'."""


def reproduce(
    name: str,
    *,
    results: Path = Path("results"),
    runs: Path = Path("runs/tables"),
    steps: int | None = None,
    seeds: Sequence[int] | None = None,
    root: Path | None = None,
    device: torch.device | str | None = None,
    progress: bool = True,
) -> Path:
    """Compute the cells of a table that are still missing, and return the path of its file.

    Args:
        name: one of :data:`TABLES`.
        results: folder of the tables.
        runs: folder of the trained models.
        steps: training steps of each model; default: the preset's. A table holds one number.
        seeds: default: the table's.
        root: folder with the data set's files.
        device: where to train and score.
        progress: show progress bars.

    Raises:
        InputError: an unknown table or preset, no steps, no seeds or a negative one, or a file or
            a run of another version or other settings.
    """
    if name not in TABLES:
        raise InputError(f"unknown table {name!r}; the known ones are {', '.join(TABLES)}.")
    if seeds is not None and len(seeds) == 0:
        raise InputError("seeds is empty: give at least one, or None for the table's.")
    table, path = TABLES[name], results / f"{name}.json"
    preset = _preset(table)
    train = dataclasses.replace(preset.train, steps=preset.train.steps if steps is None else steps)
    settings = _settings(table, preset, train)
    wanted = [(v, s) for s in (table.seeds if seeds is None else seeds) for v in table.variants]
    if not any(_missing(path, name, settings, v, s) for v, s in wanted):
        return path
    sets = data.load(preset.data, root)
    network = fid.network(table.features, device=device)
    for variant, seed in wanted:
        folder = runs / f"{name}-{train.steps}" / f"{variant.name}-{seed}".replace(" ", "")
        folder.parent.mkdir(parents=True, exist_ok=True)
        with claimed(folder.with_name(folder.name + ".lock")) as mine:
            if not (mine and _missing(path, name, settings, variant, seed)):
                continue
            print(f"{name}: {variant.name}, seed {seed}", flush=True)
            run = _run(folder, variant, preset, dataclasses.replace(train, seed=seed))
            cell = _cell(run, variant, sets, network, table, device, progress)
            with lock_of(path):
                record = _open(path, name, settings)
                record["cells"].append(cell)
                write_json(path, record, overwrite=True)
    return path


def lock_of(path: Path) -> FileLock:
    """The lock to hold while a table's file is read, changed and written back."""
    return FileLock(path.with_name(f".{path.name}.lock"))


def _preset(table: Table) -> Preset:
    """The table's preset itself, where the table has its name."""
    if isinstance(table.preset, Preset):
        return table.preset
    if table.preset not in PRESETS:
        raise InputError(
            f"unknown preset {table.preset!r}; the known ones are {', '.join(PRESETS)}. (A Table "
            "also takes a Preset of your own.)"
        )
    return PRESETS[table.preset]


def _settings(table: Table, preset: Preset, train: TrainConfig) -> dict[str, Any]:
    """What all cells of a table have in common, for its file."""
    settings = {
        "data": preset.data,
        "model": dataclasses.asdict(preset.model),
        "train": _without_seed(train),
        "features": table.features,
        "protocol": table.protocol,
        "mixture_components": table.mixture_components,
        "second_stage_steps": table.second_stage_steps,
    }
    # Fields that came later stand in the files of the tables that use them.
    later: dict[str, Any] = {"n": table.n, "likelihood_draws": table.likelihood_draws}
    later["reference"] = None if table.reference == "test" else table.reference
    return settings | {name: value for name, value in later.items() if value}


def _without_seed(train: TrainConfig) -> dict[str, Any]:
    return {k: v for k, v in dataclasses.asdict(train).items() if k != "seed"}


def _run(folder: Path, variant: Variant, preset: Preset, train: TrainConfig) -> Run:
    """The run of a cell: a new one, or the one that an earlier call has begun."""
    model = dataclasses.replace(preset.model, components=variant.components)
    if variant.beta is not None:
        train = dataclasses.replace(train, beta=variant.beta)
    wanted = Run(folder, variant.kind, preset.data, model, train)
    if not (folder / "run.json").exists():
        return Run.create(folder, variant.kind, preset.data, model, train)
    if Run.open(folder) != wanted:
        raise InputError(f"{folder} was begun with other settings than the table's: move it away.")
    return wanted


def _cell(
    run: Run,
    variant: Variant,
    sets: ImageSets,
    network: fid.FeatureNetwork,
    table: Table,
    device: torch.device | str | None,
    progress: bool,
) -> dict[str, Any]:
    """Train a run to its end and score it."""
    trainer = run.train(sets.train, device=device, progress=progress)
    trainer.check_finished()
    result = evaluate(
        trainer.model,
        sets,
        network,
        n=table.n,
        reference=table.reference,
        protocol=table.protocol,
        mixture_components=table.mixture_components,
        second_stage_steps=table.second_stage_steps,
        likelihood_draws=table.likelihood_draws,
        seed=run.train_config.seed,
        progress=progress,
    )
    return {
        "variant": variant.name,
        "kind": run.kind,
        "seed": run.train_config.seed,
        "beta": run.train_config.beta,
        "components": variant.components,
        "parameters": parameter_count(trainer.model),
        "train_seconds": round(trainer.seconds, 1),
        "threads": torch.get_num_threads(),
        **result.to_dict(),
    }


def _missing(path: Path, name: str, settings: dict[str, Any], variant: Variant, seed: int) -> bool:
    """Whether the table has no cell for a variant and seed.

    Raises:
        InputError: the file is of other settings, or holds such a cell with another beta.
    """
    beta = settings["train"]["beta"] if variant.beta is None else variant.beta
    for cell in _open(path, name, settings)["cells"]:
        if (cell["variant"], cell["seed"]) == (variant.name, seed):
            if cell["beta"] != beta:
                raise InputError(
                    f"{path} holds {variant.name} with beta {cell['beta']}, not {beta}: move the "
                    "file away to make the table again."
                )
            return False
    return True


def _open(path: Path, name: str, settings: dict[str, Any]) -> dict[str, Any]:
    if not path.exists():
        return {"format": FORMAT, "table": name, "settings": settings, "cells": []}
    record = read_table(path)
    if record["table"] != name:
        raise InputError(f"{path} holds the table {record['table']}, not {name}: move it away.")
    there = record["settings"]
    # A field that came into a configuration later had its default when the table was begun.
    there["model"] = dataclasses.asdict(ModelConfig()) | there.get("model", {})
    there["train"] = _without_seed(TrainConfig()) | there.get("train", {})
    # (In this order: the table's own, then what only the file has.)
    if different := [k for k in settings | there if there.get(k) != settings.get(k)]:
        raise InputError(
            f"{path} was made with another {', '.join(different)}: move it away, or use the "
            "settings it was made with."
        )
    return record


def read_table(path: Path) -> dict[str, Any]:
    """Read a table's file.

    Raises:
        InputError: missing, damaged, or of another version.
    """
    return _checked(read_json(path), path)


def _checked(record: Any, path: Path) -> dict[str, Any]:
    """The content of a file if it is a table of this version; else InputError."""
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        found = record.get("format") if isinstance(record, dict) else None
        raise InputError(
            f"{path} has format {found}, this library reads {FORMAT}: make the table again."
        )
    if missing := sorted({"table", "settings", "cells"} - record.keys()):
        raise InputError(f"{path} lacks {', '.join(missing)}, so it is no table: make it again.")
    return record


def recorded(folder: Path) -> dict[str, dict[str, Any]]:
    """The tables in a folder by name: the library's own in their order, then others.

    Raises:
        InputError: a damaged file, or a table of another version.
    """
    read = {path: read_json(path) for path in sorted(folder.glob("[!.]*.json"))}
    there = {path.stem: _checked(found, path) for path, found in read.items() if "cells" in found}
    return {name: there[name] for name in (*TABLES, *there) if name in there}


@dataclass(frozen=True)
class Estimate:
    """Mean over seeds with the half-width of its 95 % confidence interval."""

    mean: float
    half_width: float
    """Student's t with n - 1 degrees of freedom; infinite for a single seed."""
    n: int

    @classmethod
    def of(cls, values: Iterable[float]) -> Estimate:
        """Estimate from one value per seed: a list, an array or a tensor (n,).

        Raises:
            InputError: no values, or something that is no finite number among them.
        """
        numbers = _numbers(values)
        if not numbers:
            raise InputError("there are no values to take the mean of.")
        n = len(numbers)
        if n == 1:
            return cls(numbers[0], math.inf, 1)
        from scipy.stats import t as student_t  # here: its import takes a second

        error = statistics.stdev(numbers) / math.sqrt(n)
        return cls(statistics.fmean(numbers), float(student_t.ppf(0.975, n - 1)) * error, n)

    def __str__(self) -> str:
        return with_error(self.mean, self.half_width)


def _numbers(values: Iterable[float]) -> list[float]:
    """Finite numbers from a list, an array or a tensor of them; else InputError."""
    try:
        numbers = [float(value) for value in values]
    except (TypeError, ValueError, RuntimeError):
        raise InputError("values must be numbers, one per seed.") from None
    if not all(map(math.isfinite, numbers)):
        raise InputError("there is NaN or infinity among the values: leave out what failed.")
    return numbers


def died(cell: dict[str, Any]) -> bool:
    """Whether a training came to nothing: every latent variable is inactive, all answers alike."""
    return bool(cell["latent"]["active"] == 0)


def summarise(record: dict[str, Any], metric: Metric = "fid") -> tuple[list[str], list[list[str]]]:
    """Columns and rows of text: a row per model and part, a column per source of images.

    Means are over the runs that did not die; "4 of 5" seeds says that one of five did, and "–"
    stands for the mean of none.

    Args:
        record: from :func:`read_table`.
        metric: "fid", "kid", "precision" or "recall".

    Raises:
        InputError: an unknown metric, or one that was not recorded.
    """
    scores: dict[tuple[str, str], dict[str, list[float]]] = {}
    runs = Counter(cell["variant"] for cell in record["cells"])
    for cell in record["cells"]:
        for row in cell["rows"]:
            by_source = scores.setdefault((cell["variant"], row["part"]), {})
            values = by_source.setdefault(row["source"], [])
            if not died(cell):
                values.append(_value(row, metric))
    sources = list(dict.fromkeys(source for by_source in scores.values() for source in by_source))
    lines = []
    for (variant, part), by_source in scores.items():
        alive, begun = max(map(len, by_source.values())), runs[variant]
        seeds = f"{begun}" if alive == begun else f"{alive} of {begun}"
        cells = [str(Estimate.of(by_source[s])) if by_source.get(s) else "–" for s in sources]
        lines.append([variant, part, seeds, *cells])
    return ["model", "part", "seeds", *sources], lines


def summarise_likelihood(record: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Columns and rows of text: bounds on log p(x), a row per model; means over living runs.

    Args:
        record: from :func:`read_table`; models without a bound have no row.
    """
    variants = dict.fromkeys(cell["variant"] for cell in record["cells"] if cell.get("likelihood"))
    lines = []
    for variant in variants:
        found = {name: list(_bounds(record, variant, name).values()) for name in BOUNDS}
        seeds = len(found["elbo"])
        told = [str(Estimate.of(values)) if values else "–" for values in found.values()]
        lines.append([variant, str(seeds), *told])
    return ["model", "seeds", *BOUNDS.values()], lines


def likelihood_difference(
    record: dict[str, Any], first: str, second: str, bound: str = "importance_weighted"
) -> Estimate:
    """Bound of the variant ``first`` minus that of ``second``, paired by seed.

    Seeds with which one of the two died are left out.

    Raises:
        InputError: an unknown bound, or no seed has both.
    """
    if bound not in BOUNDS:
        raise InputError(f"bound must be one of {', '.join(BOUNDS)}, not {bound!r}.")
    a, b = _bounds(record, first, bound), _bounds(record, second, bound)
    return _paired(a, b, f"bounds for {first} and {second}")


def _bounds(record: dict[str, Any], variant: str, bound: str) -> dict[int, float]:
    """A bound by seed, of the runs that did not die."""
    return {
        cell["seed"]: float(cell["likelihood"][bound])
        for cell in record["cells"]
        if cell["variant"] == variant and cell.get("likelihood") and not died(cell)
    }


def beside_published(
    records: Mapping[str, dict[str, Any]],
) -> tuple[list[str], list[list[str]]]:
    """Columns and rows of text: each of :data:`PUBLISHED` beside ours, and its protocol.

    Args:
        records: recorded tables by name; a table that is not there is "not recorded".
    """
    columns = ["table", "images", "part", "ours", "published", "protocol of the published figure"]
    lines = []
    for p in PUBLISHED:
        ours = (
            _scores(records[p.table], "split-vae", p.source, p.part) if p.table in records else {}
        )
        mine = str(Estimate.of(list(ours.values()))) if ours else "not recorded"
        told = [mine, str(p.value), f"{p.where}: {p.protocol}"]
        lines.append([p.table, p.source, p.part, *told])
    return columns, lines


def _value(row: dict[str, Any], metric: str) -> float:
    check_metric(metric)
    if metric not in row:
        raise InputError(f"this table was recorded without {metric}: make it again.")
    return float(row[metric]["value"])


def _scores(
    record: dict[str, Any], variant: str, source: str, part: str, metric: str = "fid"
) -> dict[int, float]:
    """A score of a row by seed, of the runs that did not die."""
    return {
        cell["seed"]: _value(row, metric)
        for cell in record["cells"]
        for row in cell["rows"]
        if (cell["variant"], row["source"], row["part"]) == (variant, source, part)
        and not died(cell)
    }


def paired_difference(
    record: dict[str, Any],
    first: tuple[str, str, str],
    second: tuple[str, str, str],
    metric: Metric = "fid",
) -> Estimate:
    """Score of ``first`` minus score of ``second``, each (variant, source, part), paired by seed.

    Seeds with which one of the two died are left out.

    Raises:
        InputError: no seed has both; or as :func:`summarise`.
    """
    a, b = _scores(record, *first, metric), _scores(record, *second, metric)
    return _paired(a, b, f"the rows {'/'.join(first)} and {'/'.join(second)}")


def _paired(a: dict[int, float], b: dict[int, float], what: str) -> Estimate:
    both = sorted(a.keys() & b.keys())
    if not both:
        raise InputError(
            f"no seed has a living run with {what}: look at the table's summary for what there is."
        )
    return Estimate.of([a[seed] - b[seed] for seed in both])
