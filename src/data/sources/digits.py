"""The handwritten digits inside scikit-learn (Alpaydin and Kaynak 1998, doi:10.24432/C50P49)."""

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
