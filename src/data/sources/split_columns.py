"""Columns of a table that its splits go by: groups that stay together, or times."""

import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import numpy as np

from src.data.raw import SplitBy
from src.errors import InputError

TIME = "a number, or a date or time as 2024-05-31 or 2024-05-31T14:30 (ISO 8601)"
EPOCH = datetime(1970, 1, 1)

Parsed = Callable[[str, str, Callable[[str], Any], str], Sequence[Any]]


def read(parsed: Parsed, *, group: str | None, time: str | None, where: str) -> tuple[SplitBy, np.ndarray] | None:
    """What the splits go by, and the number of its value for each row in as few bytes as they need; None for neither column.

    Args:
        parsed: gives the values of a column, by its name, the key of the configuration, a parser and what it expects.
        where: the table, for messages.

    Raises:
        InputError: there are two columns, or a cell is empty or no time, or the times are of different kinds.
    """
    if group is not None and time is not None:
        raise InputError(
            f"{where}: expected splits by groups (data.columns.group) or by time (data.columns.time); received both, {group} "
            f"and {time}. Leave one of them null."
        )
    if group is not None:
        cells = parsed(group, "data.columns.group", lambda cell: cell or None, "the name of a group")
        values, numbers = np.unique(cells, return_inverse=True)
        return SplitBy("group", group, values.tolist()), _small(numbers, len(values))
    if time is None:
        return None
    cells = parsed(time, "data.columns.time", _time, TIME)
    kinds: dict[str, str] = {}
    for kind, _, cell in cells:
        kinds.setdefault(kind, cell)
    if len(kinds) > 1:
        raise InputError(
            f"{where}: expected times of one kind in the column {time} (data.columns.time); received "
            f"{' and '.join(f'{kind} ({cell})' for kind, cell in kinds.items())}. Write all of them in one way."
        )
    values, first, numbers = np.unique([value for _, value, _ in cells], return_index=True, return_inverse=True)
    return SplitBy("time", time, [cells[row][2] for row in first.tolist()]), _small(numbers, len(values))


def _small(numbers: np.ndarray, count: int) -> np.ndarray:
    return numbers.astype(np.min_scalar_type(count - 1))


def _time(cell: str) -> tuple[str, float, str] | None:
    """The kind of a time, its place on an axis, and its text; None where it is none."""
    with suppress(ValueError):  # it may still be a date
        number = float(cell)
        return ("a number", number, cell) if math.isfinite(number) else None
    try:
        time = datetime.fromisoformat(cell)
    except ValueError:
        return None
    if time.tzinfo is None:
        return "a time without a zone", (time - EPOCH).total_seconds(), cell
    return "a time with a zone", (time - EPOCH.replace(tzinfo=UTC)).total_seconds(), cell
