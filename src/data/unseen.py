"""Examples that were read from raw inputs, with the card of the data set that a run has learned."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from src.data.columns import Dense, Ragged
from src.data.store import Prepared


@dataclass(frozen=True)
class Unseen(Prepared):
    """A store in memory, without targets and splits.

    Args:
        folder: of the run.
        learned: the card of the data set that the run has learned.
        given: the stored fields of the raw inputs, by name. A field that they do not give has no rows.
        examples: what the raw inputs are called, one for each row, or for each number of the array `group`.
    """

    learned: Mapping[str, Any]
    given: Mapping[str, np.ndarray | Ragged] = field(default_factory=dict)
    examples: Sequence[str] = ()

    @property
    def card(self) -> dict[str, Any]:  # it is read from no file
        return {**self.learned}

    @property
    def names(self) -> Sequence[str]:
        return self.examples

    def has(self, name: str) -> bool:
        return name in self.given

    def array(self, name: str) -> np.ndarray:
        array = self.given.get(name)
        if array is None:
            described = self.learned["arrays"][name]
            return np.empty((0, *(size for size in described["shape"][1:] if size is not None)), dtype=described["dtype"])
        return array.values if isinstance(array, Ragged) else array

    def column(self, name: str, *, padding: float = 0, multiple: int = 1) -> Dense | Ragged:
        array = self.given.get(name)
        if isinstance(array, Ragged):
            return Ragged(array.values, array.offsets, padding=padding, multiple=multiple)
        if array is None and None in self.learned["arrays"][name]["shape"]:
            return Ragged(self.array(name), np.zeros(1, dtype=np.int64), padding=padding, multiple=multiple)
        return Dense(self.array(name))

    def index(self, split: str) -> np.ndarray:
        """No rows: raw inputs are in no split."""
        return np.empty(0, dtype=np.int64)


def together(folder: Path, card: Mapping[str, Any], read: Sequence[Mapping[str, np.ndarray]], names: Sequence[str]) -> Unseen:
    """Raw inputs as one store.

    Args:
        folder: of the run.
        card: of the data set that it has learned.
        read: the stored fields of each raw input.
        names: of the raw inputs.
    """
    given: dict[str, np.ndarray | Ragged] = {}
    for name in read[0]:
        pieces = [fields[name] for fields in read]
        if None in card["arrays"][name]["shape"]:
            given[name] = Ragged(np.concatenate(pieces), np.cumsum([0, *map(len, pieces)]))
        else:
            given[name] = np.concatenate(pieces)
    if card["groups"] is not None:
        rows = [len(next(iter(fields.values()))) for fields in read]
        given["group"] = np.repeat(np.arange(len(read)), rows)
    return Unseen(folder, card, given, names)
