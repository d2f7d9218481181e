"""What reconstructions are worth: the error, originals beside reconstructions, and the codes in two dimensions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from src.assembly import Experiment
from src.evaluation.core import bootstrap, interval
from src.evaluation.style import axes, sheet

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Reconstruction:
    """Mean squared error by example, in units of the normalised input (its variance is 1, so 1 - error is explained)."""

    def __init__(self, *, data: Any, headline: Sequence[str]):
        self.headline = tuple(headline)
        self.classes = data.classes

    def columns(self, outputs: Mapping[str, np.ndarray], target: np.ndarray) -> Mapping[str, np.ndarray]:
        codes = {f"code_{i}": outputs["code"][:, i] for i in range(outputs["code"].shape[1])}
        return {"target": target, "prediction": outputs["error"], **codes}

    def scores(self, table: pd.DataFrame) -> tuple[dict[str, float], dict[str, tuple[float, float]]]:
        error = table["prediction"].to_numpy(np.float64)
        resampled = bootstrap(len(error)) @ error / len(error)
        low, high = interval(resampled)
        values = {"error": error.mean(), "error_worst": error.max(), "explained_variance": 1 - error.mean()}
        return values, {"error": (low, high), "explained_variance": (1 - high, 1 - low)}

    def figures(self, table: pd.DataFrame, experiment: Experiment) -> Mapping[str, Figure]:
        return {"reconstructions": _pairs(table, experiment), "latent": self._latent(table)}

    def _latent(self, table: pd.DataFrame) -> Figure:
        codes = table[[name for name in table.columns if str(name).startswith("code_")]].to_numpy(np.float64)
        centred = codes - codes.mean(axis=0)
        _, singular, directions = np.linalg.svd(centred, full_matrices=False)
        plane = centred @ directions[:2].T
        share = (singular[:2] ** 2).sum() / max((singular**2).sum(), 1e-12)
        figure, ax = axes(width=5.5, height=4.5)
        if plane.shape[1] == 1:
            plane = np.column_stack([plane, np.zeros(len(plane))])
        dots = ax.scatter(plane[:, 0], plane[:, 1], c=table["target"] if self.classes else None, cmap="tab10", s=9, alpha=0.8)
        if self.classes and len(self.classes) <= 10:
            handles, _ = dots.legend_elements()
            ax.legend(handles, self.classes, frameon=False, fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))
        ax.set(title=f"Codes on their two main axes ({share:.0%} of the variance)", xticks=[], yticks=[])
        return figure


def _pairs(table: pd.DataFrame, experiment: Experiment, *, count: int = 10) -> Figure:
    """The examples at even steps from the best to the worst error, each above its reconstruction."""
    places = np.linspace(0, len(table) - 1, min(count, len(table))).round().astype(int)
    chosen = table.sort_values("prediction", kind="stable").iloc[places]
    rows = chosen["index"].to_numpy()
    original = experiment.data.normalise(experiment.data.inputs(rows))
    made = np.concatenate([part["reconstruction"] for part in experiment.learner.predict(experiment.data, rows)])
    figure = sheet(width=8, height=2.2)
    for line, images in enumerate((original, made)):
        for column, (image, error) in enumerate(zip(images, chosen["prediction"], strict=True)):
            ax = figure.add_subplot(2, len(rows), line * len(rows) + column + 1)
            ax.imshow(image.mean(axis=0), cmap="gray_r", vmin=original[column].min(), vmax=original[column].max())
            ax.axis("off")
            if line:
                ax.set_title(f"{error:.2f}", fontsize=7, y=-0.32)
    figure.suptitle("Originals above, reconstructions below, from the smallest error to the largest", fontsize=10)
    return figure
