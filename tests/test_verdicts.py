"""The table with which notebook 8 opens and closes."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from svae_lib.diagnostics import kinds
from svae_lib.experiments.claim import in_two
from svae_lib.experiments.definitions import TABLES
from svae_lib.experiments.summaries import scores_by_seed
from svae_lib.experiments.tables import died, recorded
from svae_lib.experiments.verdicts import (
    COLUMNS,
    LARGER,
    claim_of,
    pooled,
    verdict_table,
    verdicts,
)
from svae_lib.support.checks import InputError
from svae_lib.support.files import embedded

Record = dict[str, Any]
HALF_WIDTH = "mnist-half-width"


@pytest.fixture(scope="module")
def small() -> dict[str, Record]:
    """The tables that were recorded before any at the paper's scale."""
    return {n: r for n, r in recorded(embedded("results")).items() if n not in LARGER}


@pytest.fixture
def with_half_width(small: dict[str, Record]) -> dict[str, Record]:
    """The tables, and one named mnist-half-width, made of the smallest one's runs."""
    made = copy.deepcopy(small["mnist-5k"])
    made["cells"] = [c for c in made["cells"] if c["variant"] in ("vae", "split-vae")]
    return {**small, HALF_WIDTH: made}


def lines_of(records: dict[str, Record], word: str) -> list[tuple[str, ...]]:
    return [row for row in verdicts(records) if any(word in text for text in row)]


def test_each_claim_stands_beside_the_scale_of_both_sides(small: dict[str, Record]) -> None:
    rows = verdicts(small)
    assert all(len(row) == len(COLUMNS) for row in rows)
    assert [row[0][0] for row in rows if row[0]] == ["1", "2", "3"]
    assert "12.8, 13.1, 29.0 million" in rows[0][1] and "32, 200, 150 latent" in rows[0][1]
    assert "0.3 million" in rows[0][2] and "40,000 images" in rows[0][2] and "β 1, 4" in rows[0][2]


def test_semantic_seeds_of_all_tables_are_counted_once(small: dict[str, Record]) -> None:
    together = pooled(small)
    runs = [(cell["seed"], cell["beta"]) for cell in together["cells"]]
    assert len(set(runs)) == len(runs) and not any(map(died, together["cells"]))
    every = claim_of(together, "mean")
    assert (every.seeds, every.below) == (20, 0)
    below = {beta: claim_of(pooled(small, beta), "better") for beta in (1.0, 4.0, 16.0)}
    assert {b: (t.seeds, t.below) for b, t in below.items()} == {
        1.0: (19, 0), 4.0: (8, 0), 16.0: (5, 4),
    }  # fmt: skip
    assert "above x with 20 of 20 seeds (exploratory; p 2e-06)" in " ".join(
        map(" ".join, verdicts(small))
    )


def test_reconstructions_survive_all_planned_questions(small: dict[str, Record]) -> None:
    (row,) = lines_of(small, "reconstructions: FID")
    assert row[-1].startswith("a gain") and "for all 5 planned questions" in row[-2]


@pytest.mark.parametrize("name", LARGER)
def test_a_larger_table_enters_every_claim_once_it_is_there(
    small: dict[str, Record], with_half_width: dict[str, Record], name: str
) -> None:
    record = with_half_width[HALF_WIDTH]
    record["settings"]["features"] = TABLES[name].scoring.features
    records = {**small, name: record}
    before, after = verdicts(small), verdicts(records)
    assert name in TABLES and len(after) == len(before) + 3
    samples = next(row for row in after if "a value per seed" in row[-2])
    assert samples[3] == "4" and "too few for a test" in samples[-1]


def test_more_active_variables_in_few_seeds_are_no_proof(
    with_half_width: dict[str, Record],
) -> None:
    record = with_half_width[HALF_WIDTH]
    for cell in record["cells"]:
        cell["latent"]["active"] = 15 if cell["variant"] == "split-vae" else 14
    (row,) = lines_of(with_half_width, "more with 5 of 5")
    assert row[-1].endswith("too few for a test")


@pytest.mark.parametrize("model", ["vae", "split-vae"])
def test_half_a_larger_table_is_no_result(
    small: dict[str, Record], with_half_width: dict[str, Record], model: str
) -> None:
    record = with_half_width[HALF_WIDTH]
    record["cells"] = [cell for cell in record["cells"] if cell["variant"] == model]
    assert verdicts(with_half_width) == verdicts(small)


def test_no_semantic_split_is_said(with_half_width: dict[str, Record]) -> None:
    for cell in with_half_width[HALF_WIDTH]["cells"]:
        if cell["split"]:
            cell["split"]["label"] = "syntactic"
    rows = lines_of(with_half_width, "no semantic split")
    assert len(rows) == 2  # the small photographs', and these
    assert all(row[3] == "0" and row[-1] == "cannot be tested" for row in rows)


def test_fewer_active_variables_are_called_fewer(with_half_width: dict[str, Record]) -> None:
    for cell in with_half_width[HALF_WIDTH]["cells"]:
        cell["latent"]["active"] = 14 if cell["variant"] == "split-vae" else 15
    (row,) = lines_of(with_half_width, "fewer with 5 of 5")
    assert row[-1].endswith("too few for a test")


def test_results_may_be_folded(small: dict[str, Record]) -> None:
    rows = len(verdicts(small))
    assert verdict_table(small, folded=True).count("<details>") == 2 * rows
    page = verdict_table(small)
    assert "<details>" not in page and page.count('scope="col"') == len(COLUMNS)


def test_without_a_semantic_split_there_is_nothing_to_test() -> None:
    with pytest.raises(InputError, match="semantic"):
        claim_of({"cells": []}, "mean")


def test_what_the_pages_say_of_the_papers_own_network_holds() -> None:
    """Its split, called syntactic, lies just beyond both bounds; both halves score above x."""
    record = recorded(embedded("results"))["mnist-full-width"]
    (cell,) = in_two(record)
    split = cell["split"]
    assert split["label"] == "syntactic" and split["sigma_share"] < 0.05
    assert kinds.ALTERNATING_FROM <= split["difference_share"] < kinds.ALTERNATING_FROM + 0.03
    assert kinds.SEMANTIC_FROM - 0.03 < split["semantic"] < kinds.SEMANTIC_FROM
    x, x1, x2 = (scores_by_seed(record, "split-vae", "mixture", p)[0] for p in ("x", "x1", "x2"))
    assert x < min(x1, x2)


def test_no_map_of_the_larger_splits_of_digits_alternates() -> None:
    tables = recorded(embedded("results"))
    splits = [c["split"] for n in LARGER if LARGER[n] == "MNIST" for c in in_two(tables[n])]
    assert len(splits) == 4 and max(split["sigma_share"] for split in splits) < 0.05
    assert all(split["label"] in ("mixed", "syntactic") for split in splits)
    assert all(split["difference_share"] >= kinds.ALTERNATING_FROM for split in splits)
