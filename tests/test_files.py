"""Files written whole or not at all; JSON that comes back as it was."""

from __future__ import annotations

import dataclasses
import errno
import json
import math
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import platformdirs
import pytest
import torch

import svae_lib as sv
from svae_lib.cli import main
from svae_lib.plots import _backend
from svae_lib.support import files

full_device = pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")


def refusing(code: int):
    def refuse(*arguments: object, **options: object) -> None:
        raise OSError(code, os.strerror(code))

    return refuse


# ---------------------------------------------------------------------- disks


def fsync_of_windows(descriptor: int) -> None:
    """Windows flushes writable handles only; so a write of nothing must be possible."""
    os.write(descriptor, b"")


def test_what_is_flushed_is_open_for_writing(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(os, "fsync", fsync_of_windows)
    files.write_text(tmp_path / "a.txt", "text")
    assert (tmp_path / "a.txt").read_text() == "text"


def test_a_flush_that_loses_data_is_an_error(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(os, "fsync", refusing(errno.ENOSPC))
    with pytest.raises(OSError, match="space"):
        files.write_text(tmp_path / "a.txt", "one")
    assert not list(tmp_path.iterdir())


@full_device
def test_a_really_full_device_is_reported(tmp_path: Path) -> None:
    with (
        pytest.raises(OSError, match="space"),
        files.atomic_path(tmp_path / "a.txt") as temporary,
    ):
        temporary.unlink()
        temporary.symlink_to("/dev/full")
        temporary.write_text("x" * 100_000)
    assert not list(tmp_path.iterdir())


def test_an_interrupted_write_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), files.atomic_path(tmp_path / "a.txt") as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())


def test_a_new_file_has_the_usual_permissions_and_a_reader_keeps_the_old_one(
    tmp_path: Path, tiny
) -> None:
    """Not those of a temporary file; and who reads while it is replaced reads the old one whole."""
    path = tmp_path / "a.txt"
    before = os.umask(0o022)  # others may read
    try:
        (tmp_path / "usual.txt").write_text("")
        files.write_text(path, "first")
        sv.save_model(tmp_path / "model.safetensors", sv.VAE(tiny))
    finally:
        os.umask(before)
    for file in tmp_path.iterdir():  # a class reads what its lecturer trained
        assert file.stat().st_mode == (tmp_path / "usual.txt").stat().st_mode, file.name
    with path.open() as reader:
        files.write_text(path, "second", overwrite=True)
        assert reader.read() == "first"
    assert path.read_text() == "second"


def test_of_two_that_write_one_name_the_second_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with pytest.raises(FileExistsError, match=r"a\.txt"), files.atomic_path(path) as slow:
        slow.write_text("slow")
        files.write_text(path, "fast")
    assert path.read_text() == "fast"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_what_cannot_be_written_is_refused_before_the_work_by_the_users_name(tmp_path) -> None:
    (tmp_path / "file").write_text("kept")
    (tmp_path / "folder").mkdir()
    for path, overwrite in [
        (tmp_path / "file" / "below", False),
        (tmp_path / "folder", True),
        (tmp_path / "file", False),
        (tmp_path / ("x" * 300), False),
    ]:
        worked = False
        with pytest.raises(OSError) as refused, files.atomic_path(path, overwrite=overwrite):
            worked = True
        assert not worked and "partial" not in str(refused.value)
        with pytest.raises(OSError):
            files.check_writable(path, overwrite=overwrite)
    files.check_writable(tmp_path / "new" / "a.txt")
    files.check_writable(tmp_path / "file", overwrite=True)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder"]
    assert (tmp_path / "file").read_text() == "kept"


@pytest.mark.skipif(sys.platform == "win32", reason="no ~user there")
def test_the_home_of_nobody_is_refused(tmp_path: Path, tiny, fast) -> None:
    assert files.expand("~/a") == Path.home() / "a"
    nobody = "~no-such-user-here/run"
    for taken in (
        files.expand,
        sv.load_model,
        sv.runs.Run.open,
        lambda path: sv.runs.Run.create(path, "vae", "blobs", tiny, fast),
        lambda path: files.write_text(path, ""),
        lambda path: sv.data.load(f"folder:{path}?size=16"),
    ):
        with pytest.raises(sv.InputError, match="no-such-user-here"):
            taken(nobody)


def test_the_cache_is_where_the_system_keeps_caches(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert files.user_cache() == tmp_path / "svae"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert files.user_cache() == platformdirs.user_cache_path("svae", appauthor=False)
    if sys.platform == "linux":
        monkeypatch.setenv("HOME", str(tmp_path))
        assert files.user_cache() == tmp_path / ".cache" / "svae"


def test_the_library_asks_for_nothing_that_only_posix_has() -> None:
    code = (
        "import sys; sys.modules |= dict.fromkeys(['resource', 'pwd', 'grp', 'termios']);"
        "import svae_lib.cli, record, training_speed, cpu_memory; print(record.peak_memory_mib())"
    )
    root = Path(__file__).parents[1]
    found = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=os.environ
        | {"PYTHONPATH": os.pathsep.join([str(root), str(root / "benchmarks")])}
        | {"MPLBACKEND": "module://no_such_module"},  # nor a backend that is not there
    )
    assert found.stdout.strip() == "None", found.stderr


@pytest.mark.parametrize("backend", ["no-such-backend", "module://no_such_module"])
def test_a_backend_that_is_not_installed_is_no_condition(backend: str) -> None:
    """The module that sees to it, run alone; the whole library is in the test above."""
    code = (
        "import runpy, sys; runpy.run_path(sys.argv[1]); import matplotlib.figure; print('drawn')"
    )
    script = Path(_backend.__file__)
    found = subprocess.run(
        [sys.executable, "-c", code, str(script)],
        capture_output=True,
        text=True,
        env=os.environ | {"MPLBACKEND": backend},
    )
    assert found.stdout == "drawn\n", found.stderr


# ---------------------------------------------------------------------- JSON


@dataclass(frozen=True)
class Inner:
    steps: int
    rate: float = 1.0

    def __post_init__(self) -> None:
        if self.steps < 0:
            raise sv.InputError("steps must not be negative")


@dataclass(frozen=True)
class Outer:
    name: str
    inner: Inner
    curve: list[int | float] = field(default_factory=list)


GOOD = {"name": "a", "inner": {"steps": 3, "rate": 2}, "curve": [1, 2.5]}


@pytest.mark.parametrize(
    ("change", "field_named"),
    [
        ({"inner": {"steps": 3.0}}, "inner.steps"),
        ({"inner": {"steps": True}}, "inner.steps"),
        ({"inner": {"steps": "3"}}, "inner.steps"),
        ({"inner": {"steps": -3}}, "inner"),
        ({"inner": {}}, "steps"),
        ({"inner": {"steps": 3, "size": 1}}, "inner.size"),
        ({"inner": {"steps": 3, "rate": False}}, "inner.rate"),
        ({"extra": None}, "extra"),
        ({"name": 5}, "name"),
        ({"curve": [1, "x"]}, "curve"),
        ({"curve": None}, "curve"),
    ],
)
def test_what_does_not_fit_is_refused_by_file_and_field(tmp_path, change, field_named) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(GOOD | change))
    with pytest.raises(sv.InputError) as refused:
        files.read_json(path, Outer)
    assert str(path) in str(refused.value) and field_named in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\xff\xfe{}", b"[" * 100_000, b"9" * 5000, b"[]", b"null", b"1e999"]
)
def test_what_is_not_json_or_another_type_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(sv.InputError, match=r"a\.json"):
        files.read_json(tmp_path / "a.json", Outer)
    with pytest.raises(sv.InputError, match="does not exist"):
        files.read_json(tmp_path / "b.json", Outer)


def test_facts_come_back_as_the_dataclass_they_were(tmp_path: Path) -> None:
    files.write_json(tmp_path / "a.json", GOOD)
    found = files.read_json(tmp_path / "a.json", Outer)
    assert found == Outer("a", Inner(3, 2.0), [1, 2.5])
    assert type(found.inner.rate) is float and type(found.curve[0]) is int


def test_numbers_that_json_does_not_have_come_back(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    files.write_json(path, {"kl": math.inf, "rows": [[-math.inf], (math.nan,)]})
    json.loads(path.read_text(), parse_constant=pytest.fail)  # strict JSON
    found = files.read_json(path, dict[str, float | list[list[float]]])
    assert found["kl"] == math.inf and found["rows"][0] == [-math.inf]
    assert math.isnan(found["rows"][1][0])


@pytest.mark.thorough
def test_a_model_whose_kl_is_infinite_is_scored_and_its_scores_are_kept(tmp_path: Path) -> None:
    preset = sv.PRESETS["quick"]
    small = dataclasses.replace(preset.model, base_dim=2, embedding_dim=4, latent_dim=3)
    short = dataclasses.replace(preset.train, steps=2, batch_size=20, log_every=2)
    run = sv.runs.Run.create(tmp_path / "run", "vae", "mnist-5k", small, short)
    model = run.train(sv.data.load("mnist-5k").train, device="cpu", progress=False).model
    with torch.no_grad():
        model.latent.log_var.bias += 100
    sv.save_model(run.folder / "model.safetensors", model, overwrite=True)
    options = ["--n", "20", "--mixture-components", "1", "--device", "cpu"]
    assert main(["evaluate", str(run.folder), *options]) == 0
    (path,) = run.folder.glob("evaluation-*.json")
    assert files.read_json(path)["test_kl"] == math.inf


def test_three_steps_save_everything_where_only_writable_handles_are_flushed(
    tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr(os, "fsync", fsync_of_windows)
    options = ["--model.base-dim=2", "--model.embedding-dim=4", "--train.batch-size=20"]
    run = tmp_path / "run"
    assert main(["train", "--out", str(run), "--train.steps=3", "--device=cpu", *options]) == 0
    saved = {path.name for path in run.iterdir()} - {".lock"}
    assert saved == {
        "run.json",
        "checkpoint-3.safetensors",
        "model.safetensors",
        "history.json",
    }
