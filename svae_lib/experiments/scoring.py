"""How a model is scored, and what comes out: :class:`Scoring`, :class:`Row`, :class:`Evaluation`.

Sources of images: REC (reconstructions of the test images), prior, mixture (a Gaussian mixture on
the posterior means), and two-stage (a second VAE on the posteriors) where it is asked for. Parts
of a SplitVAE's answer: x (the mixed image), x1, x2, and "mix": half of the samples answer with
their x1, the other half with their x2, as in the paper.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, get_args

from torch import Tensor

from ..data import ImageSets
from ..diagnostics import LatentStatistics, SplitKind
from ..fid import Score
from ..fid.distance import FEWEST
from ..likelihood import LikelihoodBound
from ..sampling import LatentMixture
from ..support.checks import InputError, check_counts, check_seed

FORMAT = 1
AUTHORS_COUNT = 10_000
Metric = Literal["fid", "kid", "precision", "recall"]
Protocol = Literal["clean", "paper"]
Reference = Literal["test", "train"]
PROTOCOLS: dict[str, str] = {
    "clean": "mixture fitted on the means of (at most 10,000) training images",
    "paper": "LEAKING, as the paper's authors do it: mixture fitted on the means of the first "
    "10,000 test images, which are also the reference",
}
"""What the mixture is fitted on, by the protocol's name."""


@dataclass(frozen=True)
class Scoring:
    """How a model is scored: all that its scores depend on beside model and data."""

    features: str = "lenet"
    """Feature network, such as lenet or inception; svae info lists them."""
    n: int | None = None
    """Images to generate, at least 4 (and test images to reconstruct, if there are that many);
    default: as many as the reference has, at most 10,000."""
    reference: Reference = "test"
    """What is compared with: test or training images. (Papers differ; 50,000 generated against
    the 50,000 training images are usual for CIFAR-10.)"""
    n_reference: int | None = None
    """Images of the reference, the first ones; default: as many as are generated."""
    protocol: Protocol = "clean"
    """clean: mixture fitted on training images. paper: on test images, as the authors (leaks)."""
    mixture_components: int | None = None
    """Gaussians in the mixture; default: one per 100 training images, at most the authors' 100."""
    second_stage_steps: int = 0
    """Steps to train the second stage of a two-stage VAE for; default: no such samples."""
    likelihood_draws: int = 0
    """Latent vectors per test image for a bound on log p(x), such as 100; default: no bound."""
    seed: int = 0
    """Seeds everything random."""

    def __post_init__(self) -> None:
        counts = {"n": self.n, "n_reference": self.n_reference}
        check_counts(lowest=FEWEST, **{k: v for k, v in counts.items() if v is not None})
        if self.mixture_components is not None:
            check_counts(mixture_components=self.mixture_components)
        check_counts(lowest=0, second_stage_steps=self.second_stage_steps)
        check_counts(lowest=0, likelihood_draws=self.likelihood_draws)
        check_seed(self.seed)
        for name, known in (("protocol", Protocol), ("reference", Reference)):
            if getattr(self, name) not in get_args(known):
                listed = " or ".join(map(repr, get_args(known)))
                raise InputError(f"{name} must be {listed}, not {getattr(self, name)!r}.")
        if self.protocol == "paper" and self.reference != "test":
            raise InputError('the protocol "paper" has the test images as its reference.')

    def parts(self, sets: ImageSets) -> tuple[Tensor, Tensor]:
        """Images of the reference, and those of the other part: uint8 (N, C, S, S) each."""
        return (sets.test, sets.train) if self.reference == "test" else (sets.train, sets.test)

    def of(self, sets: ImageSets) -> Scoring:
        """The same with every default as the number that it means for these images."""
        for part, images in {"test": sets.test, "training": sets.train}.items():
            if len(images) < FEWEST:
                raise InputError(
                    f"{len(images)} {part} images are too few: scores need at least {FEWEST}."
                )
        available = len(self.parts(sets)[0])
        n = min(self.n_reference or available, AUTHORS_COUNT) if self.n is None else self.n
        n_reference = n if self.n_reference is None else self.n_reference
        if n_reference > available:
            raise InputError(
                f"there are {available} {self.reference} images, too few for a reference of "
                f"{n_reference}: lower n_reference, or n where only that is given."
            )
        components = self.components(sets)
        return replace(self, n=n, n_reference=n_reference, mixture_components=components)

    def components(self, sets: ImageSets) -> int:
        """Gaussians in the mixture, by default one per 100 training images, 1 to 100."""
        return self.mixture_components or max(1, min(len(sets.train) // 100, 100))


def check_metric(metric: str) -> None:
    """Raise InputError unless it is one of the scores of a :class:`Row`."""
    if metric not in get_args(Metric):
        raise InputError(f"metric must be one of {', '.join(get_args(Metric))}, not {metric!r}.")


@dataclass(frozen=True)
class Row:
    """Scores of one part of the images of one source."""

    source: str
    """"REC", "prior", "mixture", "two-stage", or "real": images of the data set itself, of the part
    that is not the reference."""
    part: str
    """"x", "x1", "x2" or "mix"."""
    fid: Score
    kid: Score
    precision: Score
    recall: Score


@dataclass(frozen=True)
class Evaluation:
    """Everything that was measured on a trained model, and how."""

    rows: tuple[Row, ...]
    test_mse: float
    """Mean squared error per pixel of the test reconstructions."""
    test_kl: float | None
    """Mean over the test images of the KL divergence, in nats; None for a deterministic encoder."""
    latent: LatentStatistics
    """Of the posterior on the test images."""
    split: SplitKind | None
    """What kind of split the model makes of the test images; None for models without one."""
    likelihood: LikelihoodBound | None
    """Bounds on log p(x) of the test images; None where none was asked for, or can be."""
    mixture: LatentMixture = field(repr=False)
    """The mixture that the samples were drawn from."""
    scoring: Scoring
    """How it was scored, with every default as a number."""
    made: dict[str, Any] = field(default_factory=dict)
    """Model, data, versions and device."""

    @property
    def how(self) -> dict[str, Any]:
        """Scoring, model, data, versions and device in one dictionary, for a file or a page."""
        words = {"protocol_in_words": PROTOCOLS[self.scoring.protocol]}
        return {**asdict(self.scoring), **words, **self.made}

    def score(self, source: str, part: str = "x", metric: Metric = "fid") -> Score:
        """One score of one row."""
        check_metric(metric)
        rows = {(row.source, row.part): row for row in self.rows}
        if (source, part) not in rows:
            known = ", ".join(map("/".join, rows))
            raise InputError(f"no row {source}/{part}; there are {known}.")
        score: Score = getattr(rows[source, part], metric)
        return score

    def to_dict(self) -> dict[str, Any]:
        """All of it, for :func:`svae_lib.support.files.write_json`."""
        return {
            "format": FORMAT,
            "rows": [asdict(row) for row in self.rows],
            "test_mse": self.test_mse,
            "test_kl": self.test_kl,
            "latent": self.latent.summary(),
            "split": None if self.split is None else asdict(self.split),
            "likelihood": None if self.likelihood is None else asdict(self.likelihood),
            "how": self.how,
        }

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Columns and rows of text, for a terminal or a page."""
        first = self.rows[0]
        columns = ["images", "part", first.fid.metric, first.kid.metric, "precision", "recall"]
        lines = [
            [
                row.source,
                row.part,
                f"{row.fid.value:.2f}" if row.fid.value >= 0.1 else f"{row.fid.value:.2g}",
                with_error(row.kid.value, row.kid.standard_error or 0.0, decimals=3),
                f"{row.precision.value:.2f}",
                f"{row.recall.value:.2f}",
            ]
            for row in self.rows
        ]
        return columns, lines


def with_error(value: float, error: float, decimals: int = 2) -> str:
    """A number and its error as text, with two significant digits of the error.

    ``decimals`` are the fewest places after the point.
    """
    if 0 < error < math.inf:
        decimals = max(decimals, 1 - math.floor(math.log10(error)))
    spread = "" if math.isinf(error) else f" ± {error:.{decimals}f}"
    return f"{value:.{decimals}f}{spread}"
