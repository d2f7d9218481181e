"""A column of files, which are decoded whenever they are read: for collections that are too large to keep decoded."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from src.data import scratch
from src.data.columns import Column, Ragged
from src.errors import InputError

TOGETHER, BYTES = 32, 2**22  # files that a process gets at once, and bytes of what they are decoded to, at most


class Draw(NamedTuple):
    """What a reading at random depends on, besides the row."""

    seed: int
    epoch: int

    def generator(self, row: int) -> np.random.Generator:
        """The random numbers for a row in this epoch, in whichever process it is read."""
        return np.random.default_rng((self.seed, self.epoch, row))


class Decoder(Protocol):
    """Decodes one file. It can be pickled, for other processes."""

    def __call__(self, content: bytes, rng: np.random.Generator | None, /) -> np.ndarray:
        """What the file holds, in the one shape of all.

        Args:
            rng: of a reading at random, as for a random crop in training; None reads it as an evaluation does.
        """
        ...


class Encoded(Column):
    """Files one after the other, decoded one by one.

    Args:
        files: bytes, uint8.
        decode: decodes one of them.
        shape: of what it gives for each, uint8.
        sums: statistics of each file where they are known, (files, ...), for the preparation.
    """

    def __init__(self, files: Ragged, decode: Decoder, shape: Sequence[int], *, sums: np.ndarray | None = None):
        self.files, self.decode, self.shape, self.sums = files, decode, tuple(shape), sums

    def __len__(self) -> int:
        return len(self.files)

    def take(self, rows: np.ndarray) -> np.ndarray:
        """Some rows, decoded one after the other in this process."""
        return self.decoded(rows, None)

    def decoded(self, rows: np.ndarray, draw: Draw | None) -> np.ndarray:
        """Some rows, read at random where there is a draw."""
        return _stacked(self.decode, ((self.files[row].tobytes(), row) for row in rows.tolist()), draw, self._shape_of(rows))

    def nbytes(self, rows: np.ndarray) -> int:
        return int(np.prod(self.shape)) * len(rows)

    def held(self, rows: np.ndarray) -> Encoded:
        lengths = self.files.lengths[rows]
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        values = scratch.empty((int(offsets[-1]),), np.uint8)
        for start, row in zip(offsets.tolist(), rows.tolist(), strict=False):
            one = self.files[row]
            values[start : start + len(one)] = one
        return Encoded(Ragged(values, offsets), self.decode, self.shape, sums=None if self.sums is None else self.sums[rows])

    def parts(self, rows: np.ndarray, draw: Draw | None) -> Iterator[Part]:
        """Some rows as work for other processes, which read the file of a store."""
        values = self.files.values
        assert isinstance(values, np.memmap), "a store has its files on disk"
        together = max(1, min(TOGETHER, BYTES // max(1, self.nbytes(rows[:1]))))
        for start in range(0, len(rows), together):
            own = rows[start : start + together]
            spans = zip((values.offset + self.files.offsets[own]).tolist(), self.files.lengths[own].tolist(), strict=True)
            yield Part(str(values.filename), [*spans], own.tolist(), draw, self._shape_of(own))

    @property
    def on_disk(self) -> bool:
        """Whether other processes can read the files."""
        return isinstance(self.files.values, np.memmap)

    def _shape_of(self, rows: np.ndarray) -> tuple[int, ...]:
        return len(rows), *self.shape


class Part(NamedTuple):
    """Rows that one process decodes.

    Args:
        path: of the file that has all files.
        spans: where each begins in it, and its bytes.
        shape: of the result.
    """

    path: str
    spans: Sequence[tuple[int, int]]
    rows: Sequence[int]
    draw: Draw | None
    shape: tuple[int, ...]


def decoded(decode: Decoder, part: Part) -> np.ndarray:
    """What a process makes of its part."""
    file = os.open(part.path, os.O_RDONLY)
    try:
        contents = ((os.pread(file, size, start), row) for (start, size), row in zip(part.spans, part.rows, strict=True))
        return _stacked(decode, contents, part.draw, part.shape)
    finally:
        os.close(file)


def _stacked(decode: Decoder, contents: Iterator[tuple[bytes, int]], draw: Draw | None, shape: tuple[int, ...]) -> np.ndarray:
    result = np.empty(shape, dtype=np.uint8)
    for place, (content, row) in enumerate(contents):
        try:
            result[place] = decode(content, None if draw is None else draw.generator(row))
        except ValueError as error:
            raise InputError(
                f"row {row} of the prepared data: {error}. It could be decoded when it was prepared: delete the folder of the "
                "prepared data, and the same command prepares it anew."
            ) from error
    return result
