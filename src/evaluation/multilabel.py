"""Evaluation of predictions of several labels: scores with bootstrap intervals, and curves over the threshold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from src import metrics
from src.data.base import Data
from src.evaluation import thresholds
from src.evaluation.plotting import ACCENT, SECOND, axes
from src.evaluation.resampling import bootstrap, interval, sums
from src.experiment import Evaluation, Experiment, Scores

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class MultiLabel(Evaluation):
    """Scores for any number of labels out of several. A label is predicted where its probability is 0.5 or more."""

    def __init__(self, *, data: Data, headline: Mapping[str, str | None]):
        super().__init__(headline=headline)
        self.classes = list(data.classes)

    def columns(self, outputs: Mapping[str, np.ndarray], target: np.ndarray) -> Mapping[str, np.ndarray]:
        return {**{f"target_{name}": target[:, i] for i, name in enumerate(self.classes)}, **self.answers(outputs)}

    def answers(self, outputs: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        return {f"probability_{name}": outputs["probability"][:, i] for i, name in enumerate(self.classes)}

    def scores(self, table: pd.DataFrame) -> Scores:
        values = self._scores(table, np.ones((1, len(table))))
        resampled = self._scores(table, bootstrap(len(table)))
        return Scores(
            {name: float(value[0]) for name, value in values.items()},
            {name: interval(value) for name, value in resampled.items()},
        )

    def figures(self, experiment: Experiment, table: pd.DataFrame) -> Mapping[str, Figure]:
        target, probability = self._arrays(table)
        histograms = {}
        for i, name in enumerate(self.classes):
            inside, outside = (thresholds.histogram(probability[target[:, i] == flag, i]) for flag in (1, 0))
            histograms[name] = inside, outside
        return {"thresholds": thresholds.curves(histograms), "labels": self._by_label(table)}

    def examples(self, table: pd.DataFrame, *, mistakes: int, right: int) -> pd.DataFrame:
        """The most confident mistakes, then examples with all labels right, at even steps through the table.

        `prediction` is the label whose probability is furthest from the truth. Where all labels are right, it is the most
        probable one of those that the example has.
        """
        target, probability = self._arrays(table)
        error = np.abs(target - probability)
        wrong = ((probability >= 0.5) != target).any(axis=1)
        worst = np.flatnonzero(wrong)[np.argsort(-error[wrong].max(axis=1), kind="stable")][:mistakes]
        good = np.flatnonzero(~wrong)
        places = np.linspace(0, len(good) - 1, min(mistakes - len(worst) + right, len(good))).round().astype(int)
        chosen = np.array([*worst, *good[places]], dtype=np.int64)
        label = np.where(wrong, error.argmax(axis=1), (target * probability).argmax(axis=1))[chosen]
        answers = zip(label, probability[chosen, label], target[chosen, label], strict=True)
        captions = [f"{self.classes[i]}, {share:.0%}\n{'is there' if flag else 'is not there'}" for i, share, flag in answers]
        return table.iloc[chosen].assign(prediction=label, caption=captions)

    def _scores(self, table: pd.DataFrame, drawn: np.ndarray) -> dict[str, np.ndarray]:
        """Scores by flat name, each of shape (resamples,).

        Args:
            drawn: how often each row counts, shape (resamples, rows).
        """
        target, probability = self._arrays(table)
        predicted = probability >= 0.5
        both, sizes = sums(drawn, predicted & (target == 1)), sums(drawn, predicted.astype(int) + target)
        right = np.where(target == 1, probability, 1 - probability).clip(1e-12)
        precision = np.stack(
            [metrics.average_precision(target[:, i], probability[:, i], drawn) for i in range(len(self.classes))], axis=1
        )
        f1 = np.where(sizes > 0, 2 * both / np.maximum(sizes, 1), np.nan)  # NaN for a label that is neither true nor predicted
        rows = drawn.sum(axis=1)
        return {
            "subset_accuracy": sums(drawn, (predicted == target).all(axis=1)) / rows,
            "label_accuracy": sums(drawn, (predicted == target).mean(axis=1)) / rows,
            "f1_macro": np.nanmean(f1, axis=1),
            "f1_micro": 2 * both.sum(axis=1) / np.maximum(sizes.sum(axis=1), 1),
            "average_precision_macro": np.nanmean(precision, axis=1),
            "log_loss": sums(drawn, -np.log(right).mean(axis=1)) / rows,
            **{f"f1/{name}": f1[:, i] for i, name in enumerate(self.classes)},
            **{f"average_precision/{name}": precision[:, i] for i, name in enumerate(self.classes)},
        }

    def _arrays(self, table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        target = table[[f"target_{name}" for name in self.classes]].to_numpy(np.int64)
        return target, table[[f"probability_{name}" for name in self.classes]].to_numpy(np.float64)

    def _by_label(self, table: pd.DataFrame) -> Figure:
        scores = self._scores(table, np.ones((1, len(table))))
        figure, ax = axes(width=5.5, height=max(2.0, 0.3 * len(self.classes) + 1.2))
        places = np.arange(len(self.classes))
        for kind, label, colour in (("average_precision", "average precision", ACCENT), ("f1", "F1 at 0.5", SECOND)):
            ax.plot([scores[f"{kind}/{name}"][0] for name in self.classes], places, "o", color=colour, label=label)
        ax.set_yticks(places, self.classes)
        ax.invert_yaxis()
        ax.set(xlim=(-0.02, 1.02), title="Scores by label")
        ax.grid(axis="x", alpha=0.3)
        ax.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
        return figure
