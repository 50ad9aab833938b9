"""What a run shows of itself: right numbers, the same training with and without."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import svae_lib as sv
from svae_lib.experiments.monitoring import SamplePictures, validate
from svae_lib.experiments.runs import Run


def trainer(config: sv.ModelConfig, train: sv.TrainConfig, images: torch.Tensor) -> sv.Trainer:
    return sv.Trainer(sv.build_model("split-vae", config, train.seed), images, train, "cpu")


def test_watched_training_is_bit_identical_to_unwatched(tiny, fast, blobs, tmp_path: Path) -> None:
    alone, watched = trainer(tiny, fast, blobs), trainer(tiny, fast, blobs)
    alone.fit(progress=False)
    global_state = torch.get_rng_state()
    modes = []
    watched.fit(
        progress=False,
        on_log=[
            SamplePictures(tmp_path / "samples", blobs, every=5),
            lambda t: validate(t.model, blobs[:10]),
            lambda t: modes.append(t.model.training),
        ],
    )
    assert all(modes)
    assert torch.equal(torch.get_rng_state(), global_state)
    for name, value in alone.model.state_dict().items():
        assert torch.equal(value, watched.model.state_dict()[name]), name
    assert alone.history == watched.history


def test_pictures_show_images_reconstructions_and_samples(
    tiny, fast, blobs, tmp_path: Path
) -> None:
    t = trainer(tiny, fast, blobs)
    folder = tmp_path / "samples"
    t.fit(progress=False, on_log=[SamplePictures(folder, blobs, every=7, columns=4)])
    # log entries at 5, 10, 15, 20, 24: the first after each multiple of 7, and the last step
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["samples-10.png", "samples-15.png", "samples-24.png"]
    with Image.open(folder / "samples-24.png") as picture:
        assert picture.size == (4 * 18 + 2, 3 * 18 + 2)  # 16 pixels and 2 between
        pixels = torch.from_numpy(np.array(picture.convert("L")))
    assert torch.equal(pixels[2:18, 2:18], blobs[0, 0])
    shown = t.model.reconstruct(blobs[:1].float() / 255).x_hat[0, 0]
    assert (pixels[20:36, 2:18] / 255 - shown.detach()).abs().max() < 0.01
    assert pixels[38:54, 2:18].unique().numel() > 1  # something is drawn from the prior


def test_pictures_of_two_steps_show_the_same_images_and_latents(tiny, blobs, tmp_path) -> None:
    model = sv.build_model("vae", tiny).eval()
    pictures = SamplePictures(tmp_path, blobs)
    a = pictures.draw(model, 1)
    assert not model.training  # it was not before
    blobs.zero_()  # the pictures have their own
    b = pictures.draw(model, 2)
    assert a.read_bytes() == b.read_bytes()


def test_validation_loss_is_the_negative_elbo_at_its_best_gamma(tiny, blobs) -> None:
    model = sv.build_model("split-vae", tiny, seed=2)
    model.train()
    found = validate(model, blobs, beta=3.0, batch_size=13)
    assert model.training
    model.eval()
    noise = sv.sampling.prior_latents(64, 3, 0)
    with torch.no_grad():
        out = model(blobs.float() / 255, noise)
    errors = (blobs.float() / 255 - out.x_hat).square().double()
    kl = sv.kl_divergence(out.mu, out.log_var).mean().item()
    assert found.mse == pytest.approx(errors.mean().item(), rel=1e-5)
    assert found.kl == pytest.approx(kl, rel=1e-5)

    def loss(gamma: float) -> float:  # -log N(x; x_hat, gamma), summed over the pixels
        rate = errors.sum(dim=(1, 2, 3)).mean().item() / (2 * gamma)
        return rate + 256 / 2 * math.log(2 * math.pi * gamma) + 3.0 * kl

    assert found.loss == pytest.approx(min(loss(found.mse * f) for f in (0.9, 1, 1.1)), rel=1e-6)
    assert loss(found.mse) < min(loss(found.mse * 0.98), loss(found.mse * 1.02))


def test_validation_of_points_and_of_a_perfect_model(tiny, blobs) -> None:
    assert validate(sv.build_model("ae", tiny), blobs, beta=3.0).kl == 0
    perfect = sv.build_model("vae", tiny)
    last = perfect.decoder.convolutions[-1]
    torch.nn.init.zeros_(last.weight)
    torch.nn.init.constant_(last.bias, -200.0)  # black, exactly
    found = validate(perfect, torch.zeros_like(blobs))
    assert found.mse == 0 and math.isfinite(found.loss)


def test_what_cannot_be_written_warns_and_training_goes_on(
    tiny, fast, blobs, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way of the folder")
    run = Run.create(tmp_path / "run", "vae", "blobs", tiny, fast)
    pictures = SamplePictures(tmp_path / "file" / "samples", blobs, every=5)
    with pytest.warns(UserWarning, match=r"samples.*goes on"):
        trainer = run.train(blobs, device="cpu", progress=False, on_log=[pictures])
    assert trainer.step == fast.steps == run.steps_taken()


@pytest.mark.parametrize("options", [{"every": 0}, {"columns": 0}])
def test_impossible_pictures_are_refused(blobs, tmp_path: Path, options) -> None:
    with pytest.raises(sv.InputError, match="must be at least 1, not 0"):
        SamplePictures(tmp_path, blobs, **options)


def test_images_that_do_not_fit_leave_the_model_in_training_mode(tiny, blobs, tmp_path) -> None:
    model = sv.build_model("vae", tiny)
    wrong = torch.cat((blobs, blobs), dim=1)
    with pytest.raises(sv.InputError):
        validate(model, wrong)
    with pytest.raises(sv.InputError):
        SamplePictures(tmp_path, wrong).draw(model, 1)
    with pytest.raises(sv.InputError, match="batch_size must be at least 1"):
        validate(model, blobs, batch_size=0)
    assert model.training
