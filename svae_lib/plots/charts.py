"""Figures made of numbers: training curves, latent variables, scores, kinds of split."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from matplotlib.ticker import LogLocator, NullFormatter

from ..diagnostics import LatentStatistics, SplitKind
from ..diagnostics.kinds import ALTERNATING_FROM, SEMANTIC_FROM, SYNTACTIC_FROM
from ..support.checks import InputError
from .figure import (
    BLACK,
    BLUE,
    GREY,
    LINES,
    MARKERS,
    ORANGE,
    PALETTE,
    AltFigure,
    as_words,
    course_style,
    empty_figure,
    finish,
    panels_of,
)

History: TypeAlias = Mapping[str, Sequence[float]]
"""One list per quantity, all of one length, ``step`` among them."""

_NAMES = {
    "reconstruction": "reconstruction error (summed)",
    "kl": "KL divergence (nats)",
    "mse": "mean squared error",
    "gamma": "$\\gamma$ (variance per pixel)",
}
_LOGARITHMIC = ("gamma", "mse")  # they fall over orders of magnitude


@course_style()
def training_curves(
    history: History | Mapping[str, History],
    keys: Sequence[str] = ("loss", "gamma", "kl"),
    *,
    title: str | None = None,
) -> AltFigure:
    """A trainer's history, or several by name of run: a panel per quantity, a line per run."""
    several = any(isinstance(value, Mapping) for value in history.values())
    runs: Mapping[str, Any] = history if several else {"": history}
    told = [_checked(run, keys, as_words(name)) for name, run in runs.items()]
    figure, panels = panels_of(len(keys), 3.05, 2.9)
    for axes, key in zip(panels, keys, strict=True):
        for i, (name, run) in enumerate(runs.items()):
            style: dict[str, Any] = {"color": PALETTE[i % 7], "label": name}
            axes.plot(run["step"], run[key], LINES[i % 4], linewidth=1.6, **style)
        axes.set(title=_NAMES.get(key, key), xlabel="step")
        if key in _LOGARITHMIC:
            axes.set_yscale("log")
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.yaxis.set_major_formatter("{x:g}")
            axes.yaxis.set_minor_formatter(NullFormatter())
    if len(runs) > 1:
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=min(len(runs), 4))
    return finish(figure, "Training curves. " + " ".join(told), title, "curves")


def _checked(run: History, keys: Sequence[str], name: str) -> str:
    """A run in words, if it can be drawn."""
    named = f"the run {name}" if name else "the history"
    if not keys:
        raise InputError("keys is empty: name at least one quantity, such as 'loss'.")
    if missing := [key for key in ("step", *keys) if key not in run]:
        raise InputError(f"{named} has no {missing}; it has {sorted(run)}.")
    lengths = sorted({len(run[key]) for key in ("step", *keys)})
    if len(lengths) > 1 or lengths == [0]:
        raise InputError(f"the lists of {named} must be of one length above 0, not {lengths}.")
    ends = [f"{key} from {run[key][0]:.3g} to {run[key][-1]:.3g}" for key in keys]
    steps = f"step {run['step'][0]:g} to {run['step'][-1]:g}"
    return f"{name + ', ' if name else ''}{steps}: {', '.join(ends)}."


@course_style()
def variance_law(
    stats: LatentStatistics | Mapping[str, LatentStatistics], *, title: str | None = None
) -> AltFigure:
    """var(mu) and mean(exp(log_var)) of each latent variable, stacked: the law says 1.

    ``stats`` are those of one model, or of several by name (a panel each).
    """
    models = {"": stats} if isinstance(stats, LatentStatistics) else stats
    if not models:
        raise InputError("there are no latent statistics to draw.")
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
        axes.set(title=name, xlabel="latent variable, by var($\\mu$)")
        axes.set(xlim=(0.5, len(x) + 0.5), ylim=(0, top))
        axes.grid(False, axis="x")
    panels[0].set_ylabel("variance")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    each = "; ".join(f"{as_words(name) + ': ' if name else ''}{s}" for name, s in models.items())
    text = f"Stacked bars by var(mu) and mean posterior variance. {each}."
    return finish(figure, text, title, "diagnostics")


@course_style()
def score_bars(
    rows: Sequence[Mapping[str, Any]], *, xlabel: str, title: str | None = None
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
        style: dict[str, Any] = {"color": PALETTE[g % 7], "label": group or None}
        own = [(i, *bars[label, group]) for i, label in enumerate(labels) if (label, group) in bars]
        rank, values, errors = zip(*own, strict=True)
        y = [i + (g - (len(groups) - 1) / 2) * thickness for i in rank]
        axes.barh(y, values, height=0.92 * thickness, **style)
        known = [error or math.nan for error in errors]  # Matplotlib draws no bar for NaN
        axes.errorbar(values, y, xerr=known, fmt="none", ecolor=BLACK, capsize=3, linewidth=1.2)
        for place, value, error in zip(y, values, errors, strict=True):
            end, style = (max(value + error, 0), place), {"va": "center", "fontsize": 9}
            text = _with_error(value, error)
            axes.annotate(text, end, (6, 0), textcoords="offset points", **style)
    axes.set_yticks(range(len(labels)), labels)
    axes.invert_yaxis()
    axes.grid(False, axis="y")
    axes.set_xlim(least - 0.05 * room * (least < 0), most + 0.25 * room)  # for the numbers
    axes.set_xlabel(xlabel)
    if len(groups) > 1:
        figure.legend(loc="outside lower center", ncols=min(len(groups), 4))
    each = (as_words(f"{g} {of} {_with_error(*score)}".strip()) for (of, g), score in bars.items())
    text = f"Bars of {as_words(xlabel)}: {'; '.join(each)}."
    return finish(figure, text, title, "diagnostics")


def _check_scores(rows: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str], tuple[float, float]]:
    """Rows as (label, group) to (value, error), in their order."""
    bars: dict[tuple[str, str], tuple[float, float]] = {}
    for row in rows:
        if "label" not in row or not math.isfinite(row.get("value", math.nan)):
            raise InputError(f"each row needs a label and a finite value: {dict(row)}.")
        key = (str(row["label"]), str(row.get("group") or ""))
        if key in bars:
            raise InputError(f"there are two rows for {' '.join(key).strip()}: keep one.")
        error = float(row.get("error") or 0)  # infinite for the mean of a single seed
        bars[key] = (float(row["value"]), error if math.isfinite(error) else 0.0)
    if not bars:
        raise InputError("there are no scores to draw.")
    return bars


def _with_error(value: float, error: float) -> str:
    number = f"{value:.0f}" if abs(value) >= 100 else f"{value:#.3g}"
    return number + (f" ± {error:.2g}" if error else "")


_LOW, _HIGH = -0.05, 1.05
# word, left, bottom, right, top: the rule of diagnostics.split_kind
_REGIONS = (
    ("semantic", _LOW, SEMANTIC_FROM, ALTERNATING_FROM, _HIGH),
    ("mixed", ALTERNATING_FROM, SEMANTIC_FROM, SYNTACTIC_FROM, _HIGH),
    ("unclear", _LOW, _LOW, ALTERNATING_FROM, SEMANTIC_FROM),
    ("syntactic", ALTERNATING_FROM, _LOW, SYNTACTIC_FROM, SEMANTIC_FROM),
    ("syntactic", SYNTACTIC_FROM, _LOW, _HIGH, _HIGH),
)
_SHADES = {"semantic": "#e3f1fa", "mixed": "#f2f2f2", "unclear": "#ffffff", "syntactic": "#fbf0d9"}


@course_style()
def split_plane(
    points: Sequence[SplitKind], groups: Sequence[str] | None = None, *, title: str | None = None
) -> AltFigure:
    """Splits on the plane of their two kinds; hollow points split nothing.

    ``groups`` has a name per point, for colours and markers.
    """
    groups = [""] * len(points) if groups is None else groups
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
        style: dict[str, Any] = {"s": 44, "marker": MARKERS[g % 7], "label": name or None}
        axes.scatter(x, y, facecolors=faces, edgecolors=colour, **style)
    axes.set(xlim=(_LOW, _HIGH), ylim=(_LOW, _HIGH))
    axes.grid(False)
    axes.set_xlabel("alternation: share of energy near Nyquist (syntactic)")
    axes.set_ylabel("agreement with contours\nabove chance (semantic)")
    if any(groups):
        figure.legend(loc="outside lower center", ncols=min(len(set(groups)), 4))
    counts = Counter(p.label for p in points).most_common()
    kinds = ", ".join(f"{n} {word}" for word, n in counts)
    text = f"{len(points)} points on the plane of splits: {kinds}."
    return finish(figure, text, title, "diagnostics")
