"""The learning-rate range test: the loss under a growing learning rate, and proposals (Smith 2017, arXiv:1506.01186, 3.3)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from src.errors import InputError, RunFailed
from src.evaluation.plotting import ACCENT, GREY, SECOND, axes
from src.protocols import Sink

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FEWEST = 3  # smoothed losses that a proposal needs
STEEPEST, TENTH = "steepest descent", "a tenth of the rate at the minimum"


class Search(Sink):
    """The losses of a training whose learning rate grows by the same factor at each step. It asks the training to stop.

    Args:
        steps: of the optimizer, from the rate `first` to `last`.
        smoothing: the share that the running mean of the losses keeps at each step; its start at zero is corrected for.
        limit: the search ends where the mean exceeds so many times its lowest value.

    Attributes:
        end: where the search ended, and why; empty while it goes on.
    """

    def __init__(self, *, steps: int, first: float, last: float, smoothing: float, limit: float):
        if not 0 <= smoothing < 1:
            raise InputError(f"finder.smoothing: expected 0 up to, but not including, 1; received {smoothing}.")
        self._beginning = math.ceil(1 / (1 - smoothing) - 1e-9)  # steps after which the mean is of more than a few losses
        fewest = self._beginning + FEWEST
        for name, value, fits, expected in (
            ("steps", steps, steps >= fewest, f"{fewest} or more with smoothing={smoothing}"),
            ("first", first, 0 < first < last, f"a rate above 0 and below last={last}"),
            ("limit", limit, limit > 1, "more than 1"),
        ):
            if not fits:
                raise InputError(f"finder.{name}: expected {expected}; received {value}.")
        self._rates = np.geomspace(first, last, steps)
        self._smoothing, self._limit = smoothing, limit
        self._losses: list[float] = []
        self._means: list[float] = []
        self._sum = 0.0
        self.end = ""

    def log(self, metrics: Mapping[str, Any], step: int, epoch: int) -> None:
        if "train/loss" not in metrics or self.end:
            return
        loss, rate = float(metrics["train/loss"]), self._rates[len(self._losses)]
        if not math.isfinite(loss):
            self.end = f"at {rate:.2g}, where the loss was {loss}"
            return
        self._losses.append(loss)
        self._sum = self._smoothing * self._sum + (1 - self._smoothing) * loss
        self._means.append(self._sum / (1 - self._smoothing ** len(self._losses)))
        best = min(self._means)
        if self._means[-1] - best > (self._limit - 1) * abs(best):  # some losses are below zero
            self.end = f"at {rate:.2g}, where the loss was {self._limit:g} times its best"
        elif len(self._losses) == len(self._rates):
            self.end = f"at {rate:.2g}, the last rate"

    def flush(self) -> None:
        """Has nothing to keep."""

    @property
    def should_stop(self) -> bool:
        return bool(self.end)

    def table(self) -> pd.DataFrame:
        """One row a step: its rate, its loss and the smoothed loss."""
        return pd.DataFrame({"rate": self._rates[: len(self._losses)], "loss": self._losses, "smoothed": self._means})

    def proposals(self) -> dict[str, float]:
        """Proposed rates by the rule that gives them. The rate of the steepest descent is missing where the loss never falls.

        Raises:
            RunFailed: the search ended too early for a proposal.
        """
        if len(self._means) < self._beginning + FEWEST:
            raise RunFailed(
                f"find_lr: expected a finite loss for at least {self._beginning + FEWEST} steps; the search ended after "
                f"{len(self._means)}, {self.end}. Lower finder.first."
            )
        rates, means = self._rates[self._beginning : len(self._means)], np.array(self._means)[self._beginning :]
        lowest = int(means.argmin())  # behind it the loss may jump up, and fall faster than it ever does by learning
        falling = {STEEPEST: float(rates[np.gradient(means)[:lowest].argmin()])} if lowest else {}  # by log(rate)
        return {**falling, TENTH: float(rates[lowest] / 10)}


def curve(search: Search) -> Figure:
    """The loss over the learning rate, with the proposals."""
    table = search.table()
    figure, ax = axes()
    ax.plot(table["rate"], table["loss"], color=GREY, linewidth=0.6, alpha=0.5, label="each step")
    ax.plot(table["rate"], table["smoothed"], color=ACCENT, label="smoothed")
    for (name, rate), style in zip(search.proposals().items(), ("--", ":"), strict=False):
        ax.axvline(rate, color=SECOND, linewidth=1, linestyle=style, label=f"{rate:.2g}: {name}")
    low, high = table["smoothed"].min(), table["smoothed"].iloc[: len(table) // 2].max()
    room = 0.3 * (high - low) or 1.0
    ax.set(xscale="log", xlabel="learning rate", title="Training loss", ylim=(low - room, high + 2 * room))
    ax.legend(frameon=False, fontsize=8)
    return figure
