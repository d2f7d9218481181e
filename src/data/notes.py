"""What a user should know of a data set: lines that are printed when it is prepared, and kept in its card."""

from collections.abc import Mapping, Sequence

SHOWN = 5  # names in one line


def listed(names: Sequence[str], *, total: int | None = None) -> str:
    """The first of the names, and how many more there are.

    Args:
        total: their number, where only the first are given.
    """
    more = (len(names) if total is None else total) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more:,} more" if more > 0 else "")


def counted(number: int, noun: str, plural: str = "") -> str:
    """A number with its noun."""
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"


def scarce_classes(counts: Mapping[str, Sequence[int]], classes: Sequence[str], *, what: str = "example") -> list[str]:
    """A line for each way in which classes have too few examples to learn them or to score them.

    Args:
        counts: of each class, by split.
        what: is counted.
    """
    totals = [sum(numbers) for numbers in zip(*counts.values(), strict=True)]
    scarce = {f"no {what}": [number == 0 for number in totals], f"one {what}": [number == 1 for number in totals]}
    for split, own in counts.items():
        scarce[f"no {what} in {split}"] = [number == 0 and total > 1 for number, total in zip(own, totals, strict=True)]
    lines = []
    for lack, flags in scarce.items():
        if names := [name for name, flag in zip(classes, flags, strict=True) if flag]:
            lines.append(f"{counted(len(names), 'class has', 'classes have')} {lack}: {listed(names)}.")
    return lines
