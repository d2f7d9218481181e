"""Tables of text for a terminal or a pipe."""

from collections.abc import Collection, Sequence


def lines(cells: Sequence[Sequence[str]], *, right: Collection[int] = ()) -> list[str]:
    """The rows of a table, each as a line, with columns as wide as their widest cell.

    Args:
        right: the numbers of the columns that are aligned to the right.
    """
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["  ".join(_aligned(row, widths, right)).rstrip() for row in cells]


def _aligned(row: Sequence[str], widths: Sequence[int], right: Collection[int]) -> list[str]:
    return [
        cell.rjust(width) if number in right else cell.ljust(width)
        for number, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]
