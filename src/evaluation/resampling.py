"""Intervals by the bootstrap: what a score would be on other examples of the same kind."""

import numpy as np


def bootstrap(rows: int, *, resamples: int = 1000, seed: int = 0) -> np.ndarray:
    """How often each row is drawn in each resample (Efron 1979), shape (resamples, rows).

    The counts are bytes, because a thousand integers for each row take more memory than a training. Sums of them need `sums`.
    """
    rng = np.random.default_rng(seed)
    drawn = np.empty((resamples, rows), dtype=np.uint8)  # a row is drawn 256 times with a probability of 1 / 256!
    for resample in drawn:
        resample[:] = np.bincount(rng.integers(rows, size=rows), minlength=rows)
    return drawn


def sums(drawn: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The sum of the rows' values in each resample, shape (resamples, ...).

    Args:
        drawn: how often each row counts, shape (resamples, rows).
        values: shape (rows, ...).
    """
    values = values.astype(np.float64)
    return np.stack([resample.astype(np.float64) @ values for resample in drawn])


def interval(values: np.ndarray) -> tuple[float, float]:
    """The 95 % percentile interval of a score's values over the resamples; NaN where no resample has the score."""
    if np.isnan(values).all():
        return np.nan, np.nan
    low, high = np.nanpercentile(values, [2.5, 97.5])
    return float(low), float(high)
