"""What a table of examples states besides their inputs: what is to be predicted, and perhaps the splits."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, Literal, NotRequired, TypedDict

import numpy as np

from src.data.columns import Ragged
from src.data.encoded import Encoded
from src.data.raw import Raw, SplitBy
from src.data.sources import split_columns
from src.data.sources.cells import Cells
from src.data.sources.classes import numbered
from src.data.splitting import SPLIT_NAMES, SPLITS
from src.data.unreadable import SHOWN
from src.errors import InputError

FLAGS = {"0": 0, "1": 1, "0.0": 0, "1.0": 1, "false": 0, "true": 1}

Gives = Literal["class", "labels", "number", "mask", "nothing"]


class Columns(TypedDict):
    """Names of columns.

    Args:
        target: of what is to be predicted; None for the one column that has no other meaning.
        split: with train, val or test; None where the table does not state the splits.
        group: whose values are in one split each, as patients.
        time: by which the oldest rows train and the newest test.
    """

    target: str | Sequence[str] | None
    split: NotRequired[str | None]
    group: NotRequired[str | None]
    time: NotRequired[str | None]


def check_gives(gives: Gives) -> None:
    """
    Raises:
        InputError: no table has such targets.
    """
    if gives not in ("class", "labels", "number"):
        raise InputError(f"data.gives: expected class, labels or number, which a table may have; received {gives}.")


class Listing:
    """Reads these columns of a table.

    Args:
        cells: of the table.
        inputs: columns of the inputs.
        gives: what the columns of the target have: `class`, one column of labels; `labels`, a 0 or 1 in each column; `number`,
            a number in each column.
        key: of the configuration, which names the column of the target; those of the others stand beside `data.columns`.
    """

    def __init__(self, cells: Cells, columns: Columns, *, inputs: Sequence[str], gives: Gives, key: str):
        check_gives(gives)
        self._cells, self._columns, self._inputs = cells, columns, [*inputs]
        self._gives, self._key, self._where = gives, key, cells.where

    def check(self) -> None:
        """
        Raises:
            InputError: a column is wrong.
        """
        self.target()
        self.splits()
        self.split_by()

    def raw(self, inputs: Mapping[str, np.ndarray | Ragged | Encoded], kept: Sequence[int], **others: Any) -> Raw:
        """What a source reads.

        Args:
            inputs: arrays of some rows.
            kept: the numbers of these rows.
            others: arguments of `Raw`.
        """
        target, splits, split_by = self.target(), self.splits(), self.split_by()
        classes, target_names, notes = None, None, [*others.pop("notes", ())]
        if self._gives == "class":
            classes, target, more = numbered(target, kept)
            notes += more
        else:
            target = target[kept]
            classes, target_names = (self.targets, None) if self._gives == "labels" else (None, self.targets)
        by = {} if split_by is None else {"split_by": split_by[1][kept]}
        return Raw(
            arrays={**inputs, "target": target, **by},
            classes=classes,
            target_names=target_names,
            splits={split: np.flatnonzero(rows[kept]) for split, rows in splits.items()},
            split_by=None if split_by is None else split_by[0],
            notes=notes,
            **others,
        )

    @cached_property
    def targets(self) -> list[str]:
        """The names of the columns of the target.

        Raises:
            InputError: one is not in the table, or the configuration does not say which.
        """
        stated = self._columns["target"]
        if stated is None:
            others = {*self._inputs, *(value for key, value in self._columns.items() if key != "target")}
            stated = [name for name in self._cells.columns if name not in others]
            if len(stated) != 1:
                raise InputError(
                    f"{self._where}: expected one more column, or a name in {self._key}; received {len(stated)} "
                    f"({', '.join(stated)}). Name one, or several as [a,b]."
                )
        names = [stated] if isinstance(stated, str) else [*stated]
        for name in names:
            self._cells.column(name, key=self._key)
        if not names or len({*names}) < len(names) or (self._gives == "class" and len(names) > 1):
            wanted = "one column, with the name of the class" if self._gives == "class" else "the names of different columns"
            raise InputError(
                f"{self._key}: expected {wanted}; received [{', '.join(names)}]. Of several columns each has a 0 or 1 "
                "(data.gives=labels task=multilabel) or a number (data.gives=number task=regression)."
            )
        return names

    def target(self) -> Any:
        """A list of labels, or an array with a column for each of the target's: flags or numbers."""
        if self._gives == "labels":
            flags = [self.parsed(name, self._key, lambda cell: FLAGS.get(cell.lower()), "0 or 1") for name in self.targets]
            return np.array(flags, dtype=np.uint8).T
        if self._gives == "number":
            return np.stack([self._numbers(name) for name in self.targets], axis=1)
        labels = self.parsed(self.targets[0], self._key, lambda cell: cell or None, "the name of a class")
        if len({*labels}) < 2:
            raise InputError(
                f"{self._where}: expected at least two classes in the column {self.targets[0]}; received one, {labels[0]}."
            )
        return labels

    def _numbers(self, name: str) -> np.ndarray:
        """A column of numbers as float32.

        Raises:
            InputError: some are none, or have more digits than float32 tells apart.
        """
        numbers = np.array(self.parsed(name, self._key, _number, "a number, with a decimal point"))
        with np.errstate(over="ignore"):
            stored, deviation = numbers.astype(np.float32), numbers.std()
        if not np.isfinite(stored).all() or 0 < 1e-3 * deviation < np.abs(stored - numbers).max():
            raise InputError(
                f"{self._where}: expected in the column {name} ({self._key}) numbers that seven digits tell apart (float32); "
                f"received numbers from {numbers.min()} to {numbers.max()}. Subtract an offset, or choose another unit."
            )
        return stored

    def splits(self) -> dict[str, np.ndarray]:
        """Whether each row belongs to a split, for the splits that the table states."""
        name = self._columns.get("split")
        if name is None:
            return {}
        key = "data.columns.split"
        splits = np.array(self.parsed(name, key, lambda cell: SPLIT_NAMES.get(cell.lower()), "train, val or test"))
        if "train" not in splits or (splits == "train").all():
            raise InputError(
                f"{self._where}: expected rows for train, and for val or test or both, in the column {name} ({key}); received "
                f"{' and '.join(np.unique(splits))} alone. Correct it, or leave the choice to data.dataset.split ({key}=null)."
            )
        return {split: splits == split for split in SPLITS if split in splits}

    def split_by(self) -> tuple[SplitBy, np.ndarray] | None:
        group, time = self._columns.get("group"), self._columns.get("time")
        return split_columns.read(self.parsed, group=group, time=time, where=self._where)

    def parsed(self, name: str, key: str, parse: Callable[[str], Any], expected: str) -> list[Any]:
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
