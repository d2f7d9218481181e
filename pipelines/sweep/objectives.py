"""What a search looks for: the task's own objective, or several that are weighed against each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from src.errors import InputError


@dataclass(frozen=True)
class Objective:
    """A metric, and the end of it that is wanted: max or min."""

    metric: str
    mode: str

    @property
    def sign(self) -> int:
        """1 where more is better, -1 where less is."""
        return 1 if self.mode == "max" else -1


def objectives(listed: Sequence[Mapping[str, Any]] | None, own: Mapping[str, Any]) -> tuple[Objective, ...]:
    """The objectives of a search.

    Args:
        listed: of the sweep; None for the task's own.
        own: of the task.

    Raises:
        InputError: an entry that is not a metric with a mode.
    """
    if listed is None:
        listed = [own]
    found = []
    for entry in listed:
        if not isinstance(entry, Mapping) or entry.keys() != {"metric", "mode"} or entry["mode"] not in ("max", "min"):
            raise InputError(
                "sweep.objectives: expected entries such as {metric: val/accuracy, mode: max} or {metric: flops, mode: min}; "
                f"received {entry}."
            )
        found.append(Objective(**entry))
    if not found or len({one.metric for one in found}) < len(found):
        raise InputError(f"sweep.objectives: expected one or more different metrics; received {[*listed]}.")
    return tuple(found)
