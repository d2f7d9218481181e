"""A prepared data set on disk: arrays that can be memory-mapped, the rows of each split, and card.json.

A prepared folder is written under a temporary name, renamed, and never changed afterwards. Its seal shows a change.
"""

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from src.data import duplicates, notes, seal, splitting
from src.data.raw import Raw, Source, check, select_classes
from src.data.splitting import SPLITS
from src.data.unreadable import Unreadable
from src.errors import InputError
from src.runs.files import naming

NAMES = "names.json"


@dataclass(frozen=True)
class Prepared:
    """A prepared data set, its arrays mapped from disk on first use."""

    folder: Path

    @cached_property
    def card(self) -> dict[str, Any]:
        return json.loads((self.folder / "card.json").read_text())

    @cached_property
    def names(self) -> Sequence[str] | None:
        """The names of the examples, one for each row, or for each number of the array `group`; None where they have none."""
        path = self.folder / NAMES
        return json.loads(path.read_text()) if path.is_file() else self.card["groups"]

    def array(self, name: str) -> np.ndarray:
        """One array, memory-mapped, with one row for each example."""
        return np.load(self.folder / f"{name}.npy", mmap_mode="r")

    def index(self, split: str) -> np.ndarray:
        """The rows of a split, as integers in rising order."""
        if split not in SPLITS:
            raise InputError(f"split={split}: expected one of {', '.join(SPLITS)}.")
        return np.load(self.folder / f"{split}.index.npy")

    @property
    def facts(self) -> dict[str, Any]:
        """What a configuration may leave to the data: shape, num_classes, and the statistics of a target of numbers."""
        classes, numbers = self.card["classes"], self.card["statistics"].get("target")
        facts = {"shape": self.card["arrays"]["image"]["shape"][1:], "num_classes": len(classes) if classes else None}
        if numbers is not None:
            facts |= {"num_targets": len(numbers["mean"]), "target_mean": numbers["mean"], "target_std": numbers["std"]}
        return facts


def prepare(
    folder: Path,
    source: Source,
    *,
    name: str,
    split: Mapping[str, Any],
    max_duplicates: float,
    classes: Sequence[int] | None = None,
) -> Prepared:
    """Reads the source into a prepared folder, or opens the one that exists. A folder that lacks a file is prepared anew.

    Args:
        split: `val` and `test`, an integer number of examples or a share of all examples, and `seed`. The draw is
            stratified by `target` where each example has one class. Splits that the data set states are kept.
            Where rows are pieces of examples, whole examples are drawn.
        max_duplicates: the largest share of a split that may be in another split too, equal to the bit.
        classes: numbers of the only classes to keep, renumbered from 0 in this order; None keeps all.

    Raises:
        InputError: too few examples for the split, a label outside the classes, too many duplicates or unreadable files, or a
            folder that was changed after it was prepared.
    """
    if folder.is_dir():
        if (lacking := seal.missing(folder)) is None:
            seal.check(folder)
            return Prepared(folder)
        print(f"data: {folder} lacks {lacking}; it is prepared anew.", file=sys.stderr)
    unreadable = folder.with_name(f"{folder.name}.unreadable.txt")
    try:
        raw = source.read()
    except Unreadable as error:
        raise error.written(unreadable) from error
    unreadable.unlink(missing_ok=True)
    check(raw, name)
    if classes is not None:
        raw = select_classes(raw, classes, name)
    first, target = next(iter(raw.arrays.values())), raw.arrays.get("target")
    group = raw.arrays.get("group", np.arange(len(first)))
    groups = splitting.assign(raw, group, name=name, **split)
    copies = duplicates.find(first, group, groups, target=target)
    example = partial(_example, raw)
    duplicates.check(copies, groups, name=name, max_duplicates=max_duplicates, example=example)
    rows = {key: np.flatnonzero(np.isin(group, numbers)) for key, numbers in groups.items()}
    counts = _class_counts(raw, rows)
    what = "pixel" if target is not None and target.ndim > 2 else "example"
    lines = [*raw.notes, *copies.notes(example), *notes.scarce_classes(counts or {}, raw.classes or [], what=what)]
    for line in lines:
        print(f"data: {name}: {line}", file=sys.stderr)
    card = {
        "name": name,
        "source": raw.origin,
        "content": _content(raw, rows),
        "counts": {key: len(rows[key]) for key in SPLITS},
        "classes": raw.classes,
        "class_counts": counts,
        "arrays": {key: {"shape": list(array.shape), "dtype": str(array.dtype)} for key, array in raw.arrays.items()},
        "target_names": raw.target_names,
        "statistics": _all_statistics(raw, rows["train"], name=name),
        "groups": raw.groups,
        "split": {**split, "own": sorted(raw.splits)},
        "duplicates": copies.counts,
        "notes": lines,
    }
    _write(folder, raw, rows, card)
    return Prepared(folder)


def _example(raw: Raw, number: int) -> str:
    """What an example is called, with its class where it has one that its name may not say."""
    names = raw.groups or raw.names
    if names is not None:
        return names[number]
    target = raw.arrays.get("target")
    has_class = target is not None and target.ndim == 1 and raw.classes is not None and raw.groups is None
    return f"row {number}" + (f" ({raw.classes[target[number]]})" if has_class else "")  # type: ignore[index]


def _write(folder: Path, raw: Raw, rows: Mapping[str, np.ndarray], card: Mapping[str, Any]) -> None:
    """Writes the whole folder under a temporary name, then renames it."""
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        with naming(folder):
            temporary.mkdir(parents=True)
            for key, array in raw.arrays.items():
                np.save(temporary / f"{key}.npy", array)
            for split in SPLITS:
                np.save(temporary / f"{split}.index.npy", rows[split])
            if raw.names is not None:
                (temporary / NAMES).write_text(json.dumps(raw.names))
            (temporary / "card.json").write_text(json.dumps(card, indent=2) + "\n")
            seal.write(temporary)
            _move(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _move(temporary: Path, folder: Path) -> None:
    """Renames a complete folder, and removes the incomplete one that has its name. A complete one of another process stays."""
    remnant = temporary.with_name(f"{temporary.name}.remnant")
    try:
        while True:
            try:
                os.replace(temporary, folder)
                return
            except OSError:
                if folder.is_dir() and seal.missing(folder) is None:
                    return
                if not folder.is_dir():
                    raise
            with suppress(FileNotFoundError):  # another process may have moved it
                os.rename(folder, remnant)
    finally:
        shutil.rmtree(remnant, ignore_errors=True)


def _content(raw: Raw, rows: Mapping[str, np.ndarray]) -> str:
    """SHA-256 of arrays, splits and classes."""
    content = hashlib.sha256()
    for key in sorted(raw.arrays):
        content.update(f"{key}{raw.arrays[key].dtype}{raw.arrays[key].shape}".encode())
        content.update(np.ascontiguousarray(raw.arrays[key]).data)
    for split in SPLITS:
        content.update(rows[split].tobytes())
    content.update(json.dumps(raw.classes).encode())
    return content.hexdigest()


def _class_counts(raw: Raw, rows: Mapping[str, np.ndarray]) -> dict[str, list[int]] | None:
    if raw.classes is None or "target" not in raw.arrays:
        return None
    target = raw.arrays["target"]
    if target.ndim == 2:  # a flag for each class
        return {split: target[rows[split]].sum(axis=0).tolist() for split in SPLITS}
    counts = {split: np.bincount(target[rows[split]].ravel(), minlength=len(raw.classes)) for split in SPLITS}
    return {split: count[: len(raw.classes)].tolist() for split, count in counts.items()}  # without pixels that do not count


def _all_statistics(raw: Raw, rows: np.ndarray, *, name: str) -> dict[str, dict[str, list[float]]]:
    """The statistics of images and of numbers over some rows.

    Raises:
        InputError: a number is the same everywhere, so that there is nothing to learn.
    """
    statistics = {"image": _statistics(raw.arrays["image"], rows)} if "image" in raw.arrays else {}
    if raw.target_names is not None:
        numbers = raw.arrays["target"][rows].astype(np.float64)
        constant = [own for own, value in zip(raw.target_names, np.ptp(numbers, axis=0), strict=True) if not value]
        if constant:
            raise InputError(
                f"{name}: expected numbers that differ among the examples of train; received one value alone for "
                f"{', '.join(constant)}. Leave it out, or add examples with other values."
            )
        statistics["target"] = {"mean": numbers.mean(axis=0).tolist(), "std": numbers.std(axis=0).tolist()}
    return statistics


def _statistics(image: np.ndarray, rows: np.ndarray) -> dict[str, list[float]]:
    """Mean and standard deviation of each channel over some rows, of pixels scaled to lie between 0 and 1."""
    total, squares, count = np.zeros(image.shape[1]), np.zeros(image.shape[1]), 0
    chunk_size = min(1024, max(1, 2**24 // image[0].size))  # some 100 MB of float64
    for chunk in np.array_split(rows, max(1, len(rows) // chunk_size)):
        pixels = image[chunk].astype(np.float64) / 255
        total += pixels.sum(axis=(0, 2, 3))
        squares += (pixels**2).sum(axis=(0, 2, 3))
        count += pixels.size // image.shape[1]
    mean = total / count
    return {"mean": mean.tolist(), "std": np.sqrt(np.maximum(squares / count - mean**2, 1e-12)).tolist()}
