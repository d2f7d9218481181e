"""What a source reads: arrays with one row an example, checked, and reduced to some of its classes."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np

from src.errors import InputError


@dataclass(frozen=True)
class Raw:
    """What a source reads: arrays with one row an example, and what the data set itself says of them."""

    arrays: Mapping[str, np.ndarray]
    classes: list[str] | None = None
    parts: Mapping[str, np.ndarray] = field(default_factory=dict)  # the set's own split, rows by part
    origin: str = ""
    groups: list[str] | None = None  # names of what rows are pieces of; the array `group` says which, and parts hold whole ones


class Source(Protocol):
    """A raw format. `state` names the raw content without reading it all, so that an edit is noticed."""

    def state(self) -> str: ...

    def read(self) -> Raw: ...


def check(raw: Raw, name: str) -> None:
    """Refuses arrays of different lengths or none, and labels outside the classes or of one class alone."""
    target = raw.arrays.get("target")
    lengths = {key: len(array) for key, array in raw.arrays.items()}
    if len(set(lengths.values())) != 1 or not min(lengths.values()):
        raise InputError(f"{name}: expected as many rows in each array, and at least one; received {lengths}.")
    if target is None or raw.classes is None:
        return
    if target.ndim == 2 and (target.shape[1] != len(raw.classes) or not np.isin(target, (0, 1)).all()):
        raise InputError(
            f"{name}: expected for each example a 0 or 1 for each of {len(raw.classes)} classes; received rows of "
            f"{target.shape[1]} values from {target.min()} to {target.max()}. Correct the labels or the list of classes."
        )
    largest = 1 if target.ndim == 2 else len(raw.classes) - 1  # flags, or numbers of classes
    outside = np.flatnonzero((target < 0) | (target > largest))
    if len(outside):
        row = int(outside[0]) // target[0].size
        raise InputError(
            f"{name}: expected labels from 0 to {len(raw.classes) - 1} ({len(raw.classes)} classes); received "
            f"{int(target.flat[outside[0]])} in row {row}, {len(outside)} such labels in all. Correct the "
            "labels or the list of classes."
        )
    if len(np.unique(target)) < 2:
        raise InputError(f"{name}: expected at least two classes among the examples; received one alone.")


def of_classes(raw: Raw, chosen: list[int], name: str) -> Raw:
    """The examples of some classes, of which the first one that is named becomes class 0."""
    target, count = raw.arrays.get("target"), len(raw.classes or [])
    if target is None or target.ndim != 1 or raw.classes is None or raw.groups is not None:
        raise InputError(f"data.dataset.classes: expected examples with one class each; those of {name} have none or several.")
    if len({*chosen}) < max(2, len(chosen)) or not {*chosen} <= {*range(count)}:
        raise InputError(f"data.dataset.classes: expected two or more of 0 to {count - 1}, each once; received {chosen}.")
    rows = np.flatnonzero(np.isin(target, chosen))
    numbers = np.zeros(count, dtype=target.dtype)
    numbers[chosen] = np.arange(len(chosen))
    arrays = {**{key: array[rows] for key, array in raw.arrays.items()}, "target": numbers[target[rows]]}
    parts = {part: np.flatnonzero(np.isin(rows, old)) for part, old in raw.parts.items()}
    return replace(raw, arrays=arrays, classes=[raw.classes[number] for number in chosen], parts=parts)
