"""Any folder of images, in all the shapes in which people keep them."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, features

from svae_lib import data
from svae_lib.data import folder as module
from svae_lib.data import load_folder
from svae_lib.data.folder import Pictures
from svae_lib.support.checks import InputError


@pytest.fixture
def mine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(module, "cache_folder", lambda name: tmp_path / "cache" / name)
    (tmp_path / "mine").mkdir()
    return tmp_path / "mine"


def add(folder: Path, *names: str, level: int = 100, size: tuple[int, int] = (16, 16)) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, (level, 0, 0)).save(folder / name)


def test_flat_folder(mine: Path) -> None:
    add(mine, *(f"{number}.png" for number in range(20)))
    add(mine, "photo.JPG", size=(30, 20))
    (mine / "notes.txt").write_text("no image")
    add(mine, ".hidden.png")
    sets = load_folder(mine)
    assert (len(sets.train), len(sets.test)) == (19, 2)
    assert sets.train.shape[1:] == (3, 64, 64)
    assert sets.label_names == ("images",)
    assert sets.name == f"folder:{mine}"
    assert "mine" in sets.source


def test_classes_are_split_alike(mine: Path) -> None:
    add(mine, *(f"cat/{number}.png" for number in range(10)), level=50)
    add(mine, *(f"dog/deep/{number}.jpg" for number in range(20)), level=200)
    sets = load_folder(mine, size=16, test=0.2)
    assert sets.label_names == ("cat", "dog")
    assert Counter(sets.train_labels.tolist()) == {0: 8, 1: 16}
    assert Counter(sets.test_labels.tolist()) == {0: 2, 1: 4}
    for images, labels in ((sets.train, sets.train_labels), (sets.test, sets.test_labels)):
        red = images[:, 0].float().mean((1, 2))
        assert torch.equal(red > 125, labels == 1)


@pytest.mark.parametrize(
    ("train", "other"),
    [
        ("train", "test"),
        ("Train", "Test"),
        ("TRAIN", "testing"),
        ("training", "val"),
        ("train", "Valid"),
        ("Training", "validation"),
    ],
)
def test_train_and_test_folders_are_kept(mine: Path, train: str, other: str) -> None:
    add(mine, f"{train}/a/1.png", f"{train}/a/2.png", f"{train}/b/3.png", level=50)
    add(mine, f"{other}/b/1.png", f"{other}/c/2.png", level=200)
    sets = load_folder(mine)
    assert sets.label_names == ("a", "b", "c")
    assert sorted(sets.train_labels.tolist()) == [0, 0, 1]
    assert sorted(sets.test_labels.tolist()) == [1, 2]
    assert sets.train[:, 0].max() < 100 < sets.test[:, 0].min()


def test_images_outside_the_two_parts_are_told(mine: Path) -> None:
    add(mine, "train/1.png", "test/2.png", "Val/3.png", "Val/4.png", "5.png")
    with pytest.warns(UserWarning, match="3 images outside train/ and test/"):
        sets = load_folder(mine)
    assert (len(sets.train), len(sets.test)) == (1, 1)


@pytest.mark.parametrize(
    ("files", "named"),
    [
        (("all/Train/a/1.png", "all/test/a/2.png"), "as all/"),
        (("x/y/train/1.png", "x/y/validation/2.png"), "as x/y/"),
        (("dog/train/1.png", "dog/test/2.png", "cat/train/3.png", "cat/test/4.png"), "as cat/"),
        (("b/train/1.png", "b/val/2.png", "a/3.png", "c/test/4.png"), "as b/"),
        (("train/1.png", "b/test/2.png"), "as b/test/"),
    ],
)
def test_parts_at_another_depth_are_refused(mine: Path, files: tuple[str, ...], named: str) -> None:
    add(mine, *files)
    with pytest.raises(InputError, match=named):
        load_folder(mine)


@pytest.mark.parametrize("name", ["Train", "a/train", "val"])
def test_a_part_without_the_other_is_told(mine: Path, name: str) -> None:
    add(mine, f"{name}/1.png", "bus/2.png", "car/3.png")
    with pytest.warns(UserWarning, match=f"{name[-5:]}/"):
        assert name.split("/")[0] in load_folder(mine).label_names


def test_other_pictures_are_counted_in_one_warning(mine: Path) -> None:
    add(mine, "1.png", "2.png")
    for name in ("3.HEIC", "4.cr2", "a/5.svg", "._6.heic", "notes.txt"):
        (mine / name).parent.mkdir(exist_ok=True)
        (mine / name).write_bytes(b"no matter what")
    with pytest.warns(UserWarning) as said:
        load_folder(mine)
    assert len(said) == 1
    assert "3 files are left out" in str(said[0].message)


def test_endings_of_the_formats_that_pillow_has(mine: Path) -> None:
    names = ["1.jfif", "2.jpe", "3.JPEG", "4.apng", "5.pbm"]
    names += [f"{form}.{form}" for form in ("webp", "avif") if features.check(form)]
    for name in names:
        (mine / name).parent.mkdir(exist_ok=True)
        form = Image.registered_extensions()[Path(name).suffix.lower()]
        Image.new("RGB", (16, 16)).save(mine / name, form)
    sets = load_folder(mine)
    assert len(sets.train) + len(sets.test) == len(names)


def test_a_folder_that_cannot_be_read_is_named(mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add(mine, "a/1.png", "a/2.png", "locked/3.png")
    scan = os.scandir

    def refuse(place: str) -> object:
        if os.path.basename(place) == "locked":  # noqa: PTH119 (as os.walk names it)
            raise PermissionError(13, "Permission denied", place)
        return scan(place)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(InputError, match="locked"):
        load_folder(mine)


def test_file_names_need_not_be_utf_8(mine: Path) -> None:
    strange = os.fsdecode(b"caf\xe9")
    try:
        add(mine, f"{strange}/1.png", f"{strange}/2.png", "b/3.png")
    except OSError:
        pytest.skip("this file system takes UTF-8 names alone")
    (mine / strange / f"{strange}.png").write_bytes(b"no image")
    with pytest.warns(UserWarning, match="caf.*png is broken") as said:
        sets = load_folder(mine / ".." / "mine", on_broken="skip")
    for text in (str(said[0].message), str(sets), *sets.label_names):
        text.encode()  # can be printed
    assert len(sets.label_names) == 2
    with pytest.raises(InputError) as caught:
        load_folder(mine / strange)  # nothing but a broken one and two others
    str(caught.value).encode()


def test_a_home_folder_that_does_not_exist() -> None:
    with pytest.raises(InputError, match="home"):
        data.load("folder:~nobody-of-this-name/pictures")


def test_split_depends_on_the_seed_alone(mine: Path) -> None:
    for number in range(30):
        add(mine, f"{number}.png", level=8 * number)
    one, same, other = (load_folder(mine, size=8, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(one.test, same.test)
    assert not torch.equal(one.test, other.test)
    levels = {int(image[0, 0, 0]) for image in torch.cat([one.train, one.test])}
    assert len(levels) == 30


def test_split_does_not_depend_on_the_order_of_the_disk(
    mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(20):
        add(mine, f"{number}.png", level=8 * number)
    first, walk = load_folder(mine, size=8), os.walk
    for order in (sorted, lambda found: sorted(found, reverse=True)):

        def shuffled(place, order=order, **options):
            return ((at, below, order(names)) for at, below, names in walk(place, **options))

        monkeypatch.setattr(os, "walk", shuffled)
        again = load_folder(mine, size=8)
        assert torch.equal(again.train, first.train) and torch.equal(again.test, first.test)


@pytest.mark.parametrize("given", [True, False])
def test_both_parts_are_shuffled_and_labels_go_along(mine: Path, given: bool) -> None:
    for part in ("train", "test") if given else ("",):
        for level, name in ((50, "dark"), (200, "light")):
            add(mine, *(f"{part}/{name}/{i}.png".lstrip("/") for i in range(30)), level=level)
    sets = load_folder(mine, size=8, test=0.5)
    for images, labels in ((sets.train, sets.train_labels), (sets.test, sets.test_labels)):
        assert torch.equal(images[:, 0].float().mean((1, 2)) > 125, labels == 1)
        first = labels[: len(labels) // 2].float().mean()
        assert 0.2 < first < 0.8  # sorted by class it would be 0


def test_hidden_folders_are_no_classes(mine: Path) -> None:
    add(mine, *(f"{name}/{i}.png" for name in ("a", "b") for i in range(5)))
    add(mine, ".ipynb_checkpoints/0.png", "a/.thumbnails/1.png", "__MACOSX/a/2.png", level=9)
    sets = load_folder(mine, size=8)
    assert sets.label_names == ("a", "b")
    assert len(sets.train) + len(sets.test) == 10


def test_many_small_classes_have_their_share_of_the_test(mine: Path) -> None:
    add(mine, *(f"{name:02}/{i}.png" for name in range(20) for i in range(4)))
    sets = load_folder(mine, size=8, test=0.1)
    assert len(sets.test) == 8  # a tenth of 80, though a tenth of each class rounds to 0
    assert sets.test_labels.bincount().max() == 1


def test_a_file_more_or_less_moves_hardly_any_other(mine: Path) -> None:
    rng = np.random.default_rng(0)
    for label in range(6):
        add(mine, *(f"{label}/{i}.png" for i in range(rng.integers(3, 30))))
    for new in range(40):
        before = [set(dict(part)) for part in module._parts(mine, 0.15, 0)]
        total = sum(map(len, before))
        assert len(before[1]) == round(0.15 * total)
        add(mine, f"{rng.integers(7)}/new{new}.png")  # class 6 is new, too
        train, test = (set(dict(part)) for part in module._parts(mine, 0.15, 0))
        assert len(train) + len(test) == total + 1
        assert len(before[0] & test) + len(before[1] & train) <= 2


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_a_hidden_link_does_not_hide_the_class_that_it_leads_to(mine: Path) -> None:
    add(mine, *(f"{label}/{i}.png" for label in ("a", "b") for i in range(5)))
    for link in (".latest", "Also"):
        (mine / link).symlink_to(mine / "b", target_is_directory=True)
    assert load_folder(mine, size=8).label_names == ("a", "b")


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_links_to_folders_are_followed_once(mine: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    add(mine, *(f"a/{i}.png" for i in range(5)))
    add(elsewhere, *(f"{i}.png" for i in range(5)))
    (mine / "b").symlink_to(elsewhere, target_is_directory=True)
    (mine / "a" / "round").symlink_to(mine, target_is_directory=True)
    sets = load_folder(mine, size=8)
    assert sets.label_names == ("a", "b")
    assert len(sets.train) + len(sets.test) == 10


def test_labels_stay_with_their_images_where_broken_ones_are_left_out(mine: Path) -> None:
    for part in ("train", "test"):
        add(mine, *(f"{part}/dark/{number}.png" for number in range(3)), level=50)
        add(mine, *(f"{part}/light/{number}.png" for number in range(3)), level=200)
        (mine / part / "dark" / "1.png").write_bytes(b"no image")
    with pytest.warns(UserWarning, match="left out"):
        sets = load_folder(mine, size=8, on_broken="skip")
    for images, labels in ((sets.train, sets.train_labels), (sets.test, sets.test_labels)):
        assert sorted(labels.tolist()) == [0, 0, 1, 1, 1]
        assert torch.equal(images[:, 0].float().mean((1, 2)) > 125, labels == 1)


@pytest.mark.parametrize("part", ["train", "test"])
def test_a_part_with_nothing_but_broken_images(mine: Path, part: str) -> None:
    add(mine, "train/1.png", "train/2.png", "test/1.png", "test/2.png")
    for name in ("1.png", "2.png"):
        (mine / part / name).write_bytes(b"no image")
    with (
        pytest.warns(UserWarning, match="left out"),
        pytest.raises(InputError, match=f"the {part} images are empty"),
    ):
        load_folder(mine, size=8, on_broken="skip")


def test_two_images_are_enough_and_one_is_not(mine: Path) -> None:
    with pytest.raises(InputError, match="holds 0 images"):
        load_folder(mine)
    add(mine, "1.png")
    with pytest.raises(InputError, match="holds 1 images; at least two"):
        load_folder(mine)
    add(mine, "2.png")
    for test in (0.01, 0.99):
        sets = load_folder(mine, test=test)
        assert (len(sets.train), len(sets.test)) == (1, 1)


def test_a_broken_image_is_refused_or_skipped(mine: Path) -> None:
    add(mine, *(f"{number}.png" for number in range(40)), size=(8, 8))
    (mine / "17.png").write_bytes((mine / "17.png").read_bytes()[:40])
    with pytest.raises(InputError, match=r"17\.png is broken"):
        data.load(f"folder:{mine}?size=8")
    with pytest.warns(UserWarning, match=r"left out: 17\.png is broken"):
        sets = data.load(f"folder:{mine}?size=8&on_broken=skip")
    assert len(sets.train) + len(sets.test) == 39


def test_greyscale_among_colour(mine: Path) -> None:
    add(mine, "red.png", level=255)
    Image.new("L", (16, 16), 128).save(mine / "grey.png")
    colour = load_folder(mine, size=16, test=0.5)
    images = torch.cat([colour.train, colour.test])
    pixels = {tuple(image[:, 0, 0].tolist()) for image in images}
    assert pixels == {(255, 0, 0), (128, 128, 128)}
    grey = load_folder(mine, size=16, channels=1, test=0.5)
    assert {int(image[0, 0, 0]) for image in torch.cat([grey.train, grey.test])} == {76, 128}


def test_spec_options(mine: Path) -> None:
    add(mine, *(f"{number}.png" for number in range(10)))
    name = "folder:mine?size=16&channels=1&test=0.3&seed=4"
    sets = data.load(name, mine.parent)
    assert sets.name == name
    assert sets.train.shape == (7, 1, 16, 16)
    assert sets.test.shape == (3, 1, 16, 16)


def test_where_a_relative_path_starts(mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the working directory, or in SVAE_DATA if only that holds it; in root alone if given."""
    elsewhere = mine.parent / "elsewhere"
    elsewhere.mkdir()
    add(mine, "1.png", "2.png")
    monkeypatch.chdir(elsewhere)
    with pytest.raises(InputError, match="is not a folder"):
        data.load("folder:mine")
    monkeypatch.setenv("SVAE_DATA", str(mine.parent))
    assert len(data.load("folder:mine").train) == 1
    assert data.absolute("folder:mine") == f"folder:{mine}"
    with pytest.raises(InputError, match="is not a folder"):
        data.load("folder:mine", elsewhere)
    add(elsewhere / "mine", "1.png", "2.png", "3.png", "4.png")
    assert data.absolute("folder:mine") == f"folder:{elsewhere / 'mine'}"


@pytest.mark.skipif(os.name == "nt", reason="no such names there")
def test_a_question_mark_in_a_name(mine: Path) -> None:
    """Only the last one begins the options, and only if an equals sign follows it."""
    for name in ("why?", "a=b", "who?/what"):
        add(mine, f"{name}/1.png", f"{name}/2.png")
        for options, size in (("", 64), ("?size=16", 16)):
            spec = f"folder:{name}{options}"
            assert data.load(spec, mine).train.shape == (1, 3, size, size)
            assert data.absolute(spec, mine) == f"folder:{mine / name}{options}"


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ("", "names no folder"),
        ("nowhere", "is not a folder"),
        ("mine?sise=3", r"unknown field `sise`\. A folder's options are size"),
        ("mine?size=big", "`int`, got `str`"),
        ("mine?size=4", "`int` >= 8"),
        ("mine?channels=2", r"2 - at `\$\.channels`"),
        ("mine?test=1", "`float` < 1"),
        ("mine?test=0", "`float` > 0"),
        ("mine?on_broken=maybe", r"on_broken \(refuse or skip"),
        ("mine?seed=-1", r">= 0 - at `\$\.seed`"),
    ],
)
def test_bad_specs(mine: Path, spec: str, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        data.load(f"folder:{spec}", mine.parent)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"size": "big"}, r"`int`, got `str` - at `\$\.size`"),
        ({"channels": 1.0}, r"`int`, got `float` - at `\$\.channels`"),
        ({"seed": -1}, r"`int` >= 0 - at `\$\.seed`"),
    ],
)
def test_bad_options(mine: Path, option, message: str) -> None:
    add(mine, "1.png", "2.png")
    with pytest.raises(InputError, match=message):
        load_folder(mine, **option)


def test_options_may_be_text(mine: Path) -> None:
    add(mine, "1.png", "2.png")
    assert load_folder(mine, size="16").train.shape == (1, 3, 16, 16)


def test_a_path_is_told_how_to_be_a_name(mine: Path) -> None:
    with pytest.raises(InputError, match=f"write 'folder:{mine}', or use"):
        data.load(mine)


def test_changed_file_is_noticed(mine: Path) -> None:
    add(mine, "1.png", "2.png", level=10)
    assert load_folder(mine, size=16).train.max() == 10
    add(mine, "1.png", "2.png", level=20)
    assert load_folder(mine, size=16).train.max() == 20


def test_lossless(mine: Path) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)
    for number, image in enumerate(pixels):
        Image.fromarray(image).save(mine / f"{number}.png")
    sets = load_folder(mine, size=32)
    loaded = {image.numpy().tobytes() for image in torch.cat([sets.train, sets.test])}
    assert loaded == {image.transpose(2, 0, 1).tobytes() for image in pixels}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
@pytest.mark.timeout(60)
def test_a_pipe_is_refused_and_not_waited_for(mine: Path) -> None:
    add(mine, "1.png", "2.png")
    os.mkfifo(mine / "3.png")
    with pytest.raises(InputError, match=r"3\.png is broken.*not a regular file"):
        load_folder(mine)
    with pytest.raises(InputError, match=r"3\.png cannot be read.*not a regular file"):
        list(Pictures(mine).batches(3))


def test_a_link_to_nowhere_is_a_broken_image(mine: Path) -> None:
    add(mine, "1.png", "2.png")
    (mine / "3.png").symlink_to("nowhere.png")
    with pytest.raises(InputError, match=r"3\.png is broken: FileNotFoundError"):
        load_folder(mine)
    with pytest.warns(UserWarning, match=r"left out: 3\.png"):
        sets = load_folder(mine, on_broken="skip")
    assert (len(sets.train), len(sets.test)) == (1, 1)


def test_options_may_be_numbers_of_numpy(mine: Path) -> None:
    add(mine, "1.png", "2.png")
    sets = load_folder(mine, size=np.int64(8), test=np.float32(0.5), seed=np.int64(3))
    assert sets.train.shape == (1, 3, 8, 8)
