"""The handwritten digits inside scikit-learn (Alpaydin and Kaynak 1998, doi:10.24432/C50P49)."""

from collections.abc import Iterator

import numpy as np

from src.data.raw import Raw


class Digits:
    """1,797 images of 8x8 pixels; the grey levels from 0 to 16 are scaled to 0 to 255."""

    def state(self) -> str:
        return "scikit-learn"

    def read(self) -> Raw:
        from sklearn.datasets import load_digits  # takes seconds to import

        digits = load_digits()
        image = np.round(digits.images * (255 / 16)).astype(np.uint8)[:, None]
        return Raw(
            arrays={"image": image, "target": digits.target.astype(np.int64)},
            classes=[str(digit) for digit in range(10)],
            origin="sklearn.datasets.load_digits",
        )


SHARES = {"train": 0.7, "val": 0.1, "test": 0.2}


def divided(rng: np.random.Generator, digits: int, count: int) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """For each split the digits that it may use, which no other split has, and the rows of its examples.

    Args:
        digits: the number of all digits.
        count: of the examples that are made of them.
    """
    permutation, ends = rng.permutation(digits), np.cumsum(list(SHARES.values()))
    pools = np.split(permutation, np.round(ends[:-1] * digits).astype(int))
    rows = np.split(np.arange(count), np.round(ends[:-1] * count).astype(int))
    yield from zip(SHARES, pools, rows, strict=True)
