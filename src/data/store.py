"""A prepared data set on disk: arrays that can be memory-mapped, the split by index, and card.json.

A prepared folder is written under a temporary name, renamed, and never changed afterwards.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from src.errors import InputError

PARTS = ("train", "val", "test")


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


@dataclass(frozen=True)
class Prepared:
    """A prepared data set, its arrays mapped from disk on first use."""

    folder: Path

    @cached_property
    def card(self) -> dict[str, Any]:
        return json.loads((self.folder / "card.json").read_text())

    def array(self, name: str) -> np.ndarray:
        """One array, memory-mapped, one row an example."""
        return np.load(self.folder / f"{name}.npy", mmap_mode="r")

    def index(self, part: str) -> np.ndarray:
        """The rows of a part, as integers in rising order."""
        if part not in PARTS:
            raise InputError(f"split={part}: expected one of {', '.join(PARTS)}.")
        return np.load(self.folder / f"{part}.index.npy")

    @property
    def facts(self) -> dict[str, Any]:
        """What a configuration may leave to the data: shape and num_classes."""
        classes = self.card["classes"]
        return {"shape": self.card["arrays"]["image"]["shape"][1:], "num_classes": len(classes) if classes else None}


def prepare(
    folder: Path,
    source: Source,
    *,
    name: str,
    split: Mapping[str, Any],
    max_duplicates: float,
    classes: Sequence[int] | None = None,
) -> Prepared:
    """Reads the source into a prepared folder, or opens the one that is there.

    Args:
        split: `val` and `test` as a share of all examples or a number of them, and `seed`; the choice is
            stratified by `target` where each example has a class. Parts that the data set itself states are kept.
            Where rows are pieces of examples, it is these that are chosen, with all their pieces.
        max_duplicates: the largest share of a part that may stand, to the bit, in another part too.
        classes: the only ones, by their numbers, which they have anew from 0 on; all where None is given.

    Raises:
        InputError: too few examples for the split, a label outside the classes, or too many duplicates.
    """
    if (folder / "card.json").is_file():
        return Prepared(folder)
    raw = source.read()
    _check(raw, name)
    if classes is not None:
        raw = _of_classes(raw, [*classes], name)
    group = raw.arrays.get("group", np.arange(len(next(iter(raw.arrays.values())))))
    wholes = _split(raw, group, name=name, **split)
    duplicates = _duplicates(next(iter(raw.arrays.values())), group, wholes)
    for (one, other), count in duplicates.items():
        share = count / len(wholes[other])
        if share > max_duplicates:
            raise InputError(
                f"{name}: {count} of {len(wholes[other])} examples of {other} ({share:.1%}) stand in {one} too; at most "
                f"{max_duplicates:.1%} may (data.dataset.max_duplicates). Remove the copies, or raise the limit."
            )
    parts = {part: np.flatnonzero(np.isin(group, chosen)) for part, chosen in wholes.items()}
    content = hashlib.sha256()
    for key in sorted(raw.arrays):
        content.update(f"{key}{raw.arrays[key].dtype}{raw.arrays[key].shape}".encode())
        content.update(np.ascontiguousarray(raw.arrays[key]).data)
    for part in PARTS:
        content.update(parts[part].tobytes())
    content.update(json.dumps(raw.classes).encode())
    card = {
        "name": name,
        "source": raw.origin,
        "content": content.hexdigest(),
        "counts": {part: len(parts[part]) for part in PARTS},
        "classes": raw.classes,
        "class_counts": _class_counts(raw, parts),
        "arrays": {key: {"shape": list(array.shape), "dtype": str(array.dtype)} for key, array in raw.arrays.items()},
        "statistics": {"image": _statistics(raw.arrays["image"], parts["train"])} if "image" in raw.arrays else {},
        "groups": raw.groups,
        "split": {**split, "own": sorted(raw.parts)},
        "duplicates": {f"{one} in {other}": count for (other, one), count in duplicates.items()},
    }
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        temporary.mkdir(parents=True)
        for key, array in raw.arrays.items():
            np.save(temporary / f"{key}.npy", array)
        for part in PARTS:
            np.save(temporary / f"{part}.index.npy", parts[part])
        (temporary / "card.json").write_text(json.dumps(card, indent=2) + "\n")
        try:
            os.replace(temporary, folder)
        except OSError:
            if not (folder / "card.json").is_file():  # else another process was faster
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return Prepared(folder)


def _check(raw: Raw, name: str) -> None:
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


def _of_classes(raw: Raw, chosen: list[int], name: str) -> Raw:
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


def _split(raw: Raw, group: np.ndarray, *, name: str, seed: int, val: float = 0, test: float = 0) -> dict[str, np.ndarray]:
    """Groups by part: the data set's own parts, and a seeded, stratified choice for what it leaves open."""
    count = int(group.max()) + 1
    parts = {part: np.unique(group[np.asarray(rows, dtype=np.int64)]) for part, rows in raw.parts.items()}
    rest = parts.pop("train", np.setdiff1d(np.arange(count), np.concatenate([*parts.values(), np.empty(0, int)])))
    rng = np.random.default_rng(seed)
    target = raw.arrays.get("target")
    classified = target is not None and target.ndim == 1 and raw.classes is not None and raw.groups is None
    labels = target if target is not None and classified else np.zeros(count, dtype=np.int64)
    for part, size in (("test", test), ("val", val)):
        if part in parts:
            continue
        share = isinstance(size, float)
        if share and size >= 1:
            raise InputError(
                f"data.dataset.split.{part}: expected a share below 1, or a number of examples; received {size}. For "
                f"{size:.0f} of them write {size:.0f}."
            )
        wanted = round(size * count) if share else int(size)
        if not 0 < wanted < len(rest):
            raise InputError(
                f"{name}: expected a {part} part of 1 to {len(rest) - 1} examples; data.dataset.split.{part}={size} "
                f"makes {wanted} of {count}."
            )
        chosen = _stratified(rng, rest, labels[rest], wanted)
        parts[part] = np.sort(chosen)
        rest = np.setdiff1d(rest, chosen)
    return {"train": rest, **parts}


def _stratified(rng: np.random.Generator, rows: np.ndarray, labels: np.ndarray, wanted: int) -> np.ndarray:
    """Exactly `wanted` rows, each class in its share (largest remainders are rounded up)."""
    classes, counts = np.unique(labels, return_counts=True)
    shares = counts * wanted / counts.sum()
    take = np.floor(shares).astype(int)
    take[np.argsort(-(shares - take), kind="stable")[: wanted - take.sum()]] += 1
    return np.concatenate([rng.permutation(rows[labels == label])[:n] for label, n in zip(classes, take, strict=True)])


def _duplicates(array: np.ndarray, group: np.ndarray, parts: Mapping[str, np.ndarray]) -> dict[tuple[str, str], int]:
    """How many examples of the smaller part (second) stand in the larger one (first) to the bit."""
    hashes = [hashlib.blake2b(digest_size=12) for _ in range(int(group.max()) + 1)]
    for row, number in enumerate(group):
        hashes[number].update(np.ascontiguousarray(array[row]).data)
    digests = {part: [hashes[number].digest() for number in numbers] for part, numbers in parts.items()}
    known = {part: set(found) for part, found in digests.items()}
    return {(one, other): sum(digest in known[one] for digest in digests[other]) for one, other in combinations(PARTS, 2)}


def _class_counts(raw: Raw, parts: Mapping[str, np.ndarray]) -> dict[str, list[int]] | None:
    if raw.classes is None or "target" not in raw.arrays:
        return None
    target = raw.arrays["target"]
    if target.ndim == 2:  # a flag for each class
        return {part: target[parts[part]].sum(axis=0).tolist() for part in PARTS}
    return {part: np.bincount(target[parts[part]].ravel(), minlength=len(raw.classes)).tolist() for part in PARTS}


def _statistics(image: np.ndarray, rows: np.ndarray) -> dict[str, list[float]]:
    """Mean and standard deviation of each channel over the training part, of pixels from 0 to 1."""
    total, squares, count = np.zeros(image.shape[1]), np.zeros(image.shape[1]), 0
    together = min(1024, max(1, 2**24 // image[0].size))  # some 100 MB of float64
    for chunk in np.array_split(rows, max(1, len(rows) // together)):
        pixels = image[chunk].astype(np.float64) / 255
        total += pixels.sum(axis=(0, 2, 3))
        squares += (pixels**2).sum(axis=(0, 2, 3))
        count += pixels.size // image.shape[1]
    mean = total / count
    return {"mean": mean.tolist(), "std": np.sqrt(np.maximum(squares / count - mean**2, 1e-12)).tolist()}
