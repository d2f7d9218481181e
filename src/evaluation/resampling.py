"""Intervals by the bootstrap: what a score would be on other examples of the same kind."""

import numpy as np


def bootstrap(rows: int, *, resamples: int = 1000, seed: int = 0) -> np.ndarray:
    """How often each row is drawn in each resample (Efron 1979), shape (resamples, rows)."""
    rng = np.random.default_rng(seed)
    return np.stack([np.bincount(rng.integers(rows, size=rows), minlength=rows) for _ in range(resamples)])


def interval(values: np.ndarray) -> tuple[float, float]:
    """The 95 % percentile interval of a score's values over the resamples; NaN where no resample has the score."""
    if np.isnan(values).all():
        return np.nan, np.nan
    low, high = np.nanpercentile(values, [2.5, 97.5])
    return float(low), float(high)
