"""A table of images: a column of paths, columns of what is to be predicted, and perhaps one of the splits."""

import hashlib
import math
import os
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NotRequired, TypedDict

import numpy as np

from src.data.raw import Raw, SplitBy
from src.data.sources import cells, files, image_files, split_columns
from src.data.sources.cells import Cells
from src.data.sources.classes import numbered
from src.data.sources.decoding import check_channels, check_length
from src.data.sources.image_files import Storage
from src.data.splitting import SPLIT_NAMES, SPLITS
from src.data.unreadable import SHOWN, leave_out
from src.errors import InputError
from src.value_types import Whole

TARGET = "data.columns.target"
FLAGS = {"0": 0, "1": 1, "0.0": 0, "1.0": 1, "false": 0, "true": 1}


class Columns(TypedDict):
    """Names of columns.

    Args:
        path: of the images.
        target: of what is to be predicted; None for the one column that has no other meaning.
        split: with train, val or test; None where the table does not state the splits.
        group: whose values are in one split each, as patients.
        time: by which the oldest rows train and the newest test.
    """

    path: str
    target: str | Sequence[str] | None
    split: str | None
    group: NotRequired[str | None]
    time: NotRequired[str | None]


class Table:
    """A user's own images, which a table lists. They are scaled and cropped as those of a folder.

    Paths must lie below the root, whether they are relative to it or absolute. A table from someone else could name any other
    file of this machine, and the names of the examples would depend on the machine.

    Args:
        table: the file, .csv, .tsv or .parquet.
        root: the folder that the paths begin in; None for that of the table.
        gives: what the columns of the target have: `class`, one column of labels; `labels`, a 0 or 1 in each column; `number`,
            a number in each column.
        storage: `decoded` keeps pixels; `encoded` keeps the files, for collections that are too large to keep decoded.
        max_unreadable: files that cannot be read, up to which they are left out and counted.
    """

    def __init__(
        self,
        *,
        table: str,
        root: str | None = None,
        columns: Columns,
        gives: Literal["class", "labels", "number", "mask", "nothing"],
        size: int,
        channels: int,
        storage: Storage = "decoded",
        max_unreadable: Whole = 0,
    ):
        check_channels(channels)
        check_length("size", size)
        if gives not in ("class", "labels", "number"):
            raise InputError(f"data.gives: expected class, labels or number, which a table may have; received {gives}.")
        self._table = Path(table)
        self._root = Path(os.path.abspath(self._table.parent if root is None else root))
        self._columns, self._gives = columns, gives
        self._size, self._channels, self._storage = size, channels, storage
        self._max_unreadable = max_unreadable
        self._where = f"data.table={files.text(self._table)}"

    def state(self) -> str:
        paths = self._paths
        self._target()  # a wrong table is refused before anything is prepared
        self._splits()
        self._split_by()
        return f"{hashlib.sha256(self._table.read_bytes()).hexdigest()} {files.state(self._root, paths)}"

    def read(self) -> Raw:
        paths, target, splits, split_by = self._paths, self._target(), self._splits(), self._split_by()
        names = [files.text(name) for name in files.below(self._root, paths)]
        placed = [f"{name} ({place})" for name, place in zip(names, self._cells.places, strict=True)]
        missing = [(name, "there is no such file") for path, name in zip(paths, placed, strict=True) if not path.exists()]
        limit, what = self._max_unreadable, "files cannot be read as images"
        if len(missing) > limit:  # before the others are decoded
            leave_out(missing, count=len(paths), limit=limit, where=self._where, what=what)
        image, kept, digests, notes, reading = image_files.read(
            paths,
            placed,
            size=self._size,
            channels=self._channels,
            storage=self._storage,
            max_unreadable=limit,
            where=self._where,
        )
        classes, target_names = None, None
        if self._gives == "class":
            classes, target, more = numbered(target, kept)
            notes += more
        else:
            target = target[kept]
            classes, target_names = (self._targets, None) if self._gives == "labels" else (None, self._targets)
        arrays = {"image": image, "target": target, **({} if split_by is None else {"split_by": split_by[1][kept]})}
        return Raw(
            arrays=arrays,
            classes=classes,
            target_names=target_names,
            splits={split: np.flatnonzero(rows[kept]) for split, rows in splits.items()},
            split_by=None if split_by is None else split_by[0],
            origin=files.text(self._table.name),
            names=[names[row] for row in kept],
            digests=digests,
            reading=reading,
            notes=notes,
        )

    @cached_property
    def _cells(self) -> Cells:
        return cells.read(self._table, where=self._where)

    @cached_property
    def _targets(self) -> list[str]:
        """The names of the columns of the target.

        Raises:
            InputError: one is not in the table, or the configuration does not say which.
        """
        stated = self._columns["target"]
        if stated is None:
            others = {value for key, value in self._columns.items() if key != "target"}
            stated = [name for name in self._cells.columns if name not in others]
            if len(stated) != 1:
                raise InputError(
                    f"{self._where}: expected one more column, or a name in {TARGET}; received {len(stated)} "
                    f"({', '.join(stated)}). Name one, or several as [a,b]."
                )
        names = [stated] if isinstance(stated, str) else [*stated]
        for name in names:
            self._cells.column(name, key=TARGET)
        if not names or len({*names}) < len(names) or (self._gives == "class" and len(names) > 1):
            wanted = "one column, with the name of the class" if self._gives == "class" else "the names of different columns"
            raise InputError(
                f"{TARGET}: expected {wanted}; received [{', '.join(names)}]. Of several columns each has a 0 or 1 "
                "(data.gives=labels task=multilabel) or a number (data.gives=number task=regression)."
            )
        return names

    @cached_property
    def _paths(self) -> list[Path]:
        """The files of the rows. Only the text of a path decides whether it lies below the root: links may lead elsewhere."""

        def below(cell: str) -> Path | None:
            path = Path(os.path.normpath(self._root / cell))
            return path if cell and path.is_relative_to(self._root) else None

        expected = f"the path of an image below {files.text(self._root)} (data.root, the folder that all of them lie in)"
        return self._parsed(self._columns["path"], "data.columns.path", below, expected)

    def _target(self) -> Any:
        """A list of labels, or an array with a column for each of the target's: flags or numbers."""
        if self._gives == "labels":
            flags = [self._parsed(name, TARGET, lambda cell: FLAGS.get(cell.lower()), "0 or 1") for name in self._targets]
            return np.array(flags, dtype=np.uint8).T
        if self._gives == "number":
            return np.stack([self._numbers(name) for name in self._targets], axis=1)
        labels = self._parsed(self._targets[0], TARGET, lambda cell: cell or None, "the name of a class")
        if len({*labels}) < 2:
            raise InputError(
                f"{self._where}: expected at least two classes in the column {self._targets[0]}; received one, {labels[0]}."
            )
        return labels

    def _numbers(self, name: str) -> np.ndarray:
        """A column of numbers as float32.

        Raises:
            InputError: some are none, or have more digits than float32 tells apart.
        """
        numbers = np.array(self._parsed(name, TARGET, _number, "a number, with a decimal point"))
        with np.errstate(over="ignore"):
            stored, deviation = numbers.astype(np.float32), numbers.std()
        if not np.isfinite(stored).all() or 0 < 1e-3 * deviation < np.abs(stored - numbers).max():
            raise InputError(
                f"{self._where}: expected in the column {name} ({TARGET}) numbers that seven digits tell apart (float32); "
                f"received numbers from {numbers.min()} to {numbers.max()}. Subtract an offset, or choose another unit."
            )
        return stored

    def _splits(self) -> dict[str, np.ndarray]:
        """Whether each row belongs to a split, for the splits that the table states."""
        name = self._columns["split"]
        if name is None:
            return {}
        key = "data.columns.split"
        splits = np.array(self._parsed(name, key, lambda cell: SPLIT_NAMES.get(cell.lower()), "train, val or test"))
        if "train" not in splits or (splits == "train").all():
            raise InputError(
                f"{self._where}: expected rows for train, and for val or test or both, in the column {name} ({key}); received "
                f"{' and '.join(np.unique(splits))} alone. Correct it, or leave the choice to data.dataset.split ({key}=null)."
            )
        return {split: splits == split for split in SPLITS if split in splits}

    def _split_by(self) -> tuple[SplitBy, np.ndarray] | None:
        group, time = self._columns.get("group"), self._columns.get("time")
        return split_columns.read(self._parsed, group=group, time=time, where=self._where)

    def _parsed(self, name: str, key: str, parse: Callable[[str], Any], expected: str) -> list[Any]:
        """The values of a column.

        Args:
            key: of the configuration, which names the column.
            parse: gives None for a cell that is refused.
            expected: what a cell must have, for the message.

        Raises:
            InputError: with the first of the rows whose cells are refused.
        """
        column, places = self._cells.column(name, key=key), self._cells.places
        values = [parse(cell) for cell in column]
        refused = [row for row, value in enumerate(values) if value is None]
        if refused:
            lines = [f"{places[row]}: {repr(column[row]) if column[row] else 'an empty cell'}" for row in refused[:SHOWN]]
            raise InputError(
                f"{self._where}: expected in each row of the column {name} ({key}) {expected}; received something else in "
                f"{len(refused):,} of {len(places):,} rows. Correct or remove them:\n  " + "\n  ".join(lines)
            )
        return values


def _number(cell: str) -> float | None:
    try:
        number = float(cell)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
