"""Figures made of numbers: training curves, latent variables, scores, kinds of split."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from matplotlib.ticker import LogLocator, NullFormatter

from ..diagnostics import LatentStatistics, SplitKind
from ..diagnostics.kinds import ALTERNATING_FROM, SEMANTIC_FROM, SYNTACTIC_FROM
from ..diagnostics.latent import HIGHEST_MEAN_VARIANCE, LOWEST_VARIANCE_OF_MEANS
from ..support.checks import InputError
from .figure import (
    BLACK,
    BLUE,
    GREY,
    LINES,
    MARKERS,
    ORANGE,
    PALETTE,
    VERMILLION,
    AltFigure,
    as_text,
    course_style,
    empty_figure,
    finish,
    panels_of,
)

# ------------------------------------------------------------------ curves

History: TypeAlias = Mapping[str, Sequence[float]]
"""One list per quantity, all of one length, ``step`` among them."""

_NAMES = {
    "reconstruction": "reconstruction error (summed)",
    "kl": "KL divergence (nats)",
    "mse": "mean squared error",
    "gamma": "$\\gamma$ (variance per pixel)",
}
LOGARITHMIC = ("gamma", "mse")
"""Quantities that fall over orders of magnitude."""


@course_style()
def training_curves(
    history: History | Mapping[str, History],
    keys: Sequence[str] = ("loss", "gamma", "kl"),
    *,
    title: str | None = None,
    alt: str | None = None,
) -> AltFigure:
    """A trainer's history, or several by name of run: a panel per quantity, a line per run."""
    runs = _runs(history)
    for name, run in runs.items():
        _check_history(run, keys, name)
    figure, panels = panels_of(len(keys), 3.05, 2.9)
    for axes, key in zip(panels, keys, strict=True):
        for i, (name, run) in enumerate(runs.items()):
            style: dict[str, Any] = {"color": PALETTE[i % 7], "label": as_text(name)}
            axes.plot(run["step"], run[key], LINES[i % 4], linewidth=1.6, **style)
        axes.set(title=_NAMES.get(key, as_text(key)), xlabel="step")
        if key in LOGARITHMIC:
            axes.set_yscale("log")
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.yaxis.set_major_formatter("{x:g}")
            axes.yaxis.set_minor_formatter(NullFormatter())
    if len(runs) > 1:
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=min(len(runs), 4))
    text = "Training curves. " + " ".join(_describe_run(n, r, keys) for n, r in runs.items())
    return finish(figure, title, text, alt, "curves")


def _runs(history: History | Mapping[str, History]) -> dict[str, History]:
    if history and all(isinstance(value, Mapping) for value in history.values()):
        return dict(history)  # type: ignore[arg-type]
    return {"": history}  # type: ignore[dict-item]


def _check_history(history: History, keys: Sequence[str], name: str) -> None:
    run = f"the run {name}" if name else "the history"
    if not keys:
        raise InputError("keys is empty: name at least one quantity, such as 'loss'.")
    missing = [key for key in ("step", *keys) if key not in history]
    if missing:
        raise InputError(f"{run} has no {missing}; it has {sorted(history)}.")
    lengths = {len(history[key]) for key in ("step", *keys)}
    if len(lengths) > 1:
        raise InputError(f"the lists of {run} differ in length: {sorted(lengths)}.")
    if lengths == {0}:
        raise InputError(f"{run} is empty: train for at least one logged step first.")


def _describe_run(name: str, run: History, keys: Sequence[str]) -> str:
    steps = f"step {run['step'][0]:g} to {run['step'][-1]:g}"
    ends = [f"{key} from {run[key][0]:.3g} to {run[key][-1]:.3g}" for key in keys]
    return f"{name + ', ' if name else ''}{steps}: {', '.join(ends)}."


# ------------------------------------------------------------------ latent variables

Statistics: TypeAlias = LatentStatistics | Mapping[str, LatentStatistics]
"""Of one model, or of several by name (a panel each)."""


@course_style()
def variance_law(
    stats: Statistics, *, title: str | None = None, alt: str | None = None
) -> AltFigure:
    """var(mu) and mean(exp(log_var)) of each latent variable, stacked: the law says 1."""
    models = _models(stats)
    figure, panels = panels_of(len(models), min(4.6, 9.2 / min(len(models), 4)), 3.0, most=4)
    top = 1.05 * max(1.0, *(s.law.max().item() for s in models.values()))
    for axes, (name, s) in zip(panels, models.items(), strict=True):
        order = s.variance_of_means.argsort(descending=True)
        means, widths = s.variance_of_means[order].numpy(), s.mean_variance[order].numpy()
        x = np.arange(1, len(order) + 1)
        edge = {"edgecolor": "white", "linewidth": 0.4 if len(x) <= 64 else 0}
        axes.bar(x, means, width=1, color=BLUE, label="var($\\mu$)", **edge)
        axes.bar(x, widths, width=1, bottom=means, color=ORANGE, label="mean var($z|x$)", **edge)
        axes.axhline(1, color=BLACK, linestyle="--", linewidth=1.2, label="the law: 1")
        axes.set(title=as_text(name), xlabel="latent variable, by var($\\mu$)")
        axes.set(xlim=(0.5, len(x) + 0.5), ylim=(0, top))
        axes.grid(False, axis="x")
    panels[0].set_ylabel("variance")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return finish(figure, title, _describe_models("Stacked bars", models), alt)


@course_style()
def latent_activity(
    stats: Statistics, *, title: str | None = None, alt: str | None = None
) -> AltFigure:
    """Each latent variable by var(mu) and mean(exp(log_var)), the inactive region shaded."""
    models = _models(stats)
    figure, panels = panels_of(len(models), 4.2, 3.8, most=2)
    xlim, ylim = (
        (-0.04, 1.05 * max(1.05, *(getattr(s, what).max().item() for s in models.values())))
        for what in ("variance_of_means", "mean_variance")
    )
    for axes, (name, s) in zip(panels, models.items(), strict=True):
        axes.axvspan(xlim[0], LOWEST_VARIANCE_OF_MEANS, color="#ececec", zorder=0)
        axes.axhspan(HIGHEST_MEAN_VARIANCE, ylim[1], color="#ececec", zorder=0)
        axes.plot([0, 1], [1, 0], "--", color=GREY, linewidth=1.2, label="variance law")
        kinds = (~s.inactive, "o", BLUE, "active"), (s.inactive, "x", VERMILLION, "inactive")
        for mask, marker, colour, word in kinds:
            points = s.variance_of_means[mask], s.mean_variance[mask]
            label = f"{word}: {int(mask.sum())}"
            axes.scatter(*points, s=26, marker=marker, color=colour, alpha=0.85, label=label)
        axes.set(xlim=xlim, ylim=ylim, title=as_text(name), xlabel="var($\\mu$)")
        axes.legend(loc="upper right", fontsize=9)
    panels[0].set_ylabel("mean var($z|x$)")
    return finish(figure, title, _describe_models("Latent variables as points", models), alt)


def _models(stats: Statistics) -> dict[str, LatentStatistics]:
    models = {"": stats} if isinstance(stats, LatentStatistics) else dict(stats)
    if not models:
        raise InputError("there are no latent statistics to draw.")
    return models


def _describe_models(what: str, models: Mapping[str, LatentStatistics]) -> str:
    each = [f"{name + ': ' if name else ''}{s}" for name, s in models.items()]
    return f"{what} by var(mu) and mean posterior variance. " + "; ".join(each) + "."


# ------------------------------------------------------------------ scores and splits


@course_style()
def score_bars(
    rows: Sequence[Mapping[str, Any]],
    *,
    xlabel: str,
    title: str | None = None,
    alt: str | None = None,
) -> AltFigure:
    """Horizontal bars with their values, error bars where there are errors, coloured by group.

    Args:
        rows: each with ``label`` (str) and ``value`` (float), and optionally ``error`` (half the
            length of the error bar) and ``group`` (str). A label may recur in another group.
        xlabel: what is measured, in full: "FID (LeNet), N = 1000, lower is better".
    """
    bars = _check_scores(rows)
    labels = list(dict.fromkeys(label for label, _ in bars))
    groups = list(dict.fromkeys(group for _, group in bars))
    thickness = 0.8 / len(groups)
    figure = empty_figure(7.2, 1.2 + 0.3 * len(labels) * max(1, 0.6 * len(groups)))
    axes = figure.subplots()
    least = min(0.0, *(value - error for value, error in bars.values()))
    most = max(0.0, *(value + error for value, error in bars.values()))
    room = most - least or 1.0
    for g, group in enumerate(groups):
        own = [(i, *bars[label, group]) for i, label in enumerate(labels) if (label, group) in bars]
        y = [i + (g - (len(groups) - 1) / 2) * thickness for i, _, _ in own]
        values, errors = [v for _, v, _ in own], [e for _, _, e in own]
        style: dict[str, Any] = {"color": PALETTE[g % 7], "label": as_text(group) or None}
        axes.barh(y, values, height=0.92 * thickness, **style)
        known = [error or math.nan for error in errors]  # Matplotlib draws no bar for NaN
        axes.errorbar(values, y, xerr=known, fmt="none", ecolor=BLACK, capsize=3, linewidth=1.2)
        for place, value, error in zip(y, values, errors, strict=True):
            end, beside = max(value + error, 0), {"xytext": (6, 0), "textcoords": "offset points"}
            axes.annotate(
                _with_error(value, error), (end, place), va="center", fontsize=9, **beside
            )
    axes.set_yticks(range(len(labels)), [as_text(label) for label in labels])
    axes.invert_yaxis()
    axes.grid(False, axis="y")
    axes.set_xlim(least - 0.05 * room * (least < 0), most + 0.25 * room)  # for the numbers
    axes.set_xlabel(as_text(xlabel, symbols=True))
    if len(groups) > 1:
        figure.legend(loc="outside lower center", ncols=min(len(groups), 4))
    each = (f"{g} {label} {_with_error(*score)}".strip() for (label, g), score in bars.items())
    return finish(figure, title, f"Bars of {xlabel}: " + "; ".join(each) + ".", alt)


def _check_scores(rows: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str], tuple[float, float]]:
    """Rows as (label, group) to (value, error), in their order."""
    bars: dict[tuple[str, str], tuple[float, float]] = {}
    for row in rows:
        if "label" not in row or not math.isfinite(row.get("value", math.nan)):
            raise InputError(f"each row needs a label and a finite value: {dict(row)}.")
        key = (str(row["label"]), str(row.get("group") or ""))
        if key in bars:
            raise InputError(f"there are two rows for {' '.join(key).strip()}: keep one.")
        bars[key] = (float(row["value"]), float(row.get("error") or 0))
    if not bars:
        raise InputError("there are no scores to draw.")
    return bars


def _with_error(value: float, error: float) -> str:
    number = f"{value:.0f}" if abs(value) >= 100 else f"{value:#.3g}"
    return number + (f" ± {error:.2g}" if error else "")


@course_style()
def split_plane(
    points: Sequence[SplitKind],
    groups: Sequence[str] | None = None,
    *,
    title: str | None = None,
    alt: str | None = None,
) -> AltFigure:
    """Splits on the plane of their two kinds; hollow points split nothing.

    ``groups`` has a name per point, for colours and markers.
    """
    groups = [""] * len(points) if groups is None else list(groups)
    if not points or len(groups) != len(points):
        raise InputError(f"{len(points)} points need one group each; {len(groups)} were given.")
    figure = empty_figure(5.6, 4.4)
    axes = figure.subplots()
    for word, left, bottom, right, top in _REGIONS:
        axes.fill_between([left, right], bottom, top, color=_SHADES[word], linewidth=0, zorder=0)
        axes.annotate(word, (left + 0.015, top - 0.015), va="top", color=GREY, style="italic")
    for g, name in enumerate(dict.fromkeys(groups)):
        own = [p for p, group in zip(points, groups, strict=True) if group == name]
        colour, x, y = PALETTE[g % 7], [p.syntactic for p in own], [p.semantic for p in own]
        faces = ["none" if p.label == "none" else colour for p in own]
        style: dict[str, Any] = {"s": 44, "marker": MARKERS[g % 7], "label": as_text(name) or None}
        axes.scatter(x, y, facecolors=faces, edgecolors=colour, **style)
    axes.set(xlim=(_LOW, _HIGH), ylim=(_LOW, _HIGH))
    axes.grid(False)
    axes.set_xlabel("alternation: share of energy near Nyquist (syntactic)")
    axes.set_ylabel("agreement with contours above chance (semantic)")
    if any(groups):
        figure.legend(loc="outside lower center", ncols=min(len(set(groups)), 4))
    labels = [p.label for p in points]
    text = ", ".join(f"{labels.count(word)} {word}" for word in _KINDS if word in labels)
    return finish(figure, title, f"{len(points)} points on the plane of splits: {text}.", alt)


_LOW, _HIGH = -0.05, 1.05
# word, left, bottom, right, top: the rule of diagnostics.split_kind
_REGIONS = (
    ("semantic", _LOW, SEMANTIC_FROM, ALTERNATING_FROM, _HIGH),
    ("mixed", ALTERNATING_FROM, SEMANTIC_FROM, SYNTACTIC_FROM, _HIGH),
    ("unclear", _LOW, _LOW, ALTERNATING_FROM, SEMANTIC_FROM),
    ("syntactic", ALTERNATING_FROM, _LOW, SYNTACTIC_FROM, SEMANTIC_FROM),
    ("syntactic", SYNTACTIC_FROM, _LOW, _HIGH, _HIGH),
)
_KINDS = ("syntactic", "semantic", "mixed", "unclear", "none")
_SHADES = {"semantic": "#e3f1fa", "mixed": "#f2f2f2", "unclear": "#ffffff", "syntactic": "#fbf0d9"}
