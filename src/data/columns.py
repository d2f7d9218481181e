"""How a store keeps one field of its examples. A whole batch is read by one index: no Python code runs for each example."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TypeAlias

import numpy as np

from src.errors import InputError


class Column(ABC):
    """One field of all examples, mapped from disk or in memory.

    Attributes:
        uniform: whether all rows have one shape, so that one index reads several batches at once.
    """

    uniform = True

    @abstractmethod
    def __len__(self) -> int:
        """The number of rows."""

    @abstractmethod
    def take(self, rows: np.ndarray) -> np.ndarray:
        """A new array of some rows, the first dimension is the row."""

    @abstractmethod
    def nbytes(self, rows: np.ndarray) -> int:
        """The bytes of some rows in memory."""

    @abstractmethod
    def held(self, rows: np.ndarray) -> Column:
        """Some rows in memory, as a column of their own."""


class Dense(Column):
    """An array with one row for each example.

    Args:
        array: (rows, ...).
    """

    def __init__(self, array: np.ndarray):
        self.array = array

    def __len__(self) -> int:
        return len(self.array)

    def take(self, rows: np.ndarray) -> np.ndarray:
        # Indexing with brackets, or with a check of each row, is ten times slower than this.
        return np.take(self.array, rows, axis=0, mode="clip")

    def nbytes(self, rows: np.ndarray) -> int:
        return self.array[:1].nbytes * len(rows)

    def held(self, rows: np.ndarray) -> Dense:
        return Dense(self.take(rows))


class Ragged(Column):
    """Rows of different lengths, one after the other in one array. A batch is padded to its longest row.

    The lengths are a field of their own: a model must know where the padding begins.

    Args:
        values: (total, ...).
        offsets: where each row begins, and the end of the last one; (rows + 1,), int64.
        padding: the value beyond the end of a row.
        multiple: a batch is padded to a multiple of so many values, so that few different shapes occur.
    """

    uniform = False

    def __init__(self, values: np.ndarray, offsets: np.ndarray, *, padding: float = 0, multiple: int = 1):
        if offsets[0] != 0 or offsets[-1] != len(values) or (np.diff(offsets) < 0).any():
            raise InputError(
                f"expected offsets that rise from 0 to {len(values)}, the number of values; received {offsets[0]} to "
                f"{offsets[-1]}. Correct the source."
            )
        self.values, self.offsets = values, offsets
        self._padding, self._multiple = padding, multiple

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, row: int) -> np.ndarray:
        """One row as it is stored, without padding."""
        return self.values[self.offsets[row] : self.offsets[row + 1]]

    @property
    def lengths(self) -> np.ndarray:
        """Values of each row, (rows,), int64."""
        return np.diff(self.offsets)

    def take(self, rows: np.ndarray) -> np.ndarray:
        """Some rows, (rows, longest, ...)."""
        starts = self.offsets[rows]
        lengths = self.offsets[rows + 1] - starts
        longest = -(-int(lengths.max(initial=1)) // self._multiple) * self._multiple
        steps = np.arange(max(longest, 1))
        inside = steps < lengths[:, None]
        values = np.full((*inside.shape, *self.values.shape[1:]), self._padding, dtype=self.values.dtype)
        values[inside] = np.take(self.values, (starts[:, None] + steps)[inside], axis=0)
        return values

    def nbytes(self, rows: np.ndarray) -> int:
        return int((self.offsets[rows + 1] - self.offsets[rows]).sum()) * self.values[:1].nbytes

    def held(self, rows: np.ndarray) -> Ragged:
        lengths = self.lengths[rows]
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        index = np.arange(offsets[-1]) + np.repeat(self.offsets[rows] - offsets[:-1], lengths)
        values = np.take(self.values, index, axis=0, mode="clip")
        return Ragged(values, offsets, padding=self._padding, multiple=self._multiple)


class Windows(Column):
    """Windows of one long series, or of several that lie one after the other. A row is the position where its window begins.

    Args:
        values: (steps, ...).
        length: steps of a window.
        shift: steps from a row's position to the beginning of its window, as of a target that lies after its input.
        count: rows; by default as many as there are whole windows.
        ends: where each series ends, in rising order. A window may then begin anywhere, and has `padding` beyond the end of the
            series in which its row lies. None for one series, of which all windows are whole.
    """

    def __init__(
        self,
        values: np.ndarray,
        *,
        length: int,
        shift: int = 0,
        count: int | None = None,
        ends: np.ndarray | None = None,
        padding: float = 0,
    ):
        whole = len(values) - length - shift + 1 if ends is None else len(values)
        if length < 1 or (ends is None and whole < 1) or (count is not None and count > whole):
            raise InputError(
                f"expected windows within a series of {len(values)} steps; received length {length} and shift {shift}. "
                "Choose a shorter length."
            )
        self._values, self._length, self._shift = values, length, shift
        self._count = whole if count is None else count
        self._ends, self._padding = ends, padding

    def __len__(self) -> int:
        return self._count

    def take(self, rows: np.ndarray) -> np.ndarray:
        """Some windows, (rows, length, ...)."""
        steps = rows[:, None] + (np.arange(self._length) + self._shift)
        windows = np.take(self._values, steps, axis=0, mode="clip")
        if self._ends is not None and len(rows):
            windows[steps >= self._ends[np.searchsorted(self._ends, rows, side="right")][:, None]] = self._padding
        return windows

    def nbytes(self, rows: np.ndarray) -> int:
        return self._values[:1].nbytes * min(len(rows) * self._length, self._span(rows)[1] - self._span(rows)[0])

    def held(self, rows: np.ndarray) -> Picked:
        first, end = self._span(rows)
        ends = None if self._ends is None else np.minimum(self._ends, end) - first
        values = np.array(self._values[first:end])
        own = Windows(values, length=self._length, shift=self._shift, ends=ends, padding=self._padding)
        return Picked(own, rows - first)

    def _span(self, rows: np.ndarray) -> tuple[int, int]:
        """The first step of some windows, and the one after their last."""
        if not len(rows):
            return 0, 0
        return int(rows.min()), int(rows.max()) + self._length + self._shift


class Picked(Column):
    """Some rows of another column, by their positions."""

    def __init__(self, column: Column, rows: np.ndarray):
        self._column, self._rows, self.uniform = column, rows, column.uniform

    def __len__(self) -> int:
        return len(self._rows)

    def take(self, rows: np.ndarray) -> np.ndarray:
        return self._column.take(self._rows[rows])

    def nbytes(self, rows: np.ndarray) -> int:
        return self._column.nbytes(self._rows[rows])

    def held(self, rows: np.ndarray) -> Column:
        return self._column.held(self._rows[rows])


Field: TypeAlias = "Column | Mapping[str, Column]"
"""A field of batches: one column, or several by name."""
Columns: TypeAlias = "Mapping[str, Field]"
"""The fields of batches, `input` and `target`."""


def leaves(field: Field) -> Mapping[str, Column]:
    """The columns of a field by name; a single one has the name ''."""
    return field if isinstance(field, Mapping) else {"": field}


def take(field: Field, rows: np.ndarray) -> np.ndarray | Mapping[str, np.ndarray]:
    """Some rows of a field."""
    if isinstance(field, Mapping):
        return {name: column.take(rows) for name, column in field.items()}
    return field.take(rows)


def nbytes(fields: Columns, rows: np.ndarray) -> int:
    """The bytes of some rows in all columns."""
    return sum(column.nbytes(rows) for field in fields.values() for column in leaves(field).values())
