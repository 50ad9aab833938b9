"""Run folders: made once, resumed, never overwritten, two writers kept apart."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from filelock import FileLock
from test_checkpoints import rewrite

import svae_lib as sv
from svae_lib.experiments import run_training
from svae_lib.experiments.monitoring import Validation
from svae_lib.experiments.run_training import KEPT_CHECKPOINTS
from svae_lib.experiments.runs import Run
from svae_lib.support import provenance, tensor_files


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


def test_a_lengthened_run_is_the_one_that_was_longer_from_its_start(
    tiny, fast, run: Run, blobs, tmp_path
) -> None:
    run.train(blobs, device="cpu", progress=False)
    longer = run.lengthened(fast.steps + 6)
    assert Run.open(run.folder) == longer  # the folder tells how long it was trained
    trainer = longer.train(blobs, device="cpu", progress=False)
    straight = Run.create(tmp_path / "straight", "split-vae", "blobs", tiny, longer.train_config)
    assert trainer.step == fast.steps + 6
    assert same_weights(trainer.model, straight.train(blobs, device="cpu", progress=False).model)
    with pytest.raises(sv.InputError, match="has 30 steps already"):
        longer.lengthened(30)


def test_settings_may_be_numbers_of_numpy(tmp_path: Path) -> None:
    model = sv.ModelConfig(latent_dim=np.int64(4))
    train = sv.TrainConfig(steps=np.int32(5), learning_rate=np.float32(0.5), seed=np.int64(3))
    run = Run.create(tmp_path / "run", "vae", "blobs", model, train)
    assert Run.open(run.folder) == run
    assert type(model.latent_dim) is int and type(train.learning_rate) is float


def test_only_the_newest_checkpoints_are_kept(run: Run, blobs) -> None:
    run.train(blobs, device="cpu", progress=False, checkpoint_every=5)
    steps = [int(p.stem.split("-")[1]) for p in run.checkpoints()]
    assert steps == [15, 20, 24] and len(steps) == KEPT_CHECKPOINTS
    seconds = [tensor_files.read_header(path)["seconds"] for path in run.checkpoints()]
    assert 0 < seconds[0] < seconds[1] < seconds[2]  # of training so far, if it is killed now


def test_checkpoints_are_as_far_apart_as_asked_for(run: Run, blobs) -> None:
    run.train(blobs, device="cpu", progress=False, checkpoint_every=10)
    assert [int(p.stem.split("-")[1]) for p in run.checkpoints()] == [10, 20, 24]


def test_a_damaged_newest_checkpoint_is_passed_over(run: Run, blobs, capsys) -> None:
    run.train(blobs, device="cpu", progress=False, checkpoint_every=5)
    newest = run.checkpoints()[-1]
    newest.write_bytes(newest.read_bytes()[:500])
    trainer = run.trainer(blobs, "cpu")
    assert trainer.step == 20
    said = capsys.readouterr().out
    assert newest.name in said and "Going back to the checkpoint before it" in said


# ---------------------------------------------------------------------- the best checkpoint


@pytest.fixture
def rated(tiny, fast, tmp_path: Path, monkeypatch) -> Run:
    """A run whose validation loss is made up: lowest at step 10, never a number at step 5."""

    def validate(model, images, beta):
        assert len(images) == 14 and beta == fast.beta
        step = next(steps)
        return Validation(math.nan if step == 5 else abs(step - 11), 0.5, 1.0)

    steps = iter([5, 10, 15, 20, 24, 24])
    monkeypatch.setattr(run_training, "validate", validate)
    return Run.create(tmp_path / "rated", "split-vae", "blobs", tiny, fast, held_out=14)


def test_the_best_checkpoint_is_kept_beside_the_newest(rated: Run, blobs) -> None:
    rated.train(blobs, device="cpu", progress=False, checkpoint_every=5)
    assert [int(p.stem.split("-")[1]) for p in rated.checkpoints()] == [10, 15, 20, 24]
    assert rated.best_checkpoint() == rated.folder / "checkpoint-10.safetensors"
    found = {entry["step"]: entry["loss"] for entry in Run.open(rated.folder).validation()}
    assert found == {10: 1, 15: 4, 20: 9, 24: 13}
    best, last = rated.load_model(best=True), rated.load_model()
    assert not same_weights(best, last) and not best.training
    straight = sv.build_model("split-vae", rated.model_config, rated.train_config.seed)
    trainer = sv.Trainer(straight, rated.split(blobs)[0], rated.train_config, "cpu")
    trainer.fit(10, progress=False)
    assert same_weights(best, trainer.model)


def test_held_out_images_are_the_same_ones_every_time_and_not_trained_on(rated, blobs) -> None:
    train, validation = rated.split(blobs)
    again = Run.open(rated.folder).split(blobs)
    assert torch.equal(train, again[0]) and torch.equal(validation, again[1])
    assert (len(train), len(validation)) == (50, 14)
    both = torch.cat((train, validation)).flatten(1).tolist()
    assert sorted(both) == sorted(blobs.flatten(1).tolist())
    assert torch.equal(rated.trainer(blobs, "cpu").images, train)


def test_runs_of_other_seeds_hold_out_other_images(tiny, fast, blobs, tmp_path: Path) -> None:
    one, other = (
        Run.create(
            tmp_path / str(seed),
            "vae",
            "blobs",
            tiny,
            dataclasses.replace(fast, seed=seed),
            held_out=14,
        )
        for seed in (1, 2)
    )
    assert not torch.equal(one.split(blobs)[1], other.split(blobs)[1])


def test_a_resumed_run_has_the_same_validation_losses(tiny, fast, blobs, tmp_path: Path) -> None:
    def stop(trainer: sv.Trainer) -> None:
        if trainer.step == 15:
            raise ArithmeticError

    options = {"device": "cpu", "progress": False, "checkpoint_every": 5}
    whole, stopped = (
        Run.create(tmp_path / name, "vae", "blobs", tiny, fast, held_out=20) for name in "ab"
    )
    whole.train(blobs, **options)
    with pytest.raises(ArithmeticError):
        stopped.train(blobs, on_log=[stop], **options)
    stopped.checkpoints()[-1].unlink()  # as if it had been killed before this save
    stopped.train(blobs, **options)
    assert [e["step"] for e in stopped.validation()] == [5, 10, 15, 20, 24]
    assert stopped.validation() == whole.validation()


def test_no_best_without_held_out_images(run: Run, blobs) -> None:
    run.train(blobs, device="cpu", progress=False)
    assert run.best_checkpoint() is None and not run.validation()
    with pytest.raises(sv.InputError, match=r"no best checkpoint.*--held-out"):
        run.load_model(best=True)


def test_impossible_numbers_of_held_out_images(tiny, fast, blobs, tmp_path: Path) -> None:
    with pytest.raises(sv.InputError, match="held_out must"):
        Run.create(tmp_path / "a", "vae", "blobs", tiny, fast, held_out=-1)
    with pytest.raises(sv.InputError, match="unknown kind of model 'vea'"):
        Run.create(tmp_path / "a", "vea", "blobs", tiny, fast)
    assert not (tmp_path / "a").exists()
    all_of_them = Run.create(tmp_path / "b", "vae", "blobs", tiny, fast, held_out=64)
    with pytest.raises(sv.InputError, match="64 images cannot be held out of 64"):
        all_of_them.train(blobs, device="cpu", progress=False)


def test_a_run_is_checked_before_anything_is_written(tiny, fast, blobs, tmp_path: Path) -> None:
    one = dataclasses.replace(fast, batch_size=1)
    Run(tmp_path / "a", "small-vae", "blobs", tiny, one).check(blobs)  # it has no BatchNorm
    Run(tmp_path / "a", "vae", "blobs", tiny, fast, held_out=48).check(blobs)
    two = dataclasses.replace(fast, batch_size=2)
    Run(tmp_path / "a", "vae", "blobs", tiny, two).check(blobs, processes=2)  # one batch for both
    with pytest.raises(sv.InputError, match="share statistics"):
        alone = dataclasses.replace(two, sync_norm=False)
        Run(tmp_path / "a", "vae", "blobs", tiny, alone).check(blobs, processes=2)
    for train, held_out, message in [
        (one, 0, "at least two images at a time"),
        (fast, 49, "15 images do not fill one batch of 16"),
        (fast, 64, "64 images cannot be held out of 64"),
    ]:
        with pytest.raises(sv.InputError, match=message):
            Run(tmp_path / "a", "vae", "blobs", tiny, train, held_out).check(blobs)
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------------- a disk that fills


def test_training_survives_a_disk_that_is_full_for_a_while(
    tiny, fast, run: Run, blobs, tmp_path: Path, monkeypatch
) -> None:
    save_file, calls = tensor_files.save_file, []

    def full_at_times(tensors, path, metadata):
        save_file(tensors, path, metadata)
        calls.append(path)
        if len(calls) in (2, 3):
            path.write_bytes(path.read_bytes()[:1000])
            raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(tensor_files, "save_file", full_at_times)
    seen = []
    with pytest.warns(UserWarning, match=r"No space left.*checkpoint-10.*training goes on"):
        trainer = run.train(
            blobs,
            device="cpu",
            progress=False,
            checkpoint_every=5,
            on_log=[lambda t: seen.append((t.step, [p.name for p in run.checkpoints()]))],
        )
    first = ["checkpoint-5.safetensors"]
    assert seen[:3] == [(5, first), (10, first), (15, first)]  # the old one survives
    assert seen[3] == (20, [*first, "checkpoint-20.safetensors"])
    assert not list(run.folder.rglob("*.partial*"))
    straight = Run.create(tmp_path / "straight", "split-vae", "blobs", tiny, fast)
    assert same_weights(straight.train(blobs, device="cpu", progress=False).model, trainer.model)


@pytest.mark.skipif(sys.platform == "win32", reason="needs limits on the size of files")
def test_files_that_may_not_grow_are_reported(run: Run, blobs, tiny, fast, capsys) -> None:
    import resource

    run.train(blobs, device="cpu", progress=False)
    before = {path: path.read_bytes() for path in run.folder.iterdir() if path.is_file()}
    longer = dataclasses.replace(run, train_config=dataclasses.replace(fast, steps=30))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(OSError, match=r"checkpoint-30.*|File too large"):
            longer.train(blobs, device="cpu", progress=False)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert {path: path.read_bytes() for path in run.folder.iterdir() if path.is_file()} == before
    assert longer.train(blobs, device="cpu", progress=False).step == 30


# ---------------------------------------------------------------------- strangers


@pytest.mark.parametrize(
    ("preset", "difference"), [("quick", "base_dim"), ("mnist", "learning_rate")]
)
def test_another_presets_checkpoint_is_refused(
    run: Run, blobs, preset: str, difference: str
) -> None:
    run.train(blobs, device="cpu", progress=False)
    other = dataclasses.replace(
        run,
        model_config=dataclasses.replace(sv.PRESETS[preset].model, image_size=16, num_scales=2),
        train_config=dataclasses.replace(sv.PRESETS[preset].train, batch_size=16),
    )
    before = sorted(run.folder.iterdir())
    with pytest.raises(sv.InputError, match=f"belongs to another run.*{difference}"):
        other.train(blobs, device="cpu", progress=False)
    assert sorted(run.folder.iterdir()) == before


def test_another_data_set_is_refused(run: Run, blobs) -> None:
    run.train(blobs, device="cpu", progress=False)
    with pytest.raises(sv.InputError, match=r"images.* \(64 there, 60 here\)"):
        run.train(blobs[:60], device="cpu", progress=False)
    changed = blobs.clone()
    changed[7, 0, 3, 3] ^= 1
    with pytest.raises(sv.InputError, match="images"):  # as many, but others
        run.train(changed, device="cpu", progress=False)


def test_another_versions_checkpoint_is_refused(run: Run, blobs, monkeypatch) -> None:
    monkeypatch.setattr(tensor_files, "FORMAT", 99)
    run.train(blobs, device="cpu", progress=False)
    monkeypatch.undo()
    with pytest.raises(sv.InputError, match="has format 99, this library reads 1"):
        Run.open(run.folder).train(blobs, device="cpu", progress=False)


def test_when_every_checkpoint_is_damaged_training_starts_again_and_says_so(
    run: Run, blobs, capsys
) -> None:
    run.train(blobs, device="cpu", progress=False, checkpoint_every=5)
    for path in run.checkpoints():
        path.write_bytes(path.read_bytes()[:500])
    assert run.trainer(blobs, "cpu").step == 0
    assert "or to the beginning" in capsys.readouterr().out


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


@pytest.mark.skipif(sys.platform == "win32", reason="starts its processes in another way")
def test_of_two_processes_the_second_is_refused(run: Run, blobs) -> None:
    """A real second process, while the first is in the middle of its training."""
    code = (
        "import sys, torch; from svae_lib.experiments.runs import Run; "
        "Run.open(sys.argv[1]).train(torch.zeros(64, 1, 16, 16, dtype=torch.uint8), device='cpu')"
    )
    refused = []

    def start_another(trainer: sv.Trainer) -> None:
        if trainer.step == 10:
            command = [sys.executable, "-c", code, str(run.folder)]
            refused.append(subprocess.run(command, capture_output=True, text=True))

    before = set(run.folder.iterdir())
    trained = run.train(blobs, device="cpu", progress=False, on_log=[start_another])
    assert refused[0].returncode != 0
    assert "another process is training in" in refused[0].stderr
    assert trained.step == 24
    new = {path.name for path in set(run.folder.iterdir()) - before}
    assert new == {".lock", "checkpoint-24.safetensors", "model.safetensors", "history.json"}


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
    with pytest.raises(sv.InputError, match=r"latent_dim \(3 there, 5 here\)"):
        Run.open(run.folder).train(blobs, device="cpu", progress=False)


def test_what_is_no_run_is_refused(tmp_path: Path, run: Run) -> None:
    with pytest.raises(sv.InputError, match=r"not a run: it has no run\.json"):
        Run.open(tmp_path)
    with pytest.raises(sv.InputError, match="holds no trained model yet"):
        run.load_model()
    settings = json.loads((run.folder / "run.json").read_text()) | {"format": 7}
    (run.folder / "run.json").write_text(json.dumps(settings))
    with pytest.raises(sv.InputError, match="does not fit this version: format"):
        Run.open(run.folder)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("kind",), 3),
        (("data",), None),
        (("format",), True),
        (("model",), []),
        (("model", "latent_dim"), 3.0),
        (("model", "latent_dim"), True),
        (("model", "surplus"), 1),
        (("train", "steps"), -24),
        (("train", "steps"), "24"),
        (("train", "schedule"), "linear"),
        (("train", "learning_rate"), math.inf),
        (("surplus",), 1),
    ],
)
def test_settings_that_do_not_fit_are_refused_by_name(run: Run, place, value) -> None:
    path = run.folder / "run.json"
    settings = json.loads(path.read_text())
    part = settings
    for name in place[:-1]:
        part = part[name]
    part[place[-1]] = value
    path.write_text(json.dumps(settings))
    with pytest.raises(sv.InputError) as refused:
        Run.open(run.folder)
    said = str(refused.value)
    assert str(run.folder) in said and "\n" not in said
    assert place[-1] in said


@pytest.mark.parametrize("missing", ["kind", "data", "model", "train"])
def test_settings_that_are_missing_are_refused_by_name(run: Run, missing: str) -> None:
    settings = json.loads((run.folder / "run.json").read_text())
    del settings[missing]
    (run.folder / "run.json").write_text(json.dumps(settings))
    with pytest.raises(sv.InputError, match=missing):
        Run.open(run.folder)


def test_a_folder_of_the_first_version_opens(run: Run) -> None:
    """Its settings lack what came later."""
    settings = json.loads((run.folder / "run.json").read_text())
    del settings["held_out"], settings["train"]["accumulate"], settings["train"]["sync_norm"]
    (run.folder / "run.json").write_text(json.dumps(settings))
    assert Run.open(run.folder) == run


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("history.json", '{"step": [true]}'),
        ("history.json", "[1]"),
        ("validation.json", '[{"step": 1, "loss": "low"}]'),
        ("validation.json", "[" * 100_000),
    ],
)
def test_curves_that_do_not_fit_are_refused_before_any_work(
    run: Run, blobs, name: str, content: str
) -> None:
    (run.folder / name).write_text(content)
    with pytest.raises(sv.InputError, match=name):
        if name == "history.json":
            run.history()
        else:
            run.train(blobs, device="cpu", progress=False)
    assert not run.checkpoints()


# ---------------------------------------------------------------------- kills and errors


def test_a_damaged_state_is_passed_over_for_the_checkpoint_before(run: Run, blobs, capsys) -> None:
    run.train(blobs, device="cpu", progress=False, checkpoint_every=5)
    rewrite(run.checkpoints()[-1], header=lambda facts: facts.update(step="3"))
    assert run.trainer(blobs, "cpu").step == 20
    assert "checkpoint-24" in capsys.readouterr().out


@pytest.mark.parametrize("error", [RuntimeError("a bug"), MemoryError(), KeyboardInterrupt()])
def test_an_error_in_a_callback_leaves_the_model_and_the_run_goes_on(
    run: Run, tiny, fast, blobs, tmp_path: Path, error
) -> None:
    def fail(trainer: sv.Trainer) -> None:
        if trainer.step == 15:
            raise error

    options = {"device": "cpu", "progress": False, "checkpoint_every": 10}
    with contextlib.suppress(type(error)):
        run.train(blobs, on_log=[fail], **options)
    assert run.steps_taken() == 15
    assert run.trainer(blobs, "cpu").step == 10  # the newest checkpoint
    finished = run.train(blobs, **options)
    straight = Run.create(tmp_path / "straight", "split-vae", "blobs", tiny, fast)
    other = straight.train(blobs, device="cpu", progress=False)
    assert same_weights(finished.model, other.model)
    assert finished.history == other.history


def test_of_a_training_that_diverges_the_last_good_model_is_saved(run: Run, blobs) -> None:
    good = {}

    def spoil(trainer: sv.Trainer) -> None:
        if trainer.step == 10:
            good.update({k: v.clone() for k, v in trainer.model.state_dict().items()})
            with torch.no_grad():
                trainer.model.latent.mu.bias.fill_(math.nan)

    with pytest.raises(sv.TrainingDiverged):
        run.train(blobs, device="cpu", progress=False, on_log=[spoil])
    assert run.steps_taken() == 10 and not run.checkpoints()
    saved = run.load_model().state_dict()
    assert all(torch.equal(value, saved[name]) for name, value in good.items())


def test_an_error_within_a_step_saves_the_model_of_the_last_entry(
    run: Run, fast, blobs, monkeypatch
) -> None:
    weights = {}

    def keep(trainer: sv.Trainer) -> None:
        weights.update({k: v.clone() for k, v in trainer.model.state_dict().items()})

    step = torch.optim.Adam.step

    def fails_half_done(optimizer, *arguments, **options):
        step(optimizer, *arguments, **options)
        if weights and next(iter(optimizer.state.values()))["step"] == 13:
            raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(torch.optim.Adam, "step", fails_half_done)
    with pytest.raises(OSError, match="Input/output"):
        run.train(blobs, device="cpu", progress=False, on_log=[keep])
    assert run.steps_taken() == 10 and not run.checkpoints()
    saved = run.load_model().state_dict()
    assert all(torch.equal(value, saved[name]) for name, value in weights.items())


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


def test_sigterm_saves_and_ends_the_program(run: Run, blobs) -> None:
    """A script that trains several models must not go on with half a training."""

    def terminate(trainer: sv.Trainer) -> None:
        if trainer.step == 5:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(SystemExit) as ended:
        run.train(blobs, device="cpu", progress=False, on_log=[terminate])
    assert ended.value.code == 128 + signal.SIGTERM
    assert run.checkpoints()[-1].stem == "checkpoint-5"
    assert run.train(blobs, device="cpu", progress=False).step == run.train_config.steps


def after_signal(number: signal.Signals, function: Callable[..., object]) -> Callable[..., object]:
    """The function, but a signal comes just before it works."""

    def interrupted(*arguments: object, **options: object) -> object:
        signal.raise_signal(number)
        return function(*arguments, **options)

    return interrupted


def test_further_sigterms_do_not_interrupt_the_saving(run: Run, blobs, monkeypatch) -> None:
    """Launchers send several for one stop; outside of fit they would kill at once."""

    def terminate(trainer: sv.Trainer) -> None:
        if trainer.step == 5:
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(
        run_training, "save_trainer", after_signal(signal.SIGTERM, run_training.save_trainer)
    )
    with pytest.raises(SystemExit):
        run.train(blobs, device="cpu", progress=False, on_log=[terminate])
    assert run.checkpoints()[-1].stem == "checkpoint-5" and run.steps_taken() == 5
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_sigterm_while_the_end_is_saved_ends_the_program_afterwards(
    run: Run, blobs, monkeypatch
) -> None:
    monkeypatch.setattr(
        run_training, "save_model", after_signal(signal.SIGTERM, run_training.save_model)
    )
    with pytest.raises(SystemExit):
        run.train(blobs, device="cpu", progress=False)
    assert run.steps_taken() == run.train_config.steps


def test_an_impatient_second_interrupt_does_not_lose_the_checkpoint(
    run: Run, blobs, monkeypatch
) -> None:
    def stop(trainer: sv.Trainer) -> None:
        if trainer.step == 5:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(
        run_training, "save_trainer", after_signal(signal.SIGINT, run_training.save_trainer)
    )
    assert run.train(blobs, device="cpu", progress=False, on_log=[stop]).step == 5
    assert run.checkpoints()[-1].stem == "checkpoint-5" and run.steps_taken() == 5
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_interrupt_while_the_end_is_saved_is_not_forgotten(run: Run, blobs, monkeypatch) -> None:
    monkeypatch.setattr(
        run_training, "save_trainer", after_signal(signal.SIGINT, run_training.save_trainer)
    )
    with pytest.raises(KeyboardInterrupt):
        run.train(blobs, device="cpu", progress=False)
    assert run.steps_taken() == run.train_config.steps
    assert run.checkpoints()[-1].stem == f"checkpoint-{run.train_config.steps}"


def test_damaged_is_what_a_file_is_not_what_its_path_says(tiny, fast, blobs, tmp_path) -> None:
    run = Run.create(tmp_path / "damaged" / "run", "split-vae", "blobs", tiny, fast)
    run.train(blobs, device="cpu", progress=False)
    other = dataclasses.replace(run, train_config=dataclasses.replace(fast, beta=9.0))
    with pytest.raises(sv.InputError, match="belongs to another run"):
        other.train(blobs, device="cpu", progress=False)


def test_where_the_last_checkpoint_does_not_fit_the_model_is_saved(
    run: Run, blobs, monkeypatch
) -> None:
    def full(*arguments, **options) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(run_training, "save_trainer", full)
    with pytest.raises(OSError, match="No space left"):
        run.train(blobs, device="cpu", progress=False)
    assert run.steps_taken() == run.train_config.steps
    run.load_model()


def test_a_copy_of_a_checkpoint_under_another_name_is_left_alone(run: Run, blobs) -> None:
    run.train(blobs, device="cpu", progress=False)
    copy = run.folder / "checkpoint-best.safetensors"
    copy.write_bytes(run.checkpoints()[-1].read_bytes())
    assert run.train(blobs, device="cpu", progress=False).step == run.train_config.steps
    assert copy.exists() and copy not in run.checkpoints()


def test_checkpoints_are_at_least_a_step_apart(run: Run, blobs) -> None:
    with pytest.raises(sv.InputError, match="checkpoint_every must be at least 1, not -5"):
        run.train(blobs, device="cpu", progress=False, checkpoint_every=-5)


def test_checkpoints_are_saved_at_entries_of_the_history(run: Run, blobs) -> None:
    run.train(blobs, device="cpu", progress=False, checkpoint_every=2)
    assert [path.stem for path in run.checkpoints()][-3:] == [
        "checkpoint-15",
        "checkpoint-20",
        "checkpoint-24",
    ]


def test_a_copy_without_history_can_be_told_its_commit(monkeypatch) -> None:
    monkeypatch.setenv("SVAE_COMMIT", "abc1234")
    assert provenance.commit.__wrapped__() == "abc1234"
    monkeypatch.delenv("SVAE_COMMIT")
    assert provenance.commit.__wrapped__() != "abc1234"


def test_a_resumed_run_that_fails_names_the_step_of_its_model(run: Run, blobs, monkeypatch) -> None:
    step = torch.optim.Adam.step

    def interrupted_in_a_step(optimizer, *arguments, **options):
        step(optimizer, *arguments, **options)
        if next(iter(optimizer.state.values()))["step"] == 12:
            signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch:  # stops at step 12, between two entries
        patch.setattr(torch.optim.Adam, "step", interrupted_in_a_step)
        stopped = run.train(blobs, device="cpu", progress=False)
    assert stopped.step == 12
    weights = {k: v.clone() for k, v in stopped.model.state_dict().items()}

    def fails(optimizer, *arguments, **options):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(torch.optim.Adam, "step", fails)
    with pytest.raises(OSError, match="Input/output"):
        run.train(blobs, device="cpu", progress=False)
    assert run.steps_taken() == 12
    saved = run.load_model().state_dict()
    assert all(torch.equal(value, saved[name]) for name, value in weights.items())


def test_a_run_begins_where_a_killed_process_left_half_a_file(tiny, fast, tmp_path: Path) -> None:
    (tmp_path / ".run.0a1b2c3d.partial.json").write_text("{")
    assert Run(tmp_path, "vae", "blobs", tiny, fast).begun().kind == "vae"
    with pytest.raises(FileExistsError):
        Run.create(tmp_path, "vae", "blobs", tiny, fast)
