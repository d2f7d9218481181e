"""What the card of a prepared data set says: counts, classes, statistics, copies, and lines that a user should read."""

import sys
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from src.data import duplicates, notes, scratch, splitting, statistics
from src.data.columns import Ragged
from src.data.encoded import Encoded
from src.data.raw import Raw
from src.data.splitting import SPLITS


def described(
    raw: Raw,
    groups: Mapping[str, np.ndarray],
    rows: Mapping[str, np.ndarray],
    *,
    name: str,
    split: Mapping[str, Any],
    max_duplicates: float,
    content: Callable[[], str],
) -> dict[str, Any]:
    """What the card says of the data, whose hash `content` gives. What a user should know is printed."""
    first, target = next(iter(raw.arrays.values())), raw.arrays.get("target")
    example = partial(_example, raw)
    copies = duplicates.find(first, raw.group, groups, target=target, digests=raw.digests)
    duplicates.check(copies, groups, name=name, max_duplicates=max_duplicates, example=example)
    counts = _class_counts(raw, rows)
    what = "pixel" if isinstance(target, np.ndarray) and target.ndim > 2 else "example"
    scarce = notes.scarce_classes(counts or {}, raw.classes or [], what=what)
    lines = [*raw.notes, *splitting.notes(raw, raw.group, groups), *copies.notes(example), *scarce]
    for line in lines:
        print(f"data: {name}: {line}", file=sys.stderr)
    by: dict[str, Any] = {} if raw.split_by is None else {raw.split_by.kind: raw.split_by.column}
    return {
        "name": name,
        "source": raw.origin,
        "content": content(),
        "counts": {key: len(rows[key]) for key in SPLITS},
        "classes": raw.classes,
        "class_counts": counts,
        "arrays": {key: _shape_and_type(array) for key, array in raw.arrays.items()},
        "target_names": raw.target_names,
        "statistics": statistics.of(raw, rows["train"], name=name),
        "facts": dict(raw.facts),
        "reading": dict(raw.reading),
        "groups": raw.groups,
        "split": {**split, **by, "own": sorted(raw.splits)},
        "duplicates": copies.counts,
        "notes": lines,
    }


def _example(raw: Raw, number: int) -> str:
    """What an example is called, with its class where it has one that its name may not say."""
    names = raw.groups or raw.names
    if names is not None:
        return names[number]
    target = raw.arrays.get("target")
    has_class = isinstance(target, np.ndarray) and target.ndim == 1 and raw.classes is not None and raw.groups is None
    return f"row {number}" + (f" ({raw.classes[target[number]]})" if has_class else "")  # type: ignore[index]


def _shape_and_type(array: np.ndarray | Ragged | Encoded) -> dict[str, Any]:
    """The shape and the type of a field for the card; null is a length that differs."""
    if isinstance(array, Encoded):
        return {"shape": [len(array), *array.shape], "dtype": "uint8", "storage": "encoded"}
    if isinstance(array, Ragged):
        return {"shape": [len(array), None, *array.values.shape[1:]], "dtype": str(array.values.dtype)}
    return {"shape": list(array.shape), "dtype": str(array.dtype)}


def _class_counts(raw: Raw, rows: Mapping[str, np.ndarray]) -> dict[str, list[int]] | None:
    target = raw.arrays.get("target")
    if raw.classes is None or not isinstance(target, np.ndarray):
        return None
    if target.ndim == 2:  # a flag for each class
        return {split: target[rows[split]].sum(axis=0).tolist() for split in SPLITS}
    number = len(raw.classes)
    counts = {split: np.zeros(number, dtype=np.int64) for split in SPLITS}
    for split in SPLITS:
        for count in scratch.reduce(partial(_counts, number), target, rows[split]):
            counts[split] += count
    return {split: count.tolist() for split, count in counts.items()}


def _counts(number: int, target: np.ndarray) -> np.ndarray:
    """How often each of some classes occurs, without pixels that do not count."""
    return np.bincount(target.ravel(), minlength=number)[:number]
