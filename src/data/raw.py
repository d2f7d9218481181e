"""What a source reads: arrays, checked, and reduced to some of their classes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

import numpy as np

from src.data import scratch
from src.data.columns import Ragged
from src.data.encoded import Encoded
from src.errors import InputError

IGNORED = 255  # the target of a pixel that does not count, where a data set has such pixels; no class has this number


@dataclass(frozen=True)
class SplitBy:
    """What decides which split an example belongs to. The array `split_by` has the number of its value for each row.

    Args:
        kind: `group`, where examples with one value belong to one split; `time`, where the oldest train and the newest test.
        column: its name.
        values: by their numbers; those of a time in rising order.
    """

    kind: Literal["group", "time"]
    column: str
    values: Sequence[str]


@dataclass(frozen=True)
class Raw:
    """Arrays with one row for each example, and what the data set states about them.

    Args:
        arrays: by name; ragged where examples differ in length, encoded where files are kept as they are.
        classes: names of the classes; None where there are none.
        target_names: of the numbers of a target, float32 of shape (rows, numbers); None where it has no numbers.
        splits: rows by split, as far as the data set states its own.
        split_by: what decides the other splits; None where they are drawn freely.
        origin: where the data comes from.
        groups: where a row is a piece of an example, the names of the examples. The array `group` has the number of each
            row's example, and a split has whole examples.
        names: of the examples, one for each row, such as their files; None where they have none, or `groups` has them. They
            decide nothing.
        digests: of the rows of the first array (`src.data.digest`), where the source knows them.
        facts: what a configuration may leave to the data, such as the size of a vocabulary, by the keys of its node `data`.
        reading: what a reader of raw inputs must know, by the names of its arguments, as plain values; the card keeps it.
        transform: what is learned of the training part before the arrays are stored; None stores them as they are.
        ignores: whether pixels of masks with the target IGNORED do not count.
        notes: lines that the preparation prints and the card keeps, as on files that are left out.
    """

    arrays: Mapping[str, np.ndarray | Ragged | Encoded]
    classes: list[str] | None = None
    target_names: list[str] | None = None
    splits: Mapping[str, np.ndarray] = field(default_factory=dict)
    split_by: SplitBy | None = None
    origin: str = ""
    groups: list[str] | None = None
    names: list[str] | None = None
    digests: Sequence[bytes] | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    reading: Mapping[str, Any] = field(default_factory=dict)
    transform: Transform | None = None
    ignores: bool = False
    notes: Sequence[str] = ()

    @property
    def group(self) -> np.ndarray:
        """The number of each row's example."""
        stated = self.arrays.get("group")
        return stated if isinstance(stated, np.ndarray) else np.arange(len(next(iter(self.arrays.values()))))


class Transform(ABC):
    """Turns what a source reads into what a store keeps, by what it learns of the training part, as a vocabulary or a scale.

    A reader of raw inputs makes it again from its state.
    """

    @abstractmethod
    def fit(self, raw: Raw, rows: np.ndarray) -> None:
        """Learns from some rows, those of the training split. It must look at no others."""

    @abstractmethod
    def apply(self, raw: Raw) -> Raw:
        """The data with the arrays that are stored, and with the facts that follow from what was learned. Rows stay rows."""

    @abstractmethod
    def state(self) -> Mapping[str, Any]:
        """What was learned, as plain values. The card keeps it, and a reader gets it by the names of its arguments."""


class Source(Protocol):
    """A raw format."""

    def state(self) -> str:
        """Text that changes when the raw data changes, without reading all of it."""
        ...

    def read(self) -> Raw:
        """The data.

        Raises:
            Unreadable: too many files cannot be read; the preparation writes a list of them.
        """
        ...


def fitted(raw: Raw, rows: np.ndarray) -> Raw:
    """The data as they are stored.

    Args:
        rows: of the training split.
    """
    assert raw.transform is not None, "the source states one"
    raw.transform.fit(raw, rows)
    stored = raw.transform.apply(raw)
    return replace(stored, reading={**stored.reading, **raw.transform.state()}, digests=None)


def check(raw: Raw, name: str) -> None:
    """Refuses arrays that do not fit together and labels that do not fit the classes.

    Raises:
        InputError: arrays of different lengths or without rows, labels outside the classes or of one class only, or numbers
            that are infinite or NaN.
    """
    target = raw.arrays.get("target")
    lengths = {key: len(array) for key, array in raw.arrays.items()}
    if len(set(lengths.values())) != 1 or not min(lengths.values()):
        raise InputError(f"{name}: expected the same number of rows in each array, and at least one; received {lengths}.")
    if raw.names is not None and len(raw.names) != min(lengths.values()):
        raise InputError(
            f"{name}: expected a name for each of {min(lengths.values())} rows; received {len(raw.names)}. Correct the source."
        )
    if isinstance(target, np.ndarray) and raw.target_names is not None:
        _check_numbers(target, raw.target_names, name)
    if not isinstance(target, np.ndarray) or raw.classes is None:
        return
    if target.ndim == 2 and (target.shape[1] != len(raw.classes) or not np.isin(target, (0, 1)).all()):
        raise InputError(
            f"{name}: expected for each example a 0 or 1 for each of {len(raw.classes)} classes; received rows of "
            f"{target.shape[1]} values from {target.min()} to {target.max()}. Correct the labels or the list of classes."
        )
    largest = 1 if target.ndim == 2 else len(raw.classes) - 1  # flags, or numbers of classes
    ignored = {IGNORED} if raw.ignores else set[int]()
    labels = {label for found in scratch.reduce(np.unique, target) for label in found.tolist()} - ignored
    if outside := sorted(label for label in labels if label < 0 or label > largest):
        label, row, count = _first(target, outside)
        raise InputError(
            f"{name}: expected labels from 0 to {len(raw.classes) - 1} ({len(raw.classes)} classes); received {label} in row "
            f"{row}, and {count} such labels in total. Correct the labels or the list of classes."
        )
    if len(labels) < 2:
        raise InputError(f"{name}: expected examples of at least two classes; received one class. Add examples of another.")


def _first(target: np.ndarray, labels: Sequence[int]) -> tuple[int, int, int]:
    """The first of some labels that a target has, its row, and the number of all of them."""
    label, row, count, done = 0, 0, 0, 0
    for chunk in scratch.chunks(target):
        found = np.flatnonzero(np.isin(chunk, labels))
        if len(found) and not count:
            label, row = int(chunk.flat[found[0]]), done + int(found[0]) // chunk[0].size
        count, done = count + len(found), done + len(chunk)
    return label, row, count


def _check_numbers(target: np.ndarray, names: Sequence[str], name: str) -> None:
    if target.dtype != np.float32 or target.shape[1:] != (len(names),):
        raise InputError(
            f"{name}: expected for each example {len(names)} numbers as float32 ({', '.join(names)}); received "
            f"{target.dtype} of shape {list(target.shape)}. Correct the source."
        )
    if len(rows := np.flatnonzero(~np.isfinite(target).all(axis=1))):
        raise InputError(
            f"{name}: expected numbers that are finite; received {target[rows[0]].tolist()} in row {rows[0]}, and {len(rows)} "
            "such rows in total. Correct the numbers, or leave out the examples."
        )


def select_classes(raw: Raw, selected: Sequence[int], name: str) -> Raw:
    """The examples of some classes. The first selected class becomes class 0, the next one class 1, and so on."""
    target, count = raw.arrays.get("target"), len(raw.classes or [])
    if not isinstance(target, np.ndarray) or target.ndim != 1 or raw.classes is None or raw.groups is not None:
        raise InputError(
            f"data.dataset.classes: expected examples with one class each; those of {name} have none or several. Leave it null."
        )
    if len({*selected}) < max(2, len(selected)) or not {*selected} <= {*range(count)}:
        raise InputError(
            f"data.dataset.classes: expected two or more classes from 0 to {count - 1}, each once; received {[*selected]}."
        )
    rows = np.flatnonzero(np.isin(target, selected))
    numbers = np.zeros(count, dtype=target.dtype)
    numbers[[*selected]] = np.arange(len(selected))
    kept = {
        key: scratch.pick(array, rows) if isinstance(array, np.ndarray) else array.held(rows)
        for key, array in raw.arrays.items()
    }
    arrays = {**kept, "target": numbers[target[rows]]}
    splits = {split: np.flatnonzero(np.isin(rows, before)) for split, before in raw.splits.items()}
    names = None if raw.names is None else [raw.names[row] for row in rows]
    digests = None if raw.digests is None else [raw.digests[row] for row in rows.tolist()]
    classes = [raw.classes[number] for number in selected]
    return replace(raw, arrays=arrays, classes=classes, splits=splits, names=names, digests=digests)
