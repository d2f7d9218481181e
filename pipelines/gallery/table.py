"""The tables of docs/gallery.md, from the measured rows."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.formatting import brief, number, words
from pipelines.gallery.rows import COMMAND, Row, mean


def markdown(rows: Sequence[Row]) -> str:
    """A table for each list of metrics; rows that nobody has measured are left out."""
    kept = [(row, measured) for row in rows if (measured := row.measured)]
    tables = itertools.groupby(kept, key=lambda pair: _shown(*pair))
    return "\n\n".join(_table(shown, list(pairs)) for shown, pairs in tables)


def _shown(row: Row, measured: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(row.shown or measured["headline"])


def _table(shown: Sequence[str], pairs: Sequence[tuple[Row, Mapping[str, Any]]]) -> str:
    heads = [f"`{COMMAND} ...`", *map(words, shown), "published", "parameters", "FLOPs", "training", "one example"]
    lines = [heads, ["---"] * len(heads)]
    for row, measured in pairs:
        seconds, latency = (_median(measured, name) for name in ("fit_seconds", "latency_one_ms"))
        lines.append(
            [
                f"`{row.full_command.removeprefix(COMMAND).strip()}`",
                *(_score(*mean(measured, name)) for name in shown),
                row.published,
                brief(measured["parameters"]),
                brief(measured["flops"]) if measured["flops"] else "",
                f"{seconds / 60:.1f} min" if seconds >= 60 else f"{seconds:.0f} s",
                f"{latency:.1f} ms",
            ]
        )
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _score(value: float, deviation: float | None) -> str:
    return number(value) + (f" ± {deviation:.4f}" if deviation is not None else "")


def _median(measured: Mapping[str, Any], name: str) -> float:
    return statistics.median(run[name] for run in measured["runs"].values())
