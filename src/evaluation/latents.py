"""What the evaluations of autoencoders share: latents as columns and as features, their plane, and reconstructions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from src.data.base import Data
from src.data.shown import Picture
from src.evaluation.grid import Cell, Row, grid
from src.evaluation.plotting import axes
from src.experiment import Experiment

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FITTED = 10_000  # training examples that a classifier of latents is fitted to, at most


def check(data: Data) -> None:
    """Refuses data whose targets have no column in the table of predictions.

    Raises:
        ValueError: an example has several labels, or a mask.
    """
    rows = data.rows("train")[:1]
    if len(rows) and data.targets(rows).ndim != 1:  # a prediction has raw inputs alone
        raise ValueError("expected data with one class for each example; this one has labels or masks. Choose other data.")


def columns(latents: np.ndarray) -> Mapping[str, np.ndarray]:
    """The latents of a batch as columns of the table of predictions."""
    return {f"latent_{i}": latents[:, i] for i in range(latents.shape[1])}


def of(table: pd.DataFrame) -> np.ndarray:
    """The latents in a table of predictions, (examples, latent_size)."""
    return table[[name for name in table.columns if str(name).startswith("latent_")]].to_numpy(np.float64)


def firsts_of_classes(table: pd.DataFrame, *, most: int) -> np.ndarray:
    """Where the first example of each class stands in the table; the first examples where there is only one class."""
    _, firsts = np.unique(table["target"].to_numpy(), return_index=True)
    return np.sort(firsts)[:most] if len(firsts) > 1 else np.arange(min(most, len(table)))


def probe(experiment: Experiment, table: pd.DataFrame) -> dict[str, float]:
    """The accuracy of a logistic regression on the latents, fitted to the training split.

    Empty where the training split has fewer than two classes.
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

    latents = np.concatenate([batch["latent"] for batch in experiment.learner.predict(experiment.data, rows)])
    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(latents.astype(np.float64), classes)
    return {"probe_accuracy": float(classifier.score(of(table), table["target"]))}


def plane(table: pd.DataFrame, classes: Sequence[str]) -> Figure:
    """The latents on their first two principal axes, coloured by class where there are classes."""
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
    ax.set(title=f"Latents on their first two principal axes ({share:.0%} of the variance)", xticks=[], yticks=[])
    return figure


def reconstructions(
    experiment: Experiment, table: pd.DataFrame, original: Callable[[np.ndarray], np.ndarray], *, count: int = 10
) -> Figure:
    """Examples at even steps from the smallest error to the largest, each above its reconstruction.

    Where the error is that of denoising, the noisy example and the restored one stand below.

    Args:
        original: from stored examples to the units of reconstructions.
    """
    places = np.linspace(0, len(table) - 1, min(count, len(table))).round().astype(int)
    chosen = table.sort_values("prediction", kind="stable").iloc[places]
    rows = chosen["index"].to_numpy()
    outputs = list(experiment.learner.predict(experiment.data, rows))
    names = ("noisy", "restored") if "restored" in outputs[0] else ("reconstruction",)
    originals = original(experiment.data.inputs(rows))
    low, high = (function(originals, axis=(1, 2, 3), keepdims=True) for function in (np.min, np.max))
    captions = [f"{error:.2f}" for error in chosen["prediction"]]
    lines: list[Row] = []
    for name in ("original", *names):
        images = originals if name == "original" else np.concatenate([batch[name] for batch in outputs])
        pixels = 255 * (images - low) / np.maximum(high - low, 1e-12)
        cells = [Cell(Picture.of(image), caption if not lines else "") for image, caption in zip(pixels, captions, strict=True)]
        lines.append(Row(cells, name))
    return grid(lines, title="From the smallest error to the largest", side=0.8)
