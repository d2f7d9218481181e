"""Handwritten digits of scikit-learn, each turned by an angle that a seed draws. By how many degrees?"""

import numpy as np

from src.data.raw import Raw
from src.data.sources.digits import Digits, divided
from src.errors import InputError
from src.value_types import Count, Seed

SIDE, MARGIN = 16, 2  # pixels of a digit, twice as many as scikit-learn has, and around it
LARGEST = 45.0  # degrees to either side


class RotatedDigits:
    """Grey pictures of 20x20 pixels, with the angle in degrees, counterclockwise, uniform from -45 to 45.

    The pictures of a split have handwritten digits that no other split has.

    Args:
        count: of all pictures; 70 % are for training and 10 % for validation.
    """

    def __init__(self, *, count: Count, seed: Seed):
        if count < 100:
            raise InputError(f"data.count: expected at least 100 pictures; received {count}.")
        self._count, self._seed = count, seed

    def state(self) -> str:
        return f"{Digits().state()} {self._count} {self._seed}"

    def read(self) -> Raw:
        from PIL.Image import Resampling, fromarray, new  # only where pictures are drawn

        raw = Digits().read()
        digits = [fromarray(digit).resize((SIDE, SIDE), Resampling.BICUBIC) for digit in np.asarray(raw.arrays["image"])[:, 0]]
        rng = np.random.default_rng(self._seed)
        image = np.empty((self._count, 1, SIDE + 2 * MARGIN, SIDE + 2 * MARGIN), dtype=np.uint8)
        angle = rng.uniform(-LARGEST, LARGEST, self._count)
        splits = {}
        for split, pool, rows in divided(rng, len(digits), self._count):
            splits[split] = rows
            for row, digit in zip(rows, rng.choice(pool, len(rows)), strict=True):
                picture = new("L", image.shape[2:])
                picture.paste(digits[digit], (MARGIN, MARGIN))
                image[row, 0] = np.asarray(picture.rotate(angle[row], Resampling.BICUBIC))
        return Raw(
            arrays={"image": image, "target": angle[:, None].astype(np.float32)},
            target_names=["angle"],
            splits=splits,
            origin=f"{raw.origin}, turned",
        )
