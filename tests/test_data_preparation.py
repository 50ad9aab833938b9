"""Image files become one array: exactly, resumably, and with broken files named."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import time
import zipfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from svae_lib.data import decoding, preparation
from svae_lib.data.decoding import decode
from svae_lib.data.preparation import FolderSource, Prepared, Recipe, ZipSource, prepare
from svae_lib.support.checks import InputError

RECIPE = Recipe(8)


def encode(array: np.ndarray, form: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, form, **options)
    return buffer.getvalue()


def picture(seed: int, height: int = 8, width: int = 8, *channels: int) -> np.ndarray:
    shape = (height, width, *(channels or (3,)))
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


class Files(FolderSource):
    """Files that may change unnoticed; ``stop_at`` interrupts before the block with that file."""

    stop_at: str | None = None

    def locate(self, name: str) -> decoding.Locator:
        if name == self.stop_at:
            raise KeyboardInterrupt
        return super().locate(name)

    def fingerprint(self) -> str:
        return "same"

    def spoil(self, *numbers: int) -> None:
        for number in numbers:
            (self.folder / f"{number:02}.png").write_bytes(b"no image")


@pytest.fixture
def source(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Files:
    """25 PNG files, and blocks of 4 instead of 128."""
    monkeypatch.setattr(preparation, "BLOCK", 4)
    folder = tmp_path_factory.mktemp("images")
    names = [f"{number:02}.png" for number in range(25)]
    for number, name in enumerate(names):
        (folder / name).write_bytes(encode(picture(number)))
    return Files(folder, names)


def run(source: Files, folder: Path, workers: int | None = 0, skip: bool = False) -> Prepared:
    on_broken: preparation.OnBroken = "skip" if skip else "refuse"
    return prepare(
        source, RECIPE, folder, "test", on_broken=on_broken, workers=workers, progress=False
    )


def expected(numbers: Sequence[int]) -> torch.Tensor:
    return torch.from_numpy(np.stack([picture(number) for number in numbers])).permute(0, 3, 1, 2)


def suffixes(folder: Path) -> list[str]:
    """Of the files in a folder, but for the locks."""
    return sorted(path.suffix for path in folder.iterdir() if path.suffix != ".lock")


@pytest.mark.parametrize("workers", [0, 2])
def test_lossless_and_found_again(source: Files, tmp_path: Path, workers: int) -> None:
    prepared = run(source, tmp_path, workers)
    assert torch.equal(prepared.images, expected(range(25)))
    assert prepared.broken == {}
    source.spoil(*range(25))  # they are not read again
    assert torch.equal(run(source, tmp_path).images, prepared.images)
    assert suffixes(tmp_path) == [".json", ".npy"]


def test_of_two_at_once_one_prepares_and_the_other_waits(
    source: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    locate, read = source.locate, []

    def slowly(name: str) -> decoding.Locator:
        read.append(name)
        time.sleep(0.01)
        return locate(name)

    monkeypatch.setattr(source, "locate", slowly)
    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(run, source, tmp_path) for _ in range(2)]
        assert all(torch.equal(one.result().images, expected(range(25))) for one in both)
    assert read == source.names
    assert suffixes(tmp_path) == [".json", ".npy"]


def test_number_of_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preparation.os, "sched_getaffinity", lambda pid: range(3), raising=False)
    assert preparation._count_workers(100) == 0
    assert preparation._count_workers(100_000) == 3
    monkeypatch.setattr(preparation.os, "sched_getaffinity", lambda pid: range(96), raising=False)
    assert preparation._count_workers(100_000) == preparation.MOST_WORKERS


def test_memory_mapped_and_protected(source: Files, tmp_path: Path) -> None:
    run(source, tmp_path).images[:] = 0
    assert torch.equal(run(source, tmp_path).images, expected(range(25)))


def test_other_recipe_or_files_make_another_array(
    source: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(source, tmp_path)
    for recipe in (Recipe(16), Recipe(8, 1), Recipe(8, 3, (0, 0, 4, 4))):
        images = prepare(source, recipe, tmp_path, "test", progress=False).images
        assert images.shape == (25, recipe.channels, recipe.size, recipe.size)
    assert len(list(tmp_path.glob("*.npy"))) == 4
    source.fingerprint = lambda: "changed"  # type: ignore[method-assign]
    run(source, tmp_path)
    assert len(list(tmp_path.glob("*.npy"))) == 5
    monkeypatch.setattr(preparation, "VERSION", 99)  # the same files give other pixels
    run(source, tmp_path)
    assert len(list(tmp_path.glob("*.npy"))) == 6


@pytest.mark.parametrize("workers", [0, 1])
def test_interrupted_work_is_continued(source: Files, tmp_path: Path, workers: int) -> None:
    source.stop_at = "13.png"  # in the fourth block
    with pytest.raises(KeyboardInterrupt):
        run(source, tmp_path, workers)
    assert list(tmp_path.glob("*.npy")) == []
    source.stop_at = None
    source.spoil(*range(12))  # the first three blocks are not read again
    assert torch.equal(run(source, tmp_path, workers).images, expected(range(25)))
    assert suffixes(tmp_path) == [".json", ".npy"]


def test_killed_while_writing_the_journal(source: Files, tmp_path: Path) -> None:
    source.stop_at = "13.png"
    with pytest.raises(KeyboardInterrupt):
        run(source, tmp_path)
    (journal,) = tmp_path.glob(".*.journal")
    text = journal.read_text()
    journal.write_text(text[: text.rindex("{") + 5])  # the last line is torn
    source.stop_at = None
    assert torch.equal(run(source, tmp_path).images, expected(range(25)))


def test_partial_file_of_another_size_is_not_trusted(source: Files, tmp_path: Path) -> None:
    source.stop_at = "13.png"
    with pytest.raises(KeyboardInterrupt):
        run(source, tmp_path)
    (partial,) = tmp_path.glob(".*.partial")
    partial.write_bytes(partial.read_bytes()[:-1])
    source.stop_at = "01.png"  # interrupted again, before any block: the old journal is void too
    with pytest.raises(KeyboardInterrupt):
        run(source, tmp_path)
    source.stop_at = None
    assert torch.equal(run(source, tmp_path).images, expected(range(25)))


def test_broken_image_is_named_and_refused(source: Files, tmp_path: Path) -> None:
    name = source.folder / "17.png"
    name.write_bytes(name.read_bytes()[:50])
    with pytest.raises(InputError, match=r"17\.png is broken"):
        run(source, tmp_path)
    assert list(tmp_path.glob("*.npy")) == []
    with pytest.raises(InputError, match=r"17\.png is broken"):
        run(source, tmp_path)


def test_broken_images_are_left_out_if_asked(source: Files, tmp_path: Path) -> None:
    source.spoil(3, 17)
    with pytest.warns(UserWarning, match=r"left out: 03\.png \(and 1 more\) is broken"):
        prepared = run(source, tmp_path, skip=True)
    assert sorted(prepared.broken) == ["03.png", "17.png"]
    assert prepared.broken["03.png"] == "it is no image, or of an unknown format"
    good = [number for number in range(25) if number not in (3, 17)]
    assert torch.equal(prepared.images, expected(good))
    with pytest.warns(UserWarning, match="left out"):  # told again when the array is found
        assert torch.equal(run(source, tmp_path, skip=True).images, expected(good))
    with pytest.raises(InputError, match=r"03\.png \(and 1 more\) is broken"):
        run(source, tmp_path)


def test_a_link_to_nowhere_is_a_broken_image(source: Files, tmp_path: Path) -> None:
    name = source.folder / "17.png"
    name.unlink()
    name.symlink_to(tmp_path / "nowhere.png")
    genuine = FolderSource(source.folder, source.names)
    with pytest.raises(InputError, match=r"17\.png is broken: FileNotFoundError"):
        prepare(genuine, RECIPE, tmp_path, "test", progress=False)
    with pytest.warns(UserWarning, match=r"17\.png"):
        prepared = prepare(genuine, RECIPE, tmp_path, "test", on_broken="skip", progress=False)
    assert len(prepared.images) == 24


def test_nothing_but_broken_images(source: Files, tmp_path: Path) -> None:
    source.spoil(*range(25))
    with pytest.raises(InputError, match="not one of the files"):
        run(source, tmp_path, skip=True)


def test_damaged_array_is_named(source: Files, tmp_path: Path) -> None:
    run(source, tmp_path)
    (array,) = tmp_path.glob("*.npy")
    array.write_bytes(array.read_bytes()[:100])
    with pytest.raises(InputError, match="is damaged") as caught:
        run(source, tmp_path)
    assert str(array) in str(caught.value)


def test_no_space(source: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        preparation.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 1000})
    )
    with pytest.raises(InputError, match=r"0\.00 GB are needed"):
        run(source, tmp_path)
    assert suffixes(tmp_path) == []


def test_folder_fingerprint_follows_the_files(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(encode(picture(1)))
    source = FolderSource(tmp_path, ["a.png", "b.png"])
    first = source.fingerprint()
    assert source.fingerprint() == first
    assert FolderSource(tmp_path, ["b.png", "a.png"]).fingerprint() != first
    status = (tmp_path / "a.png").stat()
    os.utime(tmp_path / "a.png", ns=(status.st_atime_ns, status.st_mtime_ns + 1_000_000))
    assert source.fingerprint() != first  # as large, but written later
    os.utime(tmp_path / "a.png", ns=(status.st_atime_ns, status.st_mtime_ns))
    assert source.fingerprint() == first
    (tmp_path / "a.png").write_bytes(encode(picture(2, 9)))
    assert source.fingerprint() != first


def test_folders_whose_files_look_alike_are_told_apart(tmp_path: Path) -> None:
    for name in ("one", "two"):  # other content, as many bytes, one time
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.png").write_text(name)
        os.utime(tmp_path / name / "a.png", ns=(10**18, 10**18))
    one, two = (FolderSource(tmp_path / name, ["a.png"]) for name in ("one", "two"))
    assert one.fingerprint() != two.fingerprint()


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_zip_source_and_its_checksums(tmp_path: Path, compression: int) -> None:
    path = tmp_path / "a.zip"
    contents = {f"x/{number}.png": encode(picture(number)) for number in range(3)}
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in contents.items():
            with archive.open(name, "w") as member:  # the sizes follow the member, as in a stream
                member.write(content)
    with zipfile.ZipFile(path) as archive:
        source = ZipSource(archive, ["x/2.png", "x/0.png"])
        whole = source.fingerprint()
        prepared = prepare(source, RECIPE, tmp_path, "zip", progress=False)
        assert ZipSource(archive, ["x/0.png", "x/2.png"]).fingerprint() != whole
        start = archive.getinfo("x/1.png").header_offset
    assert torch.equal(prepared.images, expected([2, 0]))
    damaged = bytearray(path.read_bytes())
    damaged[start + 100] ^= 1
    path.write_bytes(damaged)
    with zipfile.ZipFile(path) as archive:
        source = ZipSource(archive, ["x/0.png", "x/1.png"])
        with pytest.warns(UserWarning, match=r"x/1\.png is broken"):
            prepared = prepare(source, RECIPE, tmp_path, "zip", on_broken="skip", progress=False)
    assert list(prepared.broken) == ["x/1.png"]


def test_other_compressions_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("1.png", encode(picture(1)))
    with zipfile.ZipFile(path) as archive:
        locator = ZipSource(archive, ["1.png"]).locate("1.png")
    with pytest.raises(ValueError, match="compression 12"):
        decoding.read(locator)


def test_worker_that_dies_is_told(
    source: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "dies.py"
    program.write_text("import sys; sys.stdin.readline()")
    monkeypatch.setattr(preparation.decoding, "__file__", str(program))
    with pytest.raises(InputError, match="ended unexpectedly"):
        run(source, tmp_path / "prepared", workers=2)


def test_full_disk_while_decoding(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full, where every write fails for want of space")
    (tmp_path / "1.png").write_bytes(encode(picture(1)))
    recipe = {"size": 8, "channels": 3, "box": None}
    task = {"files": {"1.png": str(tmp_path / "1.png")}, "recipe": recipe, "offset": 0}
    assert decoding.do(task | {"target": "/dev/full"}) == {"error": "No space left on device"}


def test_worker_program_imports_no_torch() -> None:
    code = (
        f"import sys, runpy; runpy.run_path({decoding.__file__!r}); print('torch' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.strip() == "False"


def test_crop_and_resize_are_those_of_the_authors() -> None:
    image = picture(5, 218, 178)
    box = (25, 45, 153, 173)
    reference = Image.fromarray(image[45:173, 25:153]).resize((64, 64), Image.Resampling.BILINEAR)
    result = decode(encode(image), 64, 3, box)
    assert np.array_equal(result, np.asarray(reference).transpose(2, 0, 1))


def test_central_square() -> None:
    wide, tall = picture(6, 8, 14), picture(7, 15, 8)
    assert np.array_equal(decode(encode(wide), 8, 3), wide[:, 3:11].transpose(2, 0, 1))
    assert np.array_equal(decode(encode(tall), 8, 3), tall[3:11].transpose(2, 0, 1))


def test_too_small_for_the_crop() -> None:
    with pytest.raises(ValueError, match="8x8 pixels are too few"):
        decode(encode(picture(1)), 8, 3, (0, 0, 9, 8))


def test_colour_and_greyscale() -> None:
    grey = np.random.default_rng(0).integers(0, 256, (8, 8), dtype=np.uint8)
    assert np.array_equal(decode(encode(grey), 8, 3), np.stack([grey] * 3))
    assert np.array_equal(decode(encode(grey), 8, 1), grey[None])
    red = np.zeros((8, 8, 3), np.uint8)
    red[..., 0] = 255
    assert decode(encode(red), 8, 1).max() == 76  # ITU-R 601: 0.299 * 255
    palette = Image.fromarray(red).quantize(4)
    buffer = io.BytesIO()
    palette.save(buffer, "GIF")
    assert decode(buffer.getvalue(), 8, 3)[0].min() > 250


@pytest.mark.parametrize("channels", [1, 3])
def test_lightness_and_two_colours_are_converted(channels: int) -> None:
    """Mode LAB, which Pillow turns into RGB alone; its band A is no transparency."""
    lab = Image.new("LAB", (8, 8), (255, 128, 128))  # white
    lab.paste((0, 128, 128), (0, 0, 8, 4))  # black
    buffer = io.BytesIO()
    lab.save(buffer, "TIFF")
    found = decode(buffer.getvalue(), 8, channels)
    assert found[:, :4].max() < 5 and found[:, 4:].min() > 250


def test_sixteen_bits_are_scaled() -> None:
    deep = (np.arange(64, dtype=np.uint16) * 1024).reshape(8, 8)
    assert np.array_equal(decode(encode(deep), 8, 1)[0], deep // 256)


def test_transparent_pixels_are_white() -> None:
    ink = np.zeros((8, 8, 4), np.uint8)  # black wherever it is not transparent, and below, too
    ink[:, 4:, 3] = 255
    seen = np.where(np.arange(8) < 4, 255, 0)
    grey = encode(ink[..., 2:])
    palette = io.BytesIO()
    Image.fromarray(ink).convert("RGB").quantize().save(palette, "PNG", transparency=0)
    for content in (encode(ink), grey):
        assert (decode(content, 8, 3) == seen).all()
        assert (decode(content, 8, 1) == seen).all()
    assert (decode(palette.getvalue(), 8, 3) == 255).all()


def test_an_opaque_alpha_channel_changes_nothing() -> None:
    colour = picture(3, 8, 8, 3)
    opaque = np.dstack((colour, np.full((8, 8), 255, np.uint8)))
    assert np.array_equal(decode(encode(opaque), 8, 3), decode(encode(colour), 8, 3))


def test_floating_point_pixels_are_refused_rather_than_black() -> None:
    with pytest.raises(ValueError, match="no known range"):
        decode(encode(np.full((8, 8), 0.5, np.float32), "TIFF"), 8, 1)


def test_orientation_from_the_camera_is_applied() -> None:
    image = picture(9)
    exif = Image.Exif()
    exif[0x0112] = 3  # turned by 180 degrees
    content = encode(image, exif=exif)
    assert np.array_equal(decode(content, 8, 3), image[::-1, ::-1].transpose(2, 0, 1))


def test_journal_lines_are_json(source: Files, tmp_path: Path) -> None:
    source.stop_at = "24.png"
    with pytest.raises(KeyboardInterrupt):
        run(source, tmp_path)
    (journal,) = tmp_path.glob(".*.journal")
    blocks = [json.loads(line)["block"] for line in journal.read_text().splitlines()]
    assert sorted(blocks) == [0, 1, 2, 3, 4, 5]


def test_damaged_exif_leaves_a_picture_unrotated_and_postscript_is_no_picture() -> None:
    import io

    from PIL import Image, UnidentifiedImageError

    from svae_lib.data import decoding

    pixels = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    plain, damaged, script = io.BytesIO(), io.BytesIO(), io.BytesIO()
    Image.fromarray(pixels).save(plain, "png")
    Image.fromarray(pixels).save(damaged, "png", exif=b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12")
    Image.fromarray(pixels).save(script, "eps")
    expected = decoding.decode(plain.getvalue(), 4, 3)
    np.testing.assert_array_equal(decoding.decode(damaged.getvalue(), 4, 3), expected)
    with pytest.raises(UnidentifiedImageError):
        decoding.decode(script.getvalue(), 4, 3)
