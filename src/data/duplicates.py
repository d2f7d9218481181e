"""Examples that are equal to the bit: in two splits, within a split, or under two labels."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from src.data import digest, scratch
from src.data.columns import Ragged
from src.data.encoded import Encoded
from src.data.notes import SHOWN, counted, listed
from src.data.splitting import SPLITS
from src.errors import InputError

LABELS = "under two labels"


@dataclass(frozen=True)
class Duplicates:
    """The copies in a data set.

    Args:
        across: by (split, later split), the examples of the later split that are in the other one too.
        within: by split, the examples that are in it once more.
        labels: one of each set of equal examples with different targets.

    Each example stands beside the one that it is equal to: pairs of numbers.
    """

    across: Mapping[tuple[str, str], Sequence[tuple[int, int]]]
    within: Mapping[str, Sequence[tuple[int, int]]]
    labels: Sequence[tuple[int, int]]

    @property
    def counts(self) -> dict[str, int]:
        """Numbers of examples, for the card."""
        across = {f"{other} in {one}": len(pairs) for (one, other), pairs in self.across.items()}
        return {**across, **{f"{one} in {one}": len(pairs) for one, pairs in self.within.items()}, LABELS: len(self.labels)}

    def notes(self, name: Callable[[int], str]) -> list[str]:
        """A line for each kind that occurs.

        Args:
            name: of an example, by its number.
        """
        lines = [
            *((f"{counted(len(p), 'example')} of {other} in {one} too", p) for (one, other), p in self.across.items()),
            *((f"{counted(len(p), 'copy', 'copies')} within {split}", p) for split, p in self.within.items()),
            (f"{counted(len(self.labels), 'example')} {LABELS}", self.labels),
        ]
        return [_line(what, pairs, name) for what, pairs in lines if pairs]


def find(
    array: np.ndarray | Ragged | Encoded,
    group: np.ndarray,
    groups: Mapping[str, np.ndarray],
    *,
    target: np.ndarray | Ragged | Encoded | None = None,
    digests: Sequence[bytes] | None = None,
) -> Duplicates:
    """The copies among the examples of all splits.

    Args:
        array: one row for each piece of an example.
        group: the number of each row's example.
        groups: numbers of examples by split.
        target: one row for each piece of an example; None where there are no labels.
        digests: of the rows, where they are known.
    """
    if digests is None or not _is_whole(group):
        digests = _digests(array, group)
    first = {split: _first(digests, groups[split].tolist()) for split in SPLITS}
    across = {
        (one, other): [
            (number, first[one][digests[number]]) for number in groups[other].tolist() if digests[number] in first[one]
        ]
        for one, other in combinations(SPLITS, 2)
    }
    within = {
        split: [(number, own[digests[number]]) for number in groups[split].tolist() if own[digests[number]] != number]
        for split, own in first.items()
    }
    return Duplicates(across, within, [] if target is None else _contradictions(digests, target, group))


def check(
    duplicates: Duplicates,
    groups: Mapping[str, np.ndarray],
    *,
    name: str,
    max_duplicates: float,
    example: Callable[[int], str],
) -> None:
    """Refuses a data set of which too large a share of a split is in another split too.

    Args:
        example: the name of an example, by its number.

    Raises:
        InputError: a share is above `max_duplicates`.
    """
    for (one, other), pairs in duplicates.across.items():
        share = len(pairs) / max(1, len(groups[other]))
        if share > max_duplicates:
            raise InputError(
                f"{name}: expected at most {max_duplicates:.1%} of a split to be in another split too; {len(pairs)} of "
                f"{len(groups[other])} examples of {other} ({share:.1%}) are in {one} too. Remove the copies, or raise "
                "data.dataset.max_duplicates.\n  " + "\n  ".join(duplicates.notes(example))
            )


def _digests(array: np.ndarray | Ragged | Encoded, group: np.ndarray) -> list[bytes]:
    """A digest of all pieces of each example; of an encoded one, of its file."""
    if isinstance(array, Encoded):
        array = array.files
    if isinstance(array, np.ndarray) and _is_whole(group):
        return [digest for digests in scratch.reduce(_digests_of_rows, array) for digest in digests]
    hashes = [digest.new() for _ in range(int(group.max()) + 1)]
    for row, number in enumerate(group.tolist()):
        hashes[number].update(np.ascontiguousarray(array[row]).data)
    return [one.digest() for one in hashes]


def _is_whole(group: np.ndarray) -> bool:
    """Whether each row is an example."""
    return np.array_equal(group, np.arange(len(group)))


def _digests_of_rows(array: np.ndarray) -> list[bytes]:
    rows = np.ascontiguousarray(array).reshape(len(array), -1)
    return [digest.of(row.data) for row in rows]


def _first(digests: Sequence[bytes], numbers: Sequence[int]) -> dict[bytes, int]:
    """The first example with each digest."""
    return {digests[number]: number for number in reversed(numbers)}


def _contradictions(
    digests: Sequence[bytes], target: np.ndarray | Ragged | Encoded, group: np.ndarray
) -> list[tuple[int, int]]:
    """The first two examples with different targets, of each set of equal examples that has such."""
    by_digest: dict[bytes, list[int]] = {}
    for number, own in enumerate(digests):
        by_digest.setdefault(own, []).append(number)
    equal = [numbers for numbers in by_digest.values() if len(numbers) > 1]
    if not equal:
        return []
    targets = _digests(target, group)
    sets = ((one, [other for other in rest if targets[other] != targets[one]]) for one, *rest in equal)
    return [(others[0], one) for one, others in sets if others]


def _line(what: str, pairs: Sequence[tuple[int, int]], name: Callable[[int], str]) -> str:
    shown = [f"{name(one)} = {name(other)}" for one, other in pairs[:SHOWN]]
    return f"{what}: {listed(shown, total=len(pairs))}."
