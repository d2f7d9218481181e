"""Runs as a table: as text, or in a CSV file."""

import csv
import io
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipelines.formatting import number
from src.config import text_table
from src.config.listing import STATES, Row
from src.runs.files import write_atomic

MINUTES = 16  # characters of a date up to its minute
OWN = ("fit_seconds", "started")  # columns at the end of a line


def shown(rows: Sequence[Row], columns: Sequence[str], *, width: int | None) -> str:
    """The table with its counts.

    Args:
        columns: their names; those that matter most where none is stated.
        width: characters of a line, into which the usual columns must fit; None where nothing breaks lines.
    """
    if not rows:
        return "0 runs"
    usual = _usual(rows)
    chosen = list(columns) or _fitting(rows, usual, width)
    numeric = [
        number for number, name in enumerate(chosen) if any(isinstance(row.values.get(name), int | float) for row in rows)
    ]
    cells = [chosen, *([_cell(name, row) for name in chosen] for row in rows)]
    left_out = "" if columns else ", ".join(name for name in usual if name not in chosen)
    more = f"\nThe line has no room for {left_out}. columns= chooses, and output=FILE.csv has every column." if left_out else ""
    return "\n".join([*text_table.lines(cells, right=numeric), f"{_counts(rows)}{more}"])


def ordered(rows: Sequence[Row], keys: Sequence[str]) -> list[Row]:
    """The runs sorted by columns, of which a - in front reverses the order. What lacks a value comes last."""
    for key in reversed(keys):
        name = key.removeprefix("-")
        known = [row for row in rows if row.values.get(name) is not None]
        known.sort(key=lambda row: _rank(row.values, name), reverse=key.startswith("-"))
        rows = [*known, *(row for row in rows if row.values.get(name) is None)]
    return list(rows)


def names(rows: Sequence[Row]) -> list[str]:
    """Every column that some run has."""
    return list(dict.fromkeys(name for row in rows for name in row.values))


def write(rows: Sequence[Row], columns: Sequence[str], path: Path) -> None:
    """Writes a CSV file with a line for each run and full precision; what a run does not have is empty.

    Args:
        columns: their names; all where none is stated.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, list(columns) or names(rows), extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(dict(row.values) for row in rows)
    write_atomic(path, text.getvalue().encode())


def _usual(rows: Sequence[Row]) -> list[str]:
    """The columns in the order of their weight: what varies, then the headline's metrics, those that most runs have first."""
    metrics = Counter(name for row in rows for name in row.headline)
    ordered = sorted(metrics, key=lambda name: (not name.startswith("test/"), -metrics[name]))
    varied = [name for name in ("data", "model") if len({row.values.get(name) for row in rows}) > 1]
    return ["run", "state", *varied, *OWN, *ordered]


def _fitting(rows: Sequence[Row], columns: Sequence[str], width: int | None) -> list[str]:
    """The first columns that fit into a line."""
    kept: list[str] = []
    room = math.inf if width is None else width
    for name in columns:
        room -= 2 * bool(kept) + max(len(name), *(len(_cell(name, row)) for row in rows), 0)
        if room < 0 and kept:
            break
        kept.append(name)
    return [*(name for name in kept if name not in OWN), *(name for name in OWN if name in kept)]


def _counts(rows: Sequence[Row]) -> str:
    states = Counter(row.state for row in rows)
    counts = ", ".join(f"{states[state]} {state}" for state in STATES if states[state])
    return f"{len(rows)} run{'' if len(rows) == 1 else 's'}: {counts}"


def _cell(name: str, row: Row) -> str:
    value = row.values.get(name)
    if value is None:
        return "-"
    if isinstance(value, float):
        return number(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    text = str(value)[: MINUTES if name == "started" else None]
    return "".join(letter if letter.isprintable() else " " for letter in text)  # a stored file may be foreign: no control codes


def _rank(values: Mapping[str, Any], name: str) -> tuple[bool, float, str]:
    value = values[name]
    return (False, value, "") if isinstance(value, int | float) else (True, 0.0, str(value))
