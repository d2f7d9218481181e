"""Statistics of prepared data over its training split, which the card keeps."""

import numpy as np

from src.data.raw import Raw
from src.errors import InputError


def of(raw: Raw, rows: np.ndarray, *, name: str) -> dict[str, dict[str, list[float]]]:
    """The statistics of images and of numbers over some rows.

    Raises:
        InputError: a number is the same everywhere, so that there is nothing to learn.
    """
    image, target = raw.arrays.get("image"), raw.arrays.get("target")
    statistics = {"image": _of_pixels(image, rows)} if isinstance(image, np.ndarray) else {}
    if raw.target_names is not None and isinstance(target, np.ndarray):
        numbers = target[rows].astype(np.float64)
        constant = [own for own, value in zip(raw.target_names, np.ptp(numbers, axis=0), strict=True) if not value]
        if constant:
            raise InputError(
                f"{name}: expected numbers that differ among the examples of train; received one value alone for "
                f"{', '.join(constant)}. Leave it out, or add examples with other values."
            )
        statistics["target"] = {"mean": numbers.mean(axis=0).tolist(), "std": numbers.std(axis=0).tolist()}
    return statistics


def _of_pixels(image: np.ndarray, rows: np.ndarray) -> dict[str, list[float]]:
    """Mean and standard deviation of each channel over some rows, of pixels scaled to lie between 0 and 1."""
    total, squares, count = np.zeros(image.shape[1]), np.zeros(image.shape[1]), 0
    chunk_size = min(1024, max(1, 2**24 // image[0].size))  # some 100 MB of float64
    for chunk in np.array_split(rows, max(1, len(rows) // chunk_size)):
        pixels = image[chunk].astype(np.float64) / 255
        total += pixels.sum(axis=(0, 2, 3))
        squares += (pixels**2).sum(axis=(0, 2, 3))
        count += pixels.size // image.shape[1]
    mean = total / count
    return {"mean": mean.tolist(), "std": np.sqrt(np.maximum(squares / count - mean**2, 1e-12)).tolist()}
