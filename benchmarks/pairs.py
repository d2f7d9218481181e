"""Two ways to do the same, measured alternately in one go: machines are shared and noisy, ratios are less so."""

import statistics
from collections.abc import Callable
from typing import Any


def alternate(platform: Callable[[], float], bare: Callable[[], float], *, pairs: int = 5) -> dict[str, Any]:
    """Seconds of both, and the median and range of their ratio, after one run of each that warms up."""
    platform(), bare()
    seconds = [(platform(), bare()) for _ in range(pairs)]
    ratios = [one / other for one, other in seconds]
    return {
        "ratio": round(statistics.median(ratios), 3),
        "range": [round(min(ratios), 3), round(max(ratios), 3)],
        "platform_seconds": round(statistics.median(one for one, _ in seconds), 4),
        "bare_seconds": round(statistics.median(other for _, other in seconds), 4),
        "pairs": pairs,
    }


def repeat(measure: Callable[[], float], *, times: int = 5) -> dict[str, Any]:
    """The median and range of one measure, after one run that warms up."""
    measure()
    values = [measure() for _ in range(times)]
    return {
        "seconds": round(statistics.median(values), 6),
        "range": [round(min(values), 6), round(max(values), 6)],
        "times": times,
    }
