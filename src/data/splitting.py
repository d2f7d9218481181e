"""Which examples make the training, validation and test parts, and how many stand in two of them."""

import hashlib
from collections.abc import Mapping
from itertools import combinations

import numpy as np

from src.data.raw import Raw
from src.errors import InputError

PARTS = ("train", "val", "test")


def split(raw: Raw, group: np.ndarray, *, name: str, seed: int, val: float = 0, test: float = 0) -> dict[str, np.ndarray]:
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
        chosen = stratified(rng, rest, labels[rest], wanted)
        parts[part] = np.sort(chosen)
        rest = np.setdiff1d(rest, chosen)
    return {"train": rest, **parts}


def stratified(rng: np.random.Generator, rows: np.ndarray, labels: np.ndarray, wanted: int) -> np.ndarray:
    """Exactly `wanted` rows, each class in its share (largest remainders are rounded up)."""
    classes, counts = np.unique(labels, return_counts=True)
    shares = counts * wanted / counts.sum()
    take = np.floor(shares).astype(int)
    take[np.argsort(-(shares - take), kind="stable")[: wanted - take.sum()]] += 1
    return np.concatenate([rng.permutation(rows[labels == label])[:n] for label, n in zip(classes, take, strict=True)])


def duplicates(array: np.ndarray, group: np.ndarray, parts: Mapping[str, np.ndarray]) -> dict[tuple[str, str], int]:
    """How many examples of the smaller part (second) stand in the larger one (first) to the bit."""
    hashes = [hashlib.blake2b(digest_size=12) for _ in range(int(group.max()) + 1)]
    for row, number in enumerate(group):
        hashes[number].update(np.ascontiguousarray(array[row]).data)
    digests = {part: [hashes[number].digest() for number in numbers] for part, numbers in parts.items()}
    known = {part: set(found) for part, found in digests.items()}
    return {(one, other): sum(digest in known[one] for digest in digests[other]) for one, other in combinations(PARTS, 2)}
