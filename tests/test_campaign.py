"""Campaigns: killed, stopped by the clock, shared by processes; what is left is read from files."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from functools import partialmethod
from pathlib import Path
from typing import Any

import pytest
from tqdm import tqdm

import svae_lib as sv
from svae_lib.cli import main
from svae_lib.experiments import campaign as campaigns
from svae_lib.experiments.definitions import CAMPAIGNS
from svae_lib.experiments.scoring import Scoring
from svae_lib.experiments.tables import TABLES, Table, Variant, read_table
from svae_lib.support.files import claimed

ROOT = Path(__file__).resolve().parents[1]
MODEL = sv.ModelConfig(latent_dim=3, base_dim=2, embedding_dim=4)


def table(steps: int = 4) -> Table:
    train = sv.TrainConfig(steps=steps, batch_size=20, log_every=1)
    scoring = Scoring("lenet", mixture_components=2, n=40)
    preset = sv.Preset("mnist-5k", MODEL, train, "a test")
    return Table(preset, (Variant("vae"), Variant("split-vae")), (0,), scoring)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder of its own, a table "tiny" and a campaign "both" of it twice."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(TABLES, "tiny", table())
    monkeypatch.setitem(CAMPAIGNS, "both", (("tiny", (0,)), ("tiny", None)))
    return tmp_path


def cells(folder: Path) -> list[str]:
    return [cell["variant"] for cell in read_table(folder / "results/tiny.json")["cells"]]


@pytest.fixture(scope="module")
def server() -> Any:
    """Starts processes that have imported the library already (it takes seconds)."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["svae_lib.cli", "pytest"])
    return context


def slow_campaign(folder: Path, steps: int) -> None:
    """A campaign of two processes, with time between its steps."""
    tqdm.set_lock(threading.RLock())  # a killed process never gives its usual lock back
    step, fork = sv.Trainer.train_step, multiprocessing.get_context("fork")

    def slow(trainer: sv.Trainer) -> object:
        time.sleep(0.1)
        return step(trainer)

    sv.Trainer.train_step = slow
    campaigns.multiprocessing.get_context = lambda kind: fork
    sv.runs.Run.train = partialmethod(sv.runs.Run.train, checkpoint_every=5)
    TABLES["tiny"] = table(steps)
    os.chdir(folder)
    sys.exit(main(["campaign", "tiny", "--processes", "2", "--device", "cpu"]))


def wait_for(path: Path, pattern: str) -> None:
    for _ in range(1200):
        if any(path.glob(pattern)):
            return
        time.sleep(0.1)
    pytest.fail(f"{pattern} did not come")


def test_a_campaign_works_off_its_tables_and_says_what_is_left(here: Path, capsys) -> None:
    assert main(["campaign", "both", "--status"]) == 0
    said = capsys.readouterr().out
    assert said.count("to do") == 2 and "unknown" in said and "2 of 2 models are left" in said
    assert not (here / "runs").exists()  # to say so changes nothing
    assert main(["campaign", "tiny", "--device", "cpu"]) == 0
    assert cells(here) == ["vae", "split-vae"]
    assert "all models are done" in capsys.readouterr().out
    cell = read_table(here / "results/tiny.json")["cells"][0]
    assert cell["train_seconds"] > 0 and cell["precision"] in ("float32", "bf16")
    assert {"device", "commit"} <= cell["how"].keys()
    before = (here / "results/tiny.json").stat().st_mtime_ns
    assert main(["campaign", "both"]) == 0
    assert (here / "results/tiny.json").stat().st_mtime_ns == before


def test_time_up_ends_a_training_at_a_step_with_a_checkpoint(
    here: Path, monkeypatch, capsys
) -> None:
    ticks = iter([0.0, 0.0, 0.0])  # begin, then a look or two, and the hour is over
    monkeypatch.setattr(campaigns.time, "time", lambda: next(ticks, 3601.0))
    assert main(["campaign", "tiny", "--hours", "1", "--device", "cpu"]) == 0
    said = capsys.readouterr().out
    assert "2 of 2 models are left" in said
    run = sv.runs.Run.open(here / "runs/tables/tiny-4/vae-0")
    (checkpoint,) = run.checkpoints()
    step = int(checkpoint.stem.split("-")[1])
    assert 0 < step < 4
    plans = campaigns.plans(["tiny"], Path("results"), Path("runs/tables"))
    states = [row[3:] for row in campaigns.status(plans)[1]]
    assert states == [["begun", f"{step} of 4", "0.0"], ["to do", "0 of 4", "unknown"]]
    monkeypatch.undo()
    os.chdir(here)
    monkeypatch.setitem(TABLES, "tiny", table())
    assert main(["campaign", "tiny", "--device", "cpu"]) == 0
    assert cells(here) == ["vae", "split-vae"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_a_killed_campaign_of_two_processes_is_taken_up(
    server: Any, tmp_path: Path, monkeypatch, capsys
) -> None:
    process = server.Process(target=slow_campaign, args=(tmp_path, 120))
    process.start()
    try:
        for kind in ("vae", "split-vae"):  # at the same time
            wait_for(tmp_path, f"runs/tables/tiny-120/{kind}-0/checkpoint-*.safetensors")
    finally:
        children = subprocess.run(
            ["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=True
        )
        for child in (*map(int, children.stdout.split()), process.pid):
            os.kill(child, signal.SIGKILL)
        process.join()
    assert not (tmp_path / "results").exists()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(TABLES, "tiny", table(120))
    (plan,) = campaigns.plans(["tiny"], Path("results"), Path("runs/tables"))
    for _ in range(100):  # until the system has taken the locks from the processes
        _, rows = campaigns.status([plan])
        if "running" not in {row[3] for row in rows}:
            break
        time.sleep(0.1)
    assert {row[3] for row in rows} == {"begun"}
    assert all(int(row[4].split()[0]) >= 5 and row[5] != "unknown" for row in rows)
    runs = tmp_path / "runs"
    before = {path: path.stat().st_mtime_ns for path in runs.rglob("run.json")}
    monkeypatch.setattr(campaigns.multiprocessing, "get_context", lambda kind: server)
    assert main(["campaign", "tiny", "--processes", "2", "--device", "cpu"]) == 0
    assert "all models are done" in capsys.readouterr().out
    assert sorted(cells(tmp_path)) == ["split-vae", "vae"]
    assert before == {path: path.stat().st_mtime_ns for path in runs.rglob("run.json")}


def test_a_process_that_has_a_model_is_seen_and_left_alone(here: Path, capsys) -> None:
    lock = here / "runs/tables/tiny-4/vae-0.lock"
    lock.parent.mkdir(parents=True)
    with claimed(lock) as mine:
        assert mine
        assert main(["campaign", "tiny", "--status"]) == 0
        assert "running" in capsys.readouterr().out
        assert main(["campaign", "tiny", "--device", "cpu"]) == 0
        assert cells(here) == ["split-vae"]
    assert main(["campaign", "tiny", "--device", "cpu"]) == 0
    assert cells(here) == ["split-vae", "vae"]


def test_one_model_that_cannot_be_made_does_not_stop_the_others(here: Path, capsys) -> None:
    folder = here / "runs/tables/tiny-4/vae-0"
    sv.runs.Run.create(folder, "vae", "mnist-5k", MODEL, sv.TrainConfig(steps=9))
    before = (folder / "run.json").read_bytes()
    assert main(["campaign", "tiny", "--device", "cpu"]) == 2
    said = capsys.readouterr()
    assert "other settings" in said.err and said.err.count("\n") >= 1
    assert cells(here) == ["split-vae"] and (folder / "run.json").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["no-such"], "unknown table 'no-such'"),
        (["tiny", "--hours", "0"], "hours must be positive"),
        (["tiny", "--hours", "nan"], "hours must be positive"),
        (["tiny", "--processes", "0"], "processes must be at least 1"),
    ],
)
def test_bad_input_is_one_sentence(here: Path, arguments, message: str, capsys) -> None:
    assert main(["campaign", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not any(here.iterdir())


def test_a_table_of_others_is_refused(here: Path, capsys) -> None:
    shutil.copytree(ROOT / "results", here / "results")
    record = json.loads((here / "results/splits.json").read_text())
    (here / "results/tiny.json").write_text(json.dumps(record | {"table": "tiny"}))
    assert main(["campaign", "tiny"]) == 2
    error = capsys.readouterr().err
    assert "made with another" in error and error.count("\n") == 1


def test_a_damaged_checkpoint_costs_the_status_one_number_alone(here: Path) -> None:
    (plan,) = campaigns.plans(["tiny"], Path("results"), Path("runs/tables"))
    run = next(iter(plan.cells.values()))
    run.begun()
    (run.folder / "checkpoint-2.safetensors").write_bytes(b"damaged")
    rows = campaigns.status([plan])[1]
    assert rows[0][3:] == ["begun", "2 of 4", "unknown"] and rows[1][3] == "to do"
