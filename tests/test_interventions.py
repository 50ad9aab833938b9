"""Setting parts of a decoder by hand: the map, the order of the images, latent variables."""

from __future__ import annotations

import pytest
import torch

import svae_lib as sv
from svae_lib.models import Decoded
from svae_lib.sampling import explore, mix, sharpen
from svae_lib.support.checks import InputError


@pytest.fixture
def split() -> Decoded:
    """A split of 5 RGB images, drawn at random."""
    generator = torch.Generator().manual_seed(3)
    components = torch.rand(5, 2, 3, 8, 8, generator=generator)
    sigma = torch.rand(5, 1, 8, 8, generator=generator)
    weights = torch.stack((sigma, 1 - sigma), dim=1)
    return Decoded((weights * components).sum(dim=1), components, weights)


# ---------------------------------------------------------------- sharpening


def test_sharpen_is_the_ratio_of_powers() -> None:
    sigma = torch.linspace(0, 1, 21, dtype=torch.float64)
    for t in (0.0, 0.5, 1.0, 2.0, 3.5):
        expected = sigma**t / (sigma**t + (1 - sigma) ** t)
        torch.testing.assert_close(sharpen(sigma, t), expected)


def test_sharpen_treats_both_images_alike_and_ends_in_a_choice() -> None:
    sigma = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(sharpen(1 - sigma, 3.0), 1 - sharpen(sigma, 3.0))
    torch.testing.assert_close(sharpen(sharpen(sigma, 2.0), 3.0), sharpen(sigma, 6.0))
    assert torch.equal(sharpen(sigma, 1e6).round(), (sigma > 0.5).float())


@pytest.mark.parametrize("t", [-1.0, float("nan"), float("inf")])
def test_a_sharpness_without_meaning_is_refused(t: float) -> None:
    with pytest.raises(InputError, match="sharpness"):
        sharpen(torch.tensor([0.5]), t)


# ---------------------------------------------------------------- mixing


def test_nothing_changed_is_the_models_own_mixture(split: Decoded) -> None:
    again = mix(split)
    torch.testing.assert_close(again.x_hat, split.x_hat)
    assert torch.equal(again.sigma_map, split.sigma_map)


def test_a_constant_of_one_zero_and_a_half(split: Decoded) -> None:
    torch.testing.assert_close(mix(split, 1.0).x_hat, split.x1)
    torch.testing.assert_close(mix(split, 0.0).x_hat, split.x2)
    torch.testing.assert_close(mix(split, 0.5).x_hat, (split.x1 + split.x2) / 2)


def test_one_sigma_per_image(split: Decoded) -> None:
    each = torch.linspace(0, 1, 5)[:, None, None, None]
    mixed = mix(split, each)
    assert mixed.sigma_map.shape == split.sigma_map.shape
    torch.testing.assert_close(mixed.x_hat, each * split.x1 + (1 - each) * split.x2)


def test_swapping_the_images_is_turning_the_map_around(split: Decoded) -> None:
    swapped = mix(split, swap=True)
    assert torch.equal(swapped.x1, split.x2)
    assert torch.equal(swapped.sigma_map, split.sigma_map)
    torch.testing.assert_close(swapped.x_hat, mix(split, 1 - split.sigma_map).x_hat)
    # What the model emits, x and its mirror image add up to x1 + x2.
    torch.testing.assert_close(swapped.x_hat + split.x_hat, split.x1 + split.x2)


def test_the_map_is_replaced_then_sharpened(split: Decoded) -> None:
    torch.testing.assert_close(mix(split, 0.8, sharpness=2.0).sigma_map[0, 0, 0, 0].item(), 16 / 17)
    assert torch.equal(mix(split, sharpness=0.0).sigma_map, torch.full((5, 1, 8, 8), 0.5))


def test_mixing_leaves_its_argument_alone(split: Decoded) -> None:
    assert split.components is not None and split.weights is not None
    before = split.components.clone(), split.weights.clone()
    mix(split, 0.3, swap=True, sharpness=4.0)
    assert torch.equal(split.components, before[0])
    assert torch.equal(split.weights, before[1])


def test_what_cannot_be_mixed_is_refused(split: Decoded, tiny: sv.ModelConfig) -> None:
    with pytest.raises(InputError, match="split into two"):
        mix(Decoded(split.x_hat))
    for shape in ((5, 8, 8), (8,), (4, 1, 8, 8), (5, 3, 8, 8)):
        with pytest.raises(InputError, match="shape"):
            mix(split, torch.rand(shape))
    with pytest.raises(InputError, match=r"\[0, 1\]"):
        mix(split, 1.5)
    with pytest.raises(InputError, match=r"\[0, 1\]"):
        mix(split, float("nan"))


# ---------------------------------------------------------------- latent variables


def test_only_the_named_variables_change(tiny: sv.ModelConfig) -> None:
    model = sv.build_model("split-vae", tiny, seed=1).eval()
    z = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    expected = z.clone()
    expected[:, 1] = 2.5
    found = explore(model, z, {1: 2.5})
    with torch.no_grad():
        torch.testing.assert_close(found.x_hat, model.decode(expected).x_hat)
    assert z[0, 1] != 2.5


def test_one_vector_is_a_batch_of_one(tiny: sv.ModelConfig) -> None:
    model = sv.build_model("vae", tiny, seed=1).eval()
    z = torch.randn(3, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(explore(model, z, {}).x_hat, explore(model, z[None], {}).x_hat)


@pytest.mark.parametrize("changes", [{3: 0.0}, {-1: 0.0}, {0: float("nan")}])
def test_changes_without_meaning_are_refused(
    tiny: sv.ModelConfig, changes: dict[int, float]
) -> None:
    model = sv.build_model("vae", tiny).eval()
    with pytest.raises(InputError, match="latent variable"):
        explore(model, torch.zeros(1, 3), changes)
