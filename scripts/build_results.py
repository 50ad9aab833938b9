"""Write docs/results.md from the recorded runs in results/.

    python scripts/build_results.py [--check]

No number on that page is typed by hand. --check writes nothing and fails where the page differs.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from svae_lib.files import read_json, write_text
from svae_lib.splits import claim_tests, summarise_claim
from svae_lib.tables import PUBLISHED, TABLES, read_table, summarise

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "results.md"
HEAD = """# Results

Made from the files in [results/](../results/README.md) by `python scripts/build_results.py`; every
number comes from a recorded run. Mean over seeds ± half-width of the 95 % interval (Student's t).
A run in which every latent variable is inactive has died: it is counted, but left out of the means.
FID: lower is better. *real*: as many training images against the same reference. *mix*: half of the
samples answer with their x1, the other half with their x2.
"""


def markdown(columns: list[str], rows: list[list[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def conditions(record: dict[str, Any]) -> str:
    """One paragraph: how the cells of a table were measured."""
    settings, how = record["settings"], record["cells"][0]["how"]
    train = settings["train"]

    def all_of(values: list[Any]) -> str:
        return ", ".join(sorted({str(value) for value in values}))

    cells = record["cells"]
    return (
        f"Data {settings['data']}; {train['steps']:,} steps of {train['batch_size']} images; "
        f"{cells[0]['rows'][0]['fid']['metric']} of {how['n']:,} against {how['n']:,} images; "
        f"protocol {settings['protocol']}: {how['protocol_in_words']}; mixture of "
        f"{settings['mixture_components']} Gaussians. Seeds {all_of([c['seed'] for c in cells])}; "
        f"device {all_of([c['how']['device'] for c in cells])}; commit "
        f"{all_of([c['how']['commit'] for c in cells])}; torch "
        f"{all_of([c['how']['torch'] for c in cells])}.\n"
    )


def with_published(name: str, columns: list[str], rows: list[list[str]]) -> tuple[list, list, str]:
    """The same with a column of the authors' figures, and the protocols they come with."""
    known = [p for p in PUBLISHED if p.table == name]
    for figure in known:
        columns = [*columns, f"published, {figure.source} (another protocol)"]
        mine = ["split-vae", figure.part]
        rows = [[*row, str(figure.value) if row[:2] == mine else "–"] for row in rows]
    return columns, rows, "".join(f"\nPublished: {p.where}; {p.protocol}.\n" for p in known)


def table_section(name: str) -> str:
    record = read_table(ROOT / "results" / f"{name}.json")
    columns, rows, notes = with_published(name, *summarise(record))
    parts = [f"## {name}\n", conditions(record), markdown(columns, rows) + notes]
    if name == "splits":
        parts += ["### Are the halves better than the mixture?\n", CLAIM]
        parts.append(markdown(*summarise_claim(claim_tests(record))))
    return "\n".join(parts)


CLAIM = """The paper's claim is about semantic splits. *better* is the lower of the two scores,
which is lower by chance alone; *mean* is the mean of both and the fair test. The last column is the
one-sided sign test: the chance of so many runs below, were below and above equally likely.
"""


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
        "touched.\n"
    )
    return "\n".join(["## How the baselines' weights were chosen\n", text, markdown(columns, rows)])


def page() -> str:
    found = [name for name in TABLES if (ROOT / "results" / f"{name}.json").exists()]
    sections = [HEAD, *map(table_section, found)]
    weights = ROOT / "results" / "baseline_weights.json"
    if weights.exists():
        sections.append(weights_section(weights))
    return "\n".join(sections)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    text = page()
    if not parser.parse_args().check:
        write_text(PAGE, text, overwrite=True)
    elif not PAGE.exists() or PAGE.read_text(encoding="utf-8") != text:
        sys.exit("docs/results.md differs from results/: python scripts/build_results.py")


if __name__ == "__main__":
    main()
