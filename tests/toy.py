"""A task that src does not know: how bright is an image? It tests that Task and Evaluation can be extended from outside."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from torch import Tensor

from src.data.base import Data
from src.evaluation.plotting import axes
from src.evaluation.resampling import bootstrap, interval
from src.experiment import Evaluation, Experiment, Scores
from src.protocols import Batch, Outcome
from src.tasks.base import Task


class Brightness(Task):
    """Mean squared error between the model's one output and the mean of its input."""

    primary_output = "brightness"

    def step(self, batch: Batch) -> Outcome:
        prediction = self.model(batch.input).squeeze(1)
        target = batch.input.flatten(1).mean(dim=1)
        return Outcome((prediction - target).square().mean(), prediction, target)

    def measure(self, outcome: Outcome) -> Mapping[str, Tensor | int]:
        return {"distances": (outcome.prediction - outcome.target).abs().sum(), "examples": len(outcome.target)}

    def scores(self, sums: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        return {"distance": sums["distances"] / sums["examples"]}

    def predict(self, input: Tensor) -> Mapping[str, Tensor]:
        return {"brightness": self.model(input), "true": torch.mean(input.flatten(1), dim=1)}


class Distances(Evaluation):
    """The mean distance from the true brightness."""

    def __init__(self, *, data: Data, headline: Mapping[str, str | None]):
        super().__init__(headline=headline)

    def columns(self, outputs: Mapping[str, np.ndarray], target: np.ndarray) -> Mapping[str, np.ndarray]:
        return {"target": outputs["true"], "prediction": outputs["brightness"][:, 0]}

    def scores(self, table: pd.DataFrame) -> Scores:
        distance = (table["target"] - table["prediction"]).abs().to_numpy()
        return Scores(
            {"distance": distance.mean()}, {"distance": interval(bootstrap(len(distance)) @ distance / len(distance))}
        )

    def figures(self, experiment: Experiment, table: pd.DataFrame) -> Mapping[str, Figure]:
        figure, ax = axes()
        ax.scatter(table["target"], table["prediction"], s=6)
        ax.set(xlabel="true", ylabel="predicted", title="Brightness")
        return {"brightness": figure}
