"""The claim about halves, on records made by hand."""

from __future__ import annotations

import pytest

import svae_lib as sv
from svae_lib.experiments.claim import claim_tests, kinds_of, summarise_claim


def cell(label: str, x: float, x1: float, x2: float, components: int = 2, seed: int = 0) -> dict:
    values = {"x": x, "x1": x1, "x2": x2, "mix": x1 + x2}
    rows = [
        {"source": source, "part": part, "fid": {"value": value + shift}, "kid": {"value": -value}}
        for source, shift in (("prior", 5.0), ("mixture", 0.0))
        for part, value in values.items()
    ]
    split = {
        "syntactic": 0.1,
        "semantic": 0.6,
        "activity": 0.2,
        "label": label,
        "sigma_share": 0.1,
    }
    latent = {"active": 5}
    shared = {"split": split, "components": components, "latent": latent}
    return {**shared, "seed": seed, "rows": rows}


def test_each_run_is_compared_with_itself_and_counted_by_its_kind() -> None:
    record = {
        "cells": [
            cell("semantic", 10, 8, 9, seed=0),
            cell("semantic", 20, 19, 22, seed=1),
            cell("semantic", 30, 27, 28, seed=2),
            cell("syntactic", 10, 40, 40),
            cell("semantic", 10, 0, 0, components=3),  # not a split in two
            {"split": None, "components": 2, "seed": 0, "rows": []},  # a plain VAE
        ]
    }
    tests = {(t.label, t.source, t.half): t for t in claim_tests(record)}
    assert len(tests) == 2 * 2 * 5
    x1, x2 = tests["semantic", "mixture", "x1"], tests["semantic", "mixture", "x2"]
    assert (x1.runs, x1.below, x2.below) == (3, 3, 2)
    assert x1.difference.mean == pytest.approx((-2 - 1 - 3) / 3)
    assert x2.difference.mean == pytest.approx((-1 + 2 - 2) / 3)
    assert tests["semantic", "mixture", "better"].difference.mean == x1.difference.mean
    mean = tests["semantic", "prior", "mean"]  # a shift of all scores changes nothing
    assert mean.difference.mean == pytest.approx((x1.difference.mean + x2.difference.mean) / 2)
    mix = tests["semantic", "mixture", "mix"]  # a set of its own
    assert mix.difference.mean == pytest.approx((7 + 21 + 25) / 3)
    assert x1.p_value == pytest.approx(1 / 8)  # three heads in three throws
    assert x2.p_value == pytest.approx(4 / 8)  # at least two
    alone = tests["syntactic", "mixture", "x1"]
    assert (alone.runs, alone.below) == (1, 0)
    columns, lines = summarise_claim(list(tests.values()))
    assert all(len(line) == len(columns) for line in lines)
    assert {line[-1] for line in lines} == {"–"}  # three seeds can reject nothing
    five = claim_tests({"cells": _semantic(1, 1, 1, 1, 1)})
    assert {line[-1] for line in summarise_claim(five)[1] if line[2] == "x1"} == {"0.031"}
    assert [kind.label for kind in kinds_of(record)].count("semantic") == 4


def _semantic(*gaps: float) -> list[dict]:
    """Runs of different seeds whose x1 is so much better than x."""
    return [cell("semantic", 10, 10 - gap, 10, seed=i) for i, gap in enumerate(gaps)]


def test_runs_of_one_seed_are_one_observation() -> None:
    """Three runs of seed 0 and two of seed 1: two observations, however many runs agree."""
    gaps = {0: (1.0, 2.0, 3.0), 1: (-5.0, 1.0)}  # seed 1: above in the mean, below in one run
    runs = [cell("semantic", 10, 10 - g, 10, seed=s) for s, of_one in gaps.items() for g in of_one]
    found = next(t for t in claim_tests({"cells": runs}) if t.half == "x1")
    assert (found.runs, found.seeds, found.below) == (5, 2, 1)
    assert (found.difference.n, found.difference.mean) == (2, pytest.approx((-2.0 + 2.0) / 2))
    assert found.p_value == pytest.approx(3 / 4)  # at least one head in two throws


def test_the_claim_is_tested_on_kid_too() -> None:
    record = {"cells": _semantic(-1, -1, -1, -1, 1)}  # x1: four above in FID; KID is minus that
    by_metric = {
        metric: next(t for t in claim_tests(record, metric) if t.half == "x1")
        for metric in ("fid", "kid")
    }
    assert (by_metric["fid"].below, by_metric["kid"].below) == (1, 4)
    assert by_metric["kid"].difference.mean == pytest.approx(-by_metric["fid"].difference.mean)
    columns, _ = summarise_claim(claim_tests(record, "kid"), "kid")
    assert "KID minus KID of x" in columns
    with pytest.raises(sv.InputError, match='metric must be "fid" or "kid", not \'recall\''):
        claim_tests(record, "recall")


def test_a_table_without_splits_is_refused() -> None:
    with pytest.raises(sv.InputError, match="no Split VAE"):
        claim_tests({"cells": [{"split": None, "components": 2, "rows": []}]})


def test_runs_that_died_count_in_no_test() -> None:
    cells = _semantic(1, 1, 1)
    assert claim_tests({"cells": cells})[0].runs == 3
    cells[0]["latent"]["active"] = 0
    assert claim_tests({"cells": cells})[0].runs == 2
