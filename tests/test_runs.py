"""Run folders: made once, resumed, never overwritten, two writers kept apart."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from pathlib import Path

import pytest
import torch
from filelock import FileLock

import svae_lib as sv
from svae_lib.runs import KEPT_CHECKPOINTS, Run


@pytest.fixture
def run(tiny, fast, tmp_path: Path) -> Run:
    return Run.create(tmp_path / "run", "split-vae", "blobs", tiny, fast)


def same_weights(a: torch.nn.Module, b: torch.nn.Module) -> bool:
    return all(torch.equal(v, b.state_dict()[k]) for k, v in a.state_dict().items())


def test_a_run_is_trained_saved_and_read_back(run: Run, blobs) -> None:
    trainer = run.train(blobs, device="cpu", progress=False)
    again = Run.open(run.folder)
    assert again == run
    assert same_weights(again.load_model(), trainer.model)
    assert again.history() == trainer.history


def test_an_interrupted_run_goes_on_as_if_nothing_had_happened(
    tiny, fast, run: Run, blobs, tmp_path
) -> None:
    def interrupt(trainer: sv.Trainer) -> None:
        if trainer.step == 10:
            os.kill(os.getpid(), 2)

    run.train(blobs, device="cpu", progress=False, on_log=[interrupt])
    assert Run.open(run.folder).history()["step"] == [5, 10]
    run.load_model()  # what was learnt so far is there
    finished = Run.open(run.folder).train(blobs, device="cpu", progress=False)
    straight = Run.create(tmp_path / "straight", "split-vae", "blobs", tiny, fast)
    other = straight.train(blobs, device="cpu", progress=False)
    assert finished.step == fast.steps
    assert same_weights(finished.model, other.model)
    assert finished.history == other.history


def test_only_the_newest_checkpoints_are_kept(run: Run, blobs) -> None:
    run.train(blobs, device="cpu", progress=False, checkpoint_every=1)
    steps = [int(p.stem.split("-")[1]) for p in run.checkpoints()]
    assert steps == [15, 20, 24] and len(steps) == KEPT_CHECKPOINTS


def test_a_damaged_newest_checkpoint_is_passed_over(run: Run, blobs, capsys) -> None:
    run.train(blobs, device="cpu", progress=False, checkpoint_every=1)
    newest = run.checkpoints()[-1]
    newest.write_bytes(newest.read_bytes()[:500])
    trainer = run.trainer(blobs, "cpu")
    assert trainer.step == 20
    said = capsys.readouterr().out
    assert newest.name in said and "Going back to the checkpoint before it" in said


def test_an_existing_folder_is_left_alone(tiny, fast, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(FileExistsError, match="not empty"):
        Run.create(tmp_path, "vae", "blobs", tiny, fast)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]
    with pytest.raises(FileExistsError):
        Run.create(tmp_path / "thesis.tex", "vae", "blobs", tiny, fast)
    assert (tmp_path / "thesis.tex").read_text() == "precious"


def test_a_second_writer_is_refused(run: Run, blobs) -> None:
    with (
        FileLock(run.folder / ".lock"),
        pytest.raises(sv.InputError, match="another process is training"),
    ):
        run.train(blobs, device="cpu", progress=False)
    run.train(blobs, device="cpu", progress=False)


def test_leftovers_of_a_killed_process_are_swept(run: Run, blobs) -> None:
    leftover = run.folder / ".checkpoint-5.abc.partial.safetensors"
    leftover.write_bytes(b"half")
    run.train(blobs, device="cpu", progress=False)
    assert not leftover.exists()


def test_the_folder_of_another_model_is_refused(run: Run, tiny, fast, blobs) -> None:
    run.train(blobs, device="cpu", progress=False)
    settings = json.loads((run.folder / "run.json").read_text())
    settings["model"]["latent_dim"] = 5
    (run.folder / "run.json").write_text(json.dumps(settings))
    other = Run.open(run.folder)
    with pytest.raises(sv.InputError, match="another model"):
        other.load_model()
    with pytest.raises(sv.InputError, match=r"latent_dim \(3 there, 5 here\)"):
        other.train(blobs, device="cpu", progress=False)


def test_what_is_no_run_is_refused(tmp_path: Path, run: Run) -> None:
    with pytest.raises(sv.InputError, match=r"not a run: it has no run\.json"):
        Run.open(tmp_path)
    with pytest.raises(sv.InputError, match="holds no trained model yet"):
        run.load_model()
    (run.folder / "run.json").write_text('{"format": 7}')
    with pytest.raises(sv.InputError, match="has format 7"):
        Run.open(run.folder)
    (run.folder / "run.json").write_text('{"format": 1, "kind": "vae"}')
    with pytest.raises(sv.InputError, match="does not describe a run"):
        Run.open(run.folder)


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_reported(tiny, fast, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(PermissionError):
        Run.create(tmp_path / "run", "vae", "blobs", tiny, fast)
    tmp_path.chmod(0o700)


def test_a_folder_below_a_file_is_reported(tiny, fast, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        Run.create(tmp_path / "file" / "run", "vae", "blobs", tiny, fast)


def test_more_steps_can_be_asked_for_later(run: Run, blobs) -> None:
    run.train(blobs, device="cpu", progress=False)
    longer = dataclasses.replace(run, train_config=dataclasses.replace(run.train_config, steps=30))
    assert longer.train(blobs, device="cpu", progress=False).step == 30
