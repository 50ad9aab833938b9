"""From the bytes of image files to pixels in their place on the disk.

This file is a program too: :mod:`svae_lib.data.preparation` starts it once per core, hands it
tasks on its standard input and reads the answers on its standard output, one line of JSON each.
So it imports nothing but NumPy and Pillow: it starts quickly and stays small.
"""

from __future__ import annotations

import io
import json
import signal
import struct
import sys
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

# A file's path; or of a member of a zip file: the zip's path, the place of its header, its packed
# size, its compression (0 or 8) and its CRC-32.
Locator = str | list[Any] | tuple[Any, ...]
Box = Sequence[int]
STORED, DEFLATED = 0, 8

# Raster formats alone: Pillow would hand PostScript to Ghostscript, whatever the file's name.
Image.init()
FORMATS = tuple(sorted(Image.OPEN.keys() - {"EPS", "PDF", "WMF"}))
MOST_PIXELS = 89_478_485  # where Pillow begins to warn of decompression bombs


def read(locator: Locator) -> bytes:
    """Content of a file or of a member of a zip archive.

    Raises:
        OSError: it is not there.
        ValueError: a member's checksum is wrong.
    """
    if isinstance(locator, str):
        if Path(locator).exists() and not Path(locator).is_file():
            raise OSError("no regular file")  # reading a FIFO would wait for ever
        return Path(locator).read_bytes()
    path, offset, size, compression, crc = locator
    with Path(path).open("rb") as file:
        file.seek(offset)
        # a member begins with 30 bytes, the last four the lengths of its name and extras
        name_length, extra_length = struct.unpack("<26xHH", file.read(30))
        file.seek(name_length + extra_length, 1)
        content = file.read(size)
    if compression == DEFLATED:
        content = zlib.decompress(content, -zlib.MAX_WBITS)
    elif compression != STORED:
        raise ValueError(f"compression {compression} is not supported")
    if zlib.crc32(content) != crc:
        raise ValueError("the CRC-32 of the content is wrong")
    return content


def decode(
    content: bytes, size: int, channels: int, box: Box | None = None
) -> npt.NDArray[np.uint8]:
    """An image file as uint8 (C, size, size): upright, cropped, then resized bilinearly.

    Pillow's bilinear filter averages over all pixels that fall into a smaller one, so fine
    detail does not turn into aliasing.

    Args:
        content: bytes of the file.
        size: height and width in pixels.
        channels: 1 (greyscale) or 3 (RGB); the file is converted.
        box: left, top, right, bottom (exclusive) of the part to keep, in pixels; without it,
            the largest square around the centre.

    Raises:
        ValueError: the image is smaller than the box, or its pixels are floats.
        OSError: it is no image, none of ``FORMATS``, or cut short. Decoders raise others too.
    """
    image = open_picture(content, channels)
    left, top, right, bottom = box or _centre_square(*image.size)
    if right > image.width or bottom > image.height:
        raise ValueError(f"{image.width}x{image.height} pixels are too few for the crop")
    part = image.crop((left, top, right, bottom))
    small = part.resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(small).reshape(size, size, channels).transpose(2, 0, 1)


def open_picture(content: bytes, channels: int) -> Image.Image:
    """An image file as a picture of 1 channel ("L") or 3 ("RGB"), upright, in its own size.

    Raises what :func:`decode` raises.
    """
    with Image.open(io.BytesIO(content), formats=FORMATS) as opened:
        if opened.width * opened.height > MOST_PIXELS:
            raise ValueError(f"{opened.width}x{opened.height} pixels, more than {MOST_PIXELS:,}")
        opened.load()
        return _convert(_upright(opened), channels)


def _upright(image: Image.Image) -> Image.Image:
    """Rotated as its EXIF says; as stored where the EXIF cannot be read."""
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # damaged EXIF raises TypeError, struct.error, SyntaxError and more
        return image


def _centre_square(width: int, height: int) -> tuple[int, int, int, int]:
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    return left, top, left + side, top + side


def _convert(image: Image.Image, channels: int) -> Image.Image:
    """To 8-bit greyscale or RGB, on white where the image is transparent.

    Pillow itself would clip 16-bit images instead of scaling, turn floats in [0, 1] black, and
    show the colours (black, as a rule) that transparency hides.

    Raises:
        ValueError: the pixels are floats, whose range nobody knows.
    """
    if image.mode == "F":
        raise ValueError("floating-point pixels have no known range: save 8 or 16 bits per value")
    if image.mode.startswith("I"):
        grey = np.asarray(image).astype(np.int64) >> 8
        image = Image.fromarray(grey.clip(0, 255).astype(np.uint8))
    if "A" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("L" if channels == 1 else "RGB")


def do(task: dict[str, Any]) -> dict[str, Any]:
    """Decode some files and write their pixels, one image after the other.

    Args:
        task: "files" maps names to locators, "recipe" holds the further arguments of
            :func:`decode`, "target" and "offset" are the file to write to and the byte to
            start at.

    Returns:
        "broken": the files that are no images, with the reason (their pixels are zeros); or
        "error": why the target could not be written.
    """
    recipe = task["recipe"]
    shape = (recipe["channels"], recipe["size"], recipe["size"])
    images = np.zeros((len(task["files"]), *shape), np.uint8)
    broken = {}
    for image, (name, locator) in zip(images, task["files"].items(), strict=True):
        try:
            image[:] = decode(read(locator), **recipe)
        except Exception as error:  # whatever a decoder raises is this file's reason
            broken[name] = _reason(error)
    try:
        with Path(task["target"]).open("r+b") as file:
            file.seek(task["offset"])
            file.write(images.tobytes())
    except OSError as error:
        return {"error": error.strerror or str(error)}
    return {"broken": broken}


def _reason(error: Exception) -> str:
    """In words; Pillow's own message about a file of no known format shows an object's address."""
    if isinstance(error, UnidentifiedImageError):
        return "it is no image, or of an unknown format"
    return f"{type(error).__name__}: {error}"


def serve() -> None:
    """Answer tasks until the input ends; an interrupt is for the process that asks."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for line in sys.stdin:
        print(json.dumps(do(json.loads(line))), flush=True)


if __name__ == "__main__":
    serve()
