"""Statistics of prepared data over its training split, which the card keeps."""

import math

import numpy as np

from src.data import scratch
from src.data.columns import Ragged
from src.data.encoded import Encoded
from src.data.raw import Raw
from src.errors import InputError


def of(raw: Raw, rows: np.ndarray, *, name: str) -> dict[str, dict[str, list[float]]]:
    """The statistics of images and of numbers over some rows.

    Raises:
        InputError: a number is the same everywhere, so that there is nothing to learn.
    """
    image, target = raw.arrays.get("image"), raw.arrays.get("target")
    statistics = {} if image is None or isinstance(image, Ragged) else {"image": _of_pixels(image, rows)}
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


def _of_pixels(image: np.ndarray | Encoded, rows: np.ndarray) -> dict[str, list[float]]:
    """Mean and standard deviation of each channel over some rows, of pixels scaled to lie between 0 and 1.

    The sums are whole numbers, so that they do not depend on the order.
    """
    if isinstance(image, Encoded):
        assert image.sums is not None, "a source of files knows the sums of their pixels"
        totals, squares = image.sums[rows].sum(axis=0)
        count = len(rows) * math.prod(image.shape[1:])
    else:
        totals, squares = np.zeros(image.shape[1], dtype=np.uint64), np.zeros(image.shape[1], dtype=np.uint64)
        for total, square in scratch.reduce(_sums, image, rows):
            totals += total
            squares += square
        count = len(rows) * image[0, 0].size
    pairs = list(zip(totals.tolist(), squares.tolist(), strict=True))
    variances = [(count * square - total**2) / (255 * count) ** 2 for total, square in pairs]
    return {
        "mean": [total / (255 * count) for total, _ in pairs],
        "std": [math.sqrt(max(variance, 1e-12)) for variance in variances],
    }


def _sums(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The sum of each channel, and that of its squares."""
    axes = (0, 2, 3)
    return pixels.sum(axis=axes, dtype=np.uint64), np.square(pixels, dtype=np.uint16).sum(axis=axes, dtype=np.uint64)
