"""Examples that are in two splits, equal to the bit."""

import hashlib
from collections.abc import Mapping
from itertools import combinations

import numpy as np

from src.data.splitting import SPLITS
from src.errors import InputError


def count(array: np.ndarray, group: np.ndarray, groups: Mapping[str, np.ndarray]) -> dict[tuple[str, str], int]:
    """How many examples of a split have an equal one in another split, by (the other split, the split).

    Args:
        array: one row for each piece of an example.
        group: the number of each row's example.
        groups: numbers of examples by split.
    """
    hashes = [hashlib.blake2b(digest_size=12) for _ in range(int(group.max()) + 1)]
    for row, number in enumerate(group):
        hashes[number].update(np.ascontiguousarray(array[row]).data)
    digests = {split: [hashes[number].digest() for number in numbers] for split, numbers in groups.items()}
    unique = {split: set(own) for split, own in digests.items()}
    return {(one, other): sum(digest in unique[one] for digest in digests[other]) for one, other in combinations(SPLITS, 2)}


def check(
    duplicates: Mapping[tuple[str, str], int], groups: Mapping[str, np.ndarray], *, name: str, max_duplicates: float
) -> None:
    """Refuses a data set of which too large a share of a split is in another split too.

    Raises:
        InputError: a share is above `max_duplicates`.
    """
    for (one, other), number in duplicates.items():
        share = number / len(groups[other])
        if share > max_duplicates:
            raise InputError(
                f"{name}: expected at most {max_duplicates:.1%} of a split to be in another split too; {number} of "
                f"{len(groups[other])} examples of {other} ({share:.1%}) are in {one} too. Remove the copies, or raise "
                "data.dataset.max_duplicates."
            )
