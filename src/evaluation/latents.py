"""What every evaluation of an autoencoder has: latents as columns and as features, their plane, and reconstructions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from src.config.assembly import Experiment
from src.data.base import Data
from src.evaluation.style import axes, sheet

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FITTED = 10_000  # training examples that a classifier of latents is fitted to, at most


def check(data: Data) -> None:
    """Refuses data whose targets the table of predictions has no column for."""
    if data.targets(data.rows("train")[:1]).ndim != 1:
        raise ValueError("expected data with one class for each example; this one has labels or masks. Choose other data.")


def columns(latents: np.ndarray) -> Mapping[str, np.ndarray]:
    """A batch's latents for the table of predictions."""
    return {f"latent_{i}": latents[:, i] for i in range(latents.shape[1])}


def of(table: pd.DataFrame) -> np.ndarray:
    """The latents that a table of predictions holds, (examples, latent_size)."""
    return table[[name for name in table.columns if str(name).startswith("latent_")]].to_numpy(np.float64)


def probe(table: pd.DataFrame, experiment: Experiment) -> dict[str, float]:
    """How often a logistic regression on the latents, fitted on the training part's, names the class of an example.

    Nothing where the training part has not two classes.
    """
    rows = experiment.data.rows("train")
    if len(rows) > FITTED:
        rows = np.sort(np.random.default_rng(0).choice(rows, FITTED, replace=False))
    classes = experiment.data.targets(rows)
    if not experiment.data.classes or len(np.unique(classes)) < 2:
        return {}
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    found = np.concatenate([part["latent"] for part in experiment.learner.predict(experiment.data, rows)])
    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(found.astype(np.float64), classes)
    return {"probe_accuracy": float(classifier.score(of(table), table["target"]))}


def plane(table: pd.DataFrame, classes: Sequence[str] | None) -> Figure:
    """The latents on their two main axes, coloured by class where there are classes."""
    latents = of(table)
    centred = latents - latents.mean(axis=0)
    _, singular, directions = np.linalg.svd(centred, full_matrices=False)
    places = centred @ directions[:2].T
    share = (singular[:2] ** 2).sum() / max((singular**2).sum(), 1e-12)
    figure, ax = axes(width=5.5, height=4.5)
    if places.shape[1] == 1:
        places = np.column_stack([places, np.zeros(len(places))])
    dots = ax.scatter(places[:, 0], places[:, 1], c=table["target"] if classes else None, cmap="tab10", s=9, alpha=0.8)
    if classes and len(classes) <= 10:
        handles, labels = dots.legend_elements()
        present = [classes[number] for number in np.unique(table["target"])] if len(labels) < len(classes) else classes
        ax.legend(handles, present, frameon=False, fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))
    ax.set(title=f"Latents on their two main axes ({share:.0%} of the variance)", xticks=[], yticks=[])
    return figure


def pairs(
    table: pd.DataFrame, experiment: Experiment, original: Callable[[np.ndarray], np.ndarray], *, count: int = 10
) -> Figure:
    """The examples at even steps from the best to the worst error, each above its reconstruction.

    Where the error is that of restoring a noisy example, this and what was made of it stand below.

    Args:
        original: from stored examples to the units of reconstructions.
    """
    places = np.linspace(0, len(table) - 1, min(count, len(table))).round().astype(int)
    chosen = table.sort_values("prediction", kind="stable").iloc[places]
    rows = chosen["index"].to_numpy()
    outputs = list(experiment.learner.predict(experiment.data, rows))
    names = ("noisy", "restored") if "restored" in outputs[0] else ("reconstruction",)
    above = original(experiment.data.inputs(rows))
    lines = [above, *(np.concatenate([part[name] for part in outputs]) for name in names)]
    figure = sheet(width=8, height=0.4 + 0.9 * len(lines))
    for line, images in enumerate(lines):
        for column, (image, error) in enumerate(zip(images, chosen["prediction"], strict=True)):
            ax = figure.add_subplot(len(lines), len(rows), line * len(rows) + column + 1)
            low, high = above[column].min(), above[column].max()
            shown = ((image - low) / max(high - low, 1e-12)).clip(0, 1).transpose(1, 2, 0).squeeze()
            ax.imshow(shown, cmap="gray_r" if shown.ndim == 2 else None, vmin=0, vmax=1)
            ax.axis("off")
            if line == len(lines) - 1:
                ax.set_title(f"{error:.2f}", fontsize=7, y=-0.32)
    figure.suptitle(f"{' above '.join(('Originals', *names))}, from the smallest error to the largest", fontsize=10)
    return figure
