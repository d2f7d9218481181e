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
# Of image formats that are not supported. All other files count as no image: notes, tables, files of the operating system.
UNSUPPORTED = (".avif", ".bmp", ".gif", ".heic", ".heif", ".jfif", ".jp2", ".jxl", ".pgm", ".ppm", ".tif", ".tiff", ".webp")


def check_formats(paths: Iterable[PurePath], *, where: str) -> None:
    """Refuses images of unsupported formats. Nobody would notice that they were left out."""
    unsupported = sorted(str(path) for path in paths if path.suffix.lower() in UNSUPPORTED)
    if unsupported:
        raise InputError(
            f"{where}: expected images in files {', '.join(SUFFIXES)}; received {len(unsupported)} of other formats. Convert "
            "them (PNG loses nothing), or move them elsewhere:\n  " + "\n  ".join(unsupported[:10])
        )


def check_channels(channels: int) -> None:
    if channels not in (1, 3):
        raise InputError(
            f"data.channels: expected 1 (grey) or 3 (colour), as PNG and JPEG have; received {channels}. Choose one of the "
            "two, and every image is converted to it. Images with other channels need a source of their own in "
            "src/data/sources."
        )


def check_length(key: str, pixels: int, *, largest: int | None = None) -> None:
    """Refuses a number of pixels below 1 or above the largest one."""
    if pixels < 1 or (largest is not None and pixels > largest):
        allowed = "of at least 1" if largest is None else f"from 1 to {largest}"
        raise InputError(f"data.{key}: expected a number of pixels {allowed}; received {pixels}.")


def decode(file: Path | bytes, *, channels: int) -> Image:
    """An upright image of 1 or 3 channels with 8 bits each.

    Raises:
        ValueError: the file is no complete image, or no regular file, from which reading may never end.
    """
    if isinstance(file, Path) and file.exists() and not file.is_file():
        raise ValueError("expected a file; received a folder, a pipe or a device")
    from PIL import ImageOps, UnidentifiedImageError  # only where images are decoded
    from PIL.Image import open

    try:
        with open(BytesIO(file) if isinstance(file, bytes) else file) as image:
            return _to_eight_bits(ImageOps.exif_transpose(image)).convert("L" if channels == 1 else "RGB")
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise ValueError(str(error)) from error


def decode_values(content: bytes) -> np.ndarray:
    """The values of a PNG file of one channel as they are stored, for a palette its indices; shape (height, width).

    They are bytes where they fit into bytes.

    Raises:
        ValueError: the file is no complete image, or has several channels.
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
    return array.astype(np.min_scalar_type(array.max(initial=0)))


def channels_first(image: Image) -> np.ndarray:
    """Pixels of shape (channels, height, width)."""
    pixels = np.asarray(image)
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def _to_eight_bits(image: Image) -> Image:
    """The image, where it has 16 bits of grey with 8 bits. Pillow's own conversion would turn all but black into white."""
    from PIL.Image import fromarray

    return fromarray((np.asarray(image) >> 8).astype(np.uint8)) if image.mode.startswith("I") else image
