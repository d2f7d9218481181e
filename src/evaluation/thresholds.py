"""Scores of a class at every threshold of its probability, from two histograms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from src.evaluation.plotting import GREY, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


BINS = 100


def histogram(probability: np.ndarray) -> np.ndarray:
    """Counts of probabilities in bins of equal width."""
    return np.bincount(np.minimum((probability * BINS).astype(int), BINS - 1), minlength=BINS)


def at_each(inside: np.ndarray, outside: np.ndarray) -> dict[str, np.ndarray]:
    """Precision, recall and Dice where the class is predicted from a bin on, shape (bins,).

    Args:
        inside, outside: counts by bin of the class's probability, of what belongs to the class and of all else.
    """
    right, wrong = inside[::-1].cumsum()[::-1], outside[::-1].cumsum()[::-1]
    return {
        "threshold": np.arange(len(inside)) / len(inside),
        "precision": right / np.maximum(right + wrong, 1),
        "recall": right / max(inside.sum(), 1),
        "dice": 2 * right / np.maximum(right + wrong + inside.sum(), 1),
    }


def curves(histograms: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> Figure:
    """Precision over recall, and Dice over the threshold, one line a class."""
    figure = new_figure(width=9, height=3.6, arranged=True)
    left, right = figure.add_subplot(1, 2, 1), figure.add_subplot(1, 2, 2)
    for name, (inside, outside) in histograms.items():
        scores = at_each(inside, outside)
        predicted = scores["precision"] > 0  # beyond every probability the class is never predicted
        left.plot(scores["recall"][predicted], scores["precision"][predicted], label=name)
        right.plot(scores["threshold"], scores["dice"], label=name)
    right.axvline(0.5, color=GREY, linewidth=0.8, linestyle=":")
    left.set(xlabel="recall", ylabel="precision", title="Precision and recall")
    right.set(xlabel="threshold of the probability", ylabel="Dice coefficient", title="Dice by threshold")
    for ax in (left, right):
        ax.spines[["top", "right"]].set_visible(False)
        ax.set(xlim=(0, 1.02), ylim=(0, 1.02))
        ax.title.set_fontsize(10)
    right.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure
