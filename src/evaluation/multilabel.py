"""What predictions of several labels are worth: scores with bootstrap intervals, and curves over the threshold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from src import metrics
from src.config.assembly import Experiment
from src.data.base import Data
from src.evaluation import thresholds
from src.evaluation.core import bootstrap, interval
from src.evaluation.style import ACCENT, SECOND, axes

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class MultiLabel:
    """Scores for any number of several labels; a label is said to be there from a probability of 0.5 on."""

    def __init__(self, *, data: Data, headline: Mapping[str, str | None]):
        self.headline = headline
        self.classes = list(data.classes)

    def columns(self, outputs: Mapping[str, np.ndarray], target: np.ndarray) -> Mapping[str, np.ndarray | list[Any]]:
        true = {f"target_{name}": target[:, i] for i, name in enumerate(self.classes)}
        return true | {f"probability_{name}": outputs["probability"][:, i] for i, name in enumerate(self.classes)}

    def scores(self, table: pd.DataFrame) -> tuple[dict[str, float], dict[str, tuple[float, float]]]:
        found = self._found(table, np.ones((1, len(table))))
        resampled = self._found(table, bootstrap(len(table)))
        return {name: float(value[0]) for name, value in found.items()}, {
            name: interval(value) for name, value in resampled.items()
        }

    def figures(self, table: pd.DataFrame, experiment: Experiment) -> Mapping[str, Figure]:
        target, probability = self._arrays(table)
        histograms = {}
        for i, name in enumerate(self.classes):
            inside, outside = (thresholds.histogram(probability[target[:, i] == flag, i]) for flag in (1, 0))
            histograms[name] = inside, outside
        return {"thresholds": thresholds.curves(histograms), "labels": self._by_label(table)}

    def examples(self, table: pd.DataFrame, *, mistakes: int, right: int) -> pd.DataFrame:
        """The surest mistakes, then examples with all labels right at even steps through the table.

        `prediction` is the label that is furthest from the truth, or, where all are right, the surest one that is there.
        """
        target, probability = self._arrays(table)
        off = np.abs(target - probability)
        wrong = ((probability >= 0.5) != target).any(axis=1)
        worst = np.flatnonzero(wrong)[np.argsort(-off[wrong].max(axis=1), kind="stable")][:mistakes]
        good = np.flatnonzero(~wrong)
        places = np.linspace(0, len(good) - 1, min(mistakes - len(worst) + right, len(good))).round().astype(int)
        chosen = np.array([*worst, *good[places]], dtype=np.int64)
        label = np.where(wrong, off.argmax(axis=1), (target * probability).argmax(axis=1))[chosen]
        said = zip(label, probability[chosen, label], target[chosen, label], strict=True)
        captions = [f"{self.classes[i]}, {share:.0%}\n{'is there' if flag else 'is not there'}" for i, share, flag in said]
        return table.iloc[chosen].assign(prediction=label, caption=captions)

    def _found(self, table: pd.DataFrame, drawn: np.ndarray) -> dict[str, np.ndarray]:
        """Scores by flat name, of shape (resamples,) each.

        Args:
            drawn: how often each row counts, shape (resamples, rows).
        """
        target, probability = self._arrays(table)
        said = probability >= 0.5
        both, sizes = drawn @ (said & (target == 1)), drawn @ (said.astype(int) + target)
        right = np.where(target == 1, probability, 1 - probability).clip(1e-12)
        precision = np.stack(
            [metrics.average_precision(target[:, i], probability[:, i], drawn) for i in range(len(self.classes))], axis=1
        )
        f1 = np.where(sizes > 0, 2 * both / np.maximum(sizes, 1), np.nan)  # none of a label that is neither there nor said
        rows = drawn.sum(axis=1)
        return {
            "subset_accuracy": drawn @ (said == target).all(axis=1) / rows,
            "label_accuracy": drawn @ (said == target).mean(axis=1) / rows,
            "f1_macro": np.nanmean(f1, axis=1),
            "f1_micro": 2 * both.sum(axis=1) / np.maximum(sizes.sum(axis=1), 1),
            "average_precision_macro": np.nanmean(precision, axis=1),
            "log_loss": drawn @ -np.log(right).mean(axis=1) / rows,
            **{f"f1/{name}": f1[:, i] for i, name in enumerate(self.classes)},
            **{f"average_precision/{name}": precision[:, i] for i, name in enumerate(self.classes)},
        }

    def _arrays(self, table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        target = table[[f"target_{name}" for name in self.classes]].to_numpy(np.int64)
        return target, table[[f"probability_{name}" for name in self.classes]].to_numpy(np.float64)

    def _by_label(self, table: pd.DataFrame) -> Figure:
        found = self._found(table, np.ones((1, len(table))))
        figure, ax = axes(width=5.5, height=max(2.0, 0.3 * len(self.classes) + 1.2))
        places = np.arange(len(self.classes))
        for kind, label, colour in (("average_precision", "average precision", ACCENT), ("f1", "F1 at 0.5", SECOND)):
            ax.plot([found[f"{kind}/{name}"][0] for name in self.classes], places, "o", color=colour, label=label)
        ax.set_yticks(places, self.classes)
        ax.invert_yaxis()
        ax.set(xlim=(-0.02, 1.02), title="Scores by label")
        ax.grid(axis="x", alpha=0.3)
        ax.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
        return figure
