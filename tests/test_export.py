"""ONNX files compute what the models compute, and are kept only then."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import svae_lib as sv
from svae_lib.cli import main, pictures
from svae_lib.experiments import export
from svae_lib.experiments.checkpoints import weights_hash
from svae_lib.experiments.export import export_onnx
from svae_lib.experiments.runs import Run

ort = pytest.importorskip("onnxruntime")
CONFIG = sv.ModelConfig(base_dim=4, embedding_dim=8, latent_dim=3)


def model(kind: str = "split-vae", **changes: Any) -> sv.VAE:
    made = sv.build_model(kind, sv.ModelConfig(**{**vars(CONFIG), **changes}), seed=0)
    made.train()(torch.rand(8, made.config.channels, 32, 32))  # BatchNorm has seen something
    return made.eval()


def run(path: Path, **inputs: torch.Tensor) -> dict[str, np.ndarray]:
    session = ort.InferenceSession(str(path))
    names = [output.name for output in session.get_outputs()]
    found = session.run(None, {name: value.numpy() for name, value in inputs.items()})
    return dict(zip(names, found, strict=True))


@pytest.mark.parametrize(
    ("kind", "part", "changes"),
    [("vae", "decoder", {}), ("split-vae", "both", {"channels": 3, "components": 3})],
)
def test_a_file_computes_what_the_model_computes_for_any_number(
    kind: str, part: export.Part, changes: dict[str, Any], tmp_path: Path
) -> None:
    made = model(kind, **changes)
    export_onnx(made, tmp_path / "a.onnx", part)
    for n in (1, 7):
        if part == "decoder":
            given, mu = {"z": torch.randn(n, 3)}, None
            wanted = made.decode(given["z"])
        else:
            given = {"images": torch.rand(n, 3, 32, 32)}
            mu, _ = made.encode(given["images"])
            wanted = made.decode(mu)
        found = run(tmp_path / "a.onnx", **given)
        decoded = {"x_hat"} if kind == "vae" else {"x_hat", "components", "weights"}
        assert found.keys() == (decoded if mu is None else decoded | {"mu", "log_var"})
        for name in decoded:
            np.testing.assert_allclose(found[name], getattr(wanted, name).detach(), atol=1e-5)
        if mu is not None:
            np.testing.assert_allclose(found["mu"], mu.detach(), atol=1e-5)


def test_the_file_says_what_it_is_and_the_model_stays_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exported = torch.onnx.export

    def as_some_versions(module: torch.nn.Module, *arguments: Any, **options: Any) -> Any:
        program = exported(module, *arguments, **options)
        module.train(module.training)  # with all modules in it
        return program

    monkeypatch.setattr(torch.onnx, "export", as_some_versions)
    made = model()
    made.train()
    made.encoder.eval()
    before = {name: value.clone() for name, value in made.state_dict().items()}
    modes = [module.training for module in made.modules()]
    export_onnx(made, tmp_path / "a.onnx", "encoder")
    assert modes == [module.training for module in made.modules()]
    assert all(torch.equal(before[name], value) for name, value in made.state_dict().items())
    session = ort.InferenceSession(str(tmp_path / "a.onnx"))
    assert [output.name for output in session.get_outputs()] == ["mu", "log_var"]
    told = session.get_modelmeta().custom_metadata_map
    assert json.loads(told["config"])["latent_dim"] == 3
    assert (told["kind"], told["part"]) == ("split-vae", "encoder")
    assert told["sha256"] == weights_hash(made)


def test_the_command_takes_a_run_or_a_models_file(tmp_path: Path, monkeypatch, capsys) -> None:
    run_folder, file = tmp_path / "run", tmp_path / "model.safetensors"
    settings = Run.create(run_folder, "split-vae", "mnist-5k", CONFIG, sv.TrainConfig())
    made, asked = model(), []
    sv.save_model(file, made)

    def exported(given: sv.VAE, path: Path, part: str, *, overwrite: bool) -> None:
        asked.append((weights_hash(given), path, part, overwrite))

    monkeypatch.setattr(pictures, "export_onnx", exported)
    out = tmp_path / "a.onnx"
    assert main(["export", str(run_folder), "--out", str(out)]) == 2  # it has no model yet
    sv.save_model(settings.folder / "model.safetensors", made)
    for source in (run_folder, file):
        assert main(["export", str(source), "--out", str(out), "--part", "encoder"]) == 0
    assert asked == 2 * [(weights_hash(made), out, "encoder", False)]
    assert str(out) in capsys.readouterr().out
    file.write_bytes(file.read_bytes()[:-1])
    assert main(["export", str(file), "--out", str(out)]) == 2
    assert "damaged" in capsys.readouterr().err
    out.write_text("mine")
    assert main(["export", str(run_folder), "--out", str(out)]) == 2
    assert "exists already" in capsys.readouterr().err
    assert main(["export", str(run_folder), "--out", str(out), "--overwrite"]) == 0
    assert len(asked) == 3 and asked[-1][2:] == ("both", True)


def test_nothing_is_overwritten_and_nothing_wrong_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.onnx").write_bytes(b"mine")
    with pytest.raises(FileExistsError):
        export_onnx(model(), tmp_path / "a.onnx")
    monkeypatch.setattr(export, "TOLERANCE", 0.0)
    with pytest.raises(sv.InputError, match="differs"):
        export_onnx(model(), tmp_path / "a.onnx", "encoder", overwrite=True)
    assert [p.read_bytes() for p in tmp_path.iterdir()] == [b"mine"]


def test_bad_requests_are_sentences(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(sv.InputError, match="part"):
        export_onnx(model(), tmp_path / "a.onnx", "head")  # type: ignore[arg-type]
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    with pytest.raises(sv.InputError, match="onnxruntime"):
        export_onnx(model(), tmp_path / "a.onnx")
