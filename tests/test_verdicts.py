"""The table with which notebook 8 opens and closes."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from svae_lib.experiments.tables import died, recorded
from svae_lib.experiments.verdicts import (
    COLUMNS,
    HALF_WIDTH,
    claim_of,
    pooled,
    verdict_table,
    verdicts,
)
from svae_lib.support.checks import InputError
from svae_lib.support.files import embedded

Record = dict[str, Any]


@pytest.fixture(scope="module")
def small() -> dict[str, Record]:
    """The tables that were recorded before any at the paper's scale."""
    return {n: r for n, r in recorded(embedded("results")).items() if n != HALF_WIDTH}


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


def test_a_larger_table_enters_once_it_is_there(
    small: dict[str, Record], with_half_width: dict[str, Record]
) -> None:
    assert len(lines_of(small, "not yet run")) == 3
    assert not lines_of(with_half_width, "not yet run")
    samples = next(row for row in verdicts(with_half_width) if "a value per seed" in row[-2])
    assert samples[3] == "4" and "too few for a test" in samples[-1]
    assert len(verdicts(with_half_width)) == len(verdicts(small))


@pytest.mark.parametrize("model", ["vae", "split-vae"])
def test_half_a_larger_table_is_no_result(with_half_width: dict[str, Record], model: str) -> None:
    record = with_half_width[HALF_WIDTH]
    record["cells"] = [cell for cell in record["cells"] if cell["variant"] == model]
    assert len(lines_of(with_half_width, "not yet run")) == 3


def test_no_semantic_split_is_said(with_half_width: dict[str, Record]) -> None:
    for cell in with_half_width[HALF_WIDTH]["cells"]:
        if cell["split"]:
            cell["split"]["label"] = "syntactic"
    (row,) = lines_of(with_half_width, "no semantic split")
    assert row[3] == "0" and row[-1] == "cannot be tested"


def test_results_may_be_folded(small: dict[str, Record]) -> None:
    rows = len(verdicts(small))
    assert verdict_table(small, folded=True).count("<details>") == 2 * rows
    page = verdict_table(small)
    assert "<details>" not in page and page.count('scope="col"') == len(COLUMNS)


def test_without_a_semantic_split_there_is_nothing_to_test() -> None:
    with pytest.raises(InputError, match="semantic"):
        claim_of({"cells": []}, "mean")
