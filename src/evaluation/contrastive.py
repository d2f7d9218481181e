"""Evaluation of latents that were learned without labels: their spread, what they tell of classes, and nearest neighbours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from src.data.base import Data
from src.evaluation import latents
from src.evaluation.grid import Cell, Row, grid
from src.evaluation.resampling import bootstrap, interval
from src.experiment import Evaluation, Experiment, Scores

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COMPARED = 4096  # examples whose pairs are compared, at most
RESAMPLES = 100  # each of them weights all pairs


class Contrastive(Evaluation):
    """How evenly latents are spread, how many directions they use, and how well a logistic regression on them names classes.

    `uniformity` is the logarithm of the mean of exp(-2 d²) over the distances d of latents on the unit sphere (Wang and Isola
    2020, arXiv:2005.10242): 0 where all latents are equal. It is that of 4,096 examples at most. `effective_rank` is the
    exponential of the entropy of the latents' singular values (Garrido et al. 2023, arXiv:2210.02885): 1 where all latents lie
    on one line through the origin, and at most the size of the latent.
    """

    def __init__(self, *, data: Data, headline: Mapping[str, str | None]):
        latents.check(data)
        super().__init__(headline=headline)
        self.classes = data.classes

    def columns(self, outputs: Mapping[str, np.ndarray], target: np.ndarray) -> Mapping[str, np.ndarray]:
        return {"target": target, **self.answers(outputs)}

    def answers(self, outputs: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        return latents.columns(outputs["latent"])

    def scores(self, table: pd.DataFrame) -> Scores:
        points = latents.of(table)
        unit = _unit(points[np.linspace(0, len(points) - 1, min(len(points), COMPARED)).astype(int)])
        near = np.exp(4 * (unit @ unit.T) - 4)  # the squared distance is 2 - 2 cosine
        np.fill_diagonal(near, 0)
        values = {"effective_rank": _effective_rank(points)}
        if len(near) == 1:
            return Scores(values, {})
        drawn = np.vstack([np.ones(len(near)), bootstrap(len(near), resamples=RESAMPLES)])
        pairs = len(near) ** 2 - (drawn**2).sum(axis=1)  # of different examples
        some = pairs > 0  # a resample may draw one example again and again
        uniformity = np.log(((drawn @ near) * drawn).sum(axis=1)[some] / pairs[some])
        return Scores({"uniformity": uniformity[0], **values}, {"uniformity": interval(uniformity[1:])})

    def ask(self, experiment: Experiment, table: pd.DataFrame) -> Mapping[str, float]:
        return latents.probe(experiment, table)

    def figures(self, experiment: Experiment, table: pd.DataFrame) -> Mapping[str, Figure]:
        return {"latent": latents.plane(table, self.classes), "neighbours": _neighbours(experiment, table)}


def _effective_rank(points: np.ndarray) -> float:
    singular = np.linalg.svd(points, compute_uv=False)
    shares = singular / max(singular.sum(), 1e-12)
    return float(np.exp(-(shares * np.log(np.maximum(shares, 1e-12))).sum()))


def _unit(points: np.ndarray) -> np.ndarray:
    return points / np.maximum(np.linalg.norm(points, axis=1, keepdims=True), 1e-12)


def _neighbours(experiment: Experiment, table: pd.DataFrame, *, lines: int = 8, nearest: int = 9) -> Figure:
    """Some examples, of different classes where there are several, each before those with the nearest latents, by cosine."""
    unit = _unit(latents.of(table))
    chosen = latents.firsts_of_classes(table, most=lines)
    cosines = unit[chosen] @ unit.T
    cosines[np.arange(len(chosen)), chosen] = 2  # each example stands before its neighbours
    neighbours = np.argsort(-cosines, axis=1, kind="stable")[:, : nearest + 1]
    index = table["index"].to_numpy()
    rows = [Row([Cell(experiment.data.show(row)) for row in index[line]]) for line in neighbours]
    return grid(rows, title="Left: an example. Right of it: the examples with the nearest latents", side=0.7)
