"""One page about trained models: originals, reconstructions, samples, splits, scores, curves.

For one run or for several that are compared, of whatever kind: a VAE, a SplitVAE, a baseline.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup
from matplotlib.figure import Figure

from .. import plots
from .._version import __version__
from ..data import ImageSets, to_float
from ..inference import reconstruct_all
from ..plots.figure import alt_text_of, img_tag
from ..sampling import sample_mixture, sample_prior
from ..support.checks import InputError
from ..support.files import check_writable, write_text
from ..support.provenance import provenance
from .runs import Run
from .scoring import PROTOCOLS, Evaluation

SHOWN = 10  # images per row of a picture
Pictures = Iterable[tuple[str, Figure, str]]
"""Heading, figure and explanation of each."""
_LARGER = "What a larger model buys"
_NOTHING = "–"
_NUMBER = re.compile(r"[-−+]?[\d,]*\.?\d+(e[-+]?\d+)?( ?%| ± [\d.,]+)?")


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
    test = sets.test[:SHOWN]
    rebuilt, samples, histories = {"original": to_float(test)}, {}, {}
    splits: list[tuple[str, Figure, str]] = []
    laws = []
    for s in subjects:
        model, result, seed = s.run.load_model(), s.result, s.result.scoring.seed
        answer = reconstruct_all(model, test)
        drawn = sample_mixture(model, result.mixture, SHOWN, seed)
        rebuilt[s.name] = answer.x_hat
        samples[f"{s.name}, prior"] = sample_prior(model, SHOWN, seed).x_hat
        samples[f"{s.name}, mixture"] = drawn.x_hat
        histories[s.name] = s.run.history()
        laws.append(
            (f"Variance law, {s.name}", plots.variance_law(result.latent), f"{result.latent}.")
        )
        if result.split is not None:
            told = "The map sigma, the images, and their mixture x = sigma x1 + (1 - sigma) x2. "
            told += f"The split is {result.split}."
            of_samples = "The same for samples from the mixture."
            splits += [
                (f"The split of reconstructions, {s.name}", plots.split_rows(answer, SHOWN), told),
                (f"The split of samples, {s.name}", plots.split_rows(drawn, SHOWN), of_samples),
            ]
    return [
        (
            "Originals and reconstructions",
            plots.image_rows(rebuilt),
            "Test images, and each model's answer from the posterior mean.",
        ),
        (
            "Samples",
            plots.image_rows(samples),
            "Latent vectors from the prior, and from a mixture fitted on the training means.",
        ),
        *splits,
        (
            "Loss, KL divergence and gamma",
            plots.training_curves(histories, keys=("loss", "kl", "gamma")),
            "Over the training steps; each point is a mean over the steps before it.",
        ),
        *laws,
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


def write_report(
    path: Path,
    *,
    title: str,
    summary: str,
    table: tuple[Sequence[str], Sequence[Sequence[Any]], str],
    figures: Pictures,
    larger: Pictures = (),
    made_of: Mapping[str, Mapping[str, Any]],
    overwrite: bool = False,
) -> None:
    """Write one HTML file that needs no network and no other files; whole or not at all.

    The table is columns, rows and caption. Figures are those of :mod:`svae_lib.plots`, or others
    with an attribute ``alt_text``; ``larger`` holds those of larger models, at the end. ``made_of``
    holds facts by name in groups, such as versions.
    """
    check_writable(path, overwrite=overwrite)  # before the work of drawing
    columns, rows, caption = table
    cells, numeric = _cells(columns, rows)
    panels = [(getattr(panel[1], "section", "pictures").capitalize(), panel) for panel in figures]
    panels += [(_LARGER, panel) for panel in larger]
    sections: dict[str, list[tuple[str, Markup, str]]] = {
        name: [] for name in ("Pictures", "Curves", "Diagnostics", _LARGER)
    }
    for section, (heading, figure, explanation) in panels:
        if not alt_text_of(figure):
            raise InputError(f"the figure {heading!r} has no alt_text: say what it shows.")
        image = Markup(img_tag(figure, scale=2))  # made and escaped by img_tag
        sections[section].append((heading, image, explanation))
    source = Path(__file__).with_name("report.html.j2").read_text(encoding="utf-8")
    options: dict[str, Any] = dict.fromkeys(("autoescape", "trim_blocks", "lstrip_blocks"), True)
    html = jinja2.Template(source, undefined=jinja2.StrictUndefined, **options).render(
        fact=fact,
        title=title,
        summary=summary,
        columns=columns,
        rows=cells,
        numeric=numeric,
        caption=caption,
        sections={name: shown for name, shown in sections.items() if shown},
        made_of=made_of,
        written=datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        version=__version__,
    )
    write_text(path, html, overwrite=overwrite)


def format_table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A table as plain text for the terminal: numbers to the right, words to the left.

    Args:
        columns: headings, at least one.
        rows: cells: text, numbers or None, as many in a row as there are columns.
    """
    cells, numeric = _cells(columns, rows)
    widths = [max(map(len, column)) for column in zip(columns, *cells, strict=True)]

    def text(line: Sequence[str]) -> str:
        pairs = zip(line, widths, numeric, strict=True)
        return "  ".join(c.rjust(w) if right else c.ljust(w) for c, w, right in pairs).rstrip()

    return "\n".join(map(text, [columns, ["-" * width for width in widths], *cells]))


def _cells(
    columns: Sequence[str], rows: Sequence[Sequence[Any]]
) -> tuple[list[list[str]], list[bool]]:
    """All cells as text, and which columns hold numbers."""
    if not columns or any(len(row) != len(columns) for row in rows):
        raise InputError("a table needs columns, and in each row a cell for each of them.")
    cells = [[fact(value) for value in row] for row in rows]
    known = [{row[i] for row in cells} - {_NOTHING} for i in range(len(columns))]
    return cells, [bool(found) and all(map(_NUMBER.fullmatch, found)) for found in known]


def fact(value: Any) -> str:
    """A fact for a reader: fractions short, None as a dash."""
    if value is None or value == "":
        return _NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
