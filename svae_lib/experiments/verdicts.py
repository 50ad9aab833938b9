"""The paper's three claims beside what the recorded tables say of them, with the scale of both."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping
from typing import Any

import torch

from ..models import SplitVAE, parameter_count
from ..presets import PRESETS
from ..support.checks import InputError
from .claim import ClaimTest, claim_test
from .summaries import (
    Estimate,
    died,
    likelihood_difference,
    paired_difference,
    scores_by_seed,
)

Record = dict[str, Any]

COLUMNS = ("claim", "the paper's scale", "tested on", "n", "result", "says about the paper")
PLANNED = 5
"""Questions that were written down before their runs, and asked of an interval or a sign test: two
of same-beta, one each of likelihood, reconstructions and photographs."""
HALF_WIDTH = "mnist-half-width"
_NOT_YET = (HALF_WIDTH, "–", "not yet run", "–")
_NAMES = {"lenet": "LeNet", "lenet-mnist": "LeNet", "efficientnet-lite0": "EfficientNet-Lite0"}
_DIGITS = ("mnist-5k", "same-beta", "splits", "likelihood", "reconstructions", "k-way")


def pooled(records: Mapping[str, Record], beta: float | None = None) -> Record:
    """Living splits in two of digits from all small tables, each seed and beta once, as a record.

    Args:
        records: tables by name.
        beta: only these runs; default: all.
    """
    cells: dict[tuple[int, float], dict[str, Any]] = {}
    for name in _DIGITS:
        for cell in records[name]["cells"] if name in records else ():
            two = cell["split"] and cell["components"] == 2 and not died(cell)
            if two and beta in (None, cell["beta"]):  # tables may share a run
                cells.setdefault((cell["seed"], cell["beta"]), cell)
    return {"cells": list(cells.values())}


def claim_of(record: Record, half: str, source: str = "mixture") -> ClaimTest:
    """The test of one half in the semantic splits of a record."""
    test = claim_test(record, "semantic", source, half)
    if test is None:
        raise InputError("the record holds no semantic split: there is nothing to test.")
    return test


def verdicts(records: Mapping[str, Record]) -> list[tuple[str, ...]]:
    """Rows of :data:`COLUMNS`: what was found for each claim, from the tables in ``records``.

    Args:
        records: tables by name (:func:`svae_lib.experiments.tables.recorded`); the small tables
            of digits and the photographs must be among them.
    """
    from scipy.stats import binomtest  # here: its import takes a second
    from scipy.stats import t as student_t

    def wider(n: int, questions: int) -> float:
        by = student_t.ppf(1 - 0.025 / questions, n - 1) / student_t.ppf(0.975, n - 1)
        return float(by)

    small = [records[name] for name in _DIGITS if name in records]
    digits, photographs = _scale(small, "5,000 digits"), records["photographs"]
    rows: list[tuple[str, ...]] = []
    for beta in (1, 4):
        pair = (f"split-vae, beta {beta}", "mixture", "x"), (f"vae, beta {beta}", "mixture", "x")
        gap = paired_difference(records["same-beta"], *pair)
        told = f"mixture samples, β {beta}: FID {_interval(gap, wider(gap.n, 2))} (for 2 questions)"
        rows.append((digits, str(gap.n), told, _about(gap, wider(gap.n, 2))))
    gap = paired_difference(records["reconstructions"], *_pair("REC", ", beta 1"))
    told = (
        f"reconstructions: FID {_interval(gap)}; for all {PLANNED} planned questions "
        f"± {wider(gap.n, PLANNED) * gap.half_width:.2f}"
    )
    rows.append((digits, str(gap.n), told, _about(gap, wider(gap.n, PLANNED), "reconstructions")))
    gap = likelihood_difference(records["likelihood"], "split-vae, beta 1", "vae, beta 1")
    factor = math.exp(gap.mean)
    told = f"log p(x) of test digits: {_interval(gap)} nats an image, a factor of {factor:.1f}"
    rows.append((digits, str(gap.n), told, _about(gap, 1.0, "likelihood", higher=True)))
    gap = paired_difference(photographs, *_pair("mixture"), "kid")
    scale = _scale([photographs], "photographs")
    told = f"mixture samples: KID {_interval(gap, digits=4)}"
    rows.append((scale, str(gap.n), told, _about(gap, 1.0)))
    larger = records.get(HALF_WIDTH)
    if larger is not None and not _seeds_of_both(larger):
        larger = None
    rows.append(_first_at_half_width(larger) if larger else _NOT_YET)
    first = _headed("1 Better samples than a VAE", rows)

    rows = []
    test = claim_of(pooled(records), "mean")
    above = test.seeds - test.below
    told = f"mean of the halves: above x with {above} of {test.seeds} seeds (exploratory; "
    told += f"p {binomtest(above, test.seeds).pvalue:.0e})"
    rows.append(
        (digits, str(test.seeds), told, "the opposite, here" if not test.below else "undecided")
    )
    for price in (1.0, 4.0, 16.0):
        at_price = pooled(records, price)
        mean, better = (claim_of(at_price, half) for half in ("mean", "better"))
        told = f"β {price:g}: mean below x with {mean.below}, better half with {better.below}"
        most = better.below > better.seeds / 2
        says = "some sign of it, in few seeds" if most else "no sign of it"
        rows.append((digits, str(mean.seeds), told, says))
    rows.append(_second_at_half_width(larger) if larger else _NOT_YET)
    second = _headed("2 Better halves of semantic splits", rows)

    rows = [(digits, *_active(records["mnist-5k"])), (scale, *_active(photographs))]
    rows.append((_scale([larger], "MNIST"), *_active(larger)) if larger else _NOT_YET)
    return [*first, *second, *_headed("3 More active latent variables", rows)]


def verdict_table(records: Mapping[str, Record], *, folded: bool = False) -> str:
    """:func:`verdicts` as an HTML table.

    Args:
        records: as for :func:`verdicts`.
        folded: hide each result until somebody unfolds it.
    """
    head = "".join(f'<th scope="col" style="text-align: left">{name}</th>' for name in COLUMNS)
    lines = []
    for row in verdicts(records):
        cells = [html.escape(text) for text in row]
        if folded:
            what, _, found = cells[-2].rpartition(": ")
            cells[-2] = f"<details><summary>{what or 'result'}</summary>{found}</details>"
            cells[-1] = f"<details><summary>reading</summary>{cells[-1]}</details>"
        told = "".join(f'<td style="text-align: left; vertical-align: top">{c}</td>' for c in cells)
        lines.append(f"<tr>{told}</tr>")
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table>"


def _headed(claim: str, rows: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Rows with the claim and the paper's scale in front; what repeats is left out."""
    told, last = [], ""
    for i, (scale, *rest) in enumerate(rows):
        first = (claim, _published() if claim.startswith("1") else "as above")
        told.append((*(("", "") if i else first), "as above" if scale == last else scale, *rest))
        last = scale
    return told


def _published() -> str:
    """The paper's models: parameters, beta and latent variables for its three data sets."""
    names = {"mnist": "MNIST", "cifar10": "CIFAR-10", "celeba": "CelebA"}
    chosen = [PRESETS[name] for name in names]
    with torch.device("meta"):
        sizes = [parameter_count(SplitVAE(preset.model)) / 1e6 for preset in chosen]
    return (
        f"{', '.join(names.values())}; {', '.join(f'{size:.1f}' for size in sizes)} million "
        f"parameters; images seen not published; β {_list(p.train.beta for p in chosen)}; "
        f"{_list(p.model.latent_dim for p in chosen)} latent variables; Keras' Inception"
    )


def _scale(tables: list[Record], what: str) -> str:
    """Our models: parameters, images seen, beta, latent variables and features."""
    train = tables[0]["settings"]["train"]
    cells = [cell for table in tables for cell in table["cells"] if cell["kind"] == "split-vae"]
    seen, how = train["steps"] * train["batch_size"], tables[0]["settings"]
    return (
        f"{what}; {cells[0]['parameters'] / 1e6:.1f} million parameters; {seen:,} images seen; "
        f"β {_list(sorted({cell['beta'] for cell in cells}))}; "
        f"{how['model']['latent_dim']} latent variables; {_NAMES[how['features']]}"
    )


def _list(values: Any) -> str:
    return ", ".join(f"{value:g}" for value in values)


def _pair(source: str, beta: str = "") -> tuple[tuple[str, str, str], tuple[str, str, str]]:
    return ("split-vae" + beta, source, "x"), ("vae" + beta, source, "x")


def _interval(gap: Estimate, wider: float = 1.0, digits: int = 2) -> str:
    return f"{gap.mean:+.{digits}f} ± {wider * gap.half_width:.{digits}f}"


def _about(gap: Estimate, wider: float, what: str = "", higher: bool = False) -> str:
    """What an interval says about the claim; ``what``: where it is not about samples."""
    gain, half = (gap.mean if higher else -gap.mean), wider * gap.half_width
    of = f" ({what}, not samples)" if what else ""
    if gain - half > 0:
        return f"a gain{of}"
    return f"a loss{of}" if gain + half < 0 else f"undecided{of}"


def _first_at_half_width(record: Record) -> tuple[str, ...]:
    split, plain = (scores_by_seed(record, *row) for row in _pair("mixture"))
    gaps = [split[seed] - plain[seed] for seed in _seeds_of_both(record)]
    below = sum(gap < 0 for gap in gaps)
    told = f"mixture samples: FID {', '.join(f'{gap:+.2f}' for gap in gaps)}, a value per seed"
    says = f"below the VAE with {below} of {len(gaps)}; too few for a test"
    return (_scale([record], "MNIST"), str(len(gaps)), told, says)


def _second_at_half_width(record: Record) -> tuple[str, ...]:
    cells = [c for c in record["cells"] if c["split"] and not died(c)]
    semantic = {"cells": [c for c in cells if c["split"]["label"] == "semantic"]}
    n = len(semantic["cells"])
    if not n:
        kinds = ", ".join(cell["split"]["label"] for cell in cells)
        return (_scale([record], "MNIST"), "0", f"no semantic split: {kinds}", "cannot be tested")
    tests = {half: claim_of(semantic, half) for half in ("x1", "x2")}
    told = ", ".join(f"{half} below x with {test.below} of {n}" for half, test in tests.items())
    most = sum(test.below for test in tests.values()) > n
    says = "some sign of it; too few for a test" if most else "no sign of it; too few for a test"
    return (_scale([record], "MNIST"), str(n), f"mixture samples: {told}", says)


def _seeds_of_both(record: Record) -> list[int]:
    alive = [cell for cell in record["cells"] if not died(cell)]
    of = {v: {c["seed"] for c in alive if c["variant"] == v} for v in ("vae", "split-vae")}
    return sorted(of["vae"] & of["split-vae"])


def _active(record: Record) -> tuple[str, str, str]:
    """How many models, their active latent variables, and what that says."""
    size, alive = record["settings"]["model"]["latent_dim"], _seeds_of_both(record)
    of = {
        name: [
            cell["latent"]["active"]
            for cell in record["cells"]
            if cell["variant"] == name and cell["seed"] in alive
        ]
        for name in ("vae", "split-vae")
    }
    told = "; ".join(f"{name} {_list(sorted(counts))}" for name, counts in of.items())
    said = f"active of {size}: {told}"
    if min(map(min, of.values())) == size:
        return str(len(alive)), said, "cannot be tested: none is idle"
    if min(of["split-vae"]) > max(of["vae"]):
        return str(len(alive)), said, "more, with every seed"
    return str(len(alive)), said, "no sign of it"
