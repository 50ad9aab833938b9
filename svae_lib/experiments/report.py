"""One page about trained models: originals, reconstructions, samples, splits, scores, curves.

For one run or for several that are compared, of whatever kind: a VAE, a SplitVAE, a baseline.
"""

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
Panel = tuple[str, Figure, str]
"""Heading, figure and explanation."""
_NOTHING = "–"
_NUMBER = re.compile(r"[-−+]?[\d,]*\.?\d+(e[-+]?\d+)?( ?%| ± [\d.,]+)?")


@dataclasses.dataclass(frozen=True)
class Subject:
    """A trained model with its scores, and its name on the page."""

    name: str
    run: Run
    result: Evaluation


def contents(subjects: list[Subject], sets: ImageSets) -> dict[str, Any]:
    """What :func:`write_report` shows of models that were scored alike, on the data ``sets``."""
    names = [subject.name for subject in subjects]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(f"two subjects are called {twice[0]!r}: give each a name of its own.")
    return {
        "summary": _summary(subjects),
        "table": (*score_table(subjects), _caption(subjects)),
        "figures": _figures(subjects, sets),
        "made_of": _made_of(subjects),
    }


def _summary(subjects: list[Subject]) -> str:
    told = [f"Trained on {subjects[0].result.how['data']}."]
    for s in subjects:
        score, train = s.result.score("mixture"), s.run.train_config
        told.append(
            f"{s.name}: trained for {s.run.steps_taken():,} of {train.steps:,} steps of "
            f"{train.batch_size} images; samples of the mixture have a {score.metric} of "
            f"{score.value:.2f}."
        )
        if s.result.split is not None:
            told.append(f"The split is {s.result.split}.")
    return " ".join(told)


def score_table(subjects: list[Subject]) -> tuple[list[str], list[list[str]]]:
    """Columns and rows of text: the scores of all subjects, one under the other."""
    columns, (real, *_) = subjects[0].result.table()  # the real images score the same for all
    lines = [[s.name, *row] for s in subjects for row in s.result.table()[1][1:]]
    return ["model", *columns], [["real training images", "", "", *real[2:]], *lines]


def _caption(subjects: list[Subject]) -> str:
    scoring, score = subjects[0].result.scoring, subjects[0].result.score("real")
    two_stage = ""
    if steps := scoring.second_stage_steps:
        two_stage = f"two-stage: latent vectors from a second VAE, trained for {steps:,} steps. "
    return (
        f"FID and KID: lower is better; precision and recall: higher. {score.metric}; {score.n:,} "
        f"images against {score.n_reference:,} of {score.reference}; "
        f"{PROTOCOLS[scoring.protocol]}, with {scoring.mixture_components} Gaussians. Scores "
        "on other features are not comparable with these. REC: reconstructions of the test images. "
        "x1, x2: a Split VAE's two images; mix: half of the samples answer with x1, half with x2. "
        f"{two_stage}One seed: small differences mean nothing."
    )


def _figures(subjects: list[Subject], sets: ImageSets) -> list[Panel]:
    test = sets.test[:SHOWN]
    rebuilt, samples, histories = {"original": to_float(test)}, {}, {}
    splits: list[Panel] = []
    laws: list[Panel] = []
    for s in subjects:
        model, result, seed = s.run.load_model(), s.result, s.result.scoring.seed
        answer = reconstruct_all(model, test)
        drawn = sample_mixture(model, result.mixture, SHOWN, seed)
        rebuilt[s.name] = answer.x_hat
        samples[f"{s.name}, prior"] = sample_prior(model, SHOWN, seed).x_hat
        samples[f"{s.name}, mixture"] = drawn.x_hat
        histories[s.name] = s.run.history()
        law = plots.variance_law(result.latent)
        laws.append((f"Variance law, {s.name}", law, f"{result.latent}."))
        if result.split is not None:
            told = "The map sigma, the images, and their mixture x = sigma x1 + (1 - sigma) x2."
            for of, out in (("reconstructions", answer), ("samples of the mixture", drawn)):
                splits.append((f"The split of {of}, {s.name}", plots.split_rows(out, SHOWN), told))
    curves = plots.training_curves(histories, keys=("loss", "kl", "gamma"))
    told = "Test images, and each model's answer from the posterior mean."
    return [
        ("Reconstructions", plots.image_rows(rebuilt), told),
        ("Samples", plots.image_rows(samples), "Latent vectors from the prior and the mixture."),
        *splits,
        ("Loss, KL and gamma", curves, "Each point is a mean over the steps before it."),
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
        made[f"{s.name}, test images"] = {
            "mean squared error": s.result.test_mse,
            "KL divergence in nats": s.result.test_kl,
            "likelihood": s.result.likelihood,
            **s.result.latent.summary(),
        }
    return made


def write_report(
    path: Path,
    *,
    title: str,
    summary: str,
    table: tuple[Sequence[str], Sequence[Sequence[Any]], str],
    figures: Iterable[Panel],
    made_of: Mapping[str, Mapping[str, Any]],
    overwrite: bool = False,
) -> None:
    """Write one HTML file that needs no network and no other files; whole or not at all.

    The table is columns, rows and caption. Figures are those of :mod:`svae_lib.plots`, or others
    with an attribute ``alt_text``; their attribute ``section`` says where they stand. ``made_of``
    holds facts by name in groups, such as versions.
    """
    check_writable(path, overwrite=overwrite)  # before the work of drawing
    columns, rows, caption = table
    cells, numeric = _cells(columns, rows)
    sections: dict[str, list[tuple[str, Markup, str]]] = {
        name: [] for name in ("pictures", "curves", "diagnostics")
    }
    for heading, figure, explanation in figures:
        if not alt_text_of(figure):
            raise InputError(f"the figure {heading!r} has no alt_text: say what it shows.")
        image = Markup(img_tag(figure, scale=2))  # made and escaped by img_tag
        section = getattr(figure, "section", "pictures").lower()
        sections.setdefault(section, []).append((heading, image, explanation))
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
        sections={name.capitalize(): shown for name, shown in sections.items() if shown},
        made_of=made_of,
        written=datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        version=__version__,
    )
    write_text(path, html, overwrite=overwrite)


def format_table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A table as plain text for the terminal: numbers to the right, words to the left.

    Cells are text, numbers or None; a row has as many as there are columns.
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
