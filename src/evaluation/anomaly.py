"""Evaluation of anomaly detection: how well reconstruction errors tell new classes from those that were trained on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from src import metrics
from src.data.base import Data
from src.evaluation import latents
from src.evaluation.grid import Cell, Row, grid
from src.evaluation.plotting import ACCENT, GREY, SECOND, axes
from src.evaluation.resampling import bootstrap, interval, sums
from src.experiment import Evaluation, Experiment, Scores

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Anomaly(Evaluation):
    """The error of an example is its score. Examples of classes that `data.keep.train` does not name are anomalous.

    A split without anomalies, such as validation, has only its errors.

    Args:
        quantile: of the errors of the validation split. An error above it raises an alarm.
    """

    evaluates_input = True

    def __init__(self, *, data: Data, headline: Mapping[str, str | None], quantile: float = 0.95):
        if not 0 < quantile < 1:
            raise ValueError(f"evaluation.quantile: expected a number between 0 and 1; received {quantile}.")
        if not data.keep.get("train"):
            raise ValueError("data.keep.train: expected the classes that count as normal, such as [0]; it names none.")
        latents.check(data)
        super().__init__(headline=headline)
        self.classes = data.classes
        self.normal = list(data.keep["train"])
        self.quantile = quantile

    def columns(self, outputs: Mapping[str, np.ndarray], target: np.ndarray) -> Mapping[str, np.ndarray]:
        return {"target": target, **self.answers(outputs), "anomalous": ~np.isin(target, self.normal)}

    def answers(self, outputs: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        return {"prediction": outputs["error"]}

    def scores(self, table: pd.DataFrame) -> Scores:
        error, anomalous = _arrays(table)
        values = {"error": error.mean()}
        if not 0 < anomalous.sum() < len(table):
            return Scores(values, {"error": interval(sums(bootstrap(len(error)), error) / len(error))})
        named = {"auroc": metrics.auroc, "average_precision": metrics.average_precision}
        whole, drawn = np.ones((1, len(table)), dtype=np.int64), bootstrap(len(table))
        values |= {name: float(score(anomalous, error, whole)[0]) for name, score in named.items()}
        intervals = {name: interval(score(anomalous, error, drawn)) for name, score in named.items()}
        for number in np.unique(table["target"][anomalous]):
            chosen = ~anomalous | (table["target"] == number).to_numpy()
            area = metrics.auroc(anomalous[chosen], error[chosen], np.ones((1, chosen.sum()), dtype=np.int64))
            values[f"auroc/{self.classes[number]}"] = float(area[0])
        return Scores(values, intervals)

    def ask(self, experiment: Experiment, table: pd.DataFrame) -> Mapping[str, float]:
        error, anomalous = _arrays(table)
        threshold = self._threshold(experiment)
        values = {"threshold": threshold, "false_positive_rate": float((error[~anomalous] > threshold).mean())}
        return {**values, "recall": float((error[anomalous] > threshold).mean())} if anomalous.any() else values

    def figures(self, experiment: Experiment, table: pd.DataFrame) -> Mapping[str, Figure]:
        threshold = self._threshold(experiment)
        figures = {
            "scores": self._histogram(table, threshold),
            "reconstructions": latents.reconstructions(experiment, table, experiment.data.normalise),
        }
        if table["anomalous"].nunique() > 1:
            figures |= {"roc": self._curve(table, threshold), "misses": self._misses(experiment, table)}
        return figures

    def _threshold(self, experiment: Experiment) -> float:
        batches = experiment.learner.predict(experiment.data, experiment.data.rows("val"))
        return float(np.quantile(np.concatenate([batch["error"] for batch in batches]), self.quantile))

    def _histogram(self, table: pd.DataFrame, threshold: float) -> Figure:
        error, anomalous = _arrays(table)
        figure, ax = axes()
        edges = np.linspace(0, np.quantile(error, 0.995), 60).tolist()
        for chosen, label, colour in ((~anomalous, "normal", ACCENT), (anomalous, "anomalous", SECOND)):
            if chosen.any():
                ax.hist(error[chosen], edges, density=True, color=colour, alpha=0.6, label=f"{label} ({chosen.sum():,})")
        ax.axvline(threshold, color=GREY, linewidth=1, linestyle="--", label=f"{self.quantile:.0%} of validation lies below")
        ax.set(xlabel="reconstruction error", yticks=[], title="Errors of normal and anomalous examples")
        ax.legend(frameon=False, fontsize=8)
        return figure

    def _curve(self, table: pd.DataFrame, threshold: float) -> Figure:
        from sklearn.metrics import roc_auc_score, roc_curve

        error, anomalous = _arrays(table)
        false_positive_rate, recall, _ = roc_curve(anomalous, error)
        figure, ax = axes(width=4.5, height=4)
        ax.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle="--", label="by chance")
        ax.plot(false_positive_rate, recall, color=ACCENT, label=f"this model: area {roc_auc_score(anomalous, error):.3f}")
        here = (error[~anomalous] > threshold).mean(), (error[anomalous] > threshold).mean()
        ax.plot(*here, color=SECOND, marker="o", linestyle="none", label="at the threshold")
        ax.set(xlabel="false positive rate", ylabel="recall", title="ROC curve")
        ax.legend(frameon=False, loc="lower right", fontsize=8)
        return figure

    def _misses(self, experiment: Experiment, table: pd.DataFrame, *, count: int = 8) -> Figure:
        error, anomalous = _arrays(table)
        by_error = np.argsort(error, kind="stable")
        rows = []
        for label, places in (
            ("anomalies\nwith the\nsmallest errors", by_error[anomalous[by_error]][:count]),
            ("normal examples\nwith the\nlargest errors", by_error[~anomalous[by_error]][::-1][:count]),
        ):
            examples = table.iloc[places][["index", "target", "prediction"]].itertuples(index=False, name=None)
            cells = [Cell(experiment.data.show(row), f"{self.classes[target]}\n{value:.2f}") for row, target, value in examples]
            rows.append(Row(cells, label))
        return grid(rows, title="The worst mistakes: class and reconstruction error")


def _arrays(table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    return table["prediction"].to_numpy(np.float64), table["anomalous"].to_numpy(bool)
