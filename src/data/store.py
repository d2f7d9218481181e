"""A prepared data set on disk: arrays that can be memory-mapped, the split by index, and card.json.

A prepared folder is written under a temporary name, renamed, and never changed afterwards.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from src.data import splitting
from src.data.raw import Raw, Source, check, of_classes
from src.data.splitting import PARTS
from src.errors import InputError


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
    check(raw, name)
    if classes is not None:
        raw = of_classes(raw, [*classes], name)
    group = raw.arrays.get("group", np.arange(len(next(iter(raw.arrays.values())))))
    wholes = splitting.split(raw, group, name=name, **split)
    duplicates = splitting.duplicates(next(iter(raw.arrays.values())), group, wholes)
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
