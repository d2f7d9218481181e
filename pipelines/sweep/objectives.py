"""What a search optimizes: the task's own objective, or several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from src.errors import InputError
from src.protocols import Objective


def objectives(listed: Sequence[Mapping[str, Any]] | None, own: Mapping[str, str]) -> tuple[Objective, ...]:
    """The objectives of a search.

    Args:
        listed: those of the sweep; None for the task's own.
        own: the task's.

    Raises:
        InputError: an entry that is not a metric with a mode.
    """
    chosen = []
    for entry in [own] if listed is None else listed:
        if not isinstance(entry, Mapping) or entry.keys() != {"metric", "mode"} or entry["mode"] not in ("max", "min"):
            raise InputError(
                "sweep.objectives: expected entries such as {metric: val/accuracy, mode: max} or {metric: flops, mode: min}; "
                f"received {entry}."
            )
        chosen.append(Objective(**entry))
    if not chosen or len({one.metric for one in chosen}) < len(chosen):
        raise InputError(f"sweep.objectives: expected one or more different metrics; received {listed}.")
    return tuple(chosen)


def sign(objective: Objective) -> int:
    """1 if more is better, -1 if less is."""
    return 1 if objective.mode == "max" else -1
