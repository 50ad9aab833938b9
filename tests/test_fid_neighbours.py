"""Precision and recall: torch-fidelity's, counted by hand, and what they tell apart."""

from __future__ import annotations

import pytest
import torch
from torch_fidelity.metric_prc import (
    KEY_METRIC_PRECISION,
    KEY_METRIC_RECALL,
    prc_features_to_metric,
)

import svae_lib as sv
from svae_lib.fid import distance, precision_recall, shares_inside
from svae_lib.support.checks import InputError


def samples(n: int, d: int = 4, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("k", [1, 3, 7])
def test_the_shares_are_torch_fidelitys(k: int) -> None:
    real, generated = samples(140), 1.5 * samples(133, seed=1)
    theirs = prc_features_to_metric(generated, real, prc_neighborhood=k, verbose=False)
    precision, recall = shares_inside(real, generated, neighbours=k)
    assert precision == pytest.approx(theirs[KEY_METRIC_PRECISION])
    assert recall == pytest.approx(theirs[KEY_METRIC_RECALL])
    assert 0 < precision < 1 and 0 < recall <= 1 and precision != recall


def test_on_a_line_they_can_be_counted() -> None:
    real = torch.tensor([[0.0], [1.0], [3.0]])  # radii of the nearest neighbour: 1, 1, 2
    generated = torch.tensor([[-1.5], [-1.0], [2.5], [5.0], [5.5]])  # out, edge, in, edge, out
    assert shares_inside(real, generated, neighbours=1) == pytest.approx((3 / 5, 1))


def test_the_number_of_rows_held_at_a_time_does_not_matter(monkeypatch) -> None:
    real, generated = samples(40), samples(33, seed=1)
    whole = shares_inside(real, generated)
    monkeypatch.setattr(distance, "ROWS", 7)
    assert shares_inside(real, generated) == whole


def test_a_set_lies_inside_itself_and_far_away_nothing_does() -> None:
    features = samples(50) + 1000  # far from 0: differences of large squares
    assert shares_inside(features, features) == (1, 1)
    assert shares_inside(features, features + 100) == (0, 0)


def test_precision_and_recall_tell_missing_quality_from_missing_variety() -> None:
    left, right = samples(100, seed=1) - 20, samples(100, seed=2) + 20
    real = torch.cat((left, right))
    only_left = torch.cat((samples(100, seed=3), samples(100, seed=4))) - 20
    half_wrong = torch.cat((samples(100, seed=3) - 20, samples(100, seed=4)))  # nothing near 0
    precision, recall = shares_inside(real, only_left)
    assert precision > 0.8 and recall < 0.55  # good, but half is missing
    assert 0.4 < shares_inside(real, half_wrong)[0] <= 0.5  # half of them is no good


def test_scores_are_named_and_not_exchanged() -> None:
    network = sv.fid.network("lenet")
    real, one_kind = samples(60, network.dim), 0.01 * samples(40, network.dim, seed=1)
    precision, recall = precision_recall(
        one_kind, real, network, reference_name="invented", neighbours=5
    )
    assert precision.metric == "Precision (LeNet, k = 5)"
    assert recall.metric == "Recall (LeNet, k = 5)"
    assert (precision.value, recall.value) == shares_inside(real, one_kind, 5) == (1, 0)
    for score in (precision, recall):
        assert (score.n, score.n_reference, score.reference) == (40, 60, "invented")
        assert score.standard_error is None and score.weights_hash == network.weights_hash


def test_images_are_taken_as_well_as_features() -> None:
    network, images = sv.fid.network("lenet"), sv.data.load("mnist-5k").test[:30]
    features = sv.fid.extract_features(images, network)
    from_images = precision_recall(images[:20], images[10:], network)
    assert from_images == precision_recall(features[:20], features[10:], network)


@pytest.mark.parametrize(
    ("real", "generated", "k", "words"),
    [
        (samples(3), samples(5), 3, "3 features have no 3 neighbours each"),
        (samples(5), samples(5, 3), 3, "the same network"),
        (samples(5), samples(5)[0], 3, "generated must have the shape"),
        (samples(5) * float("nan"), samples(5), 3, "real contains NaN"),
        (samples(5), samples(5), 0, "neighbours"),
        (samples(5), samples(0), 3, "generated must have the shape"),
        ("abc", samples(5), 3, "real must be an array"),
    ],
)
def test_bad_input(real, generated, k: int, words: str) -> None:
    with pytest.raises(InputError, match=words):
        shares_inside(real, generated, neighbours=k)
