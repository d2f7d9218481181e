"""Evaluation of predicted numbers: scores with bootstrap intervals, and figures of the residuals."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from src import metrics
from src.data.base import Data
from src.errors import InputError
from src.evaluation.plotting import ACCENT, GREY, new_figure
from src.evaluation.resampling import bootstrap, interval, sums
from src.experiment import Evaluation, Experiment, Scores

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS, SHOWN = 3, 9  # plots of a figure in one line, and in all
POINTS = 5000  # of one plot


class Regression(Evaluation):
    """Scores for one or several numbers, each in its own unit. A residual is the predicted number less the true one.

    Of several numbers, `rmse`, `mae` and `r2` are means over them, and each also has its own. `rmse_of_mean` is what the
    mean of the training part scores as a prediction.
    """

    def __init__(self, *, data: Data, headline: Mapping[str, str | None]):
        super().__init__(headline=headline)
        card = data.prepared.card
        if not card["target_names"]:
            raise InputError(
                f"task=regression: expected data with numbers as targets; {card['name']} has none. Choose other data, or "
                "another task."
            )
        self.names: list[str] = card["target_names"]
        statistics = card["statistics"]["target"]
        self._mean, self._std = np.array(statistics["mean"]), np.array(statistics["std"])

    def columns(self, outputs: Mapping[str, np.ndarray], target: np.ndarray) -> Mapping[str, np.ndarray]:
        return {**{f"target_{name}": target[:, i] for i, name in enumerate(self.names)}, **self.answers(outputs)}

    def answers(self, outputs: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        return {f"prediction_{name}": outputs["prediction"][:, i] for i, name in enumerate(self.names)}

    def scores(self, table: pd.DataFrame) -> Scores:
        target, prediction = self._arrays(table)
        values = self._named(metrics.regression_scores(target, prediction, lambda values: values.sum(axis=0)[None]))
        drawn = bootstrap(len(table))
        resampled = self._named(metrics.regression_scores(target, prediction, lambda values: sums(drawn, values)))
        trivial = np.sqrt(np.square(target - self._mean).mean(axis=0))
        return Scores(
            {**{name: float(value[0]) for name, value in values.items()}, "rmse_of_mean": float(trivial.mean())},
            {name: interval(value) for name, value in resampled.items()},
        )

    def figures(self, experiment: Experiment, table: pd.DataFrame) -> Mapping[str, Figure]:
        return {"predictions": self._plots(table, _predictions), "residuals": self._plots(table, _residuals)}

    def examples(self, table: pd.DataFrame, *, mistakes: int, right: int) -> pd.DataFrame:
        """The largest residuals, in standard deviations of the training part, then the smallest ones.

        `prediction` is the number of the one that is furthest from the truth.
        """
        target, prediction = self._arrays(table)
        error = np.abs(prediction - target) / self._std
        order = np.argsort(-error.max(axis=1), kind="stable")
        first = order[:mistakes]
        chosen = np.array([*first, *order[len(first) :][::-1][:right]], dtype=np.int64)
        number = error.argmax(axis=1)[chosen]
        captions = [
            f"{self._title(i)}{prediction[row, i]:.4g}\nis {target[row, i]:.4g}"
            for row, i in zip(chosen.tolist(), number.tolist(), strict=True)
        ]
        return table.iloc[chosen].assign(prediction=number, caption=captions)

    def _named(self, scores: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Scores by flat name, each of shape (resamples,): the means over the numbers, and of several also those of each."""
        means = {name: _mean(value) for name, value in scores.items()}
        if len(self.names) == 1:
            return means
        return means | {f"{name}/{own}": value[:, i] for name, value in scores.items() for i, own in enumerate(self.names)}

    def _arrays(self, table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        target, prediction = (
            table[[f"{kind}_{name}" for name in self.names]].to_numpy(np.float64) for kind in ("target", "prediction")
        )
        return target, prediction

    def _title(self, number: int) -> str:
        return f"{self.names[number]} " if len(self.names) > 1 else ""

    def _plots(self, table: pd.DataFrame, draw: Callable[[Axes, np.ndarray, np.ndarray], None]) -> Figure:
        """A plot for each number, up to `SHOWN` of them, of at most `POINTS` examples at even steps through the table."""
        target, prediction = self._arrays(table.iloc[:: -(-len(table) // POINTS)])
        names = self.names[:SHOWN]
        columns = min(COLUMNS, len(names))
        lines = -(-len(names) // columns)
        figure = new_figure(width=4 * columns, height=3.6 * lines, arranged=True)
        plots = figure.subplots(lines, columns, squeeze=False).flat
        for i, ax in enumerate(plots):
            if i >= len(names):
                ax.set_visible(False)
                continue
            draw(ax, target[:, i], prediction[:, i])
            ax.set_title(names[i], fontsize=10)
            ax.spines[["top", "right"]].set_visible(False)
        return figure


def _predictions(ax: Axes, target: np.ndarray, prediction: np.ndarray) -> None:
    ends = [min(target.min(), prediction.min()), max(target.max(), prediction.max())]
    ax.plot(ends, ends, color=GREY, linewidth=1, linestyle="--")
    ax.plot(target, prediction, ".", color=ACCENT, alpha=0.4, markersize=4)
    ax.set(xlabel="true", ylabel="predicted")


def _residuals(ax: Axes, target: np.ndarray, prediction: np.ndarray) -> None:
    ax.axhline(0, color=GREY, linewidth=1, linestyle="--")
    ax.plot(prediction, prediction - target, ".", color=ACCENT, alpha=0.4, markersize=4)
    ax.set(xlabel="predicted", ylabel="predicted - true")


def _mean(values: np.ndarray) -> np.ndarray:
    """The means of rows, without NaN; NaN for a row that has nothing else."""
    known = ~np.isnan(values)
    return np.where(known, values, 0).sum(axis=1) / np.where(known.any(axis=1), known.sum(axis=1), np.nan)
