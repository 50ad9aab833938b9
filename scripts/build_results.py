"""Write docs/results.md from the recorded runs in results/.

    python scripts/build_results.py [--check]

No number on that page is typed by hand. --check writes nothing and fails where the page differs.
"""

from __future__ import annotations

from pathlib import Path
from statistics import fmean
from typing import Any

from generated_page import markdown, write_or_check

from svae_lib.baselines import SecondStage
from svae_lib.diagnostics import kinds
from svae_lib.experiments.claim import Distance, claim_tests, in_two, summarise_claim
from svae_lib.experiments.summaries import NETWORKS
from svae_lib.experiments.tables import (
    beside_published,
    likelihood_difference,
    paired_difference,
    recorded,
    summarise,
    summarise_likelihood,
)
from svae_lib.experiments.verdicts import COLUMNS, LARGER, verdicts
from svae_lib.models import parameter_count
from svae_lib.support.files import read_json

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "results.md"
WEIGHTS = ROOT / "results" / "baseline_weights.json"
CROSSING = ROOT / "results" / "weights_or_order.json"
PARTS = ROOT / "results" / "which_weights.json"
HEAD = """# Results

Made from the files in [results/](../results/README.md) by `python scripts/build_results.py`; every
number of ours comes from a recorded run. Tables give the mean over the seeds ± the half-width of
the 95 % interval (Student's t). A run in which every latent variable is inactive has *died*: it is
counted, but left out of the means. Lower FID and KID are better.

Columns say where images come from: *real* ones are as many training images; *REC* are
reconstructions of the test images; *prior*, *mixture* and *two-stage* are samples whose latent
vectors come from the prior, from a Gaussian mixture, or from a second VAE. Rows say which part of
a split is scored: the mixed image x, its halves x1 and x2, or *mix*, a set of which half are x1 and
half x2. Which half is called x1 depends on the seed, so the rows x1 and x2 average different
things.
"""


CLAIMS = """## The paper's three claims

*n* counts seeds; for claim 2 only those whose split is semantic. Where several questions were
asked, the interval after ± is wider than one of 95 %. *Exploratory* means looked for after the
runs. The sections below have the numbers behind each row;
[notebook 8](../notebooks/08_reproduce_the_paper.ipynb) explains how they were tested.
"""


SPLITS = """## Splits of the larger models

On 500 test images. *Alternation* is the share of energy near the Nyquist frequencies, of the map or
of x1 - x2, and the larger counts; *contours* the agreement of the map with the image's contours
above chance, *activity* the standard deviation of the map over the pixels, *contrast* the mean
difference of x1 and x2. Alternation counts from {} on; from {} on it alone makes a split
syntactic. Contours count from {} on.

Found afterwards, so exploratory: in none of the splits of digits below does the map itself
alternate. What counts as alternation there is x1 - x2, the thin outlines by which their strokes
differ. So *mixed* and *syntactic* may say less of these splits than of others.
"""


METRICS: dict[str, Distance] = {"photographs": "kid"}  # fewer images than features: no FID
WITH_KID = ("faces", "photographs-30-epochs")  # planned with both


def conditions(record: dict[str, Any], metric: Distance) -> str:
    """One paragraph: how the cells of a table were measured."""
    settings, how = record["settings"], record["cells"][0]["how"]
    train = settings["train"]

    def all_of(values: list[Any]) -> str:
        return ", ".join(sorted({str(value) for value in values}))

    cells, network = record["cells"], NETWORKS[settings["features"]]
    sizes = [f"{size:,}" for size in sorted({cell["parameters"] for cell in cells})]
    return (
        f"Data {settings['data']}; {train['steps']:,} steps of {train['batch_size']} images; "
        f"models of {' to '.join(dict.fromkeys((sizes[0], sizes[-1])))} parameters; "
        f"{metric.upper()} ({network}) of {how['n']:,} against {references(how)}; "
        f"protocol {settings['protocol']}: {how['protocol_in_words']}; mixture of "
        f"{settings['mixture_components']} Gaussians. Seeds {all_of([c['seed'] for c in cells])}; "
        f"device {all_of([c['how']['device'] for c in cells])}; commit "
        f"{all_of([c['how']['commit'] for c in cells])}; torch "
        f"{all_of([c['how']['torch'] for c in cells])}.{second_stage(settings)}\n"
    )


def references(how: dict[str, Any]) -> str:
    """Number and kind of the reference's images; older records had test images only."""
    return f"{how.get('n_reference', how['n']):,} {how.get('reference', 'test')} images"


def second_stage(settings: dict[str, Any]) -> str:
    """What stands behind the column "two-stage", where there is one."""
    if not settings["second_stage_steps"]:
        return ""
    size = parameter_count(SecondStage(settings["model"]["latent_dim"]))
    return (
        f" Two-stage: a second VAE of {size:,} parameters, trained for "
        f"{settings['second_stage_steps']:,} steps on the latent vectors, is added to each model, "
        "so compare models within that column."
    )


def table_section(name: str, record: dict[str, Any]) -> str:
    metric = METRICS.get(name, "fid")
    parts = [f"## {name}\n", conditions(record, metric), markdown(*summarise(record, metric))]
    if name in WITH_KID:
        parts += ["KID of the same images:\n", markdown(*summarise(record, "kid"))]
    if name == "reconstructions":
        split, vae = ((f"{kind}, beta 1", "REC", "x") for kind in ("split-vae", "vae"))
        gap = paired_difference(record, split, vae)
        text = "FID of the Split VAE's reconstructions, x, minus the VAE's, paired by seed: "
        parts.append(f"{text}{gap}, {gap.n} seeds. (The question was written down beforehand.)\n")
    if any(cell.get("likelihood") for cell in record["cells"]):
        parts += ["### Bounds on log p(x)\n", likelihood_text(record)]
        parts.append(markdown(*summarise_likelihood(record)))
    if name in PICTURES:
        parts.append(PICTURES[name])
    if name in ("splits", "same-beta", "photographs", "faces"):
        tests = markdown(*summarise_claim(claim_tests(record, metric), metric))
        parts += ["### Are the halves better than the mixture?\n", CLAIM, folded(tests)]
    return "\n".join(parts)


def splits_section(records: dict[str, dict[str, Any]]) -> str:
    """The kind of each larger split in two, with the measures that decide it."""
    counted = (kinds.ALTERNATING_FROM, kinds.SYNTACTIC_FROM, kinds.SEMANTIC_FROM)
    measures = ("sigma_share", "difference_share", "semantic", "activity", "contrast")
    rows = [
        [name, str(cell["seed"]), split["label"], *(f"{split[m]:.3f}" for m in measures)]
        for name, record in records.items()
        if name in LARGER
        for cell, split in ((cell, cell["split"]) for cell in in_two(record))
    ]
    alternation = ["alternation of the map", "of x1 - x2"]
    columns = ["table", "seed", "kind", *alternation, "contours", "activity", "contrast"]
    return SPLITS.format(*counted) + "\n" + markdown(columns, rows)


def folded(table: str) -> str:
    """A long table behind a click; HTML needs empty lines around Markdown."""
    return f"<details>\n<summary>The tests</summary>\n\n{table}\n</details>\n"


def likelihood_text(record: dict[str, Any]) -> str:
    """How the bounds of a table's two models were measured, and their difference."""
    settings = record["settings"]
    vae, split = (f"{kind}, beta 1" for kind in ("vae", "split-vae"))
    gain = likelihood_difference(record, split, vae)
    return (
        "Of the test images, padded to 32x32, with gamma from the training images and "
        f"{settings['likelihood_draws']} draws an image; higher nats and lower bits are better. "
        "Nats are of densities of pixels in [0, 1], bits of bytes. Importance-weighted bound of "
        f"the Split VAE minus the VAE's, paired by seed: {gain} nats, {gain.n} seeds.\n"
    )


def pictured(alt: str, name: str, text: str) -> str:
    return f"![{alt}](pictures/{name}.png)\n\n{text}\n"


PICTURES = {
    "faces": pictured(
        "Four rows of drawn faces: maps with contours and eyes, x1 with blank eyes, x2 with dark "
        "ones, and faces with all their parts",
        "sampled-faces",
        "Samples of the Split VAE of seed 0, which ships as `faces-split-vae`. For the picture\n"
        "the mixture has 20 Gaussians, fitted on 4,000 training means.",
    ),
    "mnist-half-width": pictured(
        "Two rows of digits: samples from the prior, some of them no digit, and from a mixture, "
        "nearly all of them digits",
        "sampled-digits",
        "Samples of the VAE of seed 0, which ships as `mnist-half-width-vae`. For the picture\n"
        "the mixture has 20 Gaussians, fitted on the means of the 4,000 training digits of\n"
        "`mnist-5k`.",
    )
    + "\n"
    + pictured(
        "Four rows of digits: maps that follow the strokes, x1 with hard edges, x2 with a web of "
        "noise around the strokes, and their mixture, clean digits",
        "sampled-splits",
        "Samples of the Split VAE of seed 0 (`mnist-half-width-split-vae`) from such a mixture.",
    ),
    "mnist-full-width": pictured(
        "Four rows of digits: maps that follow the outlines of the strokes, x1 with thin strokes, "
        "x2 with bold ones, and their mixture",
        "sampled-full-width",
        "Samples of the Split VAE, the paper's own network, which is too large to ship: thin\n"
        "strokes in x1, bold ones in x2, and a map along the outlines between them. The measures\n"
        "call this split syntactic, by little (see above): its map hardly alternates, but the\n"
        "difference of a thin and a bold stroke is a thin outline, and the map agrees with\n"
        "contours a little less than is asked for. The bounds were set before this run. For the\n"
        "picture the mixture has 20 Gaussians, fitted on the means of the 4,000 training digits\n"
        "of `mnist-5k`.",
    ),
    "fashion-half-width": pictured(
        "Four rows of clothes and shoes: maps that are bright where the clothes are dark, x1 with "
        "little but outlines, x2 with plain bright clothes, and their mixture, some dark, some "
        "bright",
        "sampled-clothes",
        "Samples of the Split VAE of seed 0, which ships as `fashion-half-width-split-vae`. For\n"
        "the picture the mixture has 20 Gaussians, fitted on 4,000 training means.",
    ),
    "photographs-30-epochs": pictured(
        "Four rows of blurred pictures that resemble animals and vehicles: maps near one half but "
        "for contours and for dark or white areas, x1 and x2 with a fine grid on them, and their "
        "mixture without it",
        "sampled-photographs",
        "Samples of the Split VAE of seed 0, which ships as `photographs-split-vae`. For the\n"
        "picture the mixture has 20 Gaussians, fitted on 4,000 training means.",
    ),
}
"""What the shipped model of a table draws (scripts/draw_pictures.py)."""


CLAIM = """The paper's claim is about semantic splits; the [glossary](glossary.md) explains the
kinds. *better* is the lower of the two halves' scores, which chance alone makes low; *mean* (of
both scores) and *mix* are fair tests. Runs of one seed share first weights, order and noise, so
their mean counts as one observation. The last column is the one-sided sign test: the probability
of at least so many seeds below x if below and above were equally likely. (With fewer than five
seeds it cannot fall to 0.05, and is left out.) Each interval is for a single question: if you ask
several, widen them.
"""


PUBLISHED_ONES = """The Split VAE's scores as its authors give them, beside ours on the same data.
The protocols differ, so the two columns must not be compared.
"""


CROSSED = """What decides the kind of a split? Four seeds for the first weights are crossed with
four for the order of batches and the noise. The agreement of the map with the contours is in
brackets.
"""


def crossed_section(path: Path) -> str:
    record = read_json(path)
    found = {(r["weights"], r["order"]): r for r in record["runs"]}
    orders = sorted({order for _, order in found})
    rows = []
    for weights in sorted({weights for weights, _ in found}):
        cells = [found[weights, order] for order in orders]
        rows.append([f"weights {weights}"] + [f"{c['label']} ({c['semantic']:.2f})" for c in cells])
    columns = ["", *(f"order {order}" for order in orders)]
    how = f"{len(found)} runs of the preset quick, commit {record['conditions']['commit']}.\n"
    return "\n".join(["## Weights or order?\n", CROSSED + how, markdown(columns, rows)])


ASSEMBLED = """The first weights of encoder, decoder and head (the last convolution) come from four
seeds each, in every combination, with one order of batches and noise. The table gives the agreement
of the map with the contours, averaged over the encoders.
"""


def parts_section(path: Path) -> str:
    record = read_json(path)
    by_pair: dict[tuple[int, int], list[float]] = {}
    for run in record["runs"]:
        by_pair.setdefault((run["decoder"], run["head"]), []).append(run["semantic"])
    heads = sorted({head for _, head in by_pair})
    rows = [
        [f"decoder {decoder}"] + [f"{fmean(by_pair[decoder, head]):.2f}" for head in heads]
        for decoder in sorted({decoder for decoder, _ in by_pair})
    ]
    columns = ["", *(f"head {head}" for head in heads)]
    runs, commit = len(record["runs"]), record["conditions"]["commit"]
    how = f"{runs} runs of the preset quick, commit {commit}.\n"
    return "\n".join(["## Which weights?\n", ASSEMBLED + how, markdown(columns, rows)])


def weights_section(path: Path) -> str:
    record = read_json(path)
    rows = [
        [
            t["kind"],
            f"{t['beta']:g}",
            "–" if t["penalty_weight"] is None else str(t["penalty_weight"]),
        ]
        + [f"{t['fid'][source]:.2f}" for source in ("REC", "prior", "mixture")]
        for t in record["tried"]
    ]
    columns = ["model", "beta", "lambda", "REC", "prior", "mixture"]
    text = (
        f"{record['what']}, seed {record['seed']}, commit {record['conditions']['commit']}. The "
        "table mnist-5k takes the values with the lowest mixture score; the test digits were not "
        "touched. Each of the chosen values lies at an edge of what was tried: these baselines "
        "may still become better.\n"
    )
    return "\n".join(["## How the baselines' weights were chosen\n", text, markdown(columns, rows)])


def page() -> str:
    records = recorded(ROOT / "results")
    sections = [HEAD]
    if {"same-beta", "photographs"} <= records.keys():
        sections += [CLAIMS, markdown(list(COLUMNS), [list(row) for row in verdicts(records)])]
        sections.append(splits_section(records))
    sections += [table_section(name, record) for name, record in records.items()]
    sections.append("## Published figures\n\n" + PUBLISHED_ONES)
    sections.append(markdown(*beside_published(records)))
    if CROSSING.exists():
        sections.append(crossed_section(CROSSING))
    if PARTS.exists():
        sections.append(parts_section(PARTS))
    if WEIGHTS.exists():
        sections.append(weights_section(WEIGHTS))
    return "\n".join(sections)


if __name__ == "__main__":
    write_or_check(PAGE, page(), __doc__)
