"""The main job, on a training too short to learn anything: every part of the page is there."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
import signal
from pathlib import Path

import pytest

from svae_lib import PRESETS, InputError, Trainer
from svae_lib.cli import main
from svae_lib.experiments.demo import demo
from svae_lib.experiments.runs import Run
from svae_lib.support.files import claimed


def begin(out: Path) -> Path:
    """A demo that was killed before its first model had a checkpoint."""
    preset = PRESETS["quick"]
    config = dataclasses.replace(preset.train, steps=2, seed=3)
    Run.create(out / "vae", "vae", "mnist-5k", preset.model, config)
    return out


@pytest.fixture
def begun(tmp_path: Path) -> Path:
    return begin(tmp_path)


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """The same demo, taken up; a page was there, but no record of it."""
    out = begin(tmp_path_factory.mktemp("demo"))
    (out / "report.html").write_text("of a demo that was killed before it wrote its record")
    demo(out, steps=2, seed=3, n=80, notebooks=False)
    return out


def test_the_page_holds_table_pictures_and_how_it_was_made(finished: Path) -> None:
    page = (finished / "report.html").read_text()
    for text in ("FID (LeNet)", "Split VAE", "mixture", "Variance law", "not comparable"):
        assert text in page
    assert page.rindex("Variance law") < page.rindex("from one face to another")
    images = re.findall(r"<img [^>]*>", page)
    assert len(images) >= 7
    assert all(re.search(r'alt="[^"]{20,}"', image) for image in images)
    assert not re.search(r'(src|href)="https?:', page)  # complete in itself


def test_the_record_has_scores_and_seconds(finished: Path) -> None:
    record = json.loads((finished / "demo.json").read_text())
    assert set(record["results"]) == {"vae", "split-vae"}
    assert all(seconds >= 0 for seconds in record["seconds"].values())
    assert {"train the VAE", "train the Split VAE"} <= record["seconds"].keys()
    parts = [(row["source"], row["part"]) for row in record["results"]["split-vae"]["rows"]]
    assert ("mixture", "mix") in parts


def test_a_second_call_shows_the_first_ones_result(finished: Path, capsys) -> None:
    before = (finished / "report.html").stat().st_mtime_ns
    demo(finished, steps=2, seed=3, notebooks=False)
    said = capsys.readouterr().out
    assert "finished already" in said and "FID (LeNet)" in said and "report.html" in said
    assert (finished / "report.html").stat().st_mtime_ns == before


def test_both_models_keep_the_settings_that_the_demo_was_begun_with(finished: Path) -> None:
    record = json.loads((finished / "demo.json").read_text())
    for kind in ("vae", "split-vae"):
        config = Run.open(finished / kind).train_config
        assert (config.steps, config.seed) == (2, 3)
        assert record["results"][kind]["how"]["seed"] == 3


@pytest.mark.parametrize("option", ["--steps=4", "--seed=4"])
def test_a_begun_demo_refuses_other_settings(begun: Path, capsys, option: str) -> None:
    options = ["--no-notebooks", "--steps=2", "--seed=3", option]
    assert main(["demo", "--out", str(begun), *options]) == 2
    error = capsys.readouterr().err
    assert f"{begun / 'vae'} was begun with other settings" in error
    assert [path.name for path in begun.iterdir()] == ["vae"]  # nothing was done


def test_ctrl_c_ends_the_demo_and_not_only_a_models_training(
    begun: Path, capsys, monkeypatch
) -> None:
    step = Trainer.train_step

    def interrupted(trainer: Trainer) -> object:
        signal.raise_signal(signal.SIGINT)
        return step(trainer)

    monkeypatch.setattr(Trainer, "train_step", interrupted)
    assert main(["demo", "--out", str(begun), "--no-notebooks", "--steps=2", "--seed=3"]) == 130
    assert capsys.readouterr().err.endswith("svae: stopped.\n")
    assert (begun / "vae" / "checkpoint-1.safetensors").exists()  # what was learnt is kept
    assert [path.name for path in (begun / "split-vae").iterdir()] == ["run.json"]


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"n": 1}, {"seed": -1}])
def test_bad_arguments_throw_no_earlier_demo_away(begun: Path, wrong: dict[str, int]) -> None:
    with pytest.raises(InputError):
        demo(begun, overwrite=True, **wrong)
    assert (begun / "vae" / "run.json").exists()


def test_a_folder_that_holds_no_demo_loses_nothing(tmp_path: Path, monkeypatch) -> None:
    """As the checkout itself, whose notebooks are a learner's work."""
    monkeypatch.setattr(Run, "train", lambda run, images: pytest.skip("far enough"))
    for name in ("notebooks", "executed", "vae"):
        (tmp_path / name).mkdir()
    (tmp_path / "notebooks" / "01_vanilla_vae.ipynb").write_text("mine")
    (tmp_path / "executed" / "mine.txt").write_text("mine")
    with contextlib.suppress(pytest.skip.Exception):
        demo(tmp_path, overwrite=True, steps=2)
    assert (tmp_path / "notebooks" / "01_vanilla_vae.ipynb").exists()
    assert (tmp_path / "executed" / "mine.txt").exists()
    with contextlib.suppress(pytest.skip.Exception):  # now there is one
        demo(tmp_path, overwrite=True, steps=3)
    assert not (tmp_path / "executed").exists() and (tmp_path / "notebooks").exists()
    assert Run.open(tmp_path / "vae").train_config.steps == 3


def test_a_notebook_that_fails_costs_nothing_but_itself(tmp_path, monkeypatch, capsys) -> None:
    nbclient = pytest.importorskip("nbclient")

    def fails(client: object) -> None:
        raise nbclient.exceptions.CellExecutionError(
            "traceback\nValueError: no", "ValueError", "no"
        )

    monkeypatch.setattr(nbclient.NotebookClient, "execute", fails)
    out = begin(tmp_path)
    demo(out, steps=2, seed=3, n=80)
    assert (out / "report.html").exists() and (out / "demo.json").exists()
    assert "01_vanilla_vae.ipynb FAILED: ValueError: no\n" in capsys.readouterr().out


def test_a_report_of_somebody_else_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text("mine")
    with pytest.raises(FileExistsError, match=r"report\.html exists"):
        demo(tmp_path, steps=2, notebooks=False)
    assert (tmp_path / "report.html").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


@pytest.mark.parametrize("kind", ["vae", "split-vae"])
def test_a_demo_that_is_training_keeps_its_folder(begun: Path, kind: str) -> None:
    with claimed(begun / kind / ".lock") as free:
        assert free
        with pytest.raises(FileExistsError, match="being trained"):
            demo(begun, steps=2, notebooks=False, overwrite=True)
        assert (begun / "vae" / "run.json").exists()
