"""Files: what is saved comes back, damage and strangers are refused, nothing is lost."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

import svae_lib as sv
from svae_lib.experiments import checkpoints
from svae_lib.experiments.checkpoints import read_about, restore_trainer, save_trainer
from svae_lib.support import files, tensor_files


@pytest.mark.parametrize("kind", list(checkpoints.MODEL_KINDS))
def test_a_model_comes_back(tiny, kind: str, tmp_path: Path) -> None:
    model = sv.build_model(kind, tiny, seed=3).eval()
    path = tmp_path / "m.safetensors"
    sv.save_model(path, model, about={"data": "blobs"})
    back = sv.load_model(path)
    assert type(back) is type(model) and back.config == tiny and not back.training
    x = torch.rand(2, 1, 16, 16)
    assert torch.equal(model.reconstruct(x).x_hat, back.reconstruct(x).x_hat)
    assert read_about(path) == {"data": "blobs"}


def test_a_class_of_ones_own_is_named_and_told_what_to_do(tiny, tmp_path: Path) -> None:
    class Mine(sv.VAE):
        pass

    with pytest.raises(sv.InputError, match="Mine is none of the library's kinds"):
        sv.save_model(tmp_path / "m.safetensors", Mine(tiny))
    assert not any(tmp_path.iterdir())


def test_half_precision_halves_the_file_and_hardly_changes_the_model(tmp_path: Path) -> None:
    config = sv.ModelConfig(base_dim=8, embedding_dim=32)
    model = sv.build_model("split-vae", config).eval()
    model.encoder.head.norm1.running_var[0] = 1e6  # more than float16 has
    sv.save_model(tmp_path / "full.safetensors", model)
    sv.save_model(tmp_path / "half.safetensors", model, dtype=torch.float16)
    full, half = ((tmp_path / f"{n}.safetensors").stat().st_size for n in ("full", "half"))
    assert half < 0.55 * full
    back = sv.load_model(tmp_path / "half.safetensors")
    assert all(p.dtype == torch.float32 for p in back.parameters())
    for name, value in model.named_buffers():  # running statistics stay exact
        assert torch.equal(back.get_buffer(name), value), name
    x = torch.rand(2, 1, 32, 32)
    torch.testing.assert_close(
        back.reconstruct(x).x_hat, model.reconstruct(x).x_hat, atol=5e-3, rtol=0
    )


def test_an_existing_file_is_not_overwritten_unasked(tiny, tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    path.write_text("precious")
    with pytest.raises(FileExistsError, match="exists already"):
        sv.save_model(path, sv.VAE(tiny))
    assert path.read_text() == "precious"
    sv.save_model(path, sv.VAE(tiny), overwrite=True)
    sv.load_model(path)


@pytest.mark.parametrize("place", [0, 9, 200, -40])
def test_a_damaged_file_is_noticed(tiny, tmp_path: Path, place: int) -> None:
    path = tmp_path / "m.safetensors"
    sv.save_model(path, sv.VAE(tiny))
    content = bytearray(path.read_bytes())
    content[place] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(sv.InputError, match=r"m\.safetensors"):
        sv.load_model(path)


@pytest.mark.parametrize("keep", [0, 5, 1000, -1])
def test_a_truncated_file_is_noticed(tiny, tmp_path: Path, keep: int) -> None:
    path = tmp_path / "m.safetensors"
    sv.save_model(path, sv.VAE(tiny))
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(sv.InputError, match="damaged"):
        sv.load_model(path)


def test_strangers_are_refused(tiny, fast, blobs, tmp_path: Path) -> None:
    stranger = tmp_path / "s.safetensors"
    save_file({"a": torch.zeros(2)}, stranger)
    with pytest.raises(sv.InputError, match="not written by svae_lib"):
        sv.load_model(stranger)
    with pytest.raises(sv.InputError, match="does not exist"):
        sv.load_model(tmp_path / "absent.safetensors")
    trainer = sv.Trainer(sv.build_model("vae", tiny), blobs, fast, "cpu")
    save_trainer(tmp_path / "t.safetensors", trainer)
    with pytest.raises(sv.InputError, match="holds a trainer, not a model"):
        sv.load_model(tmp_path / "t.safetensors")


def test_another_format_is_refused(tiny, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(tensor_files, "FORMAT", 99)
    sv.save_model(tmp_path / "m.safetensors", sv.VAE(tiny))
    monkeypatch.undo()
    with pytest.raises(sv.InputError, match="has format 99, this library reads 1"):
        sv.load_model(tmp_path / "m.safetensors")


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({"format": 1, "sha256": ""}, "its header lacks what"),
        ({"format": 1, "what": "model"}, "its header lacks sha256"),
        ([1], "its header is no dictionary"),
    ],
)
def test_a_header_that_is_not_ours_is_refused(header, message, tmp_path: Path) -> None:
    text = {"svae_lib": json.dumps(header)}
    save_file({"a": torch.zeros(2)}, tmp_path / "m.safetensors", metadata=text)
    with pytest.raises(sv.InputError, match=message):
        sv.load_model(tmp_path / "m.safetensors")


def test_facts_that_json_does_not_have_are_refused(tiny, tmp_path: Path) -> None:
    with pytest.raises(sv.InputError, match=r"Tensor is not JSON.*tolist"):
        sv.save_model(tmp_path / "m", sv.VAE(tiny), about={"score": torch.tensor(1.0)})
    assert not any(tmp_path.iterdir())


def test_weights_of_another_shape_are_told_in_one_line(tiny, tmp_path: Path, monkeypatch) -> None:
    sv.save_model(tmp_path / "m.safetensors", sv.build_model("ae", tiny))
    monkeypatch.setitem(checkpoints.MODEL_KINDS, "ae", sv.SplitVAE)
    with pytest.raises(sv.InputError, match="not hold a model of this version") as caught:
        sv.load_model(tmp_path / "m.safetensors")
    assert "\n" not in str(caught.value)


def test_resuming_another_run_names_what_differs(tiny, fast, blobs, tmp_path: Path) -> None:
    first = sv.Trainer(sv.build_model("vae", tiny), blobs, fast, "cpu")
    first.fit(3, progress=False)
    path = tmp_path / "t.safetensors"
    save_trainer(path, first)
    others = [
        ("kind", sv.build_model("split-vae", tiny), blobs, fast),
        (
            "latent_dim \\(3 there, 4 here\\)",
            sv.build_model("vae", dataclasses.replace(tiny, latent_dim=4)),
            blobs,
            fast,
        ),
        ("beta", sv.build_model("vae", tiny), blobs, dataclasses.replace(fast, beta=7.0)),
        ("images \\(64 there, 60 here\\)", sv.build_model("vae", tiny), blobs[:60], fast),
    ]
    for difference, model, images, config in others:
        trainer = sv.Trainer(model, images, config, "cpu")
        before = {k: v.clone() for k, v in model.state_dict().items()}
        with pytest.raises(sv.InputError, match=difference):
            restore_trainer(trainer, path)
        assert trainer.step == 0
        assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tiny, tmp_path, monkeypatch) -> None:
    path = tmp_path / "m.safetensors"
    sv.save_model(path, sv.VAE(tiny), about={"version": 1})
    old = path.read_bytes()

    def full_disk(tensors, file, metadata):
        Path(file).write_bytes(b"half of it")
        raise OSError(errno.ENOSPC, "No space left on device", str(file))

    monkeypatch.setattr(tensor_files, "save_file", full_disk)
    with pytest.raises(OSError, match="No space left"):
        sv.save_model(path, sv.VAE(tiny), overwrite=True)
    assert path.read_bytes() == old
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_really_full_device_is_reported(tmp_path: Path, monkeypatch) -> None:
    def to_full(**kwargs):
        return os.open("/dev/null", os.O_RDONLY), "/dev/full"

    monkeypatch.setattr(files.tempfile, "mkstemp", to_full)
    monkeypatch.setattr(Path, "unlink", lambda self, missing_ok=False: None)
    with pytest.raises(OSError, match="No space left"):
        files.write_text(tmp_path / "a.txt", "x" * 100_000)
    assert not (tmp_path / "a.txt").exists()


def test_an_interrupted_write_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), files.atomic_path(tmp_path / "a.txt") as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_a_new_file_has_the_usual_permissions_and_a_reader_keeps_the_old_one(
    tmp_path: Path,
) -> None:
    """Not those of a temporary file; and who reads while it is replaced reads the old one whole."""
    (tmp_path / "usual.txt").write_text("")
    path = tmp_path / "a.txt"
    files.write_text(path, "first")
    assert path.stat().st_mode == (tmp_path / "usual.txt").stat().st_mode
    with path.open() as reader:
        files.write_text(path, "second", overwrite=True)
        assert reader.read() == "first"
    assert path.read_text() == "second"
    (tmp_path / "later.txt").write_text("")
    assert (tmp_path / "later.txt").stat().st_mode == (tmp_path / "usual.txt").stat().st_mode


def test_images_of_another_set_are_noticed_wherever_they_are(
    tiny, fast, blobs, tmp_path: Path, monkeypatch
) -> None:
    """Of a large set only some are looked at, but all over it."""
    monkeypatch.setattr(checkpoints, "_MARKED", 8)
    save_trainer(tmp_path / "t", sv.Trainer(sv.build_model("vae", tiny), blobs, fast, "cpu"))
    for place in (slice(None, 20), slice(20, 44), slice(44, None)):
        changed = blobs.clone()
        changed[place] ^= 1
        other = sv.Trainer(sv.build_model("vae", tiny), changed, fast, "cpu")
        with pytest.raises(sv.InputError, match="differs in the pixels of the training images"):
            restore_trainer(other, tmp_path / "t")


def test_json_is_checked_both_ways(tmp_path: Path) -> None:
    files.write_json(tmp_path / "a.json", {"a": [1, 2.5]})
    assert files.read_json(tmp_path / "a.json") == {"a": [1, 2.5]}
    with pytest.raises(ValueError, match="not JSON compliant"):
        files.write_json(tmp_path / "b.json", float("nan"))
    (tmp_path / "c.json").write_text("{")
    with pytest.raises(sv.InputError, match="may be damaged"):
        files.read_json(tmp_path / "c.json")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.json", "c.json"]
