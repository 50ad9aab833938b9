"""One page about trained models: originals, reconstructions, samples, splits, scores, curves.

For one run or for several that are compared, of whatever kind: a VAE, a SplitVAE, a baseline.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure

from .. import plots
from ..data import ImageSets, to_float
from ..inference import decode_all, reconstruct_all
from ..models import VAE
from ..sampling import sample_mixture, sample_prior
from ..support.checks import InputError
from ..support.provenance import provenance
from ._html import Pictures, format_table, write_report
from .runs import Run
from .scoring import PROTOCOLS, Evaluation

__all__ = ["Subject", "format_table", "score_table", "write_page", "write_report"]

SHOWN = 10  # images per row of a picture


@dataclasses.dataclass(frozen=True)
class Subject:
    """A trained model with its scores, and its name on the page."""

    name: str
    run: Run
    result: Evaluation


def write_page(
    path: Path,
    subjects: list[Subject],
    sets: ImageSets,
    *,
    title: str,
    summary: str | None = None,
    made_of: dict[str, Any] | None = None,
    more: Pictures = (),
    overwrite: bool = False,
) -> None:
    """Write an HTML page, whole or not at all.

    Args:
        path: the file.
        subjects: what to show, all scored by one protocol on one feature network.
        sets: the data they were trained on.
        title: of the page.
        summary: a sentence or two at the top; default: what was trained and scored.
        made_of: more facts for the section on how the page was made.
        more: pictures of larger models, for the end.
        overwrite: replace an existing file.
    """
    names = [subject.name for subject in subjects]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(f"two subjects are called {twice[0]!r}: give each a name of its own.")
    columns, lines = score_table(subjects)
    write_report(
        path,
        title=title,
        summary=_summary(subjects) if summary is None else summary,
        table=(columns, lines, _caption(subjects)),
        figures=_figures(subjects, sets),
        larger=more,
        made_of=_made_of(subjects) | (made_of or {}),
        overwrite=overwrite,
    )


def _summary(subjects: list[Subject]) -> str:
    told = []
    for s in subjects:
        taken, train = s.run.steps_taken(), s.run.train_config
        seen = f"{taken:,} of {train.steps:,} steps of {train.batch_size} images"
        score = s.result.score("mixture")
        split = "" if s.result.split is None else f" The split is {s.result.split}."
        told.append(
            f"{s.name}: trained for {seen}; samples of the mixture have a {score.metric} of "
            f"{score.value:.2f}.{split}"
        )
    return f"Trained on {subjects[0].result.how['data']}. " + " ".join(told)


def score_table(subjects: list[Subject]) -> tuple[list[str], list[list[str]]]:
    """Columns and rows of text: the scores of all subjects, one under the other."""
    (columns, (real, *_)), *_ = tables = [subject.result.table() for subject in subjects]
    lines = [
        [subject.name, *row]
        for subject, (_, rows) in zip(subjects, tables, strict=True)
        for row in rows[1:]  # the first, of the real images, is the same for all
    ]
    return ["model", *columns], [["real training images", "", "", *real[2:]], *lines]


def _caption(subjects: list[Subject]) -> str:
    scoring, score = subjects[0].result.scoring, subjects[0].result.score("real")
    two_stage = ""
    if steps := scoring.second_stage_steps:
        two_stage = f"two-stage: latent vectors from a second VAE, trained for {steps:,} steps. "
    return (
        f"FID and KID: lower is better; precision and recall: higher. {score.metric}; {score.n:,} "
        f"images against {score.n_reference:,} of "
        f"{score.reference}; {PROTOCOLS[scoring.protocol]}, with {scoring.mixture_components} "
        "Gaussians. Scores on other features are not comparable with these. REC: reconstructions "
        "of the test images. x1, x2: a Split VAE's two images; mix: half of the samples answer "
        "with x1, half with x2. "
        f"{two_stage}One seed: small differences mean nothing."
    )


def _figures(subjects: list[Subject], sets: ImageSets) -> list[tuple[str, Figure, str]]:
    models = {s.name: s.run.load_model() for s in subjects}
    test = sets.test[:SHOWN]
    reconstructions = {name: reconstruct_all(m, test).x_hat for name, m in models.items()}
    samples: dict[str, torch.Tensor] = {}
    for s in subjects:
        model, result, seed = models[s.name], s.result, s.result.scoring.seed
        samples[f"{s.name}, prior"] = sample_prior(model, SHOWN, seed).x_hat
        samples[f"{s.name}, mixture"] = sample_mixture(model, result.mixture, SHOWN, seed).x_hat
    histories = {s.name: s.run.history() for s in subjects}
    return [
        (
            "Originals and reconstructions",
            plots.image_rows({"original": to_float(test), **reconstructions}),
            "Test images, and each model's answer from the posterior mean.",
        ),
        (
            "Samples",
            plots.image_rows(samples),
            "Latent vectors from the prior, and from a mixture fitted on the training means.",
        ),
        *(part for s in subjects for part in _splits(s, models[s.name], test)),
        (
            "Loss, KL divergence and gamma",
            plots.training_curves(histories, keys=("loss", "kl", "gamma")),
            "Over the training steps; each point is a mean over the steps before it.",
        ),
        *(
            (f"Variance law, {s.name}", plots.variance_law(s.result.latent), f"{s.result.latent}.")
            for s in subjects
        ),
    ]


def _splits(subject: Subject, model: VAE, test: torch.Tensor) -> list[tuple[str, Figure, str]]:
    """The rows sigma, x1, x2, x of a model that splits."""
    if subject.result.split is None:
        return []
    z = subject.result.mixture.sample(SHOWN, subject.result.scoring.seed)
    return [
        (
            f"The split of reconstructions, {subject.name}",
            plots.split_rows(reconstruct_all(model, test), n=SHOWN),
            "The map sigma, the images, and their mixture x = sigma x1 + (1 - sigma) x2. "
            f"The split is {subject.result.split}.",
        ),
        (
            f"The split of samples, {subject.name}",
            plots.split_rows(decode_all(model, z), n=SHOWN),
            "The same for samples from the mixture.",
        ),
    ]


def _made_of(subjects: list[Subject]) -> dict[str, Any]:
    first = subjects[0]
    made: dict[str, Any] = {
        "versions and device": provenance("cpu") | {"device": first.result.how["device"]},
        "scores": dataclasses.asdict(first.result.scoring),
    }
    for s in subjects:
        taken = {"steps taken": f"{s.run.steps_taken()} of {s.run.train_config.steps}"}
        made[f"{s.name}, training"] = taken | dataclasses.asdict(s.run.train_config)
        made[f"{s.name}, model"] = {"kind": s.run.kind, **dataclasses.asdict(s.run.model_config)}
        kl, bound = s.result.test_kl, s.result.likelihood
        made[f"{s.name}, test images"] = {
            "mean squared error": f"{s.result.test_mse:.5f}",
            "KL divergence in nats": "–" if kl is None else f"{kl:.2f}",
            **({} if bound is None else {"likelihood": str(bound)}),
            **{k: f"{v:.4g}" for k, v in s.result.latent.summary().items()},
        }
    return made
