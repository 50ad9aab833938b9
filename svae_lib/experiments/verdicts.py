"""The paper's three claims beside what the recorded tables say of them, with the scale of both."""

import html
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from math import exp
from typing import Any

import torch

from ..models import SplitVAE, parameter_count
from ..presets import PRESETS
from .claim import ClaimTest, claim_test, in_two
from .summaries import NETWORKS, Estimate, likelihood_difference, paired_difference, scores_by_seed

Record = dict[str, Any]
Row = tuple[str, ...]

COLUMNS = ("claim", "the paper's scale", "tested on", "n", "result", "says about the paper")
PLANNED = 5
"""Questions that were written down before their runs, and asked of an interval or a sign test: two
of same-beta, one each of likelihood, reconstructions and photographs."""
LARGER = {
    "mnist-half-width": "MNIST",
    "mnist-full-width": "MNIST",
    "fashion-half-width": "Fashion-MNIST",
    "photographs-30-epochs": "photographs",
    "faces": "drawn faces",
}
"""Tables of larger models, of which each claim is asked as soon as they hold both models."""
FEWEST = 6
"""Seeds with which a two-sided sign test can reach 5 %; a one-sided one needs one less."""
_DIGITS = ("mnist-5k", "same-beta", "splits", "likelihood", "reconstructions", "k-way")


def pooled(records: Mapping[str, Record], beta: float | None = None) -> Record:
    """Living splits in two of digits from all small tables, each seed and beta once, as a record.

    Those of one ``beta``, if it is given.
    """
    cells: dict[tuple[int, float], dict[str, Any]] = {}
    for name in _DIGITS:
        for cell in in_two(records[name]) if name in records else ():
            if beta in (None, cell["beta"]):  # tables may share a run
                cells.setdefault((cell["seed"], cell["beta"]), cell)
    return {"cells": list(cells.values())}


def claim_of(record: Record, half: str) -> ClaimTest:
    """The test of one half in the semantic splits of a record, with mixture samples."""
    return claim_test(record, "semantic", "mixture", half)


def verdicts(records: Mapping[str, Record]) -> list[Row]:
    """Rows of ``COLUMNS``: what was found for each claim, from the tables in ``records``.

    The small tables of digits and the photographs must be among :func:`~.tables.recorded` ones.
    """
    photographs = records["photographs"]
    digits = _scale([records[name] for name in _DIGITS if name in records], "5,000 digits")
    colour = _scale([photographs], "photographs")
    larger = {
        _scale([record], LARGER[name]): record
        for name, record in records.items()
        if name in LARGER and _seeds_of_both(record)
    }

    def in_larger(row_of: Callable[[Record], Row]) -> list[Row]:
        return [(scale, *row_of(record)) for scale, record in larger.items()]

    samples: list[Row] = [(digits, *row) for row in _gains_on_digits(records)]
    gap = paired_difference(photographs, *_pair("mixture"), "kid")
    told = f"mixture samples: KID {_interval(gap, digits=4)}"
    samples += [(colour, str(gap.n), told, _about(gap)), *in_larger(_gains)]
    halves: list[Row] = [(digits, *row) for row in _halves_of_digits(records)]
    halves += [(colour, *_halves(photographs)), *in_larger(_halves)]
    active: list[Row] = [(digits, *_active(records["mnist-5k"])), (colour, *_active(photographs))]
    active += in_larger(_active)
    return [
        *_headed("1 Better samples than a VAE", _published(), samples),
        *_headed("2 Better halves of semantic splits", "as above", halves),
        *_headed("3 More active latent variables", "as above", active),
    ]


def verdict_table(records: Mapping[str, Record], *, folded: bool = False) -> str:
    """:func:`verdicts` as an HTML table; ``folded`` hides each result until one unfolds it."""
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


def _headed(claim: str, published: str, rows: list[Row]) -> list[Row]:
    """Rows with the claim and the paper's scale in front; what repeats is left out."""
    told: list[Row] = []
    last = ""
    for scale, *rest in rows:
        first = ("", "") if told else (claim, published)
        told.append((*first, "as above" if scale == last else scale, *rest))
        last = scale
    return told


def _published() -> str:
    """The paper's models: parameters, beta and latent variables for its three data sets."""
    chosen = [PRESETS[name] for name in ("mnist", "cifar10", "celeba")]
    with torch.device("meta"):
        sizes = [f"{parameter_count(SplitVAE(p.model)) / 1e6:.1f}" for p in chosen]
    return (
        f"MNIST, CIFAR-10, CelebA; {', '.join(sizes)} million parameters; images seen not "
        f"published; β {_list(p.train.beta for p in chosen)}; "
        f"{_list(p.model.latent_dim for p in chosen)} latent variables; Keras' Inception"
    )


def _scale(tables: list[Record], what: str) -> str:
    """Our models: parameters, images seen, beta, latent variables and features."""
    how = tables[0]["settings"]
    cells = [cell for table in tables for cell in table["cells"] if cell["kind"] == "split-vae"]
    return (
        f"{what}; {cells[0]['parameters'] / 1e6:.1f} million parameters; "
        f"{how['train']['steps'] * how['train']['batch_size']:,} images seen; "
        f"β {_list(sorted({cell['beta'] for cell in cells}))}; "
        f"{how['model']['latent_dim']} latent variables; {NETWORKS[how['features']]}"
    )


def _gains_on_digits(records: Mapping[str, Record]) -> Iterator[Row]:
    """n, result and reading for samples at two beta, reconstructions and likelihood."""
    for beta in (1, 4):
        gap = paired_difference(records["same-beta"], *_pair("mixture", f", beta {beta}"))
        gap = _one_of(2, gap)
        told = f"mixture samples, β {beta}: FID {_interval(gap)} (for 2 questions)"
        yield str(gap.n), told, _about(gap)
    gap = paired_difference(records["reconstructions"], *_pair("REC", ", beta 1"))
    wide = _one_of(PLANNED, gap)
    told = f"reconstructions: FID {_interval(gap)}; for all {PLANNED} planned questions "
    says = _about(wide, " (reconstructions, not samples)")
    yield str(gap.n), f"{told}± {wide.half_width:.2f}", says
    gap = likelihood_difference(records["likelihood"], "split-vae, beta 1", "vae, beta 1")
    told = f"log p(x) of test digits: {_interval(gap)} nats an image, a factor of "
    lower = replace(gap, mean=-gap.mean)  # as for FID: below 0 is a gain
    says = _about(lower, " (likelihood, not samples)")
    yield str(gap.n), f"{told}{exp(gap.mean):.1f}", says


def _gains(record: Record) -> Row:
    split, plain = (scores_by_seed(record, *row) for row in _pair("mixture"))
    gaps = [split[seed] - plain[seed] for seed in _seeds_of_both(record)]
    below = sum(gap < 0 for gap in gaps)
    told = f"mixture samples: FID {', '.join(f'{gap:+.2f}' for gap in gaps)}, a value per seed"
    return str(len(gaps)), told, f"below the VAE with {below} of {len(gaps)}; too few for a test"


def _halves_of_digits(records: Mapping[str, Record]) -> Iterator[Row]:
    from scipy.stats import binomtest  # here: its import takes a second

    test = claim_of(pooled(records), "mean")
    above, n = test.seeds - test.below, test.seeds
    p = binomtest(above, n).pvalue
    told = f"mean of the halves: above x with {above} of {n} seeds (exploratory; p {p:.0e})"
    yield str(n), told, "undecided" if test.below else "the opposite, here"
    for beta in (1.0, 4.0, 16.0):
        mean, better = (claim_of(pooled(records, beta), half) for half in ("mean", "better"))
        told = f"β {beta:g}: mean below x with {mean.below}, better half with {better.below}"
        # Were x, x1 and x2 alike, the lower of the halves would be below x two times in three.
        p = binomtest(better.below, better.seeds, 2 / 3, alternative="greater").pvalue
        says = "some sign of it" if p < 0.05 else "no sign of it"
        yield str(mean.seeds), told, says


def _halves(record: Record) -> Row:
    kinds = [cell["split"]["label"] for cell in in_two(record)]
    if not (n := kinds.count("semantic")):
        return "0", f"no semantic split: {', '.join(kinds)}", "cannot be tested"
    x1, x2 = (claim_of(record, half).below for half in ("x1", "x2"))
    told = f"mixture samples: x1 below x with {x1} of {n}, x2 below x with {x2} of {n}"
    return str(n), told, f"{x1 + x2} of {2 * n} halves are below x; too few for a test"


def _active(record: Record) -> Row:
    """How many models, their active latent variables, and what that says."""
    size, alive = record["settings"]["model"]["latent_dim"], _seeds_of_both(record)
    living = [cell for cell in record["cells"] if cell["seed"] in alive]
    vae, split = (
        sorted(cell["latent"]["active"] for cell in living if cell["variant"] == name)
        for name in ("vae", "split-vae")
    )
    few = "; too few for a test" if len(alive) < FEWEST else ""
    says = "no sign of it"
    for word, apart in (("more", split[0] > vae[-1]), ("fewer", split[-1] < vae[0])):
        if apart:
            says = f"{word} with {len(alive)} of {len(alive)}{few}"
    if min(*vae, *split) == size:
        says = "cannot be tested: none is idle"
    told = f"active of {size}: vae {_list(vae)}; split-vae {_list(split)}"
    return str(len(alive)), told, says


def _seeds_of_both(record: Record) -> list[int]:
    """Seeds with which both models live."""
    split, vae = (scores_by_seed(record, *row) for row in _pair("mixture"))
    return sorted(split.keys() & vae.keys())


def _pair(source: str, beta: str = "") -> tuple[tuple[str, str, str], tuple[str, str, str]]:
    return ("split-vae" + beta, source, "x"), ("vae" + beta, source, "x")


def _one_of(questions: int, gap: Estimate) -> Estimate:
    """Bonferroni's correction: an interval that holds for all of some questions at 95 %."""
    from scipy.stats import t as student_t

    wider = student_t.ppf(1 - 0.025 / questions, gap.n - 1) / student_t.ppf(0.975, gap.n - 1)
    return replace(gap, half_width=float(wider) * gap.half_width)


def _interval(gap: Estimate, digits: int = 2) -> str:
    return f"{gap.mean:+.{digits}f} ± {gap.half_width:.{digits}f}"


def _about(gap: Estimate, what: str = "") -> str:
    """What the interval of a difference says, where lower is better."""
    if gap.mean + gap.half_width < 0:
        return f"a gain{what}"
    return f"a loss{what}" if gap.mean - gap.half_width > 0 else f"undecided{what}"


def _list(values: Iterable[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)
