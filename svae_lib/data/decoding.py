"""From the content of an image file to the pixels that a viewer shows, at a size of our choice."""

import contextlib
import io
import stat
import threading
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

Image.init()
# Only raster formats: Pillow would hand PostScript to Ghostscript, whatever the file's name.
WANTED = ("JPEG", "PNG", "BMP", "GIF", "PPM", "TIFF", "WEBP", "AVIF")
FORMATS = tuple(form for form in WANTED if form in Image.OPEN)  # WebP and AVIF are optional
SUFFIXES = frozenset(
    suffix
    for suffix, form in Image.registered_extensions().items()
    if form in FORMATS or form == "MPO"  # JPEG files of several pictures
)
MOST_PIXELS = 89_478_485  # where Pillow begins to warn of decompression bombs
LARGE = 1 << 24  # pixels; converting so many takes up to 0.3 GB, so threads do it in turns
_one_large = threading.Lock()


def read_file(path: Path) -> bytes:
    """Content of a regular file; an OSError otherwise, since a pipe would be waited for."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError("not a regular file")
    return path.read_bytes()


def decode(
    content: bytes, size: int | None, channels: int, box: tuple[int, int, int, int] | None = None
) -> npt.NDArray[np.uint8]:
    """An image file as uint8 (C, size, size): upright, cropped, then resized bilinearly.

    Pillow's bilinear filter averages over all the pixels that a smaller pixel covers, so fine
    detail does not turn into aliasing. Of several pictures in a file, the first is taken.

    Args:
        content: bytes of the file.
        size: height and width in pixels; None: the picture's own, whole.
        channels: 1 (greyscale) or 3 (RGB); the file is converted.
        box: left, top, right, bottom (exclusive) of the part to keep, in pixels; without it,
            the largest square around the centre.

    Raises:
        ValueError: it has more than ``MOST_PIXELS``, too few for the box, or unknown values.
        OSError: it is not an image, not one of ``FORMATS``, or cut short (or another error).
    """
    with Image.open(io.BytesIO(content), formats=FORMATS) as file:
        pixels = file.width * file.height
        if pixels > MOST_PIXELS:
            raise ValueError(f"{pixels:,} pixels, more than {MOST_PIXELS:,}")
        with _one_large if pixels > LARGE else contextlib.nullcontext():
            file.load()
            image = _upright(file)
            if size is not None:
                image = _cropped(image, box)
            image = to_8_bits(image, file, channels)
    if size is not None:
        image = image.resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(image).reshape(image.height, image.width, channels).transpose(2, 0, 1)


def _cropped(image: Image.Image, box: tuple[int, int, int, int] | None) -> Image.Image:
    """The part in the box; without one, the central square."""
    if box is None:
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        box = left, top, left + side, top + side
    if box[2] > image.width or box[3] > image.height:
        raise ValueError(f"{image.width}x{image.height} pixels are too few for the crop")
    return image.crop(box)


def _upright(image: Image.Image) -> Image.Image:
    """The image rotated as its EXIF data say, or as stored where these cannot be read."""
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # damaged EXIF raises TypeError, struct.error, SyntaxError and more
        return image


def to_8_bits(image: Image.Image, file: Image.Image, channels: int) -> Image.Image:
    """Greyscale or RGB as a viewer shows it, on white where the image is transparent.

    Pillow itself would clip 16-bit pixels instead of scaling them, turn floats in [0, 1] black, and
    show the colours (black, as a rule) that transparency hides. ``image`` is a part of ``file``.
    """
    if image.mode.startswith("I;16") or (image.mode == "I" and file.format in ("PNG", "PPM")):
        image = _scaled(image, file)
    elif image.mode in ("I", "F"):
        raise ValueError(f"pixels of mode {image.mode} have no known range: save 8 or 16 bits")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    if image.mode not in ("1", "L"):  # not every mode can be converted to greyscale at once
        image = image.convert("RGB")
    return image.convert("L" if channels == 1 else "RGB")


def _scaled(image: Image.Image, file: Image.Image) -> Image.Image:
    """Greyscale of 12 or 16 bits as 8 bits."""
    tags = getattr(file, "tag_v2", {})  # of TIFF
    bits = tags.get(258, (16,))[0]  # BitsPerSample
    values = np.asarray(image).astype(np.int32)
    grey = values >> (bits - 8)
    if tags.get(262) == 0:  # PhotometricInterpretation: white is zero
        grey = 255 - grey
    elif values.any() and not grey.any():
        raise ValueError(f"{bits}-bit pixels all below {1 << (bits - 8)} would turn black")
    grey[values == file.info.get("transparency")] = 255
    return Image.fromarray(grey.astype(np.uint8))


def reason(error: Exception) -> str:
    """Why a file is broken; Pillow's own message about unknown formats is of no use to a reader."""
    if isinstance(error, UnidentifiedImageError):
        return "it is no image, or of an unknown format"
    return printable(f"{type(error).__name__}: {error}")


def printable(text: str) -> str:
    """Text that any UTF-8 stream accepts: a file name in another encoding is escaped."""
    return text.encode(errors="backslashreplace").decode()


def is_hidden(name: str) -> bool:
    """Whether part of a path is hidden: put beside the user's images by a system or program."""
    parts = PurePosixPath(name).parts
    return any(part.startswith(".") or part in ("__MACOSX", "@eaDir") for part in parts)
