"""A prepared data set on disk: arrays that can be memory-mapped, the rows of each split, and card.json.

A prepared folder is written under a temporary name, renamed, and never changed afterwards. Its seal shows a change.
"""

import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from src.data import card, scratch, seal, splitting, writing
from src.data.columns import Dense, Ragged
from src.data.encoded import Encoded
from src.data.raw import Raw, Source, check, fitted, select_classes
from src.data.splitting import SPLITS
from src.data.unreadable import Unreadable
from src.errors import InputError
from src.runs.files import naming

NAMES = "names.json"
OFFSETS = ".offsets.npy"  # of a ragged field, whose values lie in NAME.npy


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
        """One array, memory-mapped, with one row for each example; of a ragged field all values."""
        return np.load(self.folder / f"{name}.npy", mmap_mode="r")

    def has(self, name: str) -> bool:
        """Whether there is such an array."""
        return (self.folder / f"{name}.npy").is_file()

    def column(self, name: str, *, padding: float = 0, multiple: int = 1) -> Dense | Ragged:
        """One field of all examples, memory-mapped: ragged where they differ in length, as encoded files do.

        Args:
            padding, multiple: of a ragged one, as `Ragged` takes them.
        """
        offsets = self.folder / f"{name}{OFFSETS}"
        if not offsets.is_file():
            return Dense(self.array(name))
        return Ragged(self.array(name), np.load(offsets), padding=padding, multiple=multiple)

    def index(self, split: str) -> np.ndarray:
        """The rows of a split, as integers in rising order."""
        if split not in SPLITS:
            raise InputError(f"split={split}: expected one of {', '.join(SPLITS)}.")
        return np.load(self.folder / f"{split}.index.npy")

    @property
    def facts(self) -> dict[str, Any]:
        """What a configuration may leave to the data: num_classes, the shape of images, and what the source states.

        Of a target of numbers: its statistics.
        """
        classes, image = self.card["classes"], self.card["arrays"].get("image")
        facts: dict[str, Any] = {"shape": image["shape"][1:]} if image else {}
        facts["num_classes"] = len(classes) if classes else None
        if (numbers := self.card["statistics"].get("target")) is not None:
            facts |= {"num_targets": len(numbers["mean"]), "target_mean": numbers["mean"], "target_std": numbers["std"]}
        return {**facts, **self.card["facts"]}


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
    with writing.temporary(folder) as temporary, scratch.within(temporary):
        raw = _read(folder, source)
        check(raw, name)
        if classes is not None:
            raw = select_classes(raw, classes, name)
        groups = splitting.assign(raw, raw.group, name=name, **split)
        rows = {key: np.flatnonzero(np.isin(raw.group, numbers)) for key, numbers in groups.items()}
        if raw.transform is not None:
            raw = fitted(raw, rows["train"])
            check(raw, name)
        files = _save(temporary, raw)
        with ThreadPoolExecutor(2, "hashes") as beside:  # large arrays take long to hash
            digests = beside.submit(lambda: {file: seal.digest(temporary / file) for file in files})
            content = beside.submit(_content, raw, rows)
            described = card.described(
                raw, groups, rows, name=name, split=split, max_duplicates=max_duplicates, content=content.result
            )
        _write(temporary, raw, rows, described, digests.result())
        writing.move(temporary, folder)
    return Prepared(folder)


def _read(folder: Path, source: Source) -> Raw:
    """What the source has. Of many files that cannot be read, a list lies beside the folder."""
    unreadable = folder.with_name(f"{folder.name}.unreadable.txt")
    try:
        raw = source.read()
    except Unreadable as error:
        raise error.written(unreadable) from error
    unreadable.unlink(missing_ok=True)
    return raw


def _files(name: str, array: np.ndarray | Ragged | Encoded) -> dict[str, np.ndarray]:
    """How a field is stored: the arrays by the names of their files."""
    if isinstance(array, Encoded):
        array = array.files
    if isinstance(array, Ragged):
        return {f"{name}.npy": array.values, f"{name}{OFFSETS}": array.offsets}
    return {f"{name}.npy": array}


def _save(temporary: Path, raw: Raw) -> list[str]:
    """Saves the arrays. Returns the names of their files."""
    files = {name: values for key, array in raw.arrays.items() for name, values in _files(key, array).items()}
    with naming(temporary):
        for name, values in files.items():
            scratch.save(temporary / name, values)
    scratch.remove_rest(temporary)
    return [*files]


def _write(
    temporary: Path, raw: Raw, rows: Mapping[str, np.ndarray], card: Mapping[str, Any], digests: Mapping[str, str]
) -> None:
    """Writes what stands beside the arrays, and seals the whole folder.

    Args:
        digests: SHA-256 of the arrays, by file.
    """
    with naming(temporary):
        for split in SPLITS:
            np.save(temporary / f"{split}.index.npy", rows[split])
        if raw.names is not None:
            (temporary / NAMES).write_text(json.dumps(raw.names))
        (temporary / "card.json").write_text(json.dumps(card, indent=2) + "\n")
        seal.write(temporary, digests)


def _content(raw: Raw, rows: Mapping[str, np.ndarray]) -> str:
    """SHA-256 of arrays, splits and classes."""
    content = hashlib.sha256()
    for key in sorted(raw.arrays):
        for name, values in _files(key, raw.arrays[key]).items():
            content.update(f"{name.removesuffix('.npy')}{values.dtype}{values.shape}".encode())
            for chunk in scratch.chunks(values):
                content.update(np.ascontiguousarray(chunk).data)
    for split in SPLITS:
        content.update(rows[split].tobytes())
    content.update(json.dumps(raw.classes).encode())
    return content.hexdigest()
