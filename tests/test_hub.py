"""Models to and from the Hub: a stand-in keeps what is uploaded in a folder."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import svae_lib as sv
from svae_lib.experiments import hub
from svae_lib.experiments.checkpoints import save_model, save_trainer

huggingface_hub = pytest.importorskip("huggingface_hub")
CONFIG = sv.ModelConfig(image_size=16, latent_dim=3, base_dim=4, embedding_dim=8, num_scales=2)


@pytest.fixture
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which the stand-in keeps its repositories."""
    folder = tmp_path / "hub"

    class Api:
        def create_repo(self, name: str, *, private: bool, exist_ok: bool) -> None:
            assert private and exist_ok
            (folder / name).mkdir(parents=True, exist_ok=True)

        def create_commit(self, name: str, operations: list[Any], *, commit_message: str) -> Any:
            assert commit_message
            for operation in operations:
                with operation.as_file() as file:
                    (folder / name / operation.path_in_repo).write_bytes(file.read())
            return SimpleNamespace(commit_url=f"https://example.org/{name}")

    def download(name: str, file: str, *, revision: str | None) -> str:
        return str(folder / name / file)

    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    return folder


def saved(path: Path, **about: Any) -> sv.SplitVAE:
    torch.manual_seed(0)
    model = sv.SplitVAE(CONFIG).eval()
    save_model(path, model, about=about)
    return model


def test_a_model_comes_back_as_it_was(there: Path, tmp_path: Path) -> None:
    model = saved(tmp_path / "a.safetensors", data="mnist-5k", steps=800, history={"loss": [3.0]})
    assert hub.push(tmp_path / "a.safetensors", "me/mine", licence="mit").endswith("me/mine")
    back = hub.pull("me/mine")
    assert isinstance(back, sv.SplitVAE) and not back.training
    z = torch.randn(2, 3)
    with torch.no_grad():
        torch.testing.assert_close(back.decode(z).x_hat, model.decode(z).x_hat, atol=0, rtol=0)


def test_the_card_says_what_the_model_is(there: Path, tmp_path: Path) -> None:
    saved(tmp_path / "a.safetensors", data="a|b", history={"loss": [3.0]})
    hub.push(tmp_path / "a.safetensors", "me/mine", licence="cc-by-4.0")
    text = (there / "me" / "mine" / "README.md").read_text(encoding="utf-8")
    read = huggingface_hub.ModelCard(text, ignore_metadata_errors=False)
    assert read.data.license == "cc-by-4.0" and read.data.library_name == "svae_lib"
    assert 'hub.pull("me/mine")' in text and "split-vae" in text
    assert "| data | a\\|b |" in text and "history" not in text


def test_a_damaged_file_is_not_uploaded(there: Path, tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_bytes(b"nothing")
    with pytest.raises(sv.InputError):
        hub.push(tmp_path / "a.safetensors", "me/mine", licence="mit")
    assert not there.exists()


def test_a_checkpoint_is_not_uploaded(there: Path, tmp_path: Path, fast, blobs, tiny) -> None:
    trainer = sv.Trainer(sv.build_model("vae", tiny), blobs, fast, "cpu")
    save_trainer(tmp_path / "checkpoint-0.safetensors", trainer)
    with pytest.raises(sv.InputError, match="save_model"):
        hub.push(tmp_path / "checkpoint-0.safetensors", "me/mine", licence="mit")
    assert not there.exists()


def test_without_its_package_the_module_can_be_imported_and_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved(tmp_path / "a.safetensors")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)  # an import of it fails
    again = importlib.reload(hub)
    calls = (
        lambda: again.pull("me/mine"),
        lambda: again.push(tmp_path / "a.safetensors", "me/mine", licence="mit"),
    )
    for call in calls:
        with pytest.raises(sv.InputError, match=r"huggingface_hub.*svae-lib\[hub\]"):
            call()
