"""Arrays on disk while a data set is prepared, so that its size does not decide how much memory that takes."""

import mmap
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import DTypeLike

from src.data.worker_pool import processors
from src.runs.files import naming

ENDING = ".scratch.npy"
CHUNK = 2**22  # bytes of rows that a thread reads or writes at once
THREADED = 2**14  # bytes of a row from which threads do not wait for one another
Result = TypeVar("Result")
_folder: ContextVar[Path | None] = ContextVar("folder", default=None)


@contextmanager
def within(folder: Path) -> Iterator[None]:
    """A block whose new arrays lie in a folder, and are removed with it unless they are saved there."""
    token = _folder.set(folder)
    try:
        yield
    finally:
        _folder.reset(token)


def empty(shape: Sequence[int], dtype: DTypeLike) -> np.ndarray:
    """A new array in the folder of the preparation that is at work; in memory where none is.

    Raises:
        OSError: the disk has no room. A write to the mapped file would end the process without a message.
    """
    folder = _folder.get()
    if folder is None:
        return np.empty(shape, dtype=dtype)
    path = _unused(folder)
    with naming(path):
        array = np.lib.format.open_memmap(path, mode="w+", dtype=np.dtype(dtype), shape=tuple(shape))
        if hasattr(os, "posix_fallocate"):
            with open(path, "r+b") as file:
                os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return array


class Growing:
    """An array whose number of rows is known only at the end; on disk or in memory, as `empty` makes it.

    Args:
        shape: of a row.
    """

    def __init__(self, shape: Sequence[int], dtype: DTypeLike):
        self._shape, self._dtype, self._count = tuple(shape), np.dtype(dtype), 0
        self._pieces: list[np.ndarray] = []  # in memory
        folder = _folder.get()
        self._path = None if folder is None else _unused(folder)
        if self._path is not None:
            with naming(self._path):
                _write_header(self._path, "xb", (0, *self._shape), self._dtype)

    def append(self, rows: np.ndarray) -> None:
        """Adds rows at the end.

        Raises:
            OSError: the disk has no room.
        """
        self._count += len(rows)
        if self._path is None:
            self._pieces.append(rows.astype(self._dtype, copy=False))
            return
        with naming(self._path), open(self._path, "ab") as file:
            file.write(np.ascontiguousarray(rows, dtype=self._dtype).data)

    def array(self) -> np.ndarray:
        """All rows, of which there must be one. None is added afterwards."""
        if self._path is None:
            return np.concatenate(self._pieces)
        _write_header(self._path, "r+b", (self._count, *self._shape), self._dtype)
        return np.lib.format.open_memmap(self._path, mode="r+")


def chunks(array: np.ndarray) -> Iterator[np.ndarray]:
    """All rows of an array, some at a time. Their pages of a file leave the process's memory afterwards."""
    size = max(1, CHUNK // max(1, array[:1].nbytes))
    for start in range(0, len(array), size):
        yield array[start : start + size]
        release(array)


def reduce(function: Callable[[np.ndarray], Result], array: np.ndarray, rows: np.ndarray | None = None) -> Iterator[Result]:
    """What a function gives for some rows at a time, in their order; in a thread for each processor where rows are large.

    Args:
        rows: in rising order; None for all.
    """
    size = max(1, CHUNK // max(1, array[:1].nbytes))
    index = np.arange(len(array)) if rows is None else rows

    def call(start: int) -> Result:
        own = index[start : start + size]
        result = function(array[own[0] : own[-1] + 1] if own[-1] - own[0] == len(own) - 1 else array[own])
        release(array)
        return result

    starts = range(0, len(index), size)
    if array[:1].nbytes < THREADED:
        yield from map(call, starts)
        return
    with ThreadPoolExecutor(processors(), "chunks") as threads:
        yield from threads.map(call, starts)


def release(array: np.ndarray) -> None:
    """Lets the pages of a file that is mapped leave the process's memory. They stay in the kernel's cache."""
    base: object = array.base
    if isinstance(base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        base.madvise(mmap.MADV_DONTNEED)


def pick(array: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Some rows of an array; on disk where the array is."""
    if not isinstance(array, np.memmap):
        return array[rows]
    picked, done = empty((len(rows), *array.shape[1:]), array.dtype), 0
    for chunk in chunks(picked):
        chunk[...] = array[rows[done : done + len(chunk)]]
        done += len(chunk)
        release(array)
    return picked


def shorten(array: np.ndarray, rows: Sequence[int]) -> np.ndarray:
    """An array that `empty` made, with some of its rows alone, in rising order. The others are lost."""
    if len(rows) == len(array):
        return array
    index, done = np.asarray(rows, dtype=np.int64), 0
    for chunk in chunks(array[: len(rows)]):
        chunk[...] = array[index[done : done + len(chunk)]]  # a row moves to where an earlier one was
        done += len(chunk)
        release(array)
    return _cut(array, len(rows))


def shorten_pieces(array: np.ndarray, offsets: np.ndarray, pieces: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """The same for pieces of different lengths, one after the other. Returns the array, and where they begin in it.

    Args:
        offsets: where each piece begins, and the end of the last one.
    """
    ends = np.cumsum([0, *np.diff(offsets)[[*pieces]].tolist()]).astype(np.int64)
    for number, start, end in zip(pieces, ends[:-1].tolist(), ends[1:].tolist(), strict=True):
        if start < offsets[number]:
            array[start:end] = array[offsets[number] : offsets[number + 1]]
    release(array)
    return _cut(array, int(ends[-1])), ends


def _cut(array: np.ndarray, rows: int) -> np.ndarray:
    """The first rows of an array that `empty` made."""
    if not isinstance(array, np.memmap):
        return array[:rows]
    path = str(array.filename)
    _write_header(Path(path), "r+b", (rows, *array.shape[1:]), array.dtype)
    os.truncate(path, array.offset + rows * array[:1].nbytes)
    return np.lib.format.open_memmap(path, mode="r+")


def _unused(folder: Path) -> Path:
    """A new file of a folder."""
    return folder / f"{len([*folder.glob(f'*{ENDING}')])}{ENDING}"


def _write_header(path: Path, mode: str, shape: Sequence[int], dtype: np.dtype) -> None:
    """Writes the beginning of a file .npy. It has room for any number of rows, so that it keeps its length."""
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": tuple(shape)}
    with open(path, mode) as file:
        np.lib.format.write_array_header_1_0(file, header)


def save(path: Path, array: np.ndarray) -> None:
    """Writes an array to a file. One that `empty` made in its folder becomes the file."""
    base: object = array.base
    if isinstance(array, np.memmap) and isinstance(base, mmap.mmap):
        own = Path(str(array.filename))
        if own.parent == path.parent.resolve() and own.name.endswith(ENDING) and own.exists():
            own.rename(path)
            return
    np.save(path, array)


def remove_rest(folder: Path) -> None:
    """Removes the arrays of a folder that were not saved."""
    for path in folder.glob(f"*{ENDING}"):
        path.unlink()
