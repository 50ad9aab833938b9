"""Image files become one array: as a viewer shows them, resumably, and with broken files named."""

from __future__ import annotations

import io
import os
import struct
import time
import zipfile
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from svae_lib.data import decoding, preparation
from svae_lib.data.decoding import decode
from svae_lib.data.preparation import Recipe, Source, folder_source, prepare, zip_source
from svae_lib.support.checks import InputError

RECIPE = Recipe(8)


def encode(picture: np.ndarray | Image.Image, form: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    image.save(buffer, form, **options)
    return buffer.getvalue()


def picture(seed: int, height: int = 8, width: int = 8, *channels: int) -> np.ndarray:
    shape = (height, width, *(channels or (3,)))
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


class Files:
    """25 pictures; ``stop_at`` interrupts at one of them, ``read`` lists what was read."""

    def __init__(self) -> None:
        self.contents = {f"{number:02}.png": encode(picture(number)) for number in range(25)}
        self.stop_at: str | None = None
        self.read: list[str] = []

    def spoil(self, *numbers: int) -> None:
        self.contents |= {f"{number:02}.png": b"no image" for number in numbers}

    def open(self, name: str) -> bytes:
        if name == self.stop_at:
            raise KeyboardInterrupt
        self.read.append(name)
        return self.contents[name]

    def prepare(
        self, folder: Path, skip: bool = False, recipe: Recipe = RECIPE
    ) -> tuple[torch.Tensor, torch.Tensor]:
        source = Source(list(self.contents), self.open, "the same, whatever changes")
        return prepare(source, recipe, folder, "test", "skip" if skip else "refuse")


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch) -> Files:
    monkeypatch.setattr(preparation, "BLOCK", 4)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    return Files()


def expected(numbers: Sequence[int]) -> torch.Tensor:
    return torch.from_numpy(np.stack([picture(number) for number in numbers])).permute(0, 3, 1, 2)


def suffixes(folder: Path) -> list[str]:
    """Of the files in a folder, but for the locks."""
    return sorted(path.suffix for path in folder.iterdir() if path.suffix != ".lock")


@pytest.mark.parametrize("threads", [1, 3])
def test_lossless_in_order_and_found_again(
    files: Files, tmp_path: Path, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    images, good = files.prepare(tmp_path)
    assert torch.equal(images, expected(range(25)))
    assert good.all()
    files.spoil(*range(25))  # they are not read again
    images[:] = 0  # which stays in memory
    assert torch.equal(files.prepare(tmp_path)[0], expected(range(25)))
    assert suffixes(tmp_path) == [".json", ".npy"]


def test_of_two_at_once_one_prepares_and_the_other_waits(files: Files, tmp_path: Path) -> None:
    content = files.open
    files.open = lambda name: (time.sleep(0.005), content(name))[1]  # type: ignore[method-assign]
    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(files.prepare, tmp_path) for _ in range(2)]
        assert all(torch.equal(one.result()[0], expected(range(25))) for one in both)
    assert sorted(files.read) == list(files.contents)


def test_another_recipe_or_version_makes_another_array(
    files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for recipe in (RECIPE, Recipe(16), Recipe(8, 1), Recipe(8, 3, (0, 0, 4, 4))):
        images = files.prepare(tmp_path, recipe=recipe)[0]
        assert images.shape == (25, recipe.channels, recipe.size, recipe.size)
    monkeypatch.setattr(preparation, "VERSION", 99)  # the same files give other pixels
    files.prepare(tmp_path)
    assert len(list(tmp_path.glob("*.npy"))) == 5


def test_interrupted_work_leaves_nothing_and_begins_again(files: Files, tmp_path: Path) -> None:
    files.stop_at = "13.png"  # in the fourth block
    with pytest.raises(KeyboardInterrupt):
        files.prepare(tmp_path)
    assert suffixes(tmp_path) == []
    assert len(files.read) <= 16  # the pictures at hand are waited for, no others
    files.stop_at = None
    assert torch.equal(files.prepare(tmp_path)[0], expected(range(25)))


def test_what_killed_processes_left_is_removed(files: Files, tmp_path: Path) -> None:
    files.prepare(tmp_path)
    (array,) = tmp_path.glob("*.npy")
    array.unlink()
    for left in (f".{array.stem}.0123abcd.partial.npy", f".{array.stem}.partial"):
        (tmp_path / left).write_bytes(b"half")
    other = tmp_path / ".test-8px-of-another-array.0123abcd.partial.npy"
    other.write_bytes(b"being written")
    assert torch.equal(files.prepare(tmp_path)[0], expected(range(25)))
    assert list(tmp_path.glob("*partial*")) == [other]


@pytest.mark.parametrize("size", [0, 200])
def test_an_array_cut_short_is_named(files: Files, tmp_path: Path, size: int) -> None:
    files.prepare(tmp_path)
    (array,) = tmp_path.glob("*.npy")
    os.truncate(array, size)
    with pytest.raises(InputError, match=f"{array.name} is damaged.*delete it"):
        files.prepare(tmp_path)


def test_the_first_broken_image_is_named_and_refused(files: Files, tmp_path: Path) -> None:
    files.spoil(17, 24)
    for _ in range(2):
        with pytest.raises(InputError, match=r"^17\.png is broken.*skip"):
            files.prepare(tmp_path)
        assert list(tmp_path.glob("*.npy")) == []


def test_broken_images_are_left_out_if_asked(files: Files, tmp_path: Path) -> None:
    files.spoil(3, 17)
    good = [number for number in range(25) if number not in (3, 17)]
    for _ in range(2):  # told again when the array is found
        with pytest.warns(UserWarning, match=r"03\.png \(and 1 more\) is broken: it is no image"):
            images, kept = files.prepare(tmp_path, skip=True)
        assert torch.equal(images, expected(good))
        assert kept.nonzero().flatten().tolist() == good
    with pytest.raises(InputError, match=r"03\.png \(and 1 more\) is broken"):
        files.prepare(tmp_path)


def test_whatever_a_decoder_raises_is_the_reason_of_its_file(tmp_path: Path) -> None:
    """For more than the files of a block, so that threads raise them, too."""
    count, good = 600, encode(picture(1))
    errors = {
        7: KeyError("tag"),
        300: MemoryError(),
        550: SyntaxError("frame"),
        599: struct.error(),
    }

    def read(name: str) -> bytes:
        if int(name) in errors:
            raise errors[int(name)]
        return good

    source = Source([str(number) for number in range(count)], read, "")
    with pytest.raises(InputError, match="7 is broken: KeyError"):
        prepare(source, RECIPE, tmp_path, "test")
    with pytest.warns(UserWarning, match="and 3 more"):
        _, kept = prepare(source, RECIPE, tmp_path, "test", "skip")
    assert (~kept).nonzero().flatten().tolist() == sorted(errors)


def test_nothing_but_broken_images(files: Files, tmp_path: Path) -> None:
    files.spoil(*range(25))
    with pytest.raises(InputError, match="not one"):
        files.prepare(tmp_path, skip=True)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is full")
def test_no_space(files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "open", lambda *_, **__: io.FileIO("/dev/full", "w"))
    with pytest.raises(InputError, match="No space"):
        files.prepare(tmp_path)
    assert suffixes(tmp_path) == []


def test_folder_fingerprint_follows_the_files(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        for name in ("a.png", "b.png"):
            (tmp_path / folder / name).write_bytes(b"content")
            os.utime(tmp_path / folder / name, ns=(10**18, 10**18))

    def fingerprint(folder: str = "one", *names: str) -> str:
        return folder_source(tmp_path / folder, names or ("a.png", "b.png")).fingerprint

    first = fingerprint()
    assert fingerprint() == first
    assert first not in (fingerprint("two"), fingerprint("one", "b.png", "a.png"))
    os.utime(tmp_path / "one/a.png", ns=(10**18, 10**18 + 1_000_000))
    assert fingerprint() != first  # as large, but written later
    (tmp_path / "one/a.png").write_bytes(b"longer content")
    os.utime(tmp_path / "one/a.png", ns=(10**18, 10**18))
    assert fingerprint() != first


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_zip_source_and_its_checksums(tmp_path: Path, compression: int) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", compression) as archive:
        for number in range(3):
            archive.writestr(f"x/{number}.png", encode(picture(number)))
        start = archive.getinfo("x/1.png").header_offset
    with zipfile.ZipFile(path) as archive:
        source = zip_source(archive, ["x/2.png", "x/0.png"])
        assert zip_source(archive, ["x/0.png", "x/2.png"]).fingerprint != source.fingerprint
        images, _ = prepare(source, RECIPE, tmp_path, "zip")
    assert torch.equal(images, expected([2, 0]))
    damaged = bytearray(path.read_bytes())
    damaged[start + 100] ^= 1
    path.write_bytes(damaged)
    with (
        zipfile.ZipFile(path) as archive,
        pytest.warns(UserWarning, match=r"x/1\.png is broken"),
    ):
        source = zip_source(archive, ["x/0.png", "x/1.png"])
        _, kept = prepare(source, RECIPE, tmp_path, "zip", "skip")
    assert kept.tolist() == [True, False]


def test_crop_and_resize_are_those_of_the_authors() -> None:
    image = picture(5, 218, 178)
    box = (25, 45, 153, 173)
    reference = Image.fromarray(image[45:173, 25:153]).resize((64, 64), Image.Resampling.BILINEAR)
    result = decode(encode(image), 64, 3, box)
    assert np.array_equal(result, np.asarray(reference).transpose(2, 0, 1))
    with pytest.raises(ValueError, match="too few"):
        decode(encode(picture(1)), 8, 3, box)


def test_central_square() -> None:
    wide, tall = picture(6, 8, 14), picture(7, 15, 8)
    assert np.array_equal(decode(encode(wide), 8, 3), wide[:, 3:11].transpose(2, 0, 1))
    assert np.array_equal(decode(encode(tall), 8, 3), tall[3:11].transpose(2, 0, 1))


COLOUR = ["P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "LAB", "HSV"]


def drawn(mode: str) -> Image.Image:
    """Left half blue, right half white: transparent there, over black, where that is possible."""
    image = Image.new("RGB", (8, 8), (0, 0, 255))
    image.paste("white", (4, 0, 8, 8))
    if mode == "LAB":
        lab = Image.new("LAB", (8, 8), (255, 128, 128))
        lab.paste((82, 207, 20), (0, 0, 4, 8))  # blue, nearly
        return lab
    if mode in ("LA", "PA", "RGBA", "RGBa"):
        image.paste("black", (4, 0, 8, 8))
        image = image.convert("L") if mode[0] == "L" else image
        image = image.convert("P") if mode[0] == "P" else image
        image.putalpha(Image.fromarray(np.uint8([[255] * 4 + [0] * 4] * 8)))
        return image.convert(mode)
    if mode.startswith("I;16"):
        grey = np.asarray(image.convert("L")).astype(np.uint16) * 257
        return Image.frombytes(mode, (8, 8), grey.astype({"B": ">u2"}.get(mode[-1], "<u2")))
    return image.convert(mode, dither=Image.Dither.NONE)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("mode", [*COLOUR, "1", "L", "LA", "I;16", "I;16B", "I;16L"])
def test_every_mode_is_shown_as_a_viewer_does(mode: str, channels: int) -> None:
    image = drawn(mode)
    assert image.mode == mode
    found = decoding.to_8_bits(image, image, channels)
    assert found.mode == ("L" if channels == 1 else "RGB")
    pixels = np.asarray(found, dtype=int)
    blue = [0, 0, 255] if channels == 3 and mode in COLOUR else 29  # ITU-R 601: 0.114 * 255
    blue = 0 if mode == "1" else blue
    assert np.abs(pixels[:, :4] - blue).max() <= (90 if mode == "LAB" else 3)
    assert pixels[:, 4:].min() >= 253


@pytest.mark.parametrize("mode", ["I", "F"])
def test_pixels_of_unknown_range_are_refused_by_name(mode: str) -> None:
    with pytest.raises(ValueError, match=f"mode {mode}"):
        decode(encode(Image.new(mode, (8, 8), 1), "TIFF"), 8, 1)


def tiff(values: np.ndarray, bits: int = 16, white_is_zero: bool = False) -> bytes:
    """A greyscale TIFF of 16 bits, or of 12 bits in packed pairs."""
    if bits == 12:
        even, odd = values.reshape(-1, 2).T
        pairs = np.stack([even >> 4, (even & 15) << 4 | odd >> 8, odd & 255], axis=1)
        data = pairs.astype(np.uint8).tobytes()
    else:
        data = values.astype("<u2").tobytes()
    height, width = values.shape
    tags = {256: width, 257: height, 258: bits, 259: 1, 262: 1 - white_is_zero, 273: 8}
    tags |= {277: 1, 278: height, 279: len(data)}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, tags[tag]) for tag in sorted(tags))
    start = struct.pack("<2sHI", b"II", 42, 8 + len(data))
    return start + data + struct.pack("<H", len(tags)) + entries + bytes(4)


def test_deep_grey_is_scaled() -> None:
    deep = (np.arange(64, dtype=np.uint16) * 1024).reshape(8, 8)
    assert np.array_equal(decode(encode(deep), 8, 1)[0], deep >> 8)
    assert np.array_equal(decode(encode(deep, "PPM"), 8, 1)[0], deep >> 8)
    assert np.array_equal(decode(tiff(deep), 8, 1)[0], deep >> 8)
    assert np.array_equal(decode(tiff(deep, white_is_zero=True), 8, 1)[0], 255 - (deep >> 8))
    assert np.array_equal(decode(tiff(deep >> 4, bits=12), 8, 1)[0], deep >> 8)
    hidden = decode(encode(deep, transparency=0), 8, 1)[0]
    assert hidden[0, 0] == 255 and np.array_equal(hidden.flat[1:], (deep >> 8).flat[1:])


def test_pictures_that_would_turn_black_are_refused() -> None:
    label_map = np.arange(64, dtype=np.uint16).reshape(8, 8)
    with pytest.raises(ValueError, match="black"):
        decode(encode(label_map), 8, 1)
    assert decode(encode(np.zeros_like(label_map)), 8, 1).max() == 0  # this one is black


def test_transparent_palettes_are_white() -> None:
    image = Image.fromarray(np.zeros((8, 8), np.uint8)).convert("P")
    for content in (encode(image, transparency=0), encode(image, "GIF", transparency=0)):
        assert (decode(content, 8, 3) == 255).all()
        assert (decode(content, 8, 1) == 255).all()


def jpeg(picture: np.ndarray, exif: bytes) -> bytes:
    return encode(picture, "JPEG", quality=95, exif=b"Exif\0\0" + exif)


def exif(*tags: tuple[int, int, int, bytes], data: bytes = b"") -> bytes:
    """A big-endian directory of (tag, type, count, value or offset) with data after it."""
    entries = b"".join(struct.pack(">HHI", *tag[:3]) + tag[3] for tag in tags)
    return struct.pack(">2sHIH", b"MM", 42, 8, len(tags)) + entries + bytes(4) + data


TURNED = (0x0112, 3, 1, b"\0\6\0\0")
GPS = struct.pack(">HHI4sHHII7I", 1, 2, 2, b"N", 2, 5, 3, 68, 0, 1, 1, 2, 1, 3, 1)


@pytest.mark.parametrize(
    "damaged",
    [
        exif(TURNED, (0x011A, 1, 1, b"\0\0\0\x48")),  # a byte where a fraction should be
        exif(TURNED, (0x0100, 5, 1, struct.pack(">I", 38)), data=struct.pack(">II", 72, 1)),
        exif(TURNED, (0x8825, 4, 1, struct.pack(">I", 38)), data=b"\0\x80" + GPS),
        exif((0x0112, 3, 1, b"\0\6"))[:20],
    ],
    ids=["byte for a fraction", "fraction for a number", "directory too long", "cut short"],
)
def test_damaged_exif_leaves_a_picture_unrotated(damaged: bytes) -> None:
    image = picture(3, 8, 8)
    content = jpeg(image, damaged)
    plain = decode(encode(image, "JPEG", quality=95), 8, 3)
    assert np.array_equal(decode(content, 8, 3), plain)


def test_orientation_from_the_camera_is_applied() -> None:
    image = picture(9)
    tags = Image.Exif()
    tags[0x0112] = 3  # turned by 180 degrees
    content = encode(image, exif=tags)
    assert np.array_equal(decode(content, 8, 3), image[::-1, ::-1].transpose(2, 0, 1))


def png(width: int, height: int) -> bytes:
    """A palette PNG of so many pixels, all of one colour: a few KB."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    rows = zlib.compressobj(9)
    data = b"".join(rows.compress(bytes(width + 1)) for _ in range(height)) + rows.flush()
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"PLTE", bytes(3)), (b"tRNS", b"\0"), (b"IDAT", data))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*one) for one in (*chunks, (b"IEND", b"")))


def test_what_unpacks_to_too_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "MOST_PIXELS", 10_000)
    with pytest.raises(ValueError, match="10,100 pixels, more than 10,000"):
        decode(png(101, 100), 8, 3)
    monkeypatch.setattr(decoding, "LARGE", 1000)  # decoded by one thread at a time
    assert decode(png(100, 100), 8, 3).min() == 255


@pytest.mark.parametrize("form", ["EPS", "PDF", "ICO", "TGA", "PCX"])
def test_other_formats_are_no_pictures_whatever_their_name(form: str) -> None:
    with pytest.raises(OSError, match="cannot identify"):
        decode(encode(picture(1, 16, 16), form), 8, 3)


@pytest.mark.skipif("AVIF" not in decoding.FORMATS, reason="this Pillow has no AVIF")
def test_damaged_avif_is_a_broken_file(tmp_path: Path) -> None:
    """A decoder that crashed would end the tests."""
    whole = encode(picture(1, 64, 64), "AVIF")
    rng = np.random.default_rng(0)
    contents = {"whole": whole}
    for number in range(40):
        damaged = bytearray(whole)
        damaged[rng.integers(0, 300)] ^= 255
        damaged[-rng.integers(1, 100)] ^= 255
        contents[f"{number} damaged"] = bytes(damaged)
        contents[f"{number} cut"] = whole[: rng.integers(20, len(whole) - 20)]
    source = Source(list(contents), contents.__getitem__, "")
    with pytest.warns(UserWarning, match="is broken"):
        _, kept = prepare(source, RECIPE, tmp_path, "test", "skip")
    assert kept[0]
    assert not kept[[name.endswith("cut") for name in contents]].any()
