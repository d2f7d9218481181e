"""What a learner makes of latents that no example gave: samples, traversals and interpolations."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from src.config.assembly import Experiment
from src.evaluation import latents
from src.evaluation.style import sheet

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIDE = 10  # pictures in a line of a grid


def made(experiment: Experiment, latents: np.ndarray) -> np.ndarray:
    """What a learner makes of latents: pictures with pixels from 0 to 1. Only that of a generative task can."""
    return experiment.learner.generate(latents)


def drawn(experiment: Experiment, count: int) -> np.ndarray:
    """Pictures from latents of the prior, pixels from 0 to 1; the same ones every time."""
    rng = np.random.default_rng(experiment.config["seed"])
    return experiment.learner.generate(
        rng.standard_normal((count, experiment.config["model"]["latent_size"]), dtype=np.float32), noise=True
    )


def samples(experiment: Experiment) -> Figure:
    """Pictures from latents of the prior."""
    return grid(drawn(experiment, 8 * SIDE), "Samples from the prior")


def traversals(table: pd.DataFrame, experiment: Experiment, *, lines: int = 8) -> Figure:
    """One number of the latent after the other moved through its range, for those that vary most between examples."""
    found = latents.of(table)
    spread = found.std(axis=0)
    chosen = np.argsort(-spread, kind="stable")[:lines]
    moved = np.tile(np.median(found, axis=0), (len(chosen), SIDE, 1))
    for line, number in zip(moved, chosen, strict=True):
        line[:, number] += np.linspace(-2.5, 2.5, SIDE) * spread[number]
    images = made(experiment, moved.reshape(-1, found.shape[1]).astype(np.float32))
    return grid(images, "From the median latent: a line for each number of the latent, moved by -2.5 to 2.5 deviations")


def interpolations(table: pd.DataFrame, experiment: Experiment, *, lines: int = 6) -> Figure:
    """The way from the latent of one example to that of another, in even steps; of different classes where there are some."""
    found = latents.of(table)
    _, firsts = np.unique(table["target"].to_numpy(), return_index=True)
    ends = np.resize(np.sort(firsts) if len(firsts) > 1 else np.arange(len(found)), lines + 1)
    steps = np.linspace(0, 1, SIDE)[None, :, None]
    one, other = found[ends[:-1], None], found[ends[1:], None]
    way = ((1 - steps) * one + steps * other).reshape(-1, found.shape[1])
    return grid(made(experiment, way.astype(np.float32)), "From the latent of one example to that of another")


def grid(images: np.ndarray, title: str) -> Figure:
    """Pictures in lines, as one image. Shapes: (count, channels, height, width), pixels from 0 to 1."""
    count, channels, height, width = images.shape
    lines = -(-count // SIDE)
    paper = 0.0 if channels == 1 else 1.0  # white in either map of colours
    whole = np.full((lines * (height + 1) + 1, SIDE * (width + 1) + 1, channels), paper, dtype=np.float32)
    for place, image in enumerate(images):
        top, left = (place // SIDE) * (height + 1) + 1, place % SIDE * (width + 1) + 1
        whole[top : top + height, left : left + width] = image.transpose(1, 2, 0)
    figure = sheet(width=7, height=0.4 + 7 * lines * height / (SIDE * width))
    ax = figure.add_subplot()
    ax.imshow(whole.squeeze(), cmap="gray_r" if channels == 1 else None, vmin=0, vmax=1, interpolation="nearest")
    ax.axis("off")
    ax.set_title(title, fontsize=10)
    return figure
