"""The Python blocks of a page, run as they stand there: one script, on few images, in few steps."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from types import CodeType
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from PIL import Image

import svae_lib as sv
from svae_lib import widgets
from svae_lib.data import folder
from svae_lib.experiments import summaries

ROOT = Path(__file__).resolve().parents[1]
TEST_IMAGES = 15  # a fifth of the folder's


def blocks_of(page: str) -> Iterator[CodeType]:
    """A page's Python blocks; an error in one shows the page's own line."""
    text = (ROOT / page).read_text(encoding="utf-8")
    for block in re.finditer(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        above = text[: block.start(1)].count("\n")
        yield compile("\n" * above + block[1], ROOT / page, "exec")


def run_page(page: str) -> dict[str, Any]:
    """The names that a page's blocks, run as one script, leave behind."""
    names: dict[str, Any] = {"__name__": "page"}
    for block in blocks_of(page):
        exec(block, names)
    return names


@pytest.fixture(autouse=True)
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A preset "quick" of a second, files that the pages name, and registers as they were after."""
    quick = dataclasses.replace(
        sv.PRESETS["quick"],
        model=sv.ModelConfig(base_dim=2, embedding_dim=16, latent_dim=16, norm_momentum=0.1),
        train=sv.TrainConfig(steps=12, batch_size=10, learning_rate=3e-3, log_every=4),
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(summaries, "died", lambda cell: False)  # after so few steps nothing lives
    monkeypatch.setattr(folder, "cache_folder", lambda kind: tmp_path / "cache" / kind)
    faces, _ = sv.data.draw_faces(5 * TEST_IMAGES, seed=0, image_size=40)
    (tmp_path / "my_images").mkdir()
    for index, face in enumerate(faces):
        pixels = face.permute(1, 2, 0).numpy()
        Image.fromarray(pixels).save(tmp_path / "my_images" / f"{index}.png")
    noise = torch.randint(256, (20, 32, 32, 3), generator=torch.Generator().manual_seed(0))
    np.savez(tmp_path / "theirs.npz", images=noise.byte().numpy())
    with (
        mock.patch.dict(sv.PRESETS, quick=quick),
        mock.patch.dict(sv.checkpoints.MODEL_KINDS),
        mock.patch.dict(sv.fid.NETWORKS),
        mock.patch.dict(sv.tables.TABLES),
    ):
        yield


def test_the_readme_samples_from_a_model_it_has_trained() -> None:
    names = run_page("README.md")
    assert names["out"].x_hat.shape == (16, 1, 32, 32)
    assert not names["model"].training


@pytest.mark.filterwarnings("ignore:FID .* from .* images and 128 features")
@pytest.mark.thorough
def test_your_own_research(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = run_page("docs/your_own_research.md")
    sets, model, network = names["sets"], names["model"], names["network"]
    steps = 2 * sv.PRESETS["quick"].train.steps

    # images, model, run
    assert (len(sets.train), len(sets.test)) == (4 * TEST_IMAGES, TEST_IMAGES)
    x, noise = sv.data.to_float(sets.test), torch.zeros(TEST_IMAGES, 32)
    plain = sv.SplitVAE.loss(model, x, noise, 0.1, 1.0).total
    price = names["total_variation"](model.reconstruct(x).sigma_map).mean()
    torch.testing.assert_close(model.loss(x, noise, 0.1, 1.0).total, plain + 0.1 * price)
    stripes = torch.arange(4.0).remainder(2).expand(1, 1, 3, 4)  # three borders in three rows
    assert names["total_variation"](stripes).tolist() == [9]
    run = sv.runs.Run.open(tmp_path / "runs/mine/calm-0")
    assert (run.train_config.steps, run.held_out) == (steps, 50)
    assert run.best_checkpoint() is not None and type(names["best"]) is type(model)

    # scores
    assert sv.fid.network("mine") is network
    assert names["scores"]["theirs"][0].value > names["scores"]["real"][0].value
    kernel = names["scores"]["theirs"][1]
    assert kernel.value > 2 * kernel.standard_error
    assert names["evaluation"].score("prior").metric == "FID (Mine)"
    assert len(list((tmp_path / "runs/mine/calm-0").glob("evaluation-*.json"))) == 1

    # seeds
    assert names["difference"].n == len(names["SEEDS"])
    calm, free = np.mean(names["calm"]), np.mean(names["free"])
    assert names["difference"].mean == pytest.approx(calm - free)
    cells = names["record"]["cells"]
    assert {(c["variant"], c["seed"]) for c in cells} == {
        (variant, seed) for variant in ("split-vae", "calm-split-vae") for seed in names["SEEDS"]
    }
    assert names["record"]["settings"]["data"] == sets.name

    # files
    for name, tensor in model.state_dict().items():
        assert names["plain"][name].shape == tensor.shape
        torch.testing.assert_close(
            names["again"].state_dict()[name], tensor.cpu(), rtol=1e-3, atol=1e-4
        )
    said = capsys.readouterr().out
    assert "weights random, seed 0" in said and f"of the test images of {sets.name}" in said


def test_each_demonstration_for_lectures_runs_by_itself() -> None:
    explorer = mock.patch.object(widgets, "latent_explorer", wraps=widgets.latent_explorer)
    mixer = mock.patch.object(widgets, "sigma_mixer", wraps=widgets.sigma_mixer)
    with explorer as shown, mixer as mixed:
        for block in blocks_of("docs/teaching.md"):
            exec(block, {})
    assert (shown.call_count, mixed.call_count) == (1, 1)


def test_the_paper_is_cited_as_citation_cff_names_it() -> None:
    page = (ROOT / "docs" / "your_own_research.md").read_text(encoding="utf-8")
    cited = (ROOT / "CITATION.cff").read_text(encoding="utf-8").split("references:")[1]
    for field in (r"    title: \"(.*)\"", r"arXiv:([\d.]+)\"", r"family-names: (\w+)"):
        found = re.findall(field, cited)
        assert found and all(f in page for f in found)
