"""A prepared data set, as learners and evaluations use it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

import numpy as np

from src.data.shown import Shown
from src.data.store import Prepared


class Data(ABC):
    """A prepared data set in one modality.

    Args:
        prepared: the store.
        shape: of one input.
        num_classes: None where there are no classes.
        batch_size: examples of a batch, for each process.

    Attributes:
        classes: their names; empty where there are no classes.
        keep: the only classes, by number, that a split has; a split that is not named has all of them.
        mean, std: of each channel over the training split, of inputs scaled to lie between 0 and 1; float32.
    """

    keep: Mapping[str, Sequence[int]] = MappingProxyType({})
    mean: np.ndarray
    std: np.ndarray

    def __init__(self, *, prepared: Prepared, shape: Sequence[int], num_classes: int | None, batch_size: int):
        if batch_size < 1:
            raise ValueError(f"data.batch_size: expected at least 1; received {batch_size}.")
        self.prepared = prepared
        self.shape = tuple(shape)
        self.num_classes = num_classes
        self.batch_size = batch_size
        self.classes: list[str] = prepared.card["classes"] or []

    def __len__(self) -> int:
        """Rows of the store."""
        return len(self.arrays["input"])

    @property
    @abstractmethod
    def arrays(self) -> Mapping[str, np.ndarray]:
        """What batches are made of: `input` and `target`, one row an example; they may be mapped from disk."""

    @abstractmethod
    def normalise(self, inputs: np.ndarray) -> np.ndarray:
        """Stored inputs in the units that a model gets, as float32."""

    @abstractmethod
    def show(self, row: int) -> Shown:
        """How the input in a row of the store looks."""

    def names(self, index: np.ndarray) -> list[str] | None:
        """What the source calls the examples of a table of predictions, such as their files; None where they have no names.

        Args:
            index: of the examples, as `assemble` gives it.
        """
        names = self.prepared.names
        return None if names is None else [names[number] for number in index.tolist()]

    def rows(self, split: str) -> np.ndarray:
        """The rows of a split, as integers in rising order.

        Raises:
            InputError: there is no such split.
        """
        return self.prepared.index(split)

    def inputs(self, rows: np.ndarray) -> np.ndarray:
        """Inputs as they are stored, before normalisation; shape (rows, *shape)."""
        return np.ascontiguousarray(self.arrays["input"][rows])

    def targets(self, rows: np.ndarray) -> np.ndarray:
        """Targets as they are stored, one for each row."""
        return np.ascontiguousarray(self.arrays["target"][rows])

    def assemble(
        self, rows: np.ndarray, predictions: Iterator[Mapping[str, np.ndarray]]
    ) -> Iterator[tuple[np.ndarray, Mapping[str, np.ndarray], np.ndarray]]:
        """Puts predictions together to what is scored: indices, outputs and targets of whole examples, some at a time.

        Each row is a whole example, unless a modality stores examples in pieces.

        Args:
            rows: those that were predicted; all pieces of an example, one after the other.
            predictions: outputs by name, batch by batch, in the order of the rows.
        """
        done = 0
        for outputs in predictions:
            index = rows[done : done + len(next(iter(outputs.values())))]
            done += len(index)
            yield index, outputs, self.targets(index)
