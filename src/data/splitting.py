"""Which examples belong to the training, validation and test splits."""

import numpy as np

from src.data.raw import Raw
from src.errors import InputError

SPLITS = ("train", "val", "test")
SPLIT_NAMES = {**{split: split for split in SPLITS}, "valid": "val", "validation": "val"}  # as users write them


def assign(raw: Raw, group: np.ndarray, *, name: str, seed: int, val: float = 0, test: float = 0) -> dict[str, np.ndarray]:
    """Groups of rows by split. Splits that the data set states are kept; the others are drawn, stratified by class.

    Args:
        group: the number of each row's group.
        name: of the data set, for messages.
        val, test: an integer is a number of groups, a float a share of all groups.

    Raises:
        InputError: a split would have no groups, or would leave none for training.
    """
    count = int(group.max()) + 1
    groups = {split: np.unique(group[np.asarray(rows, dtype=np.int64)]) for split, rows in raw.splits.items()}
    rest = groups.pop("train", np.setdiff1d(np.arange(count), np.concatenate([*groups.values(), np.empty(0, int)])))
    rng = np.random.default_rng(seed)
    target = raw.arrays.get("target")
    classified = target is not None and target.ndim == 1 and raw.classes is not None and raw.groups is None
    labels = target if target is not None and classified else np.zeros(count, dtype=np.int64)
    for split, size in (("test", test), ("val", val)):
        if split in groups:
            continue
        is_share = isinstance(size, float)
        if is_share and size >= 1:
            raise InputError(
                f"data.dataset.split.{split}: expected a share below 1, or an integer number of examples; received {size}. "
                f"For {size:.0f} examples write {size:.0f}."
            )
        number = round(size * count) if is_share else int(size)
        if not 0 < number < len(rest):
            raise InputError(
                f"{name}: expected from 1 to {len(rest) - 1} examples in the split {split}; data.dataset.split.{split}={size} "
                f"gives {number} of {count}."
            )
        selected = stratified(rng, rest, labels[rest], number)
        groups[split] = np.sort(selected)
        rest = np.setdiff1d(rest, selected)
    return {"train": rest, **groups}


def stratified(rng: np.random.Generator, rows: np.ndarray, labels: np.ndarray, number: int) -> np.ndarray:
    """Draws exactly `number` rows, each class by its share. The largest remainders are rounded up."""
    classes, counts = np.unique(labels, return_counts=True)
    shares = counts * number / counts.sum()
    numbers = np.floor(shares).astype(int)
    numbers[np.argsort(-(shares - numbers), kind="stable")[: number - numbers.sum()]] += 1
    return np.concatenate([rng.permutation(rows[labels == label])[:n] for label, n in zip(classes, numbers, strict=True)])
