"""Image files, decoded by Pillow."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from io import BytesIO
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

import numpy as np

from src.data.sources.depth import Depth
from src.data.sources.files import read_bytes, suffix, text
from src.errors import InputError

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif")
EXACT = (".png", ".bmp", ".tif", ".tiff", ".gif")  # whose values are never changed by compression, as masks need
PAGED = (".webp", ".tif", ".tiff", ".gif")  # formats of which a file may have several pages or frames
# Of image formats that are not supported. All other files count as no image: notes, tables, files of the operating system.
UNSUPPORTED = (".avif", ".heic", ".heif", ".jfif", ".jp2", ".jxl", ".pgm", ".ppm")
ORIENTATION, TURNED = 0x0112, 5  # the EXIF tag, and its values from which on width and height change places
UNTURNED = frozenset(("dpi", "gamma", "icc_profile", "srgb", "transparency"))  # what a PNG may state besides how it is turned


def check_formats(paths: Iterable[str | PurePath], *, where: str) -> None:
    """Refuses images of unsupported formats. Nobody would notice that they were left out."""
    unsupported = sorted(text(path) for path in paths if suffix(path) in UNSUPPORTED)
    if unsupported:
        raise InputError(
            f"{where}: expected images in files {', '.join(SUFFIXES)}; received {len(unsupported)} of other formats. Convert "
            "them (PNG loses nothing), or move them elsewhere:\n  " + "\n  ".join(unsupported[:10])
        )


def check_channels(channels: int) -> None:
    if channels not in (1, 3):
        raise InputError(
            f"data.channels: expected 1 (grey) or 3 (colour), as image files have; received {channels}. Choose one of the "
            "two, and every image is converted to it. Images with other channels need a source of their own in "
            "src/data/sources."
        )


def check_length(key: str, pixels: int, *, largest: int | None = None) -> None:
    """Refuses a number of pixels below 1 or above the largest one."""
    if pixels < 1 or (largest is not None and pixels > largest):
        allowed = "of at least 1" if largest is None else f"from 1 to {largest}"
        raise InputError(f"data.{key}: expected a number of pixels {allowed}; received {pixels}.")


def decode(
    file: str | Path | bytes,
    *,
    channels: int,
    depth: Depth,
    least: Callable[[int, int], tuple[int, int]] | None = None,
) -> Image:
    """An upright image of 1 or 3 channels with 8 bits each, or as it is stored where it has 16 bits of grey (`is_deep`).

    Of a file with several pages or frames it is the first one.

    Args:
        depth: counts the images with 16 bits.
        least: gets width and height of the upright image, and gives how wide and high the result must be at least. A JPEG file
            is then decoded at 1/2, 1/4 or 1/8 of its size where that is enough, which is faster. None: the whole size.

    Raises:
        ValueError: the file is no complete image, too large a one, or no regular file, from which reading may never end.
    """
    from PIL import ImageOps  # only where images are decoded
    from PIL.Image import open

    wanted = "L" if channels == 1 else "RGB"
    with _Reasons(), open(BytesIO(file if isinstance(file, bytes) else read_bytes(file))) as image:
        stored = str(image.tile[0][3]) if image.tile else ""  # of a PNG: how the bytes are stored, as "RGB;16B"
        if least is not None:
            _reduce(image, wanted, least)
        image.load()
        if not (image.format == "PNG" and UNTURNED.issuperset(image.info)):
            ImageOps.exif_transpose(image, in_place=True)
        if is_deep(image):
            depth.add_grey(image)
            return image
        if image.mode == "F":  # Pillow would turn all values above 255 into white
            raise ValueError("expected whole numbers as pixels; received fractions. Convert it to 8 or 16 bits")
        if ";16" in stored:
            depth.add_colour(image)
        return image if image.mode == wanted else image.convert(wanted)


def _reduce(image: Image, mode: str, least: Callable[[int, int], tuple[int, int]]) -> None:
    """Has an image decoded at a smaller size, before its pixels are read. Only JPEG can do that."""
    turned = image.getexif().get(ORIENTATION, 1) >= TURNED
    width, height = least(*(image.size[::-1] if turned else image.size))
    image.draft(mode, (height, width) if turned else (width, height))


def is_deep(image: Image) -> bool:
    """Whether an image has 16 bits of grey. Pillow's own conversion to 8 bits would turn all but black into white."""
    return image.mode.startswith("I")


def has_several(path: str) -> bool:
    """Whether a file has several pages or frames."""
    from PIL.Image import open

    if suffix(path) not in PAGED:
        return False
    with _Reasons(), open(path) as image:
        return getattr(image, "is_animated", False)


def decode_values(content: bytes) -> np.ndarray:
    """The values of an image file of one channel as they are stored, for a palette its indices; shape (height, width).

    They are bytes where they fit into bytes.

    Raises:
        ValueError: the file is no complete image, or has several channels or fractions.
    """
    from PIL.Image import open

    with _Reasons(), open(BytesIO(content)) as image:
        array, mode = np.asarray(image), image.mode
    if array.ndim != 2:
        raise ValueError(f"expected one channel, a number for each pixel; received {array.shape[2]} channels ({mode})")
    if mode == "F":
        raise ValueError("expected whole numbers, one for each pixel; received fractions")
    return array.astype(np.min_scalar_type(array.max(initial=0)))


def channels_first(image: Image) -> np.ndarray:
    """Pixels of shape (channels, height, width)."""
    pixels = np.asarray(image)
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


class _Reasons:
    """A block that turns what Pillow raises for a file into ValueError."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, *_: object) -> None:
        if error is None:
            return
        from PIL import UnidentifiedImageError
        from PIL.Image import DecompressionBombError

        if isinstance(error, DecompressionBombError):
            raise ValueError(f"expected an image that fits in memory; {str(error).partition(',')[0]}") from error
        if isinstance(error, UnidentifiedImageError):
            raise ValueError("expected the content of an image; received something else") from error
        if isinstance(error, OSError | SyntaxError | ValueError | struct.error):
            raise ValueError(text(str(error))) from error
