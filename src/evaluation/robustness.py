"""Robustness of a run's predictions against corrupted images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch

from src.data.pictures import Pictures
from src.data.shown import Picture
from src.evaluation import scoring
from src.evaluation.corruption import Corruption
from src.evaluation.grid import Cell, Row, grid
from src.evaluation.plotting import ACCENT, GREY, new_figure
from src.evaluation.predictions import predictions
from src.evaluation.substitute import Substitute
from src.experiment import Analysis, Experiment, Findings, Result
from src.value_types import Count, Seed

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Robustness(Analysis):
    """The objective's metric by strength, for each of several corruptions of images.

    Every strength takes the same random numbers, so that a curve shows the strength alone.

    Args:
        examples: of the split, at most, by a seeded choice. All are taken where a row is a piece of an example.
        corruptions: by name.
    """

    def __init__(self, *, examples: Count = 2000, seed: Seed = 0, **corruptions: object):
        if examples < 1:
            raise ValueError(f"expected at least one of the examples; received examples={examples}.")
        self._examples, self._seed = examples, seed
        self._corruptions: dict[str, Corruption] = {}
        for name, corruption in corruptions.items():
            if not isinstance(corruption, Corruption):
                raise ValueError(f"expected {name} to have the _target_ of a corruption; received {corruption!r}.")
            self._corruptions[name] = corruption

    def analyse(self, experiment: Experiment, result: Result) -> Findings:
        metric = experiment.config["objective"]["metric"].partition("/")[2]
        if f"{result.split}/{metric}" not in result.metrics:
            self.skip("robustness", f"the evaluation has no score {metric}")
            return Findings()
        data = experiment.data
        if not isinstance(data, Pictures):
            self.skip("robustness", "it corrupts pictures, and these data are none")
            return Findings()
        rows, table = self._chosen(experiment, result)
        if experiment.evaluation.evaluates_input:
            self.skip("robustness", "a corrupted image would be its own target")
            return Findings()
        corruptions = self._applicable(data.targets(rows[:1]).ndim)
        if not corruptions:
            return Findings()
        clean = scoring.score(experiment, result.split, table)
        points = pd.DataFrame(self._points(experiment, data, clean, rows, metric, corruptions))
        means = points[points["strength"] > 0].groupby("corruption", sort=False)["value"].mean()
        metrics = {f"{metric}_under_{name}": value for name, value in means.items()}
        figures = {
            "robustness": self._curves(points, metric, corruptions),
            "corruptions": self._preview(data.inputs(rows[:1])[0], corruptions),
        }
        return Findings({**metrics, f"{metric}_corrupted": means.mean()}, figures, {"robustness": points})

    def _applicable(self, dimensions: int) -> dict[str, Corruption]:
        """The corruptions under which targets of so many dimensions stay true: masks do not move with their images."""
        moving = [name for name, corruption in self._corruptions.items() if corruption.moves] if dimensions > 2 else []
        for name in moving:
            self.skip(f"robustness.{name}", "it moves pixels, and the masks would not move with them")
        return {name: corruption for name, corruption in self._corruptions.items() if name not in moving}

    def _chosen(self, experiment: Experiment, result: Result) -> tuple[np.ndarray, pd.DataFrame]:
        """The rows that are corrupted, and their predictions as they are."""
        rows, table = experiment.data.rows(result.split), result.table
        if not len(table) == len(rows) > self._examples:
            return rows, table
        chosen = np.sort(np.random.default_rng(self._seed).choice(len(rows), self._examples, replace=False))
        return rows[chosen], table.iloc[chosen]

    def _points(
        self,
        experiment: Experiment,
        data: Pictures,
        clean: Result,
        rows: np.ndarray,
        metric: str,
        corruptions: Mapping[str, Corruption],
    ) -> Iterator[dict[str, object]]:
        """The metric and its interval by corruption and strength. At strength 0 they are those of the images as they are."""
        key, stored = f"{clean.split}/{metric}", data.inputs(rows)
        for name, corruption in corruptions.items():
            for strength in (0.0, *corruption.strengths):
                result = clean
                if strength:
                    images = self._corrupted(corruption, stored, strength)
                    corrupted = replace(experiment, data=Substitute(data, rows, images))
                    result = scoring.score(corrupted, clean.split, predictions(corrupted, clean.split))
                low, high = result.intervals.get(key, (np.nan, np.nan))
                yield {"corruption": name, "strength": strength, "value": result.metrics[key], "low": low, "high": high}

    def _corrupted(self, corruption: Corruption, stored: np.ndarray, strength: float) -> np.ndarray:
        generator = torch.Generator().manual_seed(self._seed)
        images = corruption(torch.from_numpy(stored).float() / 255, strength, generator)
        return (images.clamp(0, 1) * 255).round().to(torch.uint8).numpy()

    def _curves(self, points: pd.DataFrame, metric: str, corruptions: Mapping[str, Corruption]) -> Figure:
        columns = min(3, len(corruptions))
        lines = -(-len(corruptions) // columns)
        figure = new_figure(width=3.1 * columns, height=2.5 * lines + 0.4, arranged=True)
        plots = figure.subplots(lines, columns, sharey=True, squeeze=False)
        for ax in plots.flat[len(corruptions) :]:
            ax.set_visible(False)
        for ax, (name, corruption) in zip(plots.flat, corruptions.items(), strict=False):
            curve = points[points["corruption"] == name]
            ax.fill_between(curve["strength"], curve["low"], curve["high"], color=ACCENT, alpha=0.18, linewidth=0)
            ax.plot(curve["strength"], curve["value"], color=ACCENT, marker=".")
            ax.axhline(curve["value"].iloc[0], color=GREY, linewidth=0.8, linestyle=":")
            ax.set_title(name, fontsize=10)
            ax.set_xlabel(corruption.unit, fontsize=8)
            ax.locator_params(axis="x", nbins=5)
            ax.spines[["top", "right"]].set_visible(False)
        for line in plots:
            line[0].set_ylabel(metric.replace("_", " "))
        figure.suptitle("Robustness by strength of corruption (shaded: 95 % interval; dotted: uncorrupted images)", fontsize=10)
        return figure

    def _preview(self, image: np.ndarray, corruptions: Mapping[str, Corruption]) -> Figure:
        rows = []
        for name, corruption in corruptions.items():
            corrupted = [
                Cell(Picture.of(self._corrupted(corruption, image[None], strength)[0]), f"{strength:g}")
                for strength in corruption.strengths
            ]
            rows.append(Row([Cell(Picture.of(image)), *corrupted], name))
        return grid(rows, title="An example as it is, and at each strength of each corruption")
