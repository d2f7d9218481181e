"""Evaluation of predictions of one of two classes: the scores of any classes, and those over all thresholds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from src import metrics
from src.data.base import Data
from src.evaluation import thresholds
from src.evaluation.classification import Classification
from src.evaluation.resampling import bootstrap, interval
from src.experiment import Experiment, Scores

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Binary(Classification):
    """Scores for two classes. The area under the ROC curve and the average precision are those of the second class."""

    def __init__(self, *, data: Data, headline: Mapping[str, str | None]):
        super().__init__(data=data, headline=headline, top_k=1)

    def scores(self, table: pd.DataFrame) -> Scores:
        values, intervals = super().scores(table)
        del values["top_1_accuracy"], intervals["top_1_accuracy"]  # they repeat the accuracy
        target, _, probability = self._arrays(table)
        drawn = bootstrap(len(table))
        for name, score in (("auroc", metrics.auroc), ("average_precision", metrics.average_precision)):
            values[name] = float(score(target, probability[:, 1], np.ones((1, len(table))))[0])
            intervals[name] = interval(score(target, probability[:, 1], drawn))
        return Scores(values, intervals)

    def figures(self, experiment: Experiment, table: pd.DataFrame) -> Mapping[str, Figure]:
        target, _, probability = self._arrays(table)
        inside, outside = (thresholds.histogram(probability[target == flag, 1]) for flag in (1, 0))
        return {**super().figures(experiment, table), "thresholds": thresholds.curves({self.classes[1]: (inside, outside)})}
