"""Many image files of any size as one column: as pixels of one size, or as they are. All sources read such files here."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np

from src.data import progress, scratch, worker_pool
from src.data.columns import Ragged
from src.data.encoded import Encoded
from src.data.notes import counted, listed
from src.data.sources import image_storing
from src.data.sources.image_storing import Chunk, Found, Place, Shape
from src.data.sources.pixels import ELONGATED, PixelDecoder
from src.data.unreadable import leave_out
from src.errors import InputError

Storage: TypeAlias = Literal["decoded", "encoded"]

TOGETHER, BYTES = 64, 2**23  # files that a process gets at once, and bytes of their pixels, at most
ALONE = 500  # files that one process decodes while others would only start


class Images(NamedTuple):
    """The images that can be read.

    Args:
        image: uint8, shape (images, channels, size, size), or the column of the files.
        kept: their positions among all files.
        digests: of the kept ones, by which equal ones are found.
        notes: lines on what is left out or changed.
        reading: what a reader of one such file must know, by the names of its arguments.
    """

    image: np.ndarray | Encoded
    kept: list[int]
    digests: list[bytes]
    notes: list[str]
    reading: dict[str, Any]


def read(
    paths: Sequence[str | Path],
    names: Sequence[str],
    *,
    size: int,
    channels: int,
    storage: Storage,
    max_unreadable: int,
    where: str,
) -> Images:
    """Every image with `channels` channels, scaled until its shorter side has `size` pixels, and cropped to the middle.

    Many files are decoded by a process for each processor.

    Args:
        names: of the files, for messages.
        storage: whether the pixels are kept, or the files, which are then decoded again whenever they are read.
        max_unreadable: files that cannot be read, up to which they are left out.
        where: the data set, for messages.

    Raises:
        Unreadable: more files cannot be read.
        InputError: images with 16 bits that 8 bits cannot hold.
        ProcessLost: a process that decodes ended.
    """
    shape = channels, size, size
    store = (_Pixels if storage == "decoded" else _Files)(paths, shape)
    found = Found(len(paths))
    with _mapping(store, paths) as decoded:
        for part in decoded(None, range(len(paths))):
            found.add(part)
            store.add(part)
        unreadable = [(names[number], reason) for number, reason in found.unreadable]
        notes = leave_out(
            unreadable, count=len(paths), limit=max_unreadable, where=where, what="files cannot be read as images"
        )
        notes += found.depth.notes(where)
        for part in decoded(found.depth.shift, found.deep):
            store.add(part)
            for number, reason in part.unreadable:
                raise InputError(f"{where}: {names[number]} was changed while it was read: {reason}. Begin again.")
    lost = {number for number, _ in found.unreadable}
    kept = [number for number in range(len(paths)) if number not in lost]
    reading = {"scales": True, "shift": found.depth.shift, **({} if storage == "decoded" else {"reduced": True})}
    digests = [store.digests[number] for number in kept]
    return Images(store.column(kept, found.depth.shift), kept, digests, [*notes, *_notes(found, names)], reading)


def _notes(found: Found, names: Sequence[str]) -> list[str]:
    notes = []
    if found.elongated:
        elongated = [f"{names[number]} ({shape})" for number, shape in found.elongated]
        notes.append(
            f"{counted(len(elongated), 'image is', 'images are')} more than {ELONGATED} times as long as wide; only the "
            f"middle square of each is kept: {listed(elongated)}."
        )
    if found.several:
        notes.append(
            f"{counted(len(found.several), 'file has', 'files have')} several pages or frames; only the first of each is kept: "
            f"{listed([names[number] for number in found.several])}."
        )
    return notes


class _Store(ABC):
    """What is kept of the files.

    Attributes:
        function: decodes a chunk of them, and writes what is kept, in this process or another.
        together: files of a chunk.
        on_disk: whether other processes can write there.
        digests: of what is kept of each file.
    """

    function: Callable[[Chunk], Found]
    together = TOGETHER
    on_disk: bool

    def __init__(self, count: int):
        self.digests = [b""] * count

    def add(self, part: Found) -> None:
        """Takes what the function gave for a chunk."""
        for number, digest in part.digests:
            self.digests[number] = digest

    @abstractmethod
    def column(self, kept: Sequence[int], shift: int) -> np.ndarray | Encoded:
        """Some of the files, in rising order. The others are lost.

        Args:
            shift: bits that an image with 16 bits of grey loses on the right.
        """


class _Pixels(_Store):
    """The decoded images."""

    def __init__(self, paths: Sequence[str | Path], shape: Shape):
        super().__init__(len(paths))
        self._image = scratch.empty((len(paths), *shape), np.uint8)
        self.together = max(1, min(TOGETHER, BYTES // self._image[:1].nbytes))
        self.on_disk = isinstance(self._image, np.memmap)
        self.function = partial(image_storing.store_pixels, Place.of(self._image), shape)

    def column(self, kept: Sequence[int], shift: int) -> np.ndarray:
        return scratch.shorten(self._image, kept)


class _Files(_Store):
    """The bytes of the files, one after the other, and the sums of their pixels."""

    def __init__(self, paths: Sequence[str | Path], shape: Shape):
        super().__init__(len(paths))
        self._shape = shape
        self._offsets = np.concatenate([[0], np.cumsum([_size(path) for path in paths])]).astype(np.int64)
        self._values = scratch.empty((int(self._offsets[-1]),), np.uint8)
        self._sums = np.zeros((len(paths), 2, shape[0]), dtype=np.uint64)
        self.on_disk = isinstance(self._values, np.memmap)
        self.function = partial(image_storing.store_files, Place.of(self._values), self._offsets, self._shape)

    def add(self, part: Found) -> None:
        super().add(part)
        for number, sums in part.sums:
            self._sums[number] = sums

    def column(self, kept: Sequence[int], shift: int) -> Encoded:
        values, offsets = self._values, self._offsets
        if len(kept) < len(self._sums):
            values, offsets = scratch.shorten_pieces(values, offsets, kept)
        return Encoded(Ragged(values, offsets), PixelDecoder(self._shape, shift), self._shape, sums=self._sums[[*kept]])


def _size(path: str | Path) -> int:
    """The bytes of a file; 0 where there is none, which is noticed when it is read."""
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


@contextmanager
def _mapping(store: _Store, paths: Sequence[str | Path]) -> Iterator[Callable[[int | None, Iterable[int]], Iterator[Found]]]:
    """A block that gets a function which decodes some files: in this process, or in several."""

    def chunks(shift: int | None, positions: Iterable[int]) -> Iterator[Chunk]:
        files = [(number, os.fspath(paths[number])) for number in positions]
        return ((shift, files[start : start + store.together]) for start in range(0, len(files), store.together))

    if not store.on_disk or len(paths) < ALONE or worker_pool.processors() == 1:
        yield lambda shift, positions: map(store.function, chunks(shift, positions))
        return
    with (
        progress.shown(len(paths), what="files") as update,
        worker_pool.started(store.function, processes=worker_pool.processors(), what="decodes images") as pool,
    ):

        def decoded(shift: int | None, positions: Iterable[int]) -> Iterator[Found]:
            for part in pool(chunks(shift, positions)):
                update(part.count if shift is None else 0)
                yield part

        yield decoded
