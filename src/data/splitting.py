"""Which examples belong to the training, validation and test splits."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from src.data.notes import counted
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

    Where the data set states what its splits go by, examples of one value of it stay together. Sizes are then as near to those
    that are asked for as that allows. By time the others are not drawn: the newest test, and those before them validate.

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
    value = _values(raw, group)
    kind = raw.split_by.kind if raw.split_by is not None else None
    _check_stated(raw, value, {"train": rest, **groups}, folds=folds, name=name)
    if folds is not None:
        free = [split for split in ("test", "val") if split not in groups]
        if not free or not 0 <= fold < folds <= len(rest):
            raise InputError(
                f"{name}: expected data.dataset.split.fold from 0 to {folds - 1}, at most {len(rest)} folds, and a data set "
                f"that does not state all its splits; received folds={folds} fold={fold}, and stated splits: "
                f"{', '.join(sorted(raw.splits)) or 'none'}. Correct them, or leave folds=null."
            )
        if kind is None:
            dealt = stratified_folds(rng, labels[rest], folds)
        else:
            _check_number(raw, value[rest], folds, f"each of {folds} folds", name=name)
            dealt = grouped(rng, value[rest], labels[rest], [len(rest) / folds] * folds)
        groups[free[0]] = np.sort(rest[dealt == fold])
        rest = np.setdiff1d(rest, groups[free[0]])
    sizes: dict[str, int] = {}
    for split, size in (("test", test), ("val", val)):
        if split not in groups:
            sizes[split] = _size(split, size, count=count, left=len(rest) - sum(sizes.values()), name=name)
    if kind is not None:
        _check_number(raw, value[rest], len(sizes) + 1, f"each of {', '.join(('train', *sizes))}", name=name)
    if kind == "group":
        dealt = grouped(rng, value[rest], labels[rest], [len(rest) - sum(sizes.values()), *sizes.values()])
        drawn = {split: rest[dealt == number + 1] for number, split in enumerate(sizes)}
        return {"train": rest[dealt == 0], **groups, **drawn}
    for number, (split, size) in enumerate(sizes.items()):
        if kind == "time":
            selected = newest(rest, value[rest], size, spare=len(sizes) - number)
        else:
            selected = stratified(rng, rest, labels[rest], size)
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


def grouped(rng: np.random.Generator, values: np.ndarray, labels: np.ndarray, sizes: Sequence[float]) -> np.ndarray:
    """The part of each row, from 0. Rows of one value are in one part, and no part is empty.

    Values are dealt one after the other, those with many rows first, each to the part where it brings the sizes and the shares
    of the classes nearest to what they should be, by the chi-square distance.

    Args:
        sizes: of the parts, which sum to the number of rows; at most as many parts as there are different values.
    """
    _, own, counts = np.unique(values, return_inverse=True, return_counts=True)
    _, label = np.unique(labels, return_inverse=True)
    expected = np.outer(np.asarray(sizes) / len(labels), np.bincount(label))
    reached = np.zeros_like(expected)
    rows = np.split(np.argsort(own, kind="stable"), np.cumsum(counts)[:-1])
    drawn = rng.permutation(len(counts))
    order = drawn[np.argsort(-np.floor(np.log2(counts[drawn])), kind="stable")]  # random among values of similar sizes
    parts, is_empty = np.empty(len(labels), dtype=np.int64), np.ones(len(sizes), dtype=bool)
    for done, number in enumerate(order.tolist()):
        classes, more = np.unique(label[rows[number]], return_counts=True)
        wanted = expected[:, classes]
        change = (more * (2 * (reached[:, classes] - wanted) + more) / wanted).sum(axis=1)
        if len(order) - done <= is_empty.sum():
            change[~is_empty] = np.inf
        part = int(change.argmin())
        parts[rows[number]], is_empty[part] = part, False
        reached[part, classes] += more
    return parts


def newest(rows: np.ndarray, values: np.ndarray, number: int, *, spare: int) -> np.ndarray:
    """About `number` rows with the largest values. Rows of one value stay together.

    Args:
        spare: how many different values are left to the other rows, at least.
    """
    order = np.argsort(values, kind="stable")
    cuts = (np.flatnonzero(np.diff(values[order])) + 1)[spare - 1 :]
    return rows[order[cuts[np.abs(cuts - (len(rows) - number)).argmin()] :]]


def notes(raw: Raw, group: np.ndarray, groups: Mapping[str, np.ndarray]) -> Iterator[str]:
    """A line on what the splits go by."""
    if raw.split_by is None:
        return
    values, value, column = raw.split_by.values, _values(raw, group), raw.split_by.column
    own = {split: np.unique(value[groups[split]]) for split in SPLITS}
    if raw.split_by.kind == "group":
        numbers = (f"{len(own[split]):,} in {split}" for split in SPLITS)
        yield f"the splits have whole groups, by {column}: {', '.join(numbers)}."
    else:
        spans = (f"{split} from {values[own[split][0]]} to {values[own[split][-1]]}" for split in SPLITS)
        yield f"the splits go by time, {column}: {', '.join(spans)}."


def _size(split: str, size: float, *, count: int, left: int, name: str) -> int:
    """The number of groups of a split.

    Raises:
        InputError: it would have none, or would leave none of `left` for training.
    """
    is_share = isinstance(size, float)
    if is_share and size >= 1:
        raise InputError(
            f"data.dataset.split.{split}: expected a share below 1, or an integer number of examples; received {size}. "
            f"For {size:.0f} examples write {size:.0f}."
        )
    number = round(size * count) if is_share else int(size)
    if not 0 < number < left:
        raise InputError(
            f"{name}: expected from 1 to {left - 1} examples in the split {split}; data.dataset.split.{split}={size} "
            f"gives {number} of {count}."
        )
    return number


def _values(raw: Raw, group: np.ndarray) -> np.ndarray:
    """The number of the value that the splits go by, for each group; zeros where they are drawn freely."""
    _, first = np.unique(group, return_index=True)
    stated = raw.arrays["split_by"] if raw.split_by is not None else None
    return stated[first] if isinstance(stated, np.ndarray) else np.zeros(len(first), dtype=np.int64)


def _check_stated(raw: Raw, value: np.ndarray, groups: Mapping[str, np.ndarray], *, folds: int | None, name: str) -> None:
    """Refuses stated splits, and folds, that do not go with what the splits go by."""
    by = raw.split_by
    if by is None:
        return
    if by.kind == "time":
        if folds is not None or {"val", "test"} <= {*groups}:
            received = f"data.dataset.split.folds={folds}" if folds is not None else "stated splits val and test"
            raise InputError(
                f"{name}: expected splits that go by time, {by.column}, alone: the oldest examples train, and the newest "
                f"test; received {received} too. Leave one of them out."
            )
        return
    own = {split: np.unique(value[rows]) for split, rows in groups.items()}
    both, times = np.unique(np.concatenate([*own.values()]), return_counts=True)
    if len(shared := both[times > 1]):
        where = " and ".join(split for split in SPLITS if split in own and shared[0] in own[split])
        raise InputError(
            f"{name}: expected all examples of one {by.column} in one split; received {by.values[shared[0]]} in {where}, and "
            f"{counted(len(shared), 'such group', 'such groups')} in total. Correct the splits, or do not group them."
        )


def _check_number(raw: Raw, value: np.ndarray, number: int, parts: str, *, name: str) -> None:
    assert raw.split_by is not None
    if (count := len(np.unique(value))) < number:
        raise InputError(
            f"{name}: expected at least {number} different values of {raw.split_by.column}, by which the splits go, one for "
            f"{parts}; received {count} in {counted(len(value), 'example', 'examples')}. Choose another column or fewer parts."
        )
