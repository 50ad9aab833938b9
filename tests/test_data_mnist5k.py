"""The embedded digits, and what all data sets have in common."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from svae_lib import data
from svae_lib.data import ImageSets, digits
from svae_lib.support.checks import InputError
from svae_lib.support.files import embedded, file_hash


@pytest.fixture(scope="module")
def sets() -> ImageSets:
    return data.load("mnist-5k")


def test_shapes_and_types(sets: ImageSets) -> None:
    assert sets.name == "mnist-5k"
    assert sets.train.shape == (4000, 1, 32, 32)
    assert sets.test.shape == (1000, 1, 32, 32)
    assert sets.train.dtype == sets.test.dtype == torch.uint8
    assert sets.train_labels.dtype == sets.test_labels.dtype == torch.int64
    assert sets.label_names == tuple(str(digit) for digit in range(10))
    assert "MNIST" in sets.source
    assert repr(sets) == "ImageSets(mnist-5k: 4000 train + 1000 test, 1x32x32)"


def test_stratified_and_shuffled(sets: ImageSets) -> None:
    assert torch.bincount(sets.train_labels).tolist() == [400] * 10
    assert torch.bincount(sets.test_labels).tolist() == [100] * 10
    # In sorted order every batch of 100 would hold a single class.
    assert sets.train_labels[:100].unique().numel() == 10


def test_border_is_black_and_the_middle_is_not(sets: ImageSets) -> None:
    for images in (sets.train, sets.test):
        inner = images[..., 2:-2, 2:-2]
        assert images.sum() == inner.sum()
        assert inner.flatten(1).amax(1).min() > 100


def test_no_digit_in_both_parts(sets: ImageSets) -> None:
    train = {image.numpy().tobytes() for image in sets.train}
    test = {image.numpy().tobytes() for image in sets.test}
    assert len(train) == 4000
    assert len(test) == 1000
    assert not train & test


def test_labels_belong_to_their_images(sets: ImageSets) -> None:
    # A nearest-mean classifier reaches about 80 % on MNIST; wrong labels would give 10 %.
    train, test = (images.flatten(1).float() for images in (sets.train, sets.test))
    means = torch.stack([train[sets.train_labels == digit].mean(0) for digit in range(10)])
    guess = torch.cdist(test, means).argmin(1)
    assert (guess == sets.test_labels).float().mean() > 0.7


def test_embedded_file_is_the_documented_one() -> None:
    path = embedded(digits.EXCERPT.name)
    assert path.stat().st_size <= 1_500_000
    readme = Path(__file__).parent.parent / "data" / "README.md"
    assert file_hash(path) in readme.read_text(encoding="utf-8")


def test_damaged_file_is_named_with_its_expected_hash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    damaged = tmp_path / digits.EXCERPT.name
    content = bytearray(embedded(digits.EXCERPT.name).read_bytes())
    content[1000] ^= 1
    damaged.write_bytes(content)
    monkeypatch.setattr(digits, "embedded", lambda name: tmp_path / name)
    with pytest.raises(InputError, match=digits.EXCERPT.digest) as caught:
        data.load("mnist-5k")
    assert str(damaged) in str(caught.value)


def test_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(InputError) as caught:
        data.load("mnist5k")
    assert "'mnist5k'" in str(caught.value)
    for name in data.available():
        assert name in str(caught.value)


def test_float_and_back() -> None:
    levels = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16)
    floats = data.to_float(levels)
    assert floats.dtype == torch.float32
    assert (floats.min(), floats.max()) == (0, 1)
    assert torch.equal(data.to_uint8(floats), levels)


def test_to_uint8_rounds_and_clamps() -> None:
    values = torch.tensor([-0.1, 0.0, 0.4 / 255, 0.6 / 255, 1.0, 1.5]).reshape(1, 1, 1, 6)
    assert data.to_uint8(values).flatten().tolist() == [0, 0, 0, 1, 255, 255]


def test_conversions_refuse_the_wrong_type() -> None:
    with pytest.raises(InputError, match="uint8"):
        data.to_float(torch.zeros(1, 1, 2, 2))
    with pytest.raises(InputError, match="floats"):
        data.to_uint8(torch.zeros(1, 1, 2, 2, dtype=torch.uint8))
    with pytest.raises(InputError, match="NaN"):
        data.to_uint8(torch.full((1, 1, 2, 2), float("nan")))


def test_pad_adds_zeros_on_all_sides() -> None:
    padded = data.pad(torch.ones(1, 1, 2, 2, dtype=torch.uint8), pixels=1)
    assert padded[0, 0].tolist() == [[0, 0, 0, 0], [0, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0]]


@pytest.mark.parametrize("labels", [0, 3])
def test_image_sets_need_one_label_per_image(labels: int) -> None:
    images = torch.zeros(2, 1, 4, 4, dtype=torch.uint8)
    two = torch.zeros(2, dtype=torch.int64)
    with pytest.raises(InputError, match="2 train images"):
        ImageSets("x", images, images, two[:0].new_zeros(labels), two, ("a",), "made here.")


def test_image_sets_refuse_parts_that_differ() -> None:
    small, large = (torch.zeros(2, 1, size, size, dtype=torch.uint8) for size in (4, 8))
    labels = torch.zeros(2, dtype=torch.int64)
    with pytest.raises(InputError, match="do not belong together"):
        ImageSets("x", small, large, labels, labels, ("a",), "made here.")
