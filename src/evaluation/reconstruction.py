"""Evaluation of reconstructions: their error, originals beside reconstructions, and the latents in two dimensions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from src.data.base import Data
from src.evaluation import generation, latents
from src.evaluation.resampling import bootstrap, interval, sums
from src.experiment import Evaluation, Experiment, Scores

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Reconstruction(Evaluation):
    """Mean squared error by example, in units of the normalised input, whose variance is 1: so 1 - error is explained.

    `active` is the share of the latents' numbers that are not zero.
    """

    evaluates_input = True

    def __init__(self, *, data: Data, headline: Mapping[str, str | None]):
        latents.check(data)
        super().__init__(headline=headline)
        self.classes = data.classes

    def columns(self, outputs: Mapping[str, np.ndarray], target: np.ndarray) -> Mapping[str, np.ndarray]:
        return {"target": target, **self.answers(outputs)}

    def answers(self, outputs: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        return {"prediction": outputs["error"], **latents.columns(outputs["latent"])}

    def scores(self, table: pd.DataFrame) -> Scores:
        error = table["prediction"].to_numpy(np.float64)
        resampled = sums(bootstrap(len(error)), error) / len(error)
        low, high = interval(resampled)
        values = {"error": error.mean(), "error_worst": error.max(), "explained_variance": 1 - error.mean()}
        values["active"] = (latents.of(table) != 0).mean()
        return Scores(values, {"error": (low, high), "explained_variance": (1 - high, 1 - low)})

    def ask(self, experiment: Experiment, table: pd.DataFrame) -> Mapping[str, float]:
        return latents.probe(experiment, table)

    def figures(self, experiment: Experiment, table: pd.DataFrame) -> Mapping[str, Figure]:
        return {
            "reconstructions": latents.reconstructions(experiment, table, experiment.data.normalise),
            "latent": latents.plane(table, self.classes),
            "traversals": generation.traversals(experiment, table),
            "interpolations": generation.interpolations(experiment, table),
        }
