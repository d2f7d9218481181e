"""What latents that were learned without labels are worth: how they are spread, what they know, and which lie together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from src.config.assembly import Experiment
from src.data.base import Data
from src.evaluation import latents
from src.evaluation.core import bootstrap, interval
from src.evaluation.style import sheet

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COMPARED = 4096  # examples, at most, all pairs of which are compared
RESAMPLES = 100  # each of them weighs all pairs


class Contrastive:
    """How evenly latents are spread, and how many directions they use; a logistic regression says what they know of classes.

    `uniformity` is the logarithm of the mean of exp(-2 d²) over the distances d of latents on the unit sphere (Wang and Isola
    2020, arXiv:2005.10242): 0 where all lie in one place. It is that of 4,096 examples at most. `effective_rank` is the
    exponential of the entropy of the latents' singular values (Garrido et al. 2023, arXiv:2210.02885): 1 where all lie on one
    line through the origin, at most the size of the latent.
    """

    def __init__(self, *, data: Data, headline: Mapping[str, str | None]):
        latents.check(data)
        self.headline = headline
        self.classes = data.classes

    def columns(self, outputs: Mapping[str, np.ndarray], target: np.ndarray) -> Mapping[str, np.ndarray]:
        return {"target": target, **latents.columns(outputs["latent"])}

    def scores(self, table: pd.DataFrame) -> tuple[dict[str, float], dict[str, tuple[float, float]]]:
        found = latents.of(table)
        unit = _unit(found[np.linspace(0, len(found) - 1, min(len(found), COMPARED)).astype(int)])
        near = np.exp(4 * (unit @ unit.T) - 4)  # the squared distance is 2 - 2 cosine
        np.fill_diagonal(near, 0)
        values = {"effective_rank": _effective_rank(found)}
        if len(near) == 1:
            return values, {}
        drawn = np.vstack([np.ones(len(near)), bootstrap(len(near), resamples=RESAMPLES)])
        pairs = len(near) ** 2 - (drawn**2).sum(axis=1)  # of different examples
        some = pairs > 0  # a resample may be one example again and again
        uniformity = np.log(((drawn @ near) * drawn).sum(axis=1)[some] / pairs[some])
        return {"uniformity": uniformity[0], **values}, {"uniformity": interval(uniformity[1:])}

    def ask(self, table: pd.DataFrame, experiment: Experiment) -> dict[str, float]:
        return latents.probe(table, experiment)

    def figures(self, table: pd.DataFrame, experiment: Experiment) -> Mapping[str, Figure]:
        return {"latent": latents.plane(table, self.classes), "neighbours": _neighbours(table, experiment)}


def _effective_rank(found: np.ndarray) -> float:
    singular = np.linalg.svd(found, compute_uv=False)
    shares = singular / max(singular.sum(), 1e-12)
    return float(np.exp(-(shares * np.log(np.maximum(shares, 1e-12))).sum()))


def _unit(found: np.ndarray) -> np.ndarray:
    return found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)


def _neighbours(table: pd.DataFrame, experiment: Experiment, *, lines: int = 8, nearest: int = 9) -> Figure:
    """Some examples, of different classes where there are some, each before those with the nearest latents (by cosine)."""
    unit = _unit(latents.of(table))
    _, firsts = np.unique(table["target"].to_numpy(), return_index=True)
    chosen = np.sort(firsts)[:lines] if len(firsts) > 1 else np.arange(min(lines, len(table)))
    cosines = unit[chosen] @ unit.T
    cosines[np.arange(len(chosen)), chosen] = 2  # each stands before the others
    order = np.argsort(-cosines, axis=1, kind="stable")[:, : nearest + 1]
    images = experiment.data.inputs(table["index"].to_numpy()[order.ravel()])
    figure = sheet(width=8, height=0.4 + 0.8 * len(chosen))
    for place, image in enumerate(images):
        ax = figure.add_subplot(len(chosen), order.shape[1], place + 1)
        shown = image.transpose(1, 2, 0).squeeze() / 255
        ax.imshow(shown, cmap="gray_r" if shown.ndim == 2 else None, vmin=0, vmax=1)
        ax.axis("off")
    figure.suptitle("Left an example, beside it those with the nearest latents", fontsize=10)
    return figure
