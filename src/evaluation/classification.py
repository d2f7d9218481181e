"""What class predictions are worth: scores with bootstrap intervals, and the figures that show them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from src import metrics
from src.config.assembly import Experiment
from src.data.base import Data
from src.evaluation import panels
from src.evaluation.core import bootstrap, interval
from src.evaluation.style import ACCENT, GREY, axes, sheet

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROOMY = 40  # classes that a figure of the confusion has 0.45 inches each for; more share the room of these
NAMED = 100  # classes up to which their names do not cover one another there


class Classification:
    """Scores for one class of several.

    Args:
        top_k: how many of the most probable classes may hold the right one.
    """

    def __init__(self, *, data: Data, headline: Mapping[str, str | None], top_k: int = 3):
        if top_k < 1:
            raise ValueError(f"evaluation.top_k: expected a number of classes from 1; received {top_k}. Choose 1 or more.")
        self.headline = headline
        self.classes = list(data.classes)
        self.top_k = min(top_k, len(self.classes))

    def columns(self, outputs: Mapping[str, np.ndarray], target: np.ndarray) -> Mapping[str, np.ndarray]:
        probability = outputs["probability"]
        named = {f"probability_{name}": probability[:, i] for i, name in enumerate(self.classes)}
        return {"target": target, "prediction": probability.argmax(axis=1), **named}

    def scores(self, table: pd.DataFrame) -> tuple[dict[str, float], dict[str, tuple[float, float]]]:
        target, prediction, probability = self._arrays(table)
        confusion = metrics.confusion(target, prediction, len(self.classes))
        found = metrics.from_confusion(confusion)
        per_class = {
            f"{key}/{name}": value[i] for key, value in found.items() if value.ndim for i, name in enumerate(self.classes)
        }
        losses = metrics.log_losses(target, probability)
        top = metrics.in_top_k(target, probability, self.top_k)
        values = {key: float(value) for key, value in found.items() if not value.ndim}
        values |= {
            f"top_{self.top_k}_accuracy": float(top.mean()),
            "log_loss": float(losses.mean()),
            "calibration_error": metrics.calibration_error(target, probability),
            **per_class,
        }
        drawn = bootstrap(len(table))
        resampled = metrics.from_totals(*metrics.totals(target, prediction, len(self.classes), drawn))
        intervals = {key: interval(value) for key, value in resampled.items() if value.ndim == 1}
        intervals["log_loss"] = interval(drawn @ losses / len(table))
        intervals[f"top_{self.top_k}_accuracy"] = interval(drawn @ top / len(table))
        return values, intervals

    def figures(self, table: pd.DataFrame, experiment: Experiment) -> Mapping[str, Figure]:
        target, prediction, probability = self._arrays(table)
        return {
            "confusion": self._confusion(metrics.confusion(target, prediction, len(self.classes))),
            "reliability": _reliability(target, probability),
            "mistakes": self._mistakes(table, experiment),
        }

    def _arrays(self, table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        probability = table[[f"probability_{name}" for name in self.classes]].to_numpy(np.float64)
        return table["target"].to_numpy(), table["prediction"].to_numpy(), probability

    def _confusion(self, counts: np.ndarray) -> Figure:
        size = len(self.classes)
        side = 0.45 * min(size, ROOMY)
        figure, ax = axes(width=max(4.5, side + 1.5), height=max(4, side + 1))
        ax.imshow(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1), cmap="Blues", vmin=0, vmax=1)
        for row, column in np.argwhere(counts) if size <= 20 else ():
            dark = counts[row, column] > counts[row].sum() / 2
            ax.text(column, row, counts[row, column], ha="center", va="center", color="white" if dark else GREY, fontsize=8)
        if size <= NAMED:
            turned = 90 if size > ROOMY else 45 if max(map(len, self.classes)) > 2 else 0
            ax.set_xticks(range(size), self.classes, rotation=turned, ha="center")
            ax.set_yticks(range(size), self.classes)
        of = "" if size <= NAMED else ", by the number of the class"
        ax.set(xlabel=f"predicted{of}", ylabel=f"true{of}", title="Confusion (rows sum to 1 in colour)")
        return figure

    def examples(self, table: pd.DataFrame, *, mistakes: int, right: int) -> pd.DataFrame:
        """The surest mistakes, then right answers at even steps through the table, each with a `caption`.

        Right answers stand in for mistakes that are not there.
        """
        sure = table[[f"probability_{name}" for name in self.classes]].max(axis=1)
        wrong = table["target"] != table["prediction"]
        worst = sure[wrong].sort_values(ascending=False, kind="stable").index[:mistakes]
        good = table.index[~wrong]
        places = np.linspace(0, len(good) - 1, min(mistakes - len(worst) + right, len(good))).round().astype(int)
        chosen = table.loc[[*worst, *good[places]]]
        said = zip(chosen["prediction"], sure[chosen.index], chosen["target"], strict=True)
        captions = [f"{self.classes[answer]}, {share:.0%}\nis {self.classes[target]}" for answer, share, target in said]
        return chosen.assign(caption=captions)

    def _mistakes(self, table: pd.DataFrame, experiment: Experiment, *, count: int = 16) -> Figure:
        worst = self.examples(table[table["target"] != table["prediction"]], mistakes=count, right=0)
        if worst.empty:
            figure = sheet(width=8, height=2.3)
            figure.text(0.5, 0.5, "No mistake in this part.", ha="center", va="center")
            return figure
        images = experiment.data.inputs(worst["index"].to_numpy())
        shown = [panels.image(image, caption) for image, caption in zip(images, worst["caption"], strict=True)]
        rows = [("", shown[first : first + 8]) for first in range(0, len(shown), 8)]
        return panels.gallery(rows, title="Worst mistakes: said, how sure, and what it is")


def _reliability(target: np.ndarray, probability: np.ndarray) -> Figure:
    figure, ax = axes(width=4.5, height=4)
    sure, right, count = metrics.calibration_bins(target, probability)
    ax.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle="--", label="perfectly calibrated")
    ax.plot(sure, right, color=ACCENT, marker="o", label="this model")
    for x, y, n in zip(sure, right, count, strict=True):
        ax.annotate(f"{n}", (x, y), textcoords="offset points", xytext=(0, 6), fontsize=7, ha="center", color=GREY)
    ax.set(xlabel="stated probability", ylabel="share that is right", xlim=(0, 1.02), ylim=(0, 1.08), title="Reliability")
    ax.legend(frameon=False, loc="lower right")
    return figure
