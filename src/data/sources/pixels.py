"""Image files of any size as pixels of one size: decoded, scaled, and with 8 bits. All sources of such files read them here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from src.data.notes import counted, listed
from src.data.sources.decoding import channels_first, decode, has_several, is_deep
from src.data.sources.depth import Depth, eight_bits
from src.data.unreadable import leave_out

if TYPE_CHECKING:
    from PIL.Image import Image

ELONGATED = 4  # times as long as wide; the middle square of a longer image is less than a quarter of it


class Pixels(NamedTuple):
    """The images that can be read.

    Args:
        image: uint8, shape (images, channels, size, size).
        kept: their positions among all files.
        shift: bits that those with 16 bits of grey lost on the right.
        notes: lines on what is left out or changed.
    """

    image: np.ndarray
    kept: list[int]
    notes: list[str]
    shift: int


def read(paths: Sequence[Path], names: Sequence[str], *, size: int, channels: int, max_unreadable: int, where: str) -> Pixels:
    """Every image with `channels` channels, scaled until its shorter side has `size` pixels, and cropped to the middle.

    Args:
        names: of the files, for messages.
        max_unreadable: files that cannot be read, up to which they are left out.
        where: the data set, for messages.

    Raises:
        Unreadable: more files cannot be read.
        InputError: images with 16 bits that 8 bits cannot hold.
    """
    image = np.empty((len(paths), channels, size, size), dtype=np.uint8)
    kept: list[int] = []
    deep: list[int] = []  # rows of images with 16 bits, decoded again when the values of all of them are known
    elongated: list[str] = []
    several: list[str] = []
    unreadable: list[tuple[str, str]] = []
    depth = Depth()
    for number, (path, name) in enumerate(zip(paths, names, strict=True)):
        try:
            picture = decode(path, channels=channels, depth=depth)
            if has_several(path):
                several.append(name)
        except ValueError as error:
            unreadable.append((name, str(error)))
            continue
        if max(picture.size) > ELONGATED * min(picture.size):
            elongated.append(f"{name} ({picture.size[0]}x{picture.size[1]})")
        if is_deep(picture):
            deep.append(len(kept))
        else:
            image[len(kept)] = _scaled(picture, size, size)
        kept.append(number)
    notes = leave_out(unreadable, count=len(paths), limit=max_unreadable, where=where, what="files cannot be read as images")
    notes += depth.notes(where)
    for row in deep:
        picture = _eight_bits(decode(paths[kept[row]], channels=channels, depth=Depth()), depth.shift, channels)
        image[row] = _scaled(picture, size, size)
    if elongated:
        notes.append(
            f"{counted(len(elongated), 'image is', 'images are')} more than {ELONGATED} times as long as wide; only the "
            f"middle square of each is kept: {listed(elongated)}."
        )
    if several:
        notes.append(
            f"{counted(len(several), 'file has', 'files have')} several pages or frames; only the first of each is kept: "
            f"{listed(several)}."
        )
    return Pixels(image[: len(kept)], kept, notes, depth.shift)


def one(file: Path | bytes, *, channels: int, shift: int, size: Sequence[int] | None) -> np.ndarray:
    """The pixels of one image file, as `read` gives them, (channels, height, width).

    Args:
        shift: bits that an image with 16 bits of grey loses on the right.
        size: height and width to which it is scaled and cropped; None leaves it as it is.

    Raises:
        ValueError: it cannot be read as an image.
    """
    image = decode(file, channels=channels, depth=Depth())
    if is_deep(image):
        image = _eight_bits(image, shift, channels)
    return channels_first(image) if size is None else _scaled(image, *size)


def _eight_bits(image: Image, shift: int, channels: int) -> Image:
    from PIL.Image import fromarray  # only where images are decoded

    return fromarray(eight_bits(np.asarray(image), shift)).convert("L" if channels == 1 else "RGB")


def _scaled(image: Image, height: int, width: int) -> np.ndarray:
    image = _shortened(image)
    scale = max(width / image.size[0], height / image.size[1])
    image = image.resize((max(width, round(image.size[0] * scale)), max(height, round(image.size[1] * scale))))
    left, top = (image.size[0] - width) // 2, (image.size[1] - height) // 2
    return channels_first(image.crop((left, top, left + width, top + height)))


def _shortened(image: Image) -> Image:
    """The middle of a very long image. Scaled as a whole, 60,000x1 pixels would fill the memory."""
    longest = ELONGATED * min(image.size)
    width, height = min(image.size[0], longest), min(image.size[1], longest)
    left, top = (image.size[0] - width) // 2, (image.size[1] - height) // 2
    return image if (width, height) == image.size else image.crop((left, top, left + width, top + height))
