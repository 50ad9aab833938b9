"""Diagnostics: latent statistics, frequencies and contours of sigma, kinds of split."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from svae_lib import data, diagnostics
from svae_lib.diagnostics import (
    chance_agreement,
    component_contrast,
    contour_agreement,
    latent_statistics,
    noise_nyquist_share,
    nyquist_share,
    split_kind,
    tensors,
)
from svae_lib.support.checks import InputError

N, SIZE = 60, 32


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def checkerboard(n: int = N, height: int = SIZE, width: int = SIZE) -> Tensor:
    y, x = torch.arange(height), torch.arange(width)
    return ((y[:, None] + x) % 2).float().expand(n, 1, height, width).clone()


def blobs(n: int = N, seed: int = 1) -> Tensor:
    """Smooth maps that know nothing of any image, in (0, 1)."""
    coarse = torch.randn(n, 1, 5, 5, generator=generator(seed))
    return torch.sigmoid(3 * torch.nn.functional.interpolate(coarse, SIZE, mode="bicubic"))


def discs(n: int = N, seed: int = 2) -> Tensor:
    """A bright disc of random place and size on a dark ground."""
    g = generator(seed)
    centre = 8 + 16 * torch.rand(n, 2, 1, 1, generator=g)
    radius = 4 + 4 * torch.rand(n, 1, 1, generator=g)
    y = torch.arange(SIZE)[:, None] - centre[:, 0]
    x = torch.arange(SIZE) - centre[:, 1]
    return torch.sigmoid(2 * (radius - (y.square() + x.square()).sqrt()))[:, None]


def outlines(images: Tensor) -> Tensor:
    """One-pixel outlines, by the differences to the right and the lower neighbour."""
    grey = images.mean(dim=1, keepdim=True)
    padded = torch.nn.functional.pad(grey, (0, 1, 0, 1), mode="replicate")
    edges = (padded[..., :-1, 1:] - grey).abs() + (padded[..., 1:, :-1] - grey).abs()
    return edges / edges.amax(dim=(2, 3), keepdim=True)


@pytest.fixture(scope="module")
def digits() -> Tensor:
    test = data.load("mnist-5k").test
    return data.to_float(test[torch.randperm(len(test), generator=generator())[:N]])


# ------------------------------------------------------------------ latent variables


def test_latent_statistics_match_numpy() -> None:
    mu = torch.randn(50, 4, generator=generator())
    log_var = torch.randn(50, 4, generator=generator(1))
    stats = latent_statistics(mu, log_var)
    means = mu.double().numpy()
    widths = np.exp(log_var.double().numpy()).mean(axis=0)
    np.testing.assert_allclose(stats.variance_of_means, means.var(axis=0))
    np.testing.assert_allclose(stats.mean_variance, widths)
    np.testing.assert_allclose(stats.law, means.var(axis=0) + widths)


def test_law_is_the_variance_of_the_aggregate_posterior() -> None:
    mu = torch.tensor([[-1.0, 0.0], [1.0, 2.0], [3.0, 0.0]])
    log_var = torch.tensor([[0.0, -1.0], [-2.0, 0.5], [0.3, 0.0]])
    noise = torch.randn(200_000, 3, 2, generator=generator())
    z = (mu + noise * torch.exp(log_var / 2)).flatten(0, 1)
    law = latent_statistics(mu, log_var).law
    torch.testing.assert_close(z.double().var(dim=0), law, rtol=0.01, atol=0)


def test_each_rule_makes_a_variable_inactive() -> None:
    # Columns: active; means too still; posterior too wide; both.
    spread = torch.tensor([1.0, 0.2, 1.0, 0.0])
    width = torch.tensor([0.1, 0.5, 0.96, 1.0])
    mu = torch.tensor([[-1.0], [1.0]]) * spread
    stats = latent_statistics(mu, width.log().expand(2, 4))
    assert stats.inactive.tolist() == [False, True, True, True]
    assert stats.active_count == 1
    assert stats.summary()["inactive"] == 3
    assert str(stats).startswith("1 of 4 latent variables are active")


@pytest.mark.parametrize(
    ("mu", "log_var", "words"),
    [
        (torch.zeros(5, 3), torch.zeros(5, 2), "both have the shape"),
        (torch.zeros(5), torch.zeros(5), "both have the shape"),
        (torch.zeros(1, 3), torch.zeros(1, 3), "at least two images"),
        (torch.zeros(5, 0), torch.zeros(5, 0), "one latent variable"),
        (torch.full((5, 3), math.nan), torch.zeros(5, 3), "NaN"),
        (torch.zeros(5, 3), torch.full((5, 3), math.inf), "NaN or infinity"),
    ],
)
def test_latent_statistics_refuse(mu: Tensor, log_var: Tensor, words: str) -> None:
    with pytest.raises(InputError, match=words):
        latent_statistics(mu, log_var)


# ------------------------------------------------------------------ frequencies


@pytest.mark.parametrize(("height", "width"), [(32, 32), (64, 64), (16, 48)])
def test_nyquist_share_of_patterns(height: int, width: int) -> None:
    board = checkerboard(2, height, width)
    rows = (torch.arange(height) % 2).float()[:, None].expand(2, 1, height, width)
    columns = (torch.arange(width) % 2).float().expand(2, 1, height, width)
    for pattern in (board, rows, columns, 1 - board, 0.4 + 0.01 * board):
        torch.testing.assert_close(nyquist_share(pattern), torch.ones(2).double())
    assert nyquist_share(torch.full((2, 1, height, width), 0.3)).tolist() == [0, 0]
    assert nyquist_share(blobs(2)).max() < 0.05


def test_nyquist_share_splits_energy_as_parseval_says() -> None:
    # A cosine of amplitude b has the variance b^2 / 2, a checkerboard of +-a has a^2.
    a, b = 0.2, 0.15
    wave = b * torch.cos(2 * math.pi * 3 * torch.arange(SIZE) / SIZE)
    sigma = 0.5 + a * (2 * checkerboard(1) - 1) + wave
    expected = a**2 / (a**2 + b**2 / 2)
    assert nyquist_share(sigma).item() == pytest.approx(expected, abs=1e-6)


def test_nyquist_band_begins_at_three_eighths() -> None:
    for cycles, inside in ((11, 0.0), (12, 1.0), (16, 1.0)):
        wave = 0.5 + 0.4 * torch.cos(2 * math.pi * cycles * torch.arange(SIZE) / SIZE)
        for sigma in (wave.expand(SIZE, SIZE), wave[:, None].expand(SIZE, SIZE)):
            assert nyquist_share(sigma[None, None]).item() == pytest.approx(inside, abs=1e-6)


def test_white_noise_scores_its_baseline() -> None:
    noise = torch.rand(200, 1, SIZE, SIZE, generator=generator())
    # Of 32 frequencies an axis, 23 lie below 12/32; the constant one is not counted.
    assert noise_nyquist_share(SIZE, SIZE) == pytest.approx((32**2 - 23**2) / (32**2 - 1))
    assert nyquist_share(noise).mean().item() == pytest.approx(
        noise_nyquist_share(SIZE, SIZE), abs=0.01
    )


def test_rounding_errors_are_not_alternation() -> None:
    nearly = 0.5 + 1e-8 * torch.randn(3, 1, SIZE, SIZE, generator=generator(), dtype=torch.double)
    assert nyquist_share(nearly).tolist() == [0, 0, 0]


# ------------------------------------------------------------------ contours


def test_contour_agreement_of_followers(digits: Tensor) -> None:
    for images in (digits, discs()):
        for sigma in (images, 1 - images, (images > 0.5).float(), outlines(images)):
            scores = contour_agreement(sigma, images)
            assert scores.shape == (N,) and scores.dtype == torch.float64
            assert scores.mean() > 0.8
            assert scores.max() <= 1


def test_contour_agreement_of_the_blind(digits: Tensor) -> None:
    for images in (digits, discs()):
        for sigma in (torch.full_like(images, 0.7), checkerboard()):
            torch.testing.assert_close(
                contour_agreement(sigma, images), torch.zeros(N).double(), rtol=0, atol=1e-6
            )
        # A strip of pixels that alternate is no contour either.
        rows = (torch.arange(SIZE) % 2).float()[:, None].expand_as(images)
        assert contour_agreement(rows, images).abs().max() < 1e-6
    assert abs(contour_agreement(blobs(), discs()).mean()) < 0.1


def test_contour_agreement_needs_contours() -> None:
    flat = torch.full((N, 1, SIZE, SIZE), 0.4)
    assert contour_agreement(discs(), flat).tolist() == [0] * N


def test_contours_between_colours_of_one_lightness_count() -> None:
    disc = discs()
    coloured = torch.cat((disc, 1 - disc, torch.full_like(disc, 0.5)), dim=1)
    assert coloured.mean(dim=1).std() < 1e-6
    assert contour_agreement(disc, coloured).mean() > 0.9


def test_a_contour_in_all_colours_is_the_root_of_three_as_strong_as_in_one() -> None:
    """The length of the gradient over all channels, not the sum of the channels' lengths."""
    y, x = torch.arange(SIZE)[:, None], torch.arange(SIZE)
    left, right = ((0.5 * ((x - c) ** 2 + (y - 16) ** 2 < 25)).float() for c in (8, 24))
    image = torch.stack((left + right, left, left))[None]
    weaker, right_one, stronger = (
        contour_agreement((left + right / ratio)[None, None], image).item()
        for ratio in (1, math.sqrt(3), 3)
    )
    assert right_one > weaker and right_one > stronger


def test_contour_agreement_sinks_as_the_map_moves_away() -> None:
    images = discs()
    scores = [contour_agreement(images.roll(d, dims=3), images).mean() for d in (0, 2, 4, 8)]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] - scores[-1] > 0.5


def test_chance_is_what_a_blob_in_the_middle_gets(digits: Tensor) -> None:
    offset = (torch.arange(SIZE) - 15.5).square()
    blob = torch.exp(-(offset[:, None] + offset) / 80).expand_as(digits)
    raw = contour_agreement(blob, digits).mean().item()
    assert raw > 0.5  # digits lie in the middle, so any map of the middle agrees with them
    assert chance_agreement(blob, digits) == pytest.approx(raw, abs=0.05)
    assert split_kind(blob, digits).semantic < 0.1


def test_chance_is_not_fooled_by_sorted_images() -> None:
    # Ten kinds of image, six nearly equal ones of each in a row, as in data sorted by class.
    kinds = discs(10).repeat_interleave(6, dim=0)
    images = kinds * (1 - 0.01 * torch.rand(60, 1, 1, 1, generator=generator()))
    neighbours = contour_agreement(images.roll(1, dims=0), images).mean()
    assert chance_agreement(images, images) < 0.5 < neighbours


def test_chance_leaves_out_equal_images() -> None:
    images = discs(1).expand(N, -1, -1, -1)
    assert chance_agreement(images, images) == 0
    assert split_kind(images, images).label == "semantic"
    assert chance_agreement(discs(1), discs(1)) == 0


# ------------------------------------------------------------------ kinds of split


def test_kinds_of_constructed_splits(digits: Tensor) -> None:
    for images in (digits, discs()):
        expected = {
            "syntactic": [checkerboard(), 0.5 + 0.3 * (checkerboard() - 0.5)],
            "semantic": [images, 1 - images, outlines(images), (images > 0.5).float()],
            "unclear": [blobs()],
            "none": [torch.full_like(images, 0.3), 0.5 + 0.01 * images],
        }
        for label, maps in expected.items():
            for sigma in maps:
                kind = split_kind(sigma, images)
                assert kind.label == label, str(kind)


def test_a_checkerboard_whose_strength_follows_the_image_stays_syntactic(digits: Tensor) -> None:
    sigma = 0.5 + (checkerboard() - 0.5) * outlines(digits)
    kind = split_kind(sigma, digits)
    assert kind.label == "syntactic"
    assert kind.semantic < diagnostics.SEMANTIC_FROM


def test_both_at_once_is_mixed() -> None:
    images = discs()
    spread = images.std(dim=(2, 3), correction=0, keepdim=True)
    # The alternation's energy (a / 2)^2 is 3/7 of the image's: a share of about .3.
    amplitude = 2 * spread * math.sqrt(3 / 7)
    sigma = (0.5 * images + 0.5 * amplitude * checkerboard()).clamp(0, 1)
    kind = split_kind(sigma, images)
    assert kind.sigma_share == pytest.approx(0.3, abs=0.05)
    assert kind.label == "mixed"


def test_complementary_components_are_syntactic_under_any_map() -> None:
    images, board = discs(), checkerboard()
    components = torch.stack((images * board, images * (1 - board)), dim=1)
    kind = split_kind(images, images, components)
    assert kind.label == "syntactic"
    assert kind.difference_share is not None and kind.difference_share > 0.5 > kind.sigma_share
    assert split_kind(images, images).label == "semantic"


def test_a_split_between_equals_is_none() -> None:
    images = discs()
    equal = torch.stack((images, images), dim=1)
    kind = split_kind(images, images, equal)
    assert (kind.label, kind.contrast) == ("none", 0)
    for gap, label in ((0.005, "none"), (0.02, "semantic")):  # grey levels: 1.3 and 5.1
        close = torch.stack((0.9 * images, 0.9 * images + gap), dim=1)
        assert split_kind(images, images, close).label == label
    apart = torch.stack((images, 0.5 * images), dim=1)
    assert split_kind(images, images, apart).label == "semantic"


def test_split_kind_reports_activity_and_is_readable() -> None:
    kind = split_kind(checkerboard(), discs())
    assert kind.activity == pytest.approx(0.5)
    assert kind.syntactic == pytest.approx(1)
    assert str(kind).startswith("syntactic (alternation 1.00")


def test_results_do_not_depend_on_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    images, sigma = discs(), blobs()
    components = torch.stack((images, sigma, images * sigma), dim=1)
    whole = split_kind(sigma, images, components)
    monkeypatch.setattr(tensors, "PIECE", 7)
    parts = split_kind(sigma, images, components)
    assert parts.label == whole.label
    for name in ("syntactic", "semantic", "activity", "contrast", "chance"):
        assert getattr(parts, name) == pytest.approx(getattr(whole, name), rel=1e-9)


def test_maps_with_gradients_and_half_precision_are_welcome() -> None:
    sigma = discs().to(torch.bfloat16).requires_grad_()
    kind = split_kind(sigma, discs())
    assert kind.label == "semantic"


def test_component_contrast() -> None:
    one, two = torch.full((3, 1, 8, 8), 0.2), torch.full((3, 1, 8, 8), 0.7)
    pair = component_contrast(torch.stack((one, two), dim=1))
    torch.testing.assert_close(pair, torch.full((3,), 0.5).double())
    # Of 0.2, 0.2 and 0.7 the three gaps are 0, 0.5 and 0.5.
    three = component_contrast(torch.stack((one, one, two), dim=1))
    torch.testing.assert_close(three, torch.full((3,), 1 / 3).double())


@pytest.mark.parametrize(
    ("sigma", "images", "words"),
    [
        (torch.rand(4, 2, 32, 32), torch.rand(4, 1, 32, 32), r"\(N, 1, H, W\)"),
        (torch.rand(0, 1, 32, 32), torch.rand(0, 1, 32, 32), r"\(N, 1, H, W\)"),
        (torch.rand(4, 1, 32, 32), torch.rand(3, 1, 32, 32), "must agree"),
        (torch.rand(4, 1, 32, 32), torch.rand(4, 3, 16, 16), "must agree"),
        (torch.rand(4, 1, 4, 4), torch.rand(4, 1, 4, 4), "at least 8x8"),
        (3 * torch.ones(4, 1, 32, 32), torch.rand(4, 1, 32, 32), "between 3 and 3"),
        (torch.rand(4, 1, 32, 32), 255 * torch.ones(4, 1, 32, 32), "images must lie"),
        (torch.full((4, 1, 32, 32), math.nan), torch.rand(4, 1, 32, 32), "must not hold NaN"),
        (torch.zeros(4, 1, 32, 32).byte(), torch.rand(4, 1, 32, 32), "must be floats"),
    ],
)
def test_split_kind_refuses(sigma: Tensor, images: Tensor, words: str) -> None:
    with pytest.raises(InputError, match=words):
        split_kind(sigma, images)


def test_components_of_another_shape_are_refused() -> None:
    with pytest.raises(InputError, match=r"\(N, K, C, H, W\)"):
        component_contrast(torch.rand(4, 1, 1, 8, 8))
    with pytest.raises(InputError, match="must agree"):
        split_kind(discs(4), discs(4), torch.rand(3, 2, 1, SIZE, SIZE))


def test_arrays_are_told_to_become_tensors() -> None:
    maps = torch.rand(4, 1, 32, 32)
    calls = (
        lambda: split_kind(maps.numpy(), maps),  # type: ignore[arg-type]
        lambda: split_kind(maps, maps.numpy()),  # type: ignore[arg-type]
        lambda: nyquist_share(maps.numpy()),  # type: ignore[arg-type]
        lambda: component_contrast(torch.rand(4, 2, 1, 8, 8).numpy()),  # type: ignore[arg-type]
        lambda: latent_statistics(torch.rand(4, 2).numpy(), torch.rand(4, 2)),  # type: ignore[arg-type]
    )
    for call in calls:
        with pytest.raises(InputError, match=r"torch\.from_numpy"):
            call()
