"""Images that a learner generates from latents: samples, traversals and interpolations."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from src.data.shown import Picture
from src.errors import InputError
from src.evaluation import latents
from src.evaluation.grid import Cell, Row, grid
from src.experiment import Experiment
from src.learner import Generates

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = 10


def sample(experiment: Experiment, count: int) -> np.ndarray:
    """Images of latents from the prior, pixels from 0 to 1; the same images every time."""
    rng = np.random.default_rng(experiment.config["seed"])
    numbers = rng.standard_normal((count, experiment.config["model"]["latent_size"]), dtype=np.float32)
    return _generate(experiment, numbers, noise=True)


def samples(experiment: Experiment) -> Figure:
    """Images of latents from the prior."""
    return _grid(sample(experiment, 8 * COLUMNS), "Samples from the prior")


def traversals(experiment: Experiment, table: pd.DataFrame, *, lines: int = 8) -> Figure:
    """One dimension of the latent after the other, moved through its range: those that vary most between examples."""
    points = latents.of(table)
    spread = points.std(axis=0)
    chosen = np.argsort(-spread, kind="stable")[:lines]
    moved = np.tile(np.median(points, axis=0), (len(chosen), COLUMNS, 1))
    for line, number in zip(moved, chosen, strict=True):
        line[:, number] += np.linspace(-2.5, 2.5, COLUMNS) * spread[number]
    images = _generate(experiment, moved.reshape(-1, points.shape[1]).astype(np.float32))
    return _grid(images, "Each row: one dimension of the median latent, moved from -2.5 to 2.5 standard deviations")


def interpolations(experiment: Experiment, table: pd.DataFrame, *, lines: int = 6) -> Figure:
    """Even steps from the latent of one example to that of another, of different classes where there are several."""
    points = latents.of(table)
    ends = np.resize(latents.firsts_of_classes(table, most=lines + 1), lines + 1)
    steps = np.linspace(0, 1, COLUMNS)[None, :, None]
    one, other = points[ends[:-1], None], points[ends[1:], None]
    way = ((1 - steps) * one + steps * other).reshape(-1, points.shape[1])
    images = _generate(experiment, way.astype(np.float32))
    return _grid(images, "Each row: from the latent of one example to that of another")


def _generate(experiment: Experiment, latents: np.ndarray, *, noise: bool = False) -> np.ndarray:
    learner = experiment.learner
    if not isinstance(learner, Generates):
        raise InputError(
            f"evaluation: expected a learner that makes examples from latents; {type(learner).__name__} does not. Choose "
            "another evaluation."
        )
    return learner.generate(latents, noise=noise)


def _grid(images: np.ndarray, title: str) -> Figure:
    cells = [Cell(Picture.of(255 * image)) for image in images]
    return grid([Row(cells[first : first + COLUMNS]) for first in range(0, len(cells), COLUMNS)], title=title, side=0.62)
