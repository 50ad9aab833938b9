"""Live widgets: what their controls do, and what stays where nothing is live."""

from __future__ import annotations

import base64
import io
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
import torch
from PIL import Image

import svae_lib as sv
from svae_lib import widgets
from svae_lib.inference import decode_all, encode_all, reconstruct_all
from svae_lib.sampling import mix
from svae_lib.support.checks import InputError
from svae_lib.widgets.frames import parts_of

ROOT = Path(__file__).parents[1]
VIEW = "application/vnd.jupyter.widget-view+json"


@pytest.fixture
def model(tiny: sv.ModelConfig) -> sv.VAE:
    """A SplitVAE with random weights, livelier than Keras' initialisation makes it."""
    model = sv.build_model("split-vae", tiny, seed=4).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2)
    return model


def image_tags(text: str) -> list[dict[str, Any]]:
    """The attributes of every <img> in some HTML."""
    found: list[dict[str, Any]] = []

    class Parser(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            if tag == "img":
                found.append(dict(attrs))

    Parser().feed(text)
    return found


def pixels(panel: widgets.Panel) -> np.ndarray:
    """What is shown in the page."""
    (tag,) = image_tags(panel._repr_mimebundle_()["text/html"])
    with Image.open(io.BytesIO(base64.b64decode(tag["src"].split(",")[1]))) as image:
        assert image.size == (int(tag["width"]), int(tag["height"]))
        return np.asarray(image.convert("RGB"))


# ---------------------------------------------------------------- the picture


def test_each_pixel_becomes_a_square_of_its_colour() -> None:
    images = torch.tensor([[[[0.0, 1.0], [0.4, 0.2]]]])
    drawn = np.asarray(widgets.draw({"": images}))
    left = drawn.shape[1] - drawn.shape[0]  # the margin of the labels; the image is square
    square = drawn[:, left:]
    scale = len(square) // 2
    assert scale >= 32
    for row, column, level in ((0, 0, 0), (0, 1, 255), (1, 0, 102), (1, 1, 51)):
        part = square[row * scale : (row + 1) * scale, column * scale : (column + 1) * scale]
        assert (part == level).all()


def test_maps_are_coloured_and_rows_keep_their_order() -> None:
    grey = torch.full((3, 1, 4, 4), 0.5)
    drawn = np.asarray(widgets.draw({"a": grey, "b": grey}, maps=["b"]))
    height = len(drawn) // 2
    x = drawn.shape[1] - 10
    assert drawn[height // 2, x].tolist() == [128, 128, 128]
    assert len(set(drawn[height + height // 2, x].tolist())) == 3  # viridis has no grey


def test_colour_images_and_grey_ones_fit_side_by_side() -> None:
    red = torch.zeros(1, 3, 4, 4)
    red[:, 0] = 1
    drawn = np.asarray(widgets.draw({"x": red, "σ": torch.ones(1, 1, 4, 4)}, across=True))
    assert drawn[-5, 5].tolist() == [255, 0, 0]
    assert drawn[-5, -5].tolist() == [255, 255, 255]


# ---------------------------------------------------------------- latent explorer


def test_the_explorer_starts_at_the_image_and_follows_its_sliders(
    model: sv.VAE, blobs: torch.Tensor
) -> None:
    panel = widgets.latent_explorer(model, blobs)
    mu, _ = encode_all(model, blobs)
    order = mu.var(dim=0).argsort(descending=True).tolist()
    assert [name for name in panel.controls if name.startswith("z")] == [f"z{k}" for k in order]
    k = order[0]
    assert panel.values[f"z{k}"] == pytest.approx(mu[0, k].item())

    before = pixels(panel)
    panel.controls[f"z{k}"].value = 2.0
    assert not np.array_equal(pixels(panel), before)
    assert f"z[{k}] = 2.00" in panel.frame.alt_text
    z = mu[:1].clone()
    z[0, k] = 2.0
    rows, maps = parts_of(decode_all(model, z))
    expected = np.asarray(widgets.draw(rows, maps, across=True))
    np.testing.assert_array_equal(pixels(panel), expected)

    panel.controls["reset"].click()
    np.testing.assert_array_equal(pixels(panel), before)


def test_the_explorer_goes_to_another_image_and_to_the_prior(
    model: sv.VAE, blobs: torch.Tensor
) -> None:
    mu, _ = encode_all(model, blobs)
    panel = widgets.latent_explorer(model, blobs)
    panel.controls["image"].value = 7
    assert panel.values["z0"] == pytest.approx(mu[7, 0].item())
    panel.controls["prior"].click()
    first = pixels(panel)
    panel.controls["prior"].click()
    assert not np.array_equal(pixels(panel), first)  # another draw
    panel.controls["reset"].click()
    assert panel.values["z0"] == pytest.approx(mu[7, 0].item())


def test_the_explorer_takes_a_plain_vae(tiny: sv.ModelConfig, blobs: torch.Tensor) -> None:
    panel = widgets.latent_explorer(sv.build_model("vae", tiny).eval(), blobs)
    assert panel.frame.alt_text.startswith("x decoded from")


def test_the_explorer_shows_more_than_two_images(blobs: torch.Tensor) -> None:
    config = sv.ModelConfig(16, 1, 3, base_dim=4, embedding_dim=8, num_scales=2, components=3)
    panel = widgets.latent_explorer(sv.build_model("split-vae", config).eval(), blobs)
    assert panel.frame.alt_text.startswith("w₁, w₂, w₃, x₁, x₂, x₃, x decoded from")


def test_the_explorer_says_what_it_needs(model: sv.VAE, blobs: torch.Tensor) -> None:
    with pytest.raises(InputError, match="at least 2"):
        widgets.latent_explorer(model, blobs[:1])


# ---------------------------------------------------------------- sigma mixer


def test_the_mixer_shows_what_mix_computes(model: sv.VAE, blobs: torch.Tensor) -> None:
    panel = widgets.sigma_mixer(model, blobs, n=3)
    own = reconstruct_all(model, blobs[:3])
    x = sv.data.to_float(blobs[:3])

    def expected(**changes: object) -> str:
        errors = [sv.reconstruction_error(x, o.x_hat).mean() for o in (mix(own, **changes), own)]  # type: ignore[arg-type]
        return f"{errors[0]:.1f} now, {errors[1]:.1f}"

    assert expected() in panel.frame.readout
    panel.set(map="constant", constant=0.25, swap=True)
    assert expected(sigma=0.25, swap=True) in panel.frame.readout
    assert "0.25 everywhere" in panel.frame.alt_text and "swapped" in panel.frame.alt_text
    panel.set(map="the model's", swap=False, sharpness=5.0)
    assert expected(sharpness=5.0) in panel.frame.readout
    assert "sharpness 5.0" in panel.frame.alt_text


def test_the_mixer_can_be_steered_only_where_it_matters(model: sv.VAE, blobs: torch.Tensor) -> None:
    panel = widgets.sigma_mixer(model, blobs)
    assert panel.controls["constant"].disabled
    panel.set(map="constant")
    assert not panel.controls["constant"].disabled


def test_the_mixer_refuses_a_plain_vae(tiny: sv.ModelConfig, blobs: torch.Tensor) -> None:
    with pytest.raises(InputError, match="SplitVAE"):
        widgets.sigma_mixer(sv.build_model("vae", tiny).eval(), blobs)


def test_the_mixer_refuses_a_count_by_its_name(model: sv.VAE, blobs: torch.Tensor) -> None:
    with pytest.raises(InputError, match=r"^n must be at least 1"):
        widgets.sigma_mixer(model, blobs, n=-3)


# ---------------------------------------------------------------- training monitor


def test_the_monitor_draws_while_training(
    model: sv.VAE, blobs: torch.Tensor, fast: sv.TrainConfig
) -> None:
    trainer = sv.Trainer(model, blobs, fast, "cpu")
    monitor = widgets.training_monitor(trainer, every=0)
    assert monitor.figure is None
    seen: list[str] = []

    def look(_: sv.Trainer) -> None:
        assert monitor.figure is not None
        seen.append(monitor.figure.alt_text)

    trainer.fit(progress=False, on_log=[monitor, look])
    assert len(set(seen)) == len(trainer.history["step"]) > 2
    assert f"step {trainer.history['step'][0]:g} to {trainer.step:g}" in seen[-1]
    assert "gamma" in seen[-1]


def test_the_monitor_saves_its_time_but_shows_the_end(
    model: sv.VAE, blobs: torch.Tensor, fast: sv.TrainConfig
) -> None:
    trainer = sv.Trainer(model, blobs, fast, "cpu")
    monitor = widgets.training_monitor(trainer, every=1e9)
    trainer.fit(15, progress=False, on_log=[monitor])
    assert monitor.figure is not None and "step 5 to 5" in monitor.figure.alt_text
    trainer.fit(progress=False, on_log=[monitor])
    assert f"step 5 to {fast.steps}" in monitor.figure.alt_text


# ---------------------------------------------------------------- without a front end


def test_the_output_holds_the_live_panel_and_the_picture(
    model: sv.VAE, blobs: torch.Tensor
) -> None:
    panel = widgets.sigma_mixer(model, blobs)
    bundle = panel._repr_mimebundle_()
    assert bundle[VIEW]["model_id"] == panel.box.model_id
    (image,) = image_tags(bundle["text/html"])
    assert image["alt"] == panel.frame.alt_text
    assert bundle["text/plain"] == repr(panel)
    assert panel.frame.alt_text in repr(panel)


def test_widgets_say_what_is_missing(
    model: sv.VAE, blobs: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    with pytest.raises(InputError, match=r"ipywidgets.*svae-lib\[course\]"):
        widgets.sigma_mixer(model, blobs)


CELLS = (
    "import torch, svae_lib as sv\n"
    "from svae_lib import widgets\n"
    "config = sv.ModelConfig(16, 1, 3, base_dim=4, embedding_dim=8, num_scales=2)\n"
    "model = sv.build_model('split-vae', config).eval()\n"
    "images = torch.randint(0, 256, (40, 1, 16, 16), dtype=torch.uint8)",
    "widgets.sigma_mixer(model, images)",
    "config = sv.TrainConfig(steps=6, batch_size=8, log_every=2)\n"
    "trainer = sv.Trainer(model, images, config, 'cpu')\n"
    "monitor = widgets.training_monitor(trainer, every=0)\n"
    "trainer.fit(progress=False, on_log=[monitor]);",
)


@pytest.mark.thorough
def test_an_executed_notebook_keeps_pictures_with_their_text(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    nbclient, nbconvert = pytest.importorskip("nbclient"), pytest.importorskip("nbconvert")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in CELLS])
    done = nbclient.NotebookClient(notebook, kernel_name="python3", timeout=300).execute()

    (mixer,) = done.cells[1].outputs
    assert image_tags(mixer.data["text/html"])[0]["alt"].startswith("8 images in rows: original, σ")
    # One picture, replaced at each entry of the history, that shows the last one.
    curves = [o for o in done.cells[2].outputs if "text/html" in o.get("data", {})]
    assert len(curves) == 1
    assert "step 2 to 6" in image_tags(curves[0].data["text/html"])[0]["alt"]

    done.metadata.pop("widgets", None)  # the course stores no widget state
    page, _ = nbconvert.HTMLExporter().from_notebook_node(done)
    alts = [image["alt"] or "" for image in image_tags(page)]
    assert any(alt.startswith("8 images in rows") for alt in alts)
    assert any(alt.startswith("Training curves") for alt in alts)


def test_ten_components_are_all_shown() -> None:
    weights = torch.full((1, 10, 1, 4, 4), 0.1)
    rows, maps = parts_of(sv.Decoded(torch.rand(1, 1, 4, 4), torch.rand(1, 10, 1, 4, 4), weights))
    assert maps[-1] == "w₁₀" and "x₁₀" in rows and len(rows) == 21
