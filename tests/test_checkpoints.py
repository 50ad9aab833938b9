"""Weights on disk: what is saved comes back, damage and strangers are refused."""

from __future__ import annotations

import dataclasses
import errno
import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

import svae_lib as sv
from svae_lib.experiments import checkpoints
from svae_lib.experiments.checkpoints import (
    load_trained_weights,
    load_weights,
    read_about,
    restore_trainer,
    save_trainer,
    save_weights,
)
from svae_lib.support import tensor_files
from svae_lib.support.tensor_files import DamagedFile


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

    with pytest.raises(sv.InputError, match="Mine is not in MODEL_KINDS"):
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
    save_weights(tmp_path / "w.safetensors", network())
    with pytest.raises(sv.InputError, match="holds a set of weights, not a model"):
        sv.load_model(tmp_path / "w.safetensors")
    sv.save_model(tmp_path / "m.safetensors", sv.VAE(tiny))
    trainer = sv.Trainer(sv.build_model("vae", tiny), blobs, fast, "cpu")
    with pytest.raises(sv.InputError, match="holds a model, not a trainer"):
        restore_trainer(trainer, tmp_path / "m.safetensors")


def test_another_format_is_refused(tiny, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(tensor_files, "FORMAT", 99)
    sv.save_model(tmp_path / "m.safetensors", sv.VAE(tiny))
    monkeypatch.undo()
    with pytest.raises(sv.InputError, match="has format 99, this library reads 1"):
        sv.load_model(tmp_path / "m.safetensors")


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({"format": 1, "library": "0", "sha256": ""}, "what"),
        ({"format": 1, "library": "0", "what": "model"}, "sha256"),
        ([1], "m.safetensors"),
    ],
)
def test_a_header_that_is_not_ours_is_refused(header, message, tmp_path: Path) -> None:
    text = {"svae_lib": json.dumps(header)}
    save_file({"a": torch.zeros(2)}, tmp_path / "m.safetensors", metadata=text)
    with pytest.raises(sv.InputError, match=message):
        sv.load_model(tmp_path / "m.safetensors")


def test_facts_that_json_does_not_have_are_refused(tiny, tmp_path: Path) -> None:
    with pytest.raises(sv.InputError, match="tolist"):
        sv.save_model(tmp_path / "m", sv.VAE(tiny), about={"score": torch.tensor(1.0)})
    assert not any(tmp_path.iterdir())


def test_weights_of_another_shape_are_told_in_one_line(tiny, tmp_path: Path, monkeypatch) -> None:
    sv.save_model(tmp_path / "m.safetensors", sv.build_model("ae", tiny))
    monkeypatch.setitem(checkpoints.MODEL_KINDS, "ae", sv.SplitVAE)
    with pytest.raises(sv.InputError, match="does not fit") as caught:
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
        with pytest.raises(sv.InputError, match=r"differs in images_sha256 \("):
            restore_trainer(other, tmp_path / "t")


# ---------------------------------------------------------------------- what does not fit


@pytest.fixture
def checkpoint(tiny, fast, blobs, tmp_path: Path) -> Path:
    trainer = sv.Trainer(sv.build_model("vae", tiny), blobs, fast, "cpu")
    trainer.fit(5, progress=False)
    save_trainer(tmp_path / "t.safetensors", trainer)
    return tmp_path / "t.safetensors"


def rewrite(path: Path, header=lambda facts: None, tensors=lambda some: None) -> None:
    """Change a file's header and tensors; its SHA-256 is right again."""
    with safe_open(path, framework="pt") as file:
        facts = json.loads(file.metadata()["svae_lib"])
        some = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    tensors(some)
    facts["sha256"] = tensor_files.digest(some)
    header(facts)
    save_file(some, path, metadata={"svae_lib": json.dumps(facts)})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("step", 2.5),
        ("step", True),
        ("summed", "0"),
        ("seconds", None),
        ("history", {"step": 5}),
        ("scaler", {"scale": "large"}),
        ("model", {"latent_dim": 0}),
        ("train", {"steps": 3, "surplus": 1}),
        ("images", [64]),
        ("surplus", 1),
    ],
)
def test_a_checkpoint_with_another_header_is_damaged(
    checkpoint, tiny, fast, blobs, field, value
) -> None:
    rewrite(checkpoint, header=lambda facts: facts.update({field: value}))
    trainer = sv.Trainer(sv.build_model("vae", tiny), blobs, fast, "cpu")
    with pytest.raises(DamagedFile, match=r"t\.safetensors") as refused:
        restore_trainer(trainer, checkpoint)
    assert trainer.step == 0 and "\n" not in str(refused.value)


@pytest.mark.parametrize("change", [lambda x: x[:1].clone(), None])
def test_a_checkpoint_of_another_network_is_refused_and_changes_nothing(
    checkpoint, tiny, fast, blobs, change
) -> None:
    def tensors(some: dict[str, torch.Tensor]) -> None:
        old = some.pop("model.latent.mu.weight")
        if change is not None:
            some["model.latent.mu.weight"] = change(old)

    rewrite(checkpoint, tensors=tensors)
    trainer = sv.Trainer(sv.build_model("vae", tiny), blobs, fast, "cpu")
    before = {k: v.clone() for k, v in trainer.model.state_dict().items()}
    with pytest.raises(DamagedFile, match=r"latent\.mu\.weight"):
        restore_trainer(trainer, checkpoint)
    assert all(torch.equal(before[k], v) for k, v in trainer.model.state_dict().items())


def test_other_conditions_are_said_when_training_goes_on(
    checkpoint, tiny, fast, blobs, capsys
) -> None:
    def resume() -> str:
        restore_trainer(sv.Trainer(sv.build_model("vae", tiny), blobs, fast, "cpu"), checkpoint)
        return capsys.readouterr().out

    assert resume() == ""
    rewrite(checkpoint, header=lambda facts: facts["conditions"].update(threads="64", torch="1.0"))
    said = resume()
    assert said.count("\n") == 1 and "threads 64" in said and "torch 1.0" in said
    rewrite(checkpoint, header=lambda facts: facts.pop("conditions"))  # an older file
    assert resume() == ""


@pytest.mark.parametrize(
    ("field", "value"), [("kind", 3), ("model", {"latent_dim": 2}), ("about", []), ("x", 1)]
)
def test_a_model_with_another_header_is_refused(tiny, tmp_path: Path, field, value) -> None:
    path = tmp_path / "m.safetensors"
    sv.save_model(path, sv.VAE(tiny))
    rewrite(path, header=lambda facts: facts.update({field: value}))
    with pytest.raises(sv.InputError, match=r"m\.safetensors"):
        sv.load_model(path)


# ---------------------------------------------------------------------- weights alone


def network(width: int = 4, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, width), nn.BatchNorm1d(width), nn.Linear(width, 2))


def test_weights_come_back_and_the_network_is_ready_to_use(tmp_path: Path) -> None:
    saved, other = network(), network(seed=1)
    saved(torch.randn(8, 3))  # moves the running statistics
    save_weights(tmp_path / "w.safetensors", saved, about={"steps": 5})
    load_weights(other, tmp_path / "w.safetensors")
    assert not other.training
    x = torch.randn(5, 3)
    torch.testing.assert_close(other(x), saved.eval()(x), rtol=0, atol=0)
    assert read_about(tmp_path / "w.safetensors") == {"steps": 5}


def test_half_precision_is_half_the_size_and_loads_as_float32(tmp_path: Path) -> None:
    wide = nn.Linear(200, 200)
    save_weights(tmp_path / "full.safetensors", wide)
    save_weights(tmp_path / "half.safetensors", wide, dtype=torch.float16)
    full, half = ((tmp_path / f"{n}.safetensors").stat().st_size for n in ("full", "half"))
    assert half < 0.52 * full
    other = nn.Linear(200, 200)
    load_weights(other, tmp_path / "half.safetensors")
    assert other.weight.dtype == torch.float32
    torch.testing.assert_close(other.weight, wide.weight, rtol=1e-3, atol=1e-6)


def test_another_network_is_refused_and_left_as_it_was(tmp_path: Path) -> None:
    save_weights(tmp_path / "w.safetensors", network())
    wider = network(width=5)
    before = wider[0].weight.clone()
    with pytest.raises(sv.InputError, match=r"0\.bias is \(4,\).* there and \(5,\).* here"):
        load_weights(wider, tmp_path / "w.safetensors")
    assert torch.equal(wider[0].weight, before)
    with pytest.raises(sv.InputError, match="is missing there"):
        load_weights(nn.Sequential(*network(), nn.Linear(2, 2)), tmp_path / "w.safetensors")
    with pytest.raises(sv.InputError, match="does not exist"):
        load_weights(wider, tmp_path / "elsewhere.safetensors")


def test_a_models_file_is_no_set_of_weights(tiny, tmp_path: Path) -> None:
    sv.save_model(tmp_path / "m.safetensors", sv.VAE(tiny))
    with pytest.raises(sv.InputError, match="holds a model, not a set of weights"):
        load_weights(network(), tmp_path / "m.safetensors")


def test_the_courses_weights_go_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "embedded", lambda name: tmp_path / name)
    with pytest.raises(sv.InputError, match="01-net"):
        load_trained_weights(network(), "01-net")
    (tmp_path / "trained" / "by_hand").mkdir(parents=True)
    saved, other = network(), network(seed=1)
    save_weights(tmp_path / "trained" / "by_hand" / "01-net.safetensors", saved)
    load_trained_weights(other, "01-net")
    assert torch.equal(other[0].weight, saved[0].weight)
    with pytest.raises(sv.InputError, match=r"02-net.*01-net"):
        load_trained_weights(network(), "02-net")


def test_a_header_of_a_huge_network_takes_no_memory(tiny, tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    sv.save_model(path, sv.VAE(tiny))
    rewrite(path, header=lambda facts: facts["model"].update(base_dim=80_000))
    with pytest.raises(sv.InputError, match="does not fit"):
        sv.load_model(path)


def test_resuming_on_another_device_says_that_the_noise_is_another(
    tiny, fast, blobs, tmp_path: Path, capsys, monkeypatch
) -> None:
    saved = sv.Trainer(sv.build_model("vae", tiny), blobs, fast, "cpu")
    conditions = checkpoints._conditions
    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "_conditions", lambda t: conditions(t) | {"device": "cuda"})
        sv.checkpoints.save_trainer(tmp_path / "t.safetensors", saved)
    sv.checkpoints.restore_trainer(saved, tmp_path / "t.safetensors")
    assert "device cuda (now cpu): from here on the run has other noise." in capsys.readouterr().out
