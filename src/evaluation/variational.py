"""Evaluation of variational autoencoders: their bound, and figures of what they generate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from src.data.base import Data
from src.evaluation import generation, latents
from src.evaluation.feature_extractor import FeatureExtractor
from src.evaluation.resampling import bootstrap, interval, sums
from src.experiment import Evaluation, Experiment, Scores

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Variational(Evaluation):
    """The negative evidence lower bound of an example, in nats, by one latent for each example, which is always the same.

    Args:
        classifier: the folder of a run whose features compare samples of the prior with examples; None leaves that out.
        samples: how many samples are compared.
    """

    evaluates_input = True

    def __init__(self, *, data: Data, headline: Mapping[str, str | None], classifier: str | None = None, samples: int = 5000):
        latents.check(data)
        super().__init__(headline=headline)
        self.classes = data.classes
        self._extractor = FeatureExtractor(classifier, data=data, samples=samples) if classifier else None

    def columns(self, outputs: Mapping[str, np.ndarray], target: np.ndarray) -> Mapping[str, np.ndarray]:
        return {"target": target, **self.answers(outputs)}

    def answers(self, outputs: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        bound = outputs["error"] + outputs["kl"]
        return {"prediction": bound, "kl": outputs["kl"], **latents.columns(outputs["latent"])}

    def scores(self, table: pd.DataFrame) -> Scores:
        bound, divergence = table["prediction"].to_numpy(np.float64), table["kl"].to_numpy(np.float64)
        values = {"negative_elbo": bound.mean(), "kl": divergence.mean(), "cross_entropy": (bound - divergence).mean()}
        return Scores(values, {"negative_elbo": interval(sums(bootstrap(len(bound)), bound) / len(bound))})

    def ask(self, experiment: Experiment, table: pd.DataFrame) -> Mapping[str, float]:
        quality = self._extractor.compare(experiment, table) if self._extractor else {}
        return {**latents.probe(experiment, table), **quality}

    def figures(self, experiment: Experiment, table: pd.DataFrame) -> Mapping[str, Figure]:
        return {
            "reconstructions": latents.reconstructions(experiment, table, lambda stored: stored / np.float32(255)),
            "latent": latents.plane(table, self.classes),
            "samples": generation.samples(experiment),
            "traversals": generation.traversals(experiment, table),
            "interpolations": generation.interpolations(experiment, table),
        }
