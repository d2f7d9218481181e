"""Canvases with one to three of scikit-learn's handwritten digits, drawn by a seed. Which digits are on a canvas?"""

import numpy as np

from src.data.raw import Raw
from src.data.sources.digits import Digits, divided
from src.errors import InputError
from src.value_types import Count, Seed

CELL, CELLS = 10, 2  # a digit of 8x8 pixels lies anywhere in a cell; a canvas has CELLS x CELLS cells


class Canvases:
    """Grey pictures of 20x20 pixels with a flag for each digit. A digit may be on a canvas twice.

    The canvases of a split have handwritten digits that no other split has.

    Args:
        count: of all canvases; 70 % are for training and 10 % for validation.
    """

    def __init__(self, *, count: Count, seed: Seed):
        if count < 100:
            raise InputError(f"data.count: expected at least 100 canvases; received {count}.")
        self._count, self._seed = count, seed

    def state(self) -> str:
        return f"{Digits().state()} {self._count} {self._seed}"

    def read(self) -> Raw:
        raw = Digits().read()
        digits, labels = np.asarray(raw.arrays["image"])[:, 0], np.asarray(raw.arrays["target"])
        rng = np.random.default_rng(self._seed)
        image = np.zeros((self._count, 1, CELLS * CELL, CELLS * CELL), dtype=np.uint8)
        target = np.zeros((self._count, 10), dtype=np.uint8)
        splits = {}
        for split, pool, canvases in divided(rng, len(digits), self._count):
            splits[split] = canvases
            for row in canvases:
                sample = rng.choice(pool, rng.integers(1, 4), replace=False)
                cells = rng.permutation(CELLS**2)[: len(sample)]
                for digit, (line, column) in zip(sample, zip(*divmod(cells, CELLS), strict=True), strict=True):
                    down, right = rng.integers(0, CELL - 8 + 1, 2)
                    top, left = line * CELL + down, column * CELL + right
                    image[row, 0, top : top + 8, left : left + 8] = digits[digit]
                target[row, labels[sample]] = 1
        return Raw(
            arrays={"image": image, "target": target},
            classes=raw.classes,
            splits=splits,
            origin=f"{raw.origin}, on canvases",
        )
