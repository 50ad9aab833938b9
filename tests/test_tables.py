"""Tables: resumed cell by cell, summarised over seeds, strangers refused."""

from __future__ import annotations

import copy
import dataclasses
import json
import math
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from filelock import FileLock

import svae_lib as sv
from svae_lib.experiments import summaries, tables
from svae_lib.experiments.checkpoints import weights_hash
from svae_lib.experiments.evaluation import Evaluation, evaluate
from svae_lib.experiments.records import write_table
from svae_lib.experiments.scoring import Scoring
from svae_lib.experiments.tables import (
    Estimate,
    Table,
    Variant,
    paired_difference,
    read_table,
    recorded,
    reproduce,
    summarise,
)
from svae_lib.support.files import embedded

MODEL = sv.ModelConfig(latent_dim=3, base_dim=2, embedding_dim=4)
SCORING = Scoring("lenet", n=60, mixture_components=3, second_stage_steps=5, likelihood_draws=2)


@pytest.fixture(scope="module")
def evaluations() -> dict[str, Evaluation]:
    """What models of the table "tiny" score, by the name of their class."""
    sets = sv.data.load("mnist-5k")
    models = (sv.build_model(kind, MODEL).eval() for kind in ("vae", "split-vae"))
    return {type(m).__name__: evaluate(m, sets, SCORING, progress=False) for m in models}


@pytest.fixture
def tiny_table(monkeypatch, evaluations) -> None:
    """A table of two models and two seeds; each class of models is scored once for all tests."""

    def scored_before(model, sets, how, **options) -> Evaluation:
        found = evaluations[type(model).__name__]
        made = found.made | {"model_sha256": weights_hash(model)}
        return dataclasses.replace(found, scoring=how.of(sets), made=made)

    train = sv.TrainConfig(steps=2, batch_size=20)
    monkeypatch.setitem(sv.PRESETS, "tiny", sv.Preset("mnist-5k", MODEL, train, "a test"))
    variants = (Variant("vae"), Variant("split-vae", beta=2.0))
    monkeypatch.setitem(tables.TABLES, "tiny", Table("tiny", variants, (0, 1), SCORING))
    monkeypatch.setattr(tables, "evaluate", scored_before)


def test_a_table_is_resumed_and_summarised(tiny_table, tmp_path: Path, monkeypatch) -> None:
    where = {"results": tmp_path, "runs": tmp_path / "runs", "progress": False, "device": "cpu"}
    evaluate, scored = tables.evaluate, []

    def small(model, sets, how, **options):
        scored.append(type(model).__name__)
        if len(scored) == 2:
            raise KeyboardInterrupt
        return evaluate(model, sets, how, **options)

    monkeypatch.setattr(tables, "evaluate", small)
    with pytest.raises(KeyboardInterrupt):
        reproduce("tiny", **where)
    assert len(read_table(tmp_path / "tiny.json")["cells"]) == 1
    path = reproduce("tiny", **where)
    assert scored == ["VAE", "SplitVAE", "SplitVAE", "VAE", "SplitVAE"]
    assert reproduce("tiny", **where) == path and len(scored) == 5
    record = read_table(path)
    assert [(c["kind"], c["seed"]) for c in record["cells"]] == [
        (k, s) for s in (0, 1) for k in ("vae", "split-vae")
    ]
    monkeypatch.setattr(summaries, "died", lambda cell: False)  # after two steps nothing lives
    columns, lines = summarise(record)
    assert columns == ["model", "part", "seeds", "real", "REC", "prior", "mixture", "two-stage"]
    assert [line[:3] for line in lines] == [
        ["vae", "x", "2"],
        *(["split-vae, beta 2", part, "2"] for part in ("x", "x1", "x2", "mix")),
    ]
    half = lines[2]  # training images have no x1
    assert half[3] == "–" and "±" in half[4]
    assert {(c["variant"], c["beta"]) for c in record["cells"]} == {
        ("vae", 1.0),
        ("split-vae, beta 2", 2.0),
    }
    for cell in record["cells"]:  # the models differ by seed, and are scored by the table's rules
        how = cell["how"]
        assert (how["seed"], how["n"], how["mixture_components"]) == (cell["seed"], 60, 3)
    assert len({c["how"]["model_sha256"] for c in record["cells"]}) == 4
    assert {c["likelihood"]["draws"] for c in record["cells"]} == {2}
    with pytest.raises(sv.InputError, match="another train"):
        reproduce("tiny", steps=3, **where)


def test_a_table_takes_a_preset_of_ones_own(tiny_table, tmp_path: Path, monkeypatch) -> None:
    where = {"runs": tmp_path / "runs", "progress": False, "device": "cpu", "seeds": [0]}
    named = read_table(reproduce("tiny", results=tmp_path, **where))
    table = tables.TABLES["tiny"]
    mine = dataclasses.replace(table, preset=sv.PRESETS["tiny"], variants=table.variants[:1])
    monkeypatch.setitem(tables.TABLES, "mine", mine)
    record = read_table(reproduce("mine", results=tmp_path, **where))
    assert record["settings"] == named["settings"]
    assert record["cells"][0]["how"] == named["cells"][0]["how"]  # the weights' hash is in it
    monkeypatch.setitem(tables.TABLES, "typo", dataclasses.replace(table, preset="tinny"))
    with pytest.raises(sv.InputError, match="unknown preset 'tinny'; the known ones are mnist"):
        reproduce("typo", results=tmp_path, **where)


def test_several_processes_share_a_table(tiny_table, tmp_path: Path, monkeypatch) -> None:
    """A cell that somebody else holds is left to them; the next one is taken."""
    where = {"results": tmp_path, "runs": tmp_path / "runs", "progress": False, "device": "cpu"}
    evaluate, scored = tables.evaluate, []

    def small(model, sets, how, **options):
        if not scored:  # while this cell is being scored, another process comes
            scored.append("first")
            reproduce("tiny", **where)
        scored.append(type(model).__name__)
        return evaluate(model, sets, how, **options)

    monkeypatch.setattr(tables, "evaluate", small)
    path = reproduce("tiny", **where)
    assert scored == ["first", "SplitVAE", "VAE", "SplitVAE", "VAE"]
    assert len(read_table(path)["cells"]) == 4


def test_a_cell_that_comes_while_ours_waits_to_be_written_is_kept(
    tiny_table, tmp_path: Path, monkeypatch
) -> None:
    where = {"results": tmp_path, "runs": tmp_path / "runs", "progress": False, "device": "cpu"}
    path = reproduce("tiny", seeds=[0], **where)
    evaluate, others, held = tables.evaluate, [], threading.Event()

    def write_slowly() -> None:
        with FileLock(tmp_path / ".tiny.json.lock"):
            held.set()
            record = read_table(path)
            record["cells"].append({**record["cells"][0], "seed": 7})
            time.sleep(0.3)  # ours is waiting by now
            write_table(path, record)

    def small(*args, **options):
        result = evaluate(*args, **options)
        if not others:
            others.append(threading.Thread(target=write_slowly))
            others[0].start()
            held.wait()
        return result

    monkeypatch.setattr(tables, "evaluate", small)
    reproduce("tiny", seeds=[1], **where)
    others[0].join()
    assert [c["seed"] for c in read_table(path)["cells"]] == [0, 0, 7, 1, 1]


def test_half_a_training_is_not_scored(tiny_table, tmp_path: Path, monkeypatch) -> None:
    def stopped(self, images, **options):
        trainer = self.trainer(images, "cpu")
        trainer.fit(1, progress=False)
        return trainer

    monkeypatch.setattr(tables.Run, "train", stopped)
    with pytest.raises(KeyboardInterrupt):
        reproduce("tiny", results=tmp_path, runs=tmp_path / "runs", progress=False, device="cpu")
    assert not (tmp_path / "tiny.json").exists()


def test_a_run_of_other_settings_is_not_taken_for_the_tables(
    tiny_table, tmp_path: Path, monkeypatch, capsys
) -> None:
    where = {"results": tmp_path, "runs": tmp_path / "runs", "progress": False, "device": "cpu"}
    path = reproduce("tiny", seeds=[0], **where)
    path.unlink()
    preset = sv.PRESETS["tiny"]
    other = dataclasses.replace(preset, model=dataclasses.replace(preset.model, latent_dim=4))
    monkeypatch.setitem(sv.PRESETS, "tiny", other)
    with pytest.raises(sv.InputError, match="some models could not be made"):
        reproduce("tiny", seeds=[0], **where)
    assert capsys.readouterr().err.count("was begun with other settings") == 2
    assert not path.exists()


def test_a_second_stage_shrinks_with_the_training(tmp_path: Path) -> None:
    steps = sv.PRESETS["quick"].train.steps
    for given, expected in ((None, 3000), (steps, 3000), (steps // 8, 375), (1, 4), (9999, 3000)):
        plan = tables.Plan.of("mnist-5k", tmp_path, tmp_path, given)
        assert plan.scoring.second_stage_steps == expected


def test_the_interval_is_students() -> None:
    estimate = Estimate.of([1.0, 2.0, 3.0, 4.0])
    # t(0.975, 3) = 3.182, from a printed table; standard error sqrt(5/3)/2
    assert estimate.mean == 2.5
    assert estimate.half_width == pytest.approx(3.182 * math.sqrt(5 / 3) / 2, rel=1e-3)
    assert math.isinf(Estimate.of([1.0]).half_width)
    with pytest.raises(sv.InputError, match="no values"):
        Estimate.of([])


@pytest.mark.parametrize("make", [np.array, torch.tensor])
def test_estimates_of_arrays_are_those_of_lists(make) -> None:
    assert Estimate.of(make([1.0, 2.0, 4.0])) == Estimate.of([1.0, 2.0, 4.0])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1.0, math.nan], "NaN or infinity"),
        ([math.inf], "NaN or infinity"),
        (["7,5"], "values must be numbers"),
        (torch.zeros(2, 3), "values must be numbers"),
        (torch.tensor(1.0), "values must be numbers"),
        (torch.zeros(0), "no values"),
    ],
)
def test_values_without_a_mean_are_refused(values, message) -> None:
    with pytest.raises(sv.InputError, match=message):
        Estimate.of(values)


def test_nothing_to_do_is_not_taken_for_the_default(tiny_table, tmp_path: Path) -> None:
    with pytest.raises(sv.InputError, match="steps must be at least 1, not 0"):
        reproduce("tiny", results=tmp_path, runs=tmp_path, steps=0)
    with pytest.raises(sv.InputError, match="seeds is empty"):
        reproduce("tiny", results=tmp_path, runs=tmp_path, seeds=())


def test_differences_are_paired_by_seed() -> None:
    def cell(kind: str, seed: int, value: float) -> dict:
        row = {"source": "prior", "part": "x", "fid": {"value": value}}
        latent = {"active": 0 if value == 99 else 3}  # the run with 99 has died
        return {"variant": kind, "seed": seed, "rows": [row], "latent": latent}

    cells = [cell("vae", 0, 10), cell("vae", 1, 20), cell("vae", 2, 99)]
    cells += [cell("split-vae", 1, 17), cell("split-vae", 0, 9), cell("split-vae", 2, 5)]
    estimate = paired_difference(
        {"cells": cells}, ("split-vae", "prior", "x"), ("vae", "prior", "x")
    )
    assert estimate.mean == -2 and estimate.n == 2
    with pytest.raises(sv.InputError, match="no seed has a living run with the rows ae/prior/x"):
        paired_difference({"cells": cells}, ("ae", "prior", "x"), ("vae", "prior", "x"))
    _, lines = summarise({"cells": cells})
    assert [line[:3] for line in lines] == [["vae", "x", "2 of 3"], ["split-vae", "x", "3"]]
    assert lines[0][3].startswith("15.00")


def test_other_metrics_than_fid_are_summarised_and_compared() -> None:
    def cell(kind: str, seed: int, kid: float) -> dict:
        row = {"source": "prior", "part": "x", "fid": {"value": 1.0}, "kid": {"value": kid}}
        return {"variant": kind, "seed": seed, "rows": [row], "latent": {"active": 3}}

    cells = [cell(kind, seed, kid) for seed in (0, 1) for kind, kid in (("a", 0.25), ("b", 0.5))]
    record = {"cells": cells}
    assert summarise(record, "kid")[1][0][3] == "0.250 ± 0.000"
    rows = ("a", "prior", "x"), ("b", "prior", "x")
    assert paired_difference(record, *rows, "kid").mean == -0.25
    assert paired_difference(record, *rows).mean == 0
    with pytest.raises(sv.InputError, match="recorded without recall"):
        summarise(record, "recall")
    with pytest.raises(sv.InputError, match="metric must be one of fid, kid"):
        paired_difference(record, *rows, "mse")


def test_small_numbers_show_two_digits_of_their_error() -> None:
    assert str(Estimate(7.1234, 0.5432, 5)) == "7.12 ± 0.54"
    assert str(Estimate(0.0023, 0.0012, 5)) == "0.0023 ± 0.0012"
    assert str(Estimate(34.07, 90.71, 4)) == "34.07 ± 90.71"
    assert str(Estimate(0.5, math.inf, 1)) == "0.50"


def test_a_model_of_which_every_seed_died_is_counted() -> None:
    def cell(kind: str, seed: int, active: int, parts: tuple[str, ...]) -> dict:
        rows = [
            {"source": source, "part": part, "fid": {"value": 7.0}}
            for source in ("REC", "prior")
            for part in parts
        ]
        return {"variant": kind, "seed": seed, "rows": rows, "latent": {"active": active}}

    dead = [cell("split-vae", seed, 0, ("x", "x1")) for seed in (0, 1)]
    columns, lines = summarise({"cells": [dead[0], cell("vae", 0, 3, ("x",)), dead[1]]})
    assert columns == ["model", "part", "seeds", "REC", "prior"]
    assert lines == [
        ["split-vae", "x", "0 of 2", "–", "–"],
        ["split-vae", "x1", "0 of 2", "–", "–"],
        ["vae", "x", "1", "7.00", "7.00"],
    ]


def bare(name: str, **changes: object) -> dict:
    """The content of a table's file before its first cell, with few of its settings."""
    settings = {
        **{"data": "mnist-5k", "model": {}, "train": {}, "features": "lenet", "protocol": "clean"},
        **{"mixture_components": 2, "second_stage_steps": 0},
    }
    return {"format": 3, "table": name, "settings": settings, "cells": []} | changes


def test_recorded_tables_come_in_the_librarys_order_then_others(tmp_path: Path) -> None:
    for name in ("another", "splits", "mnist-5k"):
        (tmp_path / f"{name}.json").write_text(json.dumps(bare(name)))
    (tmp_path / "no-table.json").write_text("{}")
    assert list(recorded(tmp_path)) == ["mnist-5k", "splits", "another"]
    (tmp_path / "old.json").write_text(json.dumps({"format": 1, "cells": []}))
    with pytest.raises(sv.InputError, match=r"old\.json has format 1"):
        recorded(tmp_path)


def test_strangers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(sv.InputError, match="unknown table"):
        reproduce("imagenet")
    with pytest.raises(sv.InputError, match="does not exist"):
        read_table(tmp_path / "b.json")
    path = tmp_path / "k-way.json"
    path.write_text(json.dumps(bare("splits")))
    with pytest.raises(sv.InputError, match=r"k-way\.json was made with another table"):
        reproduce("k-way", results=tmp_path)
    path.write_text(json.dumps(bare("k-way")))
    with pytest.raises(sv.InputError, match="another mixture_components, model, train"):
        reproduce("k-way", results=tmp_path)


@pytest.fixture(scope="module")
def record() -> dict:
    """Two cells of a recorded table."""
    found = read_table(embedded("results/likelihood.json"))
    return found | {"cells": found["cells"][:2]}


@pytest.fixture(scope="module")
def content(record: dict, tmp_path_factory: pytest.TempPathFactory) -> dict:
    """The same as its file has it."""
    path = tmp_path_factory.mktemp("files") / "likelihood.json"
    write_table(path, record)
    return json.loads(path.read_text())


def test_a_table_comes_back_though_its_file_tells_nothing_twice(
    record: dict, content: dict, tmp_path: Path
) -> None:
    (tmp_path / "a.json").write_text(json.dumps(content))
    found = read_table(tmp_path / "a.json")
    assert found["cells"] == record["cells"] and found["settings"] == record["settings"]
    assert isinstance(found["cells"][1]["rows"][0]["fid"]["value"], float)
    assert len(content["how"]) == 1 < len(record["cells"])


def test_a_row_of_scores_is_a_line_of_the_file() -> None:
    for path in embedded("results").glob("*.json"):
        raw = json.loads(path.read_text())
        if "cells" in raw:
            rows = sum(len(cell["rows"]) for cell in raw["cells"])
            assert len(path.read_text().splitlines()) < 1.2 * rows + 50, path.name


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_numbers_that_are_not_finite_are_stored_and_read_back(
    record: dict, tmp_path: Path, value: float
) -> None:
    record = copy.deepcopy(record)
    cell = record["cells"][0]
    cell["test_kl"] = cell["latent"]["law_highest"] = cell["likelihood"]["elbo"] = value
    cell["rows"][0]["fid"]["value"] = value
    path = tmp_path / "a.json"
    write_table(path, record)
    assert "NaN," not in path.read_text().replace('"NaN"', "")
    found = read_table(path)["cells"][0]
    numbers = [found["test_kl"], found["latent"]["law_highest"], found["likelihood"]["elbo"]]
    assert [str(x) for x in (*numbers, found["rows"][0]["fid"]["value"])] == 4 * [str(value)]


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("format",), 2),
        (("format",), 4),
        (("table",), None),
        (("settings",), None),
        (("cells",), None),
        (("cells",), [7]),
        (("how",), []),
        (("cells", 1, "rows"), None),
        (("cells", 0, "how"), [0]),
        (("cells", 0, "rows", 0, 2, "fid"), [99, 1.0, None]),
    ],
)
def test_a_table_that_lacks_a_part_is_refused(
    content: dict, tmp_path: Path, place: tuple, value: object
) -> None:
    content = copy.deepcopy(content)
    *way, last = place
    where = content
    for key in way:
        where = where[key]
    if value is None:
        del where[last]
    else:
        where[last] = value
    (tmp_path / "bad.json").write_text(json.dumps(content))
    with pytest.raises(sv.InputError, match=r"bad\.json"):
        read_table(tmp_path / "bad.json")


@pytest.mark.parametrize("text", ["", "[]", "7", '{"format": NaN}', "[" * 100_000, "\xff"])
def test_what_is_no_table_at_all_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "bad.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(sv.InputError, match=r"bad\.json"):
        read_table(tmp_path / "bad.json")


def test_a_field_that_came_later_counts_with_its_default(tiny_table, tmp_path: Path) -> None:
    where = {"results": tmp_path, "runs": tmp_path / "runs", "progress": False, "device": "cpu"}
    path = reproduce("tiny", seeds=[0], **where)
    record = json.loads(path.read_text())
    del record["settings"]["train"]["warmup_steps"], record["settings"]["model"]["components"]
    path.write_text(json.dumps(record))
    assert reproduce("tiny", seeds=[0], **where) == path  # nothing to do, and no refusal


def test_scoring_rules_belong_to_a_table(tiny_table, tmp_path: Path, monkeypatch) -> None:
    where = {"results": tmp_path, "runs": tmp_path / "runs", "progress": False, "device": "cpu"}
    tiny = tables.TABLES["tiny"]

    def changed(**how) -> Table:
        rules = {"reference": "train"} | how
        return dataclasses.replace(tiny, scoring=dataclasses.replace(tiny.scoring, **rules))

    table = changed()
    monkeypatch.setitem(tables.TABLES, "tiny", table)
    path = reproduce("tiny", seeds=[0], **where)
    record = read_table(path)
    assert record["settings"]["reference"] == "train"
    assert {c["how"]["reference"] for c in record["cells"]} == {"train"}
    before = path.read_bytes()
    for other in ({"reference": "test"}, {"n": None}, {"n": 50}, {"likelihood_draws": 0}):
        monkeypatch.setitem(tables.TABLES, "tiny", changed(**other))
        with pytest.raises(sv.InputError, match=f"made with another {next(iter(other))}"):
            reproduce("tiny", seeds=[0], **where)
    assert path.read_bytes() == before


def test_bounds_are_summarised_and_compared_by_seed() -> None:
    def cell(kind: str, seed: int, nats: float | None) -> dict:
        bound = {"elbo": nats, "importance_weighted": nats, "bits_per_dim": 0.5}
        latent = {"active": 0 if nats == 0 else 3}  # the run with 0 has died
        told = {"variant": kind, "seed": seed, "rows": [], "latent": latent}
        return told if nats is None else told | {"likelihood": bound}

    cells = [cell("vae", 0, 10.0), cell("vae", 1, 20.0), cell("vae", 2, 0.0), cell("ae", 0, None)]
    cells += [cell("split-vae", 1, 23.0), cell("split-vae", 0, 11.0), cell("split-vae", 2, 9.0)]
    record = {"cells": cells}
    columns, lines = tables.summarise_likelihood(record)
    assert columns[2] == "ELBO (nats)" and len(columns) == len(lines[0])
    assert [line[:2] for line in lines] == [["vae", "2"], ["split-vae", "3"]]
    assert lines[0][2].startswith("15.00") and lines[1][2].startswith("14.33")
    gain = tables.likelihood_difference(record, "split-vae", "vae")
    assert gain.mean == 2 and gain.n == 2
    with pytest.raises(sv.InputError, match="no seed has a living run with bounds for ae and vae"):
        tables.likelihood_difference(record, "ae", "vae")
