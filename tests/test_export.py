"""ONNX files compute what the models compute, and are kept only then."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import svae_lib as sv
from svae_lib.experiments import export
from svae_lib.experiments.export import export_onnx

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
    ("kind", "changes"),
    [("vae", {}), ("split-vae", {"channels": 3}), ("split-vae", {"components": 3})],
)
def test_a_decoder_decodes_any_number(kind: str, changes: dict[str, Any], tmp_path: Path) -> None:
    made = model(kind, **changes)
    export_onnx(made, tmp_path / "decoder.onnx")
    for n in (1, 7):
        z = torch.randn(n, 3)
        found, wanted = run(tmp_path / "decoder.onnx", z=z), made.decode(z)
        for name, value in found.items():
            np.testing.assert_allclose(value, getattr(wanted, name).detach(), atol=1e-5)
        assert set(found) == ({"x_hat"} if kind == "vae" else {"x_hat", "components", "weights"})


def test_encoder_and_decoder_make_both(tmp_path: Path) -> None:
    made = model()
    images = torch.rand(3, 1, 32, 32)
    for part in ("encoder", "both"):
        export_onnx(made, tmp_path / f"{part}.onnx", part)
    encoded = run(tmp_path / "encoder.onnx", images=images)
    np.testing.assert_allclose(encoded["mu"], made.encode(images)[0].detach(), atol=1e-5)
    rebuilt = run(tmp_path / "both.onnx", images=images)
    np.testing.assert_allclose(rebuilt["x_hat"], made.reconstruct(images).x_hat.detach(), atol=1e-5)


def test_the_file_says_what_it_is_and_the_model_stays_as_it_was(tmp_path: Path) -> None:
    made = model()
    made.train()
    made.encoder.eval()
    before = {name: value.clone() for name, value in made.state_dict().items()}
    modes = [module.training for module in made.modules()]
    export_onnx(made, tmp_path / "a.onnx")
    assert modes == [module.training for module in made.modules()]
    assert all(torch.equal(before[name], value) for name, value in made.state_dict().items())
    told = ort.InferenceSession(str(tmp_path / "a.onnx")).get_modelmeta().custom_metadata_map
    assert json.loads(told["config"])["latent_dim"] == 3
    assert (told["kind"], len(told["sha256"])) == ("split-vae", 64)


def test_nothing_is_overwritten_and_nothing_wrong_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.onnx").write_bytes(b"mine")
    with pytest.raises(FileExistsError):
        export_onnx(model(), tmp_path / "a.onnx")
    monkeypatch.setattr(export, "TOLERANCE", 0.0)
    with pytest.raises(sv.InputError, match="differs"):
        export_onnx(model(), tmp_path / "a.onnx", overwrite=True)
    assert [p.read_bytes() for p in tmp_path.iterdir()] == [b"mine"]


def test_bad_requests_are_sentences(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(sv.InputError, match="part"):
        export_onnx(model(), tmp_path / "a.onnx", "head")  # type: ignore[arg-type]
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    with pytest.raises(sv.InputError, match="onnxruntime"):
        export_onnx(model(), tmp_path / "a.onnx")
