"""The session for a GPU: its stages on the CPU, and what becomes of those that fail or hang."""

from __future__ import annotations

import importlib
import json
import math
import sys
from argparse import Namespace
from pathlib import Path
from unittest.mock import MagicMock

import pytest
import torch

import svae_lib as sv

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))

import gpu_checks
import gpu_scores
import gpu_session
import gpu_speed
from gpu_session import Context, run_stage, supervise


@pytest.fixture
def context(tmp_path: Path) -> Context:
    for name in ("out", "work"):
        (tmp_path / name).mkdir()
    return Context(torch.device("cpu"), tmp_path / "out", tmp_path / "work", tiny=True)


def test_a_stage_runs_in_its_own_process_and_is_not_repeated(tmp_path: Path, monkeypatch) -> None:
    arguments = ["--tiny", "--device", "cpu", "--out", str(tmp_path), "--stages", "speed-celeba"]
    assert gpu_session.main(arguments) == 0
    record = json.loads((tmp_path / "speed-celeba.json").read_text())
    assert record["status"] == "done" and record["conditions"]["device"] == "cpu"
    found = record["result"]
    speed, plain = (found[k]["images_per_second"] for k in ("library", "plain_loop"))
    assert found["times_faster"] == pytest.approx(speed / plain, rel=0.02, abs=0.006)
    monkeypatch.setattr(gpu_session, "supervise", None)  # would fail if it were called
    assert gpu_session.main(arguments) == 0
    assert gpu_session.main([*arguments, "fid", "--minutes", "0"]) == 1  # no time for it


def test_the_cpu_agrees_with_itself(context: Context, monkeypatch) -> None:
    monkeypatch.setattr(gpu_checks, "MODEL_KINDS", ("split-vae", "rae-gp"))
    found = gpu_checks.models(context)
    assert gpu_checks.all_passed(found) and len(found["rows"]) == 6
    for row in found["rows"]:
        exact = row["precision"] == "float32"
        assert (row["gradients"]["difference"] == 0) == exact  # the others do round
    found = gpu_checks.resumed(context)
    assert gpu_checks.all_passed(found) and len(found["rows"]) == 6


def test_both_sides_find_the_same_fid(context: Context) -> None:
    found = gpu_scores.fid_speed(context)
    # The same images, weights and formula; pytorch-fid's PNG files are 8 bit as ours.
    assert found["value"]["difference"] < 1e-3 and found["fid"] > 0


def test_a_variant_that_fails_is_noted_and_the_next_goes_on(context: Context, monkeypatch) -> None:
    def fails() -> None:
        raise RuntimeError("no compiler")

    monkeypatch.setattr(gpu_speed, "VARIANTS", {"broken": fails, "eager": lambda: False})
    monkeypatch.setattr(context, "pick", lambda full, tiny: full if full is fails else tiny)
    broken, eager = gpu_speed.compilers(context)["rows"]
    assert "no compiler" in broken["failed"]
    assert eager["images_per_second"] > 0 and eager["loss_beside"]["passed"]


def test_an_interrupted_training_is_no_measurement(tiny, fast, blobs, monkeypatch) -> None:
    trainer = sv.Trainer(sv.build_model("split-vae", tiny), blobs, fast, "cpu")
    monkeypatch.setattr(trainer, "fit", lambda *_, **__: None)  # as one that was told to stop
    with pytest.raises(KeyboardInterrupt):
        gpu_speed.library_loop(trainer, 5)


def test_a_table_keeps_the_models_of_its_own_runs(context: Context, tiny, monkeypatch) -> None:
    for run in ("reconstructions-2/vae-40", "reconstructions-wide-2/split-vae-40"):
        path = context.work / "runs" / run / "model.safetensors"
        sv.save_model(path, sv.build_model("vae", tiny))
    monkeypatch.setattr(gpu_scores, "tables", MagicMock(**{"summarise.return_value": ([], [])}))
    gpu_scores.table(context, "faces")
    assert [p.stem for p in (context.out / "models").iterdir()] == ["reconstructions-vae-40"]


def test_the_copy_of_the_course_does_not_hold_itself(context: Context, monkeypatch) -> None:
    for name in ("benchmarks/results", "notebooks"):
        (context.out.parent / name).mkdir(parents=True)
    monkeypatch.setattr(gpu_scores, "ROOT", context.out.parent)
    gpu_scores.notebooks(context)
    assert {p.name for p in (context.work / "course").iterdir()} == {"benchmarks", "notebooks"}


def test_every_stage_is_described_and_every_table_known(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "pytorch_fid", None)  # the stage "fid" alone needs it
    importlib.reload(gpu_scores)
    for name in gpu_session.STAGES:
        assert name in gpu_session.__doc__ or f"{name.split('-')[0]}-*" in gpu_session.__doc__
    assert set(gpu_scores.TABLES) <= set(gpu_scores.tables.TABLES)


# ---------------------------------------------------------------------- how a stage may end


def test_a_failure_keeps_what_was_noted(context: Context) -> None:
    def run(context: Context) -> dict:
        context.note({"loss": math.nan})
        raise ZeroDivisionError("by nought")

    run_stage("a", run, context)
    record = json.loads((context.out / "a.json").read_text())
    assert record["status"] == "failed" and "by nought" in record["why"]
    assert record["result"] == {"loss": "NaN"} and record["traceback"]


def test_a_process_that_dies_or_hangs_leaves_a_record(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "a.json"
    path.write_text('{"status": "failed", "why": "an earlier start"}')
    python = [sys.executable, "-c"]
    died = supervise("a", [*python, "import os; os._exit(3)"], tmp_path, 60)
    assert died["status"] == "failed" and "exit status 3" in died["why"]
    notes = """import pathlib; pathlib.Path("a.json").write_text('{"result": {"n": 1}}'); """
    hung = supervise("a", [*python, notes + "import time; time.sleep(60)"], tmp_path, 5)
    assert hung["status"] == "cut off" and hung["result"] == {"n": 1}
    assert hung == json.loads(path.read_text())


def test_one_failure_does_not_stop_the_next(tmp_path: Path, monkeypatch) -> None:
    asked = []

    def supervised(name: str, *_: object) -> dict:
        asked.append(name)
        return {"status": "failed", "why": "lost"} if name == "fid" else {"status": "done"}

    monkeypatch.setattr(gpu_session, "supervise", supervised)
    options = Namespace(out=tmp_path, minutes=1, tiny=True)
    assert not gpu_session.run_all(["fid", "compile"], options, []) and asked == ["fid", "compile"]
    assert gpu_session.run_all(["compile"], options, [])


def test_judgements() -> None:
    good, bad = (gpu_checks.judged(difference, 0.2) for difference in (0.1, math.nan))
    assert gpu_checks.all_passed({"a": [good, {"b": good}], "n": 3})
    assert not gpu_checks.all_passed({"a": [good, {"b": bad}]})
