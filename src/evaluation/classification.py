"""Evaluation of predicted classes: scores with bootstrap intervals, and their figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from src import metrics
from src.data.base import Data
from src.evaluation.grid import Cell, Row, grid
from src.evaluation.plotting import ACCENT, GREY, axes, new_figure
from src.evaluation.resampling import bootstrap, interval, sums
from src.experiment import Evaluation, Experiment, Scores

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROOMY = 40  # classes that a figure of the confusion has 0.45 inches each for; more classes share the room of these
NAMED = 100  # classes up to which that figure has room for their names
COLUMNS = 8  # of the figure of mistakes


class Classification(Evaluation):
    """Scores for one class out of several.

    Args:
        top_k: an example counts for the top-k accuracy if its class is among so many of the most probable ones.
    """

    def __init__(self, *, data: Data, headline: Mapping[str, str | None], top_k: int = 3):
        if top_k < 1:
            raise ValueError(f"evaluation.top_k: expected a number of classes from 1; received {top_k}. Choose 1 or more.")
        super().__init__(headline=headline)
        self.classes = list(data.classes)
        self.top_k = min(top_k, len(self.classes))

    def columns(self, outputs: Mapping[str, np.ndarray], target: np.ndarray) -> Mapping[str, np.ndarray]:
        return {"target": target, "prediction": outputs["probability"].argmax(axis=1), **self._by_class(outputs)}

    def answers(self, outputs: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray | Sequence[object]]:
        """The number and the name of the most probable class, and all probabilities."""
        prediction = outputs["probability"].argmax(axis=1)
        names = [self.classes[number] for number in prediction.tolist()]
        return {"prediction": prediction, "class": names, **self._by_class(outputs)}

    def _by_class(self, outputs: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        return {f"probability_{name}": outputs["probability"][:, i] for i, name in enumerate(self.classes)}

    def scores(self, table: pd.DataFrame) -> Scores:
        target, prediction, probability = self._arrays(table)
        confusion = metrics.confusion(target, prediction, len(self.classes))
        scores = metrics.from_confusion(confusion)
        by_class = {
            f"{key}/{name}": value[i] for key, value in scores.items() if value.ndim for i, name in enumerate(self.classes)
        }
        losses = metrics.log_losses(target, probability)
        top = metrics.in_top_k(target, probability, self.top_k)
        values = {key: float(value) for key, value in scores.items() if not value.ndim}
        values |= {
            f"top_{self.top_k}_accuracy": float(top.mean()),
            "log_loss": float(losses.mean()),
            "calibration_error": metrics.calibration_error(target, probability),
            **by_class,
        }
        drawn = bootstrap(len(table))
        resampled = metrics.from_totals(*metrics.totals(target, prediction, len(self.classes), drawn))
        intervals = {key: interval(value) for key, value in resampled.items() if value.ndim == 1}
        intervals["log_loss"] = interval(sums(drawn, losses) / len(table))
        intervals[f"top_{self.top_k}_accuracy"] = interval(sums(drawn, top) / len(table))
        return Scores(values, intervals)

    def figures(self, experiment: Experiment, table: pd.DataFrame) -> Mapping[str, Figure]:
        target, prediction, probability = self._arrays(table)
        return {
            "confusion": self._confusion(metrics.confusion(target, prediction, len(self.classes))),
            "reliability": _reliability(target, probability),
            "mistakes": self._mistakes(experiment, table),
        }

    def examples(self, table: pd.DataFrame, *, mistakes: int, right: int) -> pd.DataFrame:
        """The most confident mistakes, then right answers at even steps through the table.

        Right answers take the place of mistakes that are missing.
        """
        confidence = table[[f"probability_{name}" for name in self.classes]].max(axis=1)
        wrong = table["target"] != table["prediction"]
        worst = confidence[wrong].sort_values(ascending=False, kind="stable").index[:mistakes]
        good = table.index[~wrong]
        positions = np.linspace(0, len(good) - 1, min(mistakes - len(worst) + right, len(good))).round().astype(int)
        chosen = table.loc[[*worst, *good[positions]]]
        predictions = zip(chosen["prediction"], confidence[chosen.index], chosen["target"], strict=True)
        captions = [
            f"{self.classes[predicted]}, {share:.0%}\nis {self.classes[target]}" for predicted, share, target in predictions
        ]
        return chosen.assign(caption=captions)

    def explained(self, table: pd.DataFrame, count: int) -> pd.DataFrame:
        first = table.head(count)
        confidence = first[[f"probability_{name}" for name in self.classes]].max(axis=1)
        captions = [f"{name}, {share:.0%}" for name, share in zip(first["class"], confidence, strict=True)]
        return first.assign(caption=captions)

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
            rotation = 90 if size > ROOMY else 45 if max(map(len, self.classes)) > 2 else 0
            ax.set_xticks(range(size), self.classes, rotation=rotation, ha="center")
            ax.set_yticks(range(size), self.classes)
        number = "" if size <= NAMED else ", by the number of the class"
        ax.set(xlabel=f"predicted{number}", ylabel=f"true{number}", title="Confusion matrix (colour: share of the row)")
        return figure

    def _mistakes(self, experiment: Experiment, table: pd.DataFrame, *, count: int = 16) -> Figure:
        worst = self.examples(table[table["target"] != table["prediction"]], mistakes=count, right=0)
        if worst.empty:
            figure = new_figure(width=8, height=2.3)
            figure.text(0.5, 0.5, "This split has no mistakes.", ha="center", va="center")
            return figure
        cells = [
            Cell(experiment.data.show(row), caption) for row, caption in zip(worst["index"], worst["caption"], strict=True)
        ]
        columns = max(1, round(COLUMNS / cells[0].shown.width))
        rows = [Row(cells[first : first + columns]) for first in range(0, len(cells), columns)]
        return grid(rows, title="The most confident mistakes: the predicted class with its probability, and the true class")


def _reliability(target: np.ndarray, probability: np.ndarray) -> Figure:
    figure, ax = axes(width=4.5, height=4)
    confidence, accuracy, count = metrics.calibration_bins(target, probability)
    ax.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle="--", label="perfectly calibrated")
    ax.plot(confidence, accuracy, color=ACCENT, marker="o", label="this model")
    for x, y, n in zip(confidence, accuracy, count, strict=True):
        ax.annotate(f"{n}", (x, y), textcoords="offset points", xytext=(0, 6), fontsize=7, ha="center", color=GREY)
    ax.set(xlabel="confidence", ylabel="accuracy", xlim=(0, 1.02), ylim=(0, 1.08), title="Reliability")
    ax.legend(frameon=False, loc="lower right")
    return figure
