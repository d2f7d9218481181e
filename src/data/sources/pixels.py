"""Image files of any size as pixels of one size: decoded, scaled, and with 8 bits. All sources of such files read them here."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from src.data import progress, scratch, worker_pool
from src.data.notes import counted, listed
from src.data.sources.decoding import channels_first, decode, has_several, is_deep
from src.data.sources.depth import Depth, eight_bits
from src.data.unreadable import leave_out
from src.errors import InputError

if TYPE_CHECKING:
    from PIL.Image import Image

ELONGATED = 4  # times as long as wide; the middle square of a longer image is less than a quarter of it
TOGETHER, BYTES = 64, 2**23  # files that a process gets at once, and bytes of their pixels, at most
ALONE = 500  # files that one process decodes while others would only start


class Pixels(NamedTuple):
    """The images that can be read.

    Args:
        image: uint8, shape (images, channels, size, size).
        kept: their positions among all files.
        notes: lines on what is left out or changed.
        shift: bits that those with 16 bits of grey lost on the right.
    """

    image: np.ndarray
    kept: list[int]
    notes: list[str]
    shift: int


@dataclass
class _Decoded:
    """What is known of some files once they are decoded; files are their positions among all.

    Args:
        deep: those with 16 bits, decoded again when the values of all are known.
        elongated: with their sizes.
        several: those with several pages or frames.
        unreadable: with the reasons.
    """

    count: int
    depth: Depth = field(default_factory=Depth)
    deep: list[int] = field(default_factory=list)
    elongated: list[tuple[int, str]] = field(default_factory=list)
    several: list[int] = field(default_factory=list)
    unreadable: list[tuple[int, str]] = field(default_factory=list)


def one(file: Path | bytes, *, channels: int, shift: int, size: Sequence[int] | None) -> np.ndarray:
    """The pixels of one image file, as `read` gives them: uint8, (channels, height, width).

    Args:
        shift: bits that an image with 16 bits of grey loses on the right.
        size: height and width to which it is scaled and cropped; None leaves it as it is.

    Raises:
        ValueError: it cannot be read as an image.
    """
    image = _eight_bits(decode(file, channels=channels, depth=Depth()), shift, channels)
    return np.ascontiguousarray(channels_first(image if size is None else _scaled(image, *size)))


def read(paths: Sequence[Path], names: Sequence[str], *, size: int, channels: int, max_unreadable: int, where: str) -> Pixels:
    """Every image with `channels` channels, scaled until its shorter side has `size` pixels, and cropped to the middle.

    Many files are decoded by a process for each processor.

    Args:
        names: of the files, for messages.
        max_unreadable: files that cannot be read, up to which they are left out.
        where: the data set, for messages.

    Raises:
        Unreadable: more files cannot be read.
        InputError: images with 16 bits that 8 bits cannot hold.
        ProcessLost: a process that decodes ended.
    """
    image = scratch.empty((len(paths), channels, size, size), np.uint8)
    found = _Decoded(len(paths))
    with _mapping(image, paths) as decoded:
        for part in decoded(None, range(len(paths))):
            found.depth.add(part.depth)
            found.deep += part.deep
            found.elongated += part.elongated
            found.several += part.several
            found.unreadable += part.unreadable
        unreadable = [(names[number], reason) for number, reason in found.unreadable]
        notes = leave_out(
            unreadable, count=len(paths), limit=max_unreadable, where=where, what="files cannot be read as images"
        )
        notes += found.depth.notes(where)
        for part in decoded(found.depth.shift, found.deep):
            for number, reason in part.unreadable:
                raise InputError(f"{where}: {names[number]} was changed while it was read: {reason}. Begin again.")
    lost = {number for number, _ in found.unreadable}
    kept = [number for number in range(len(paths)) if number not in lost]
    elongated = [f"{names[number]} ({shape})" for number, shape in found.elongated]
    if elongated:
        notes.append(
            f"{counted(len(elongated), 'image is', 'images are')} more than {ELONGATED} times as long as wide; only the "
            f"middle square of each is kept: {listed(elongated)}."
        )
    if found.several:
        notes.append(
            f"{counted(len(found.several), 'file has', 'files have')} several pages or frames; only the first of each is kept: "
            f"{listed([names[number] for number in found.several])}."
        )
    return Pixels(scratch.shorten(image, kept), kept, notes, found.depth.shift)


_Files = list[tuple[int, str]]  # with their positions
_Chunk = tuple[int | None, _Files]  # shift: None in the first pass


@contextmanager
def _mapping(image: np.ndarray, paths: Sequence[Path]) -> Iterator[Callable[[int | None, Iterable[int]], Iterator[_Decoded]]]:
    """A block that gets a function which decodes some files into the array: in this process, or in several."""
    together = max(1, min(TOGETHER, BYTES // image[:1].nbytes))

    def chunks(shift: int | None, positions: Iterable[int]) -> Iterator[_Chunk]:
        files = [(number, str(paths[number])) for number in positions]
        return ((shift, files[start : start + together]) for start in range(0, len(files), together))

    if not isinstance(image, np.memmap) or len(paths) < ALONE or worker_pool.processors() == 1:
        yield lambda shift, positions: map(partial(_decode_to_array, image), chunks(shift, positions))
        return
    function = partial(_decode_to_file, str(image.filename), image.offset, image.shape[1:])
    with (
        progress.shown(len(paths), what="files") as update,
        worker_pool.started(function, processes=worker_pool.processors(), what="decodes images") as pool,
    ):

        def decoded(shift: int | None, positions: Iterable[int]) -> Iterator[_Decoded]:
            for part in pool(chunks(shift, positions)):
                update(part.count if shift is None else 0)
                yield part

        yield decoded


def _decode_to_array(image: np.ndarray, chunk: _Chunk) -> _Decoded:
    found, pixels = _decode(image.shape[1:], *chunk)
    image[[number for number, _ in chunk[1]]] = pixels
    return found


def _decode_to_file(path: str, offset: int, shape: tuple[int, ...], chunk: _Chunk) -> _Decoded:
    """Decodes in a process of its own, and writes the pixels to their places in the file."""
    found, pixels = _decode(shape, *chunk)
    numbers = [number for number, _ in chunk[1]]
    file = os.open(path, os.O_WRONLY)
    try:
        if numbers[-1] - numbers[0] == len(numbers) - 1:
            os.pwrite(file, pixels.data, offset + numbers[0] * pixels[0].nbytes)
        else:
            for number, one in zip(numbers, pixels, strict=True):
                os.pwrite(file, one.data, offset + number * one.nbytes)
    finally:
        os.close(file)
    return found


def _decode(shape: tuple[int, ...], shift: int | None, files: _Files) -> tuple[_Decoded, np.ndarray]:
    """Files as pixels of a shape (channels, size, size), zeros where a file cannot be read or is decoded again."""
    (channels, size, _), found = shape, _Decoded(len(files))
    sheet = _Sheet(len(files), size, channels)
    for row, (number, file) in enumerate(files):
        path = Path(file)
        try:
            picture = decode(path, channels=channels, depth=found.depth)
            if has_several(path):
                found.several.append(number)
        except ValueError as error:
            found.unreadable.append((number, str(error)))
            continue
        width, height = picture.size
        if width > ELONGATED * height or height > ELONGATED * width:
            found.elongated.append((number, f"{width}x{height}"))
        if shift is None and is_deep(picture):
            found.deep.append(number)
        else:
            sheet.paste(_scaled(_eight_bits(picture, shift or 0, channels), size, size), row)
    return found, sheet.pixels()


class _Sheet:
    """Square images one below the other, so that their pixels leave Pillow together: for small images that takes its time."""

    def __init__(self, count: int, size: int, channels: int):
        from PIL import Image  # only where images are decoded

        self._image = Image.new("L" if channels == 1 else "RGB", (size, count * size))
        self._shape = count, size, size

    def paste(self, image: Image, row: int) -> None:
        self._image.paste(image, (0, row * self._shape[1]))

    def pixels(self) -> np.ndarray:
        """uint8, shape (images, channels, size, size)."""
        bands = [np.frombuffer(band.tobytes(), np.uint8).reshape(self._shape) for band in self._image.split()]
        return np.stack(bands, axis=1)


def _eight_bits(image: Image, shift: int, channels: int) -> Image:
    if not is_deep(image):
        return image
    from PIL.Image import fromarray  # only where images are decoded

    return fromarray(eight_bits(np.asarray(image), shift)).convert("L" if channels == 1 else "RGB")


def _scaled(image: Image, height: int, width: int) -> Image:
    if image.size == (width, height):
        return image
    image = _shortened(image)
    scale = max(width / image.size[0], height / image.size[1])
    image = image.resize((max(width, round(image.size[0] * scale)), max(height, round(image.size[1] * scale))))
    left, top = (image.size[0] - width) // 2, (image.size[1] - height) // 2
    return image.crop((left, top, left + width, top + height))


def _shortened(image: Image) -> Image:
    """The middle of a very long image. Scaled as a whole, 60,000x1 pixels would fill the memory."""
    longest = ELONGATED * min(image.size)
    width, height = min(image.size[0], longest), min(image.size[1], longest)
    left, top = (image.size[0] - width) // 2, (image.size[1] - height) // 2
    return image if (width, height) == image.size else image.crop((left, top, left + width, top + height))
