"""Image files become one array: exactly, resumably, and with broken files named."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from svae_lib.data import preparation
from svae_lib.data.preparation import (
    FolderSource,
    Prepared,
    Recipe,
    ZipSource,
    decode,
    prepare,
)
from svae_lib.validation import InputError

RECIPE = Recipe(8)


def encode(array: np.ndarray, form: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, form, **options)
    return buffer.getvalue()


def picture(seed: int, height: int = 8, width: int = 8, *channels: int) -> np.ndarray:
    shape = (height, width, *(channels or (3,)))
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


class Memory:
    """A source in memory that counts what is read, and can be interrupted."""

    def __init__(self, contents: dict[str, bytes]) -> None:
        self.contents = contents
        self.names: Sequence[str] = list(contents)
        self.reads: list[str] = []
        self.stop_at: str | None = None

    def read(self, name: str) -> bytes:
        if name == self.stop_at:
            raise KeyboardInterrupt
        self.reads.append(name)
        return self.contents[name]

    def fingerprint(self) -> str:
        return "same"


@pytest.fixture
def source(monkeypatch: pytest.MonkeyPatch) -> Memory:
    """25 PNG files, and blocks of 4 instead of 128."""
    monkeypatch.setattr(preparation, "BLOCK", 4)
    return Memory({f"{number:02}.png": encode(picture(number)) for number in range(25)})


def run(source: Memory, folder: Path, **options: object) -> Prepared:
    return prepare(source, RECIPE, folder, "test", progress=False, **options)  # type: ignore[arg-type]


def expected(numbers: Sequence[int]) -> torch.Tensor:
    return torch.from_numpy(np.stack([picture(number) for number in numbers])).permute(0, 3, 1, 2)


def test_lossless_and_found_again(source: Memory, tmp_path: Path) -> None:
    prepared = run(source, tmp_path, workers=3)
    assert torch.equal(prepared.images, expected(range(25)))
    assert prepared.broken == {}
    assert len(source.reads) == 25
    assert torch.equal(run(source, tmp_path).images, prepared.images)
    assert len(source.reads) == 25
    names = sorted(path.suffix for path in tmp_path.iterdir())
    assert names == [".json", ".npy"]


def test_memory_mapped_and_protected(source: Memory, tmp_path: Path) -> None:
    run(source, tmp_path).images[:] = 0
    assert torch.equal(run(source, tmp_path).images, expected(range(25)))


def test_other_recipe_or_files_make_another_array(source: Memory, tmp_path: Path) -> None:
    run(source, tmp_path)
    for recipe in (Recipe(16), Recipe(8, 1), Recipe(8, 3, (0, 0, 4, 4))):
        images = prepare(source, recipe, tmp_path, "test", progress=False).images
        assert images.shape == (25, recipe.channels, recipe.size, recipe.size)
    assert len(list(tmp_path.glob("*.npy"))) == 4
    source.fingerprint = lambda: "changed"  # type: ignore[method-assign]
    run(source, tmp_path)
    assert len(list(tmp_path.glob("*.npy"))) == 5


def test_interrupted_work_is_continued(source: Memory, tmp_path: Path) -> None:
    source.stop_at = "13.png"  # in the fourth block
    with pytest.raises(KeyboardInterrupt):
        run(source, tmp_path, workers=1)
    assert list(tmp_path.glob("*.npy")) == []
    before = len(source.reads)
    source.stop_at, source.reads = None, []
    assert torch.equal(run(source, tmp_path).images, expected(range(25)))
    assert before >= 12
    assert set(source.reads).isdisjoint({f"{number:02}.png" for number in range(12)})
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".json", ".npy"]


def test_killed_while_writing_the_journal(source: Memory, tmp_path: Path) -> None:
    source.stop_at = "13.png"
    with pytest.raises(KeyboardInterrupt):
        run(source, tmp_path, workers=1)
    (journal,) = tmp_path.glob(".*.journal")
    text = journal.read_text()
    journal.write_text(text[: text.rindex("{") + 5])  # the last line is torn
    source.stop_at = None
    assert torch.equal(run(source, tmp_path).images, expected(range(25)))


def test_partial_file_of_another_size_is_not_trusted(source: Memory, tmp_path: Path) -> None:
    source.stop_at = "13.png"
    with pytest.raises(KeyboardInterrupt):
        run(source, tmp_path, workers=1)
    (partial,) = tmp_path.glob(".*.partial")
    partial.write_bytes(partial.read_bytes()[:-1])
    source.stop_at = None
    assert torch.equal(run(source, tmp_path).images, expected(range(25)))


def test_broken_image_is_named_and_refused(source: Memory, tmp_path: Path) -> None:
    source.contents["17.png"] = source.contents["17.png"][:50]
    with pytest.raises(InputError, match=r"17\.png is broken"):
        run(source, tmp_path)
    assert list(tmp_path.glob("*.npy")) == []
    with pytest.raises(InputError, match=r"17\.png is broken"):
        run(source, tmp_path)


def test_broken_images_are_left_out_if_asked(source: Memory, tmp_path: Path) -> None:
    for name in ("03.png", "17.png"):
        source.contents[name] = b"no image"
    prepared = run(source, tmp_path, on_broken="skip")
    assert sorted(prepared.broken) == ["03.png", "17.png"]
    assert "UnidentifiedImageError" in prepared.broken["03.png"]
    good = [number for number in range(25) if number not in (3, 17)]
    assert torch.equal(prepared.images, expected(good))
    assert torch.equal(run(source, tmp_path, on_broken="skip").images, expected(good))
    with pytest.raises(InputError, match=r"03\.png \(and 1 more\) is broken"):
        run(source, tmp_path)


def test_nothing_but_broken_images(source: Memory, tmp_path: Path) -> None:
    source.contents = dict.fromkeys(source.contents, b"")
    with pytest.raises(InputError, match="not one of the files"):
        run(source, tmp_path, on_broken="skip")


def test_damaged_array_is_named(source: Memory, tmp_path: Path) -> None:
    run(source, tmp_path)
    (array,) = tmp_path.glob("*.npy")
    array.write_bytes(array.read_bytes()[:100])
    with pytest.raises(InputError, match="is damaged") as caught:
        run(source, tmp_path)
    assert str(array) in str(caught.value)


def test_no_space(source: Memory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        preparation.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 1000})
    )
    with pytest.raises(InputError, match=r"0\.00 GB are needed"):
        run(source, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_folder_fingerprint_follows_the_files(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(encode(picture(1)))
    source = FolderSource(tmp_path, ["a.png", "b.png"])
    first = source.fingerprint()
    assert source.fingerprint() == first
    assert FolderSource(tmp_path, ["b.png", "a.png"]).fingerprint() != first
    (tmp_path / "a.png").write_bytes(encode(picture(2, 9)))
    assert source.fingerprint() != first


def test_zip_source_and_its_checksums(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    content = encode(picture(1))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x/1.png", content)
        archive.writestr("x/2.png", content)
    damaged = bytearray(path.read_bytes())
    damaged[path.read_bytes().index(content) + 60] ^= 1
    with zipfile.ZipFile(path) as archive:
        source = ZipSource(archive, ["x/2.png", "x/1.png"])
        whole = source.fingerprint()
        prepared = prepare(source, RECIPE, tmp_path, "zip", progress=False)
    assert torch.equal(prepared.images, expected([1, 1]))
    path.write_bytes(damaged)
    with zipfile.ZipFile(path) as archive:
        source = ZipSource(archive, ["x/1.png", "x/2.png"])
        assert source.fingerprint() != whole
        prepared = prepare(source, RECIPE, tmp_path, "zip", on_broken="skip", progress=False)
    assert list(prepared.broken) == ["x/1.png"]
    assert "CRC" in prepared.broken["x/1.png"]


def test_crop_and_resize_are_those_of_the_authors() -> None:
    image = picture(5, 218, 178)
    recipe = Recipe(64, 3, (25, 45, 153, 173))
    reference = Image.fromarray(image[45:173, 25:153]).resize((64, 64), Image.Resampling.BILINEAR)
    result = decode(encode(image), recipe)
    assert np.array_equal(result, np.asarray(reference).transpose(2, 0, 1))


def test_central_square() -> None:
    wide, tall = picture(6, 8, 14), picture(7, 15, 8)
    assert np.array_equal(decode(encode(wide), RECIPE), wide[:, 3:11].transpose(2, 0, 1))
    assert np.array_equal(decode(encode(tall), RECIPE), tall[3:11].transpose(2, 0, 1))


def test_too_small_for_the_crop() -> None:
    with pytest.raises(ValueError, match="8x8 pixels are too few"):
        decode(encode(picture(1)), Recipe(8, 3, (0, 0, 9, 8)))


def test_colour_and_greyscale() -> None:
    grey = np.random.default_rng(0).integers(0, 256, (8, 8), dtype=np.uint8)
    assert np.array_equal(decode(encode(grey), Recipe(8, 3)), np.stack([grey] * 3))
    assert np.array_equal(decode(encode(grey), Recipe(8, 1)), grey[None])
    red = np.zeros((8, 8, 3), np.uint8)
    red[..., 0] = 255
    assert decode(encode(red), Recipe(8, 1)).max() == 76  # ITU-R 601: 0.299 * 255
    with_alpha = picture(3, 8, 8, 4)
    opaque = decode(encode(with_alpha), RECIPE)
    assert np.array_equal(opaque, with_alpha[..., :3].transpose(2, 0, 1))
    palette = Image.fromarray(red).quantize(4)
    buffer = io.BytesIO()
    palette.save(buffer, "GIF")
    assert decode(buffer.getvalue(), RECIPE)[0].min() > 250


def test_sixteen_bits_are_scaled() -> None:
    deep = (np.arange(64, dtype=np.uint16) * 1024).reshape(8, 8)
    assert np.array_equal(decode(encode(deep), Recipe(8, 1))[0], deep // 256)


def test_orientation_from_the_camera_is_applied() -> None:
    image = picture(9)
    exif = Image.Exif()
    exif[0x0112] = 3  # turned by 180 degrees
    content = encode(image, exif=exif)
    assert np.array_equal(decode(content, RECIPE), image[::-1, ::-1].transpose(2, 0, 1))


def test_journal_lines_are_json(source: Memory, tmp_path: Path) -> None:
    source.stop_at = "24.png"
    with pytest.raises(KeyboardInterrupt):
        run(source, tmp_path, workers=1)
    (journal,) = tmp_path.glob(".*.journal")
    blocks = [json.loads(line)["block"] for line in journal.read_text().splitlines()]
    assert sorted(blocks) == [0, 1, 2, 3, 4, 5]
