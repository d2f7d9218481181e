"""Pictures that come as arrays, of any usual form and type, as bytes with the channels in front."""

from collections.abc import Sequence

import numpy as np

from src.errors import InputError

CHANNELS = (1, 3)  # of pictures, grey or colour


def channels_first(pictures: np.ndarray, where: str) -> np.ndarray:
    """Pictures (count, height, width), (count, height, width, channels) or (count, channels, height, width) in the last form.

    Raises:
        InputError: they have none of these forms.
    """
    if pictures.ndim == 3:
        pictures = pictures[:, None]
    elif pictures.ndim == 4 and pictures.shape[3] in CHANNELS and pictures.shape[1] not in CHANNELS:
        pictures = pictures.transpose(0, 3, 1, 2)
    if pictures.ndim != 4 or 0 in pictures.shape:
        raise InputError(f"{where}: expected pictures; received an array of shape {list(pictures.shape)}.")
    return pictures


def as_bytes(values: np.ndarray, where: str) -> np.ndarray:
    """Values from 0 to 1, bits, or whole numbers from 0 to 255, as bytes.

    Raises:
        InputError: they are none of these.
    """
    if values.dtype == np.uint8:
        return values
    low, high = (values.min(), values.max()) if values.dtype != bool else (False, True)
    if values.dtype == bool or (np.issubdtype(values.dtype, np.floating) and low >= 0 and high <= 1):
        return np.round(255 * values.astype(np.float32)).astype(np.uint8)
    if np.issubdtype(values.dtype, np.integer) and low >= 0 and high <= 255:
        return values.astype(np.uint8)
    raise InputError(
        f"{where}: expected bytes, or numbers from 0 to 1; received {values.dtype} from {low:g} to {high:g}. Leave out what "
        "normalises them: the platform does that itself, by the statistics of the training split."
    )


def whole(labels: np.ndarray, where: str) -> np.ndarray:
    """The number of each example's class, from (count,) or (count, 1), as int64.

    Raises:
        InputError: they are no whole numbers from 0.
    """
    flat = labels.reshape(len(labels)) if labels.size == len(labels) else labels
    if flat.ndim != 1 or not np.issubdtype(flat.dtype, np.number) or not (flat == np.floor(flat)).all() or flat.min() < 0:
        raise InputError(
            f"{where}: expected a class as a whole number from 0 for each example; received {flat.dtype} of shape "
            f"{list(labels.shape)}{_first_wrong(flat)}. Number the classes from 0."
        )
    return flat.astype(np.int64)


def named(target: np.ndarray, stated: Sequence[str] | None, where: str) -> list[str]:
    """The names of the classes: those that the data state, else their numbers.

    Raises:
        InputError: none are stated, and a number is larger than that of all examples: most classes would have none.
    """
    if stated:
        return [*stated]
    row = int(target.argmax())
    if target[row] >= len(target):
        raise InputError(
            f"{where}: expected classes that are numbered 0, 1, 2 and so on; received {target[row]} in row {row}, of "
            f"{len(target):,} examples. Number them without gaps, or name them."
        )
    return [str(number) for number in range(int(target[row]) + 1)]


def _first_wrong(labels: np.ndarray) -> str:
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.number):
        return ""
    rows = np.flatnonzero((labels != np.floor(labels)) | (labels < 0))
    return f", {labels[rows[0]]} in row {rows[0]}"


def shown(shape: Sequence[int]) -> str:
    """A shape as people write it, 3x32x32."""
    return "x".join(map(str, shape))
