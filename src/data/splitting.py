"""Which examples belong to the training, validation and test splits."""

import numpy as np

from src.data.raw import Raw
from src.errors import InputError

SPLITS = ("train", "val", "test")
SPLIT_NAMES = {**{split: split for split in SPLITS}, "valid": "val", "validation": "val"}  # as users write them


def assign(
    raw: Raw,
    group: np.ndarray,
    *,
    name: str,
    seed: int,
    val: float = 0,
    test: float = 0,
    folds: int | None = None,
    fold: int = 0,
) -> dict[str, np.ndarray]:
    """Groups of rows by split. Splits that the data set states are kept; the others are drawn, stratified by class.

    Args:
        group: the number of each row's group.
        name: of the data set, for messages.
        val, test: an integer is a number of groups, a float a share of all groups.
        folds: in how many parts all groups are divided, of which each is the test split once; where the data set states its own
            test split, the validation split. None for no such parts.
        fold: the number of the part, from 0.

    Raises:
        InputError: a split would have no groups, or would leave none for training; or there is no such fold.
    """
    count = int(group.max()) + 1
    groups = {split: np.unique(group[np.asarray(rows, dtype=np.int64)]) for split, rows in raw.splits.items()}
    rest = groups.pop("train", np.setdiff1d(np.arange(count), np.concatenate([*groups.values(), np.empty(0, int)])))
    rng = np.random.default_rng(seed)
    target = raw.arrays.get("target")
    classified = raw.classes is not None and raw.groups is None
    has_label = isinstance(target, np.ndarray) and target.ndim == 1 and classified
    labels = target if isinstance(target, np.ndarray) and has_label else np.zeros(count, dtype=np.int64)
    if folds is not None:
        free = [split for split in ("test", "val") if split not in groups]
        if not free or not 0 <= fold < folds <= len(rest):
            raise InputError(
                f"{name}: expected data.dataset.split.fold from 0 to {folds - 1}, at most {len(rest)} folds, and a data set "
                f"that does not state all its splits; received folds={folds} fold={fold}, and stated splits: "
                f"{', '.join(sorted(raw.splits)) or 'none'}. Correct them, or leave folds=null."
            )
        groups[free[0]] = np.sort(rest[stratified_folds(rng, labels[rest], folds) == fold])
        rest = np.setdiff1d(rest, groups[free[0]])
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


def stratified_folds(rng: np.random.Generator, labels: np.ndarray, folds: int) -> np.ndarray:
    """The fold of each label, from 0. The folds differ by one example at most, and so does each class in them."""
    numbers, dealt = np.empty(len(labels), dtype=np.int64), 0
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        numbers[rows] = (dealt + np.arange(len(rows))) % folds
        dealt += len(rows)
    return numbers


def stratified(rng: np.random.Generator, rows: np.ndarray, labels: np.ndarray, number: int) -> np.ndarray:
    """Draws exactly `number` rows, each class by its share. The largest remainders are rounded up."""
    classes, counts = np.unique(labels, return_counts=True)
    shares = counts * number / counts.sum()
    numbers = np.floor(shares).astype(int)
    numbers[np.argsort(-(shares - numbers), kind="stable")[: number - numbers.sum()]] += 1
    return np.concatenate([rng.permutation(rows[labels == label])[:n] for label, n in zip(classes, numbers, strict=True)])
