"""Evaluation of the generator of an adversarial pair, by the features of a classifier."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from src.data.base import Data
from src.evaluation import generation, latents
from src.evaluation.feature_extractor import FeatureExtractor
from src.experiment import Evaluation, Experiment, Scores

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Adversarial(Evaluation):
    """The discriminator's logits for real examples, and how close generated examples come to real ones.

    Args:
        classifier: the folder of a run whose features compare generated examples with real ones; None leaves that out.
        samples: how many generated examples are compared.
    """

    def __init__(self, *, data: Data, headline: Mapping[str, str | None], classifier: str | None = None, samples: int = 5000):
        latents.check(data)
        super().__init__(headline=headline)
        self._extractor = FeatureExtractor(classifier, data=data, samples=samples) if classifier else None

    def columns(self, outputs: Mapping[str, np.ndarray], target: np.ndarray) -> Mapping[str, np.ndarray]:
        return {"target": target, **self.answers(outputs)}

    def answers(self, outputs: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        return {"prediction": outputs["realness"]}

    def scores(self, table: pd.DataFrame) -> Scores:
        return Scores({"realness": table["prediction"].mean()}, {})

    def ask(self, experiment: Experiment, table: pd.DataFrame) -> Mapping[str, float]:
        return self._extractor.compare(experiment, table) if self._extractor else {}

    def figures(self, experiment: Experiment, table: pd.DataFrame) -> Mapping[str, Figure]:
        return {"samples": generation.samples(experiment)}
