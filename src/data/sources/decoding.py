"""Image files, decoded by Pillow."""

from __future__ import annotations

from collections.abc import Iterable
from io import BytesIO
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

import numpy as np

from src.errors import InputError

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = (".png", ".jpg", ".jpeg")
# Of images that are not read. What else lies among them is taken for no image: notes, tables, a system's own files.
OTHERS = (".avif", ".bmp", ".gif", ".heic", ".heif", ".jfif", ".jp2", ".jxl", ".pgm", ".ppm", ".tif", ".tiff", ".webp")


def check_formats(paths: Iterable[PurePath], *, where: str) -> None:
    """Refuses images of formats that are not read: left out silently, nobody would miss them."""
    others = sorted(str(path) for path in paths if path.suffix.lower() in OTHERS)
    if others:
        raise InputError(
            f"{where}: expected images in files {', '.join(SUFFIXES)}; received {len(others)} of other formats. Convert them "
            "(to PNG nothing is lost), or put them elsewhere:\n  " + "\n  ".join(others[:10])
        )


def check_channels(channels: int) -> None:
    if channels not in (1, 3):
        raise InputError(
            f"data.channels: expected 1 (grey) or 3 (colour), as PNG and JPEG have them; received {channels}. Choose one of "
            "them, and every picture is brought to it; pictures with others need a source of their own in src/data/sources."
        )


def check_pixels(key: str, pixels: int, *, most: int | None = None) -> None:
    """Refuses a length that is none, or is above the largest one."""
    if pixels < 1 or (most is not None and pixels > most):
        allowed = "from 1" if most is None else f"from 1 to {most}"
        raise InputError(f"data.{key}: expected a number of pixels {allowed}; received {pixels}. Choose one of these.")


def decoded(file: Path | bytes, *, channels: int) -> Image:
    """An upright picture of 1 or 3 channels with 8 bits each.

    Raises:
        ValueError: the file is no whole image.
    """
    from PIL import ImageOps, UnidentifiedImageError  # only where images are decoded
    from PIL.Image import open

    try:
        with open(BytesIO(file) if isinstance(file, bytes) else file) as image:
            return _eight_bits(ImageOps.exif_transpose(image)).convert("L" if channels == 1 else "RGB")
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise ValueError(str(error)) from error


def numbers(content: bytes) -> np.ndarray:
    """The values of a PNG file of one channel as they are stored, of a palette its indices; shape (height, width).

    Raises:
        ValueError: the file is no whole image, or has several channels.
    """
    from PIL import UnidentifiedImageError
    from PIL.Image import open

    try:
        with open(BytesIO(content)) as image:
            array = np.asarray(image)
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise ValueError(str(error)) from error
    if array.ndim != 2:
        raise ValueError(f"expected one channel, a number for each pixel; received {array.shape[2]} channels ({image.mode})")
    return array.astype(np.int64)


def channelled(image: Image) -> np.ndarray:
    """Pixels as (channel, height, width)."""
    pixels = np.asarray(image)
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def _eight_bits(image):
    """The image; one with 16 bits of grey in 8, for Pillow's own conversion would turn all but black into white."""
    from PIL.Image import fromarray

    return fromarray((np.asarray(image) >> 8).astype(np.uint8)) if image.mode.startswith("I") else image
