"""A prepared data set, as learners and evaluations use it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from src.data import columns
from src.data.columns import Columns
from src.data.reading import Reader
from src.data.shown import Shown
from src.data.store import Prepared

if TYPE_CHECKING:
    from torch import nn


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
    """

    keep: Mapping[str, Sequence[int]] = MappingProxyType({})

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
        return len(next(iter(columns.leaves(self.fields["input"]).values())))

    @property
    @abstractmethod
    def fields(self) -> Columns:
        """What batches are made of: the columns of `input`, and of `target` where there is one."""

    def preprocess(self) -> nn.Module:
        """The part of the preprocessing that runs on the device, from stored inputs to what a model takes.

        It is a part of the exported model. By default a model takes the stored inputs.
        """
        from torch import nn  # a classical baseline runs without importing torch

        return nn.Identity()

    def normalise(self, inputs: np.ndarray) -> np.ndarray:
        """Stored inputs in the units that a model gets, as float32."""
        return inputs.astype(np.float32)

    def features(self, rows: np.ndarray) -> np.ndarray:
        """What a classical estimator gets, one entry for each row. By default the stored inputs as float32, flat."""
        return self.inputs(rows).astype(np.float32).reshape(len(rows), -1)

    def feature_statistics(self) -> tuple[np.ndarray, np.ndarray] | None:
        """What an estimator subtracts from each feature, and divides it by; float64. By default features stay as they are.

        None where the features are no numbers.
        """
        count = self.features(self.rows("train")[:1]).shape[1]
        return np.zeros(count), np.ones(count)

    def order(self, split: str, *, together: int, epoch: int, seed: int) -> Sequence[np.ndarray] | None:
        """The batches of an epoch of training, as positions in the rows of a split; of the training split, in `training_rows`.

        It is a pure function, and has as many batches in each epoch. By default the order is random, and batches have one size.

        Args:
            together: examples that a batch should have, in all processes together.
            epoch: counted from 0.
        """
        return None

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

    def reader(self) -> Reader | None:
        """Reads raw inputs of a prediction; None where there is no way from them to stored ones."""
        return None

    def rows(self, split: str) -> np.ndarray:
        """The rows of a split, as integers in rising order.

        Raises:
            InputError: there is no such split.
        """
        return self.prepared.index(split)

    def training_rows(self) -> np.ndarray:
        """The rows that an epoch of training takes its examples from, by default those of the split.

        They may be more than those of the split, as windows of a series that overlap; `order` says which of them an epoch has.
        """
        return self.rows("train")

    def inputs(self, rows: np.ndarray) -> np.ndarray:
        """Inputs as they are stored, before `preprocess`; shape (rows, *shape).

        Raises:
            TypeError: an input has several fields, which `examples` gives.
        """
        inputs = self.examples(rows)
        if not isinstance(inputs, np.ndarray):
            raise TypeError(f"{type(self).__name__} has inputs of several fields: {', '.join(inputs)}.")
        return inputs

    def examples(self, rows: np.ndarray) -> np.ndarray | Mapping[str, np.ndarray]:
        """Inputs as they are stored, by name where an input has several fields."""
        return columns.take(self.fields["input"], rows)

    def exported_example(self, rows: np.ndarray) -> np.ndarray | Mapping[str, np.ndarray]:
        """Inputs as an exported model takes them, by name where an input has several fields: as they are stored."""
        return self.examples(rows)

    def targets(self, rows: np.ndarray) -> np.ndarray:
        """Targets as they are stored, one for each row."""
        targets = columns.take(self.fields["target"], rows)
        if not isinstance(targets, np.ndarray):
            raise TypeError(f"{type(self).__name__} has targets of several fields: {', '.join(targets)}.")
        return targets

    def assemble(
        self, rows: np.ndarray, predictions: Iterator[Mapping[str, np.ndarray]]
    ) -> Iterator[tuple[np.ndarray, Mapping[str, np.ndarray], np.ndarray | None]]:
        """Puts predictions together to what is scored: indices, outputs and targets of whole examples, some at a time.

        The targets are None where the store has none, as of raw inputs.

        Each row is a whole example, unless a modality stores examples in pieces.

        Args:
            rows: those that were predicted; all pieces of an example, one after the other.
            predictions: outputs by name, batch by batch, in the order of the rows.
        """
        done = 0
        for outputs in predictions:
            index = rows[done : done + len(next(iter(outputs.values())))]
            done += len(index)
            yield index, outputs, self.targets(index) if "target" in self.fields else None
