"""What the generator of an adversarial pair is worth, by the eyes of a classifier."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from src.config.assembly import Experiment
from src.data.base import Data
from src.evaluation import generation, latents
from src.evaluation.feature_extractor import Judge

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Adversarial:
    """The discriminator's logits for real examples, and how near to them the generator comes.

    Args:
        classifier: the folder of a run by whose features generated examples are compared with real ones; None leaves that out.
        samples: how many are generated for it.
    """

    def __init__(self, *, data: Data, headline: Mapping[str, str | None], classifier: str | None = None, samples: int = 5000):
        latents.check(data)
        self.headline = headline
        self._judge = Judge(classifier, data=data, samples=samples) if classifier else None

    def columns(self, outputs: Mapping[str, np.ndarray], target: np.ndarray) -> Mapping[str, np.ndarray]:
        return {"target": target, "prediction": outputs["realness"]}

    def scores(self, table: pd.DataFrame) -> tuple[dict[str, float], dict[str, tuple[float, float]]]:
        return {"realness": table["prediction"].mean()}, {}

    def ask(self, table: pd.DataFrame, experiment: Experiment) -> dict[str, float]:
        return self._judge.scores(table, experiment) if self._judge else {}

    def figures(self, table: pd.DataFrame, experiment: Experiment) -> Mapping[str, Figure]:
        return {"samples": generation.samples(experiment)}
