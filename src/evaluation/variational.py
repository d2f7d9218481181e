"""What a variational autoencoder is worth: its bound, and figures of what it makes of latents."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from src.config.assembly import Experiment
from src.data.base import Data
from src.evaluation import generation, latents
from src.evaluation.core import bootstrap, interval
from src.evaluation.feature_extractor import Judge

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Variational:
    """The negative evidence lower bound in nats for an example, with one latent drawn for each, always the same one.

    Args:
        classifier: the folder of a run by whose features samples of the prior are compared with examples; None leaves that out.
        samples: how many are drawn for it.
    """

    of_input = True  # an example is judged by what the network makes of itself

    def __init__(self, *, data: Data, headline: Mapping[str, str | None], classifier: str | None = None, samples: int = 5000):
        latents.check(data)
        self.headline = headline
        self.classes = data.classes
        self._judge = Judge(classifier, data=data, samples=samples) if classifier else None

    def columns(self, outputs: Mapping[str, np.ndarray], target: np.ndarray) -> Mapping[str, np.ndarray]:
        bound = outputs["error"] + outputs["kl"]
        return {"target": target, "prediction": bound, "kl": outputs["kl"], **latents.columns(outputs["latent"])}

    def scores(self, table: pd.DataFrame) -> tuple[dict[str, float], dict[str, tuple[float, float]]]:
        bound, divergence = table["prediction"].to_numpy(np.float64), table["kl"].to_numpy(np.float64)
        values = {"negative_elbo": bound.mean(), "kl": divergence.mean(), "cross_entropy": (bound - divergence).mean()}
        return values, {"negative_elbo": interval(bootstrap(len(bound)) @ bound / len(bound))}

    def ask(self, table: pd.DataFrame, experiment: Experiment) -> dict[str, float]:
        compared = self._judge.scores(table, experiment) if self._judge else {}
        return {**latents.probe(table, experiment), **compared}

    def figures(self, table: pd.DataFrame, experiment: Experiment) -> Mapping[str, Figure]:
        return {
            "reconstructions": latents.pairs(table, experiment, lambda stored: stored / np.float32(255)),
            "latent": latents.plane(table, self.classes),
            "samples": generation.samples(experiment),
            "traversals": generation.traversals(table, experiment),
            "interpolations": generation.interpolations(table, experiment),
        }
