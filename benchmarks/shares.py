"""The share of a training that one of its phases takes. Both are timed in one run, so that a noisy machine matters little."""

import functools
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from benchmarks.problem import Platform

P, R = ParamSpec("P"), TypeVar("R")


class Clock:
    """The seconds that pass in what it watches."""

    def __init__(self) -> None:
        self.spent: list[float] = []

    def watch(self, call: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(call)
        def timed(*arguments: P.args, **keywords: P.kwargs) -> R:
            began = time.perf_counter()
            try:
                return call(*arguments, **keywords)
            finally:
                self.spent.append(time.perf_counter() - began)

        return timed


def share(
    train: Callable[[Platform, Path, Clock], float], *, rounds: int, each: Callable[[Clock], dict[str, float]]
) -> dict[str, Any]:
    """The median share of the MLP's trainings.

    Args:
        train: trains in a folder, watched by a clock; gives the seconds of the whole.
        each: what else is told of a training; the median of each.
    """
    shares, told = [], []
    for _ in range(rounds + 1):
        with tempfile.TemporaryDirectory() as name:
            clock = Clock()
            whole = train(Platform("mlp", Path(name)), Path(name), clock)
        shares.append(100 * sum(clock.spent) / whole)
        told.append(each(clock))
    del shares[0], told[0]  # which warmed up
    return {
        "percent": round(statistics.median(shares), 3),
        "range": [round(min(shares), 3), round(max(shares), 3)],
        **{name: round(statistics.median(one[name] for one in told), 3) for name in told[0]},
        "rounds": rounds,
    }
