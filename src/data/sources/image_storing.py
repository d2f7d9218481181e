"""What a process does with the image files that a preparation gives it: decodes them, and writes what is kept to its place."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from src.data import digest
from src.data.sources.decoding import decode, has_several, is_deep
from src.data.sources.depth import Depth
from src.data.sources.files import read_bytes, text
from src.data.sources.pixels import ELONGATED, scaled, whole, with_eight_bits

if TYPE_CHECKING:
    from PIL.Image import Image

Files: TypeAlias = list[tuple[int, str]]
"""Paths with their positions among all."""
Chunk: TypeAlias = tuple[int | None, Files]
"""Some files, and the bits that an image with 16 bits of grey loses; None in the first pass, which leaves those out."""
Shape: TypeAlias = tuple[int, int, int]
"""Channels, height and width of the stored images."""
LEVELS = np.arange(256, dtype=np.int64)


@dataclass
class Found:
    """What is known of some files once they are decoded; files are their positions among all.

    Args:
        deep: those with 16 bits, decoded again when the values of all are known.
        elongated: with their sizes.
        several: those with several pages or frames.
        unreadable: with the reasons.
        digests: of what is kept of each, by which equal ones are found.
        sums: of the pixels and of their squares by channel, (2, channels), where files are kept as they are.
    """

    count: int
    depth: Depth = field(default_factory=Depth)
    deep: list[int] = field(default_factory=list)
    elongated: list[tuple[int, str]] = field(default_factory=list)
    several: list[int] = field(default_factory=list)
    unreadable: list[tuple[int, str]] = field(default_factory=list)
    digests: list[tuple[int, bytes]] = field(default_factory=list)
    sums: list[tuple[int, np.ndarray]] = field(default_factory=list)

    def add(self, other: Found) -> None:
        """Counts what another one has found, but for its digests and sums."""
        self.depth.add(other.depth)
        self.deep += other.deep
        self.elongated += other.elongated
        self.several += other.several
        self.unreadable += other.unreadable


@dataclass(frozen=True)
class Place:
    """Where the bytes of an array are written: in memory, or in its file, by this process or another."""

    array: np.ndarray | None
    path: str = ""
    offset: int = 0

    @classmethod
    def of(cls, array: np.ndarray) -> Place:
        return cls(None, str(array.filename), array.offset) if isinstance(array, np.memmap) else cls(array.reshape(-1))

    def write(self, pieces: Iterable[tuple[int, bytes | memoryview]]) -> None:
        """Writes bytes, each piece from its own place on."""
        if self.array is not None:
            for start, content in pieces:
                self.array[start : start + len(content)] = np.frombuffer(content, np.uint8)
            return
        file = os.open(self.path, os.O_WRONLY)
        try:
            for start, content in pieces:
                os.pwrite(file, content, self.offset + start)
        finally:
            os.close(file)


def store_pixels(place: Place, shape: Shape, chunk: Chunk) -> Found:
    """Writes files as pixels of a shape (channels, size, size); zeros where a file cannot be read or is decoded again."""
    (shift, files), (channels, size, _) = chunk, shape
    found, sheet = Found(len(files)), _Sheet(len(files), size, channels)
    for row, (number, file) in enumerate(files):
        image = _decoded(found, number, file, file, channels)
        if image is None:
            continue
        if shift is None and is_deep(image):
            found.deep.append(number)
        else:
            sheet.paste(scaled(with_eight_bits(image, shift or 0, channels), size, size), row)
    pixels, numbers = sheet.pixels(), [number for number, _ in files]
    found.digests = [(number, digest.of(one.reshape(-1).data)) for number, one in zip(numbers, pixels, strict=True)]
    if numbers[-1] - numbers[0] == len(numbers) - 1:
        place.write([(numbers[0] * pixels[0].nbytes, pixels.reshape(-1).data)])
    else:
        place.write((number * one.nbytes, one.reshape(-1).data) for number, one in zip(numbers, pixels, strict=True))
    return found


def store_files(place: Place, offsets: np.ndarray, shape: Shape, chunk: Chunk) -> Found:
    """Writes files as they are, once they could be decoded.

    Args:
        offsets: where each of all files begins, and the end of the last one.
        shape: (channels, size, size) of the pixels whose sums are wanted.
    """
    (shift, files), (channels, size, _) = chunk, shape
    found, pieces = Found(len(files)), list[tuple[int, bytes]]()
    for number, file in files:
        start, end = offsets[number : number + 2].tolist()
        try:
            content = read_bytes(file)
        except (OSError, ValueError) as error:
            found.unreadable.append((number, text(str(error))))
            continue
        if len(content) != end - start:
            found.unreadable.append((number, f"expected {end - start:,} bytes, as it had before; received {len(content):,}"))
            continue
        image = _decoded(found, number, file, content, channels, least=whole(size, size))
        if image is None:
            continue
        if shift is None and is_deep(image):
            found.deep.append(number)
        else:
            found.sums.append((number, _sums(scaled(with_eight_bits(image, shift or 0, channels), size, size))))
        pieces.append((start, content))
        found.digests.append((number, digest.of(content)))
    place.write(pieces)
    return found


def _decoded(
    found: Found,
    number: int,
    path: str,
    file: str | bytes,
    channels: int,
    *,
    least: Callable[[int, int], tuple[int, int]] | None = None,
) -> Image | None:
    """An image file; None where it cannot be read. What is known of it is added to what was found."""
    size: list[int] = []  # of the whole image, where less of it is decoded

    def measured(width: int, height: int) -> tuple[int, int]:
        assert least is not None
        size[:] = width, height
        return least(width, height)

    try:
        image = decode(file, channels=channels, depth=found.depth, least=measured if least is not None else None)
        if has_several(path):
            found.several.append(number)
    except ValueError as error:
        found.unreadable.append((number, str(error)))
        return None
    width, height = size or image.size
    if width > ELONGATED * height or height > ELONGATED * width:
        found.elongated.append((number, f"{width}x{height}"))
    return image


def _sums(image: Image) -> np.ndarray:
    """The sums of each channel's pixels and of their squares, (2, channels). Pillow counts levels faster than numpy adds."""
    counts = np.array(image.histogram(), dtype=np.int64).reshape(-1, len(LEVELS))
    return np.stack([counts @ LEVELS, counts @ LEVELS**2]).astype(np.uint64)


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
