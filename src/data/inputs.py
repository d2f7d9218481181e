"""Raw inputs for predictions, wherever they are: files, a folder, a table of paths, an array, or lines of text."""

import sys
from collections.abc import Iterable, Iterator, Sized
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from src.data.notes import counted
from src.data.reading import Reader
from src.data.sources import cells, files
from src.errors import InputError

STANDARD = "-"  # the standard input, a line for each raw input
ARRAYS = (".npy",)
TABLES = cells.SUFFIXES


@dataclass(frozen=True)
class Inputs:
    """Raw inputs with their names.

    Args:
        items: name and raw input, as a reader takes it.
        total: their number; None where only their end tells it.
        left_out: files of other kinds in the folder.
    """

    items: Iterable[tuple[str, Any]]
    total: int | None
    left_out: int = 0


def find(path: str, reader: Reader, *, column: str = "path") -> Inputs:
    """The raw inputs that a path names.

    Args:
        path: a file, a folder, a table, or STANDARD.
        column: of a table, with the paths of files; a path that is not absolute begins in the folder of the table.

    Raises:
        InputError: there are none, or they are of another kind than the reader takes.
    """
    if path == STANDARD:
        return Inputs(_lines(reader), None)
    found, suffix = Path(path), Path(path).suffix.lower()
    if found.is_dir():
        return _folder(found, reader)
    if suffix in TABLES:
        return _table(found, reader, column)
    if suffix in ARRAYS:
        return _array(found)
    if suffix not in reader.suffixes:
        raise InputError(
            f"input={files.text(path)}: expected a folder, or a file {', '.join((*reader.suffixes, *TABLES, *ARRAYS))}, "
            "because the run has learned from such; received another. Name another input, or convert it."
        )
    if not found.exists() and not found.is_symlink():
        raise InputError(f"input={files.text(path)}: expected a file or a folder; there is none.")
    return Inputs([(files.text(path), found)], 1)


def _folder(folder: Path, reader: Reader) -> Inputs:
    inside, links = files.walk(folder)
    own = [path for path in inside if files.suffix(path) in reader.suffixes]
    if not own:
        kinds = (
            f"files {', '.join(reader.suffixes)}" if reader.suffixes else "no folder, because raw inputs are rows of a table"
        )
        raise InputError(f"input={files.text(folder)}: expected {kinds}; received {counted(len(inside), 'other file')}.")
    items = ((files.text(name), Path(path)) for name, path in zip(files.below(folder, own), own, strict=True))
    return Inputs(items, len(own), len(inside) + len(links) - len(own))


def _table(path: Path, reader: Reader, column: str) -> Inputs:
    table = cells.read(path, where=f"input={files.text(path)}")
    if not reader.suffixes:
        rows = zip(*table.columns.values(), strict=True)
        named = (dict(zip(table.columns, row, strict=True)) for row in rows)
        return Inputs(zip(table.places, named, strict=True), len(table.places))
    paths = table.column(column, key="column")
    return Inputs(((name, path.parent / name) for name in paths), len(paths))


def _array(path: Path) -> Inputs:
    where = f"input={files.text(path)}"
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:  # numpy raises ValueError for objects, which are pickles
        raise InputError(f"{where}: expected a file of plain numbers; it cannot be read: {error}.") from error
    if not array.ndim or not len(array):
        raise InputError(f"{where}: expected an array with a row for each raw input; received {list(array.shape)}.")
    return Inputs(((f"row {number}", np.array(row)) for number, row in enumerate(array)), len(array))


def _lines(reader: Reader) -> Iterator[tuple[str, Any]]:
    for number, line in enumerate(sys.stdin):
        text = line.rstrip("\r\n")
        if text:
            yield (text, Path(text)) if reader.suffixes else (f"line {number + 1}", text)


def given(raw: str | Path | Iterable[Any], reader: Reader) -> Inputs:
    """What a program gives: one path, as `find` takes it, or raw inputs. A path is called by itself, others by their number."""
    if isinstance(raw, str | Path):
        return find(str(raw), reader)
    return Inputs(_named(raw, reader), len(raw) if isinstance(raw, Sized) else None)


def _named(raw: Iterable[Any], reader: Reader) -> Iterator[tuple[str, Any]]:
    for number, one in enumerate(raw):
        if isinstance(one, Path) or (isinstance(one, str) and reader.suffixes):
            yield files.text(one), Path(one)
        else:  # the bytes of a file, an array, a row
            yield str(number), one
