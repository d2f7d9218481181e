"""What the answers of a run are worth on images that are spoilt more and more."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

from src.config.assembly import Experiment
from src.data.base import Data
from src.data.shown import Picture
from src.evaluation import core, panels
from src.evaluation.analysis import Findings
from src.evaluation.core import Result
from src.evaluation.corruption import Corruption
from src.evaluation.style import ACCENT, GREY, sheet

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Robustness:
    """The objective's metric by strength, for each of several corruptions of images.

    Every strength draws the same random numbers, so that chance does not bend a curve.

    Args:
        examples: at most so many of the part, by a seeded choice; all of them where a row is a piece of an example.
        corruptions: by name.
    """

    def __init__(self, *, examples: int = 2000, seed: int = 0, **corruptions: Any):
        if examples < 1:
            raise ValueError(f"expected at least one of the examples; received examples={examples}.")
        for name, corruption in corruptions.items():
            if not isinstance(corruption, Corruption):
                raise ValueError(f"expected {name} to have a _target_ that spoils images; received {corruption!r}.")
        self._examples, self._seed, self._corruptions = examples, seed, corruptions

    def analyse(self, result: Result, experiment: Experiment) -> Findings:
        metric = experiment.config["objective"]["metric"].partition("/")[2]
        if f"{result.part}/{metric}" not in result.metrics:
            print(f"robustness: left out, for the evaluation does not score {metric}.", file=sys.stderr)
            return Findings()
        rows, clean = self._chosen(result, experiment)
        stored = experiment.data.inputs(rows)
        if stored.ndim != 4 or stored.dtype != np.uint8:
            print("robustness: left out, for what it spoils are images of pixels from 0 to 255.", file=sys.stderr)
            return Findings()
        if isinstance(experiment.evaluation, core.Rebuilding):
            print("robustness: left out, for a spoilt image would be judged by itself.", file=sys.stderr)
            return Findings()
        chosen = self._suited(experiment.data.targets(rows[:1]).ndim)
        if not chosen:
            return Findings()
        whole = core.scored(experiment, result.part, clean)
        table = pd.DataFrame(self._points(whole, experiment, rows, stored, metric, chosen))
        means = table[table["strength"] > 0].groupby("corruption", sort=False)["value"].mean()
        metrics = {f"{metric}_under_{name}": value for name, value in means.items()}
        figures = {"robustness": self._curves(table, metric, chosen), "corruptions": self._spoilt(stored[0], chosen)}
        return Findings({**metrics, f"{metric}_corrupted": means.mean()}, figures, {"robustness": table})

    def _suited(self, dimensions: int) -> dict[str, Corruption]:
        """The corruptions under which targets of so many dimensions stay true: masks do not move with their pictures."""
        moving = [name for name, corruption in self._corruptions.items() if corruption.moves] if dimensions > 2 else []
        for name in moving:
            print(f"robustness.{name}: left out, for the masks would lie elsewhere than the pictures.", file=sys.stderr)
        return {name: corruption for name, corruption in self._corruptions.items() if name not in moving}

    def _chosen(self, result: Result, experiment: Experiment) -> tuple[np.ndarray, pd.DataFrame]:
        """The rows that are spoilt, and their predictions as they are."""
        rows, table = experiment.data.rows(result.part), result.table
        if not len(table) == len(rows) > self._examples:
            return rows, table
        chosen = np.sort(np.random.default_rng(self._seed).choice(len(rows), self._examples, replace=False))
        return rows[chosen], table.iloc[chosen]

    def _points(
        self,
        clean: Result,
        experiment: Experiment,
        rows: np.ndarray,
        stored: np.ndarray,
        metric: str,
        corruptions: Mapping[str, Corruption],
    ) -> Iterator[dict[str, Any]]:
        """The metric and its interval by corruption and strength; at strength 0 those of the examples as they are."""
        key = f"{clean.part}/{metric}"
        for name, corruption in corruptions.items():
            for strength in (0.0, *corruption.strengths):
                found = clean
                if strength:
                    spoilt = Spoilt(experiment.data, rows, self._corrupted(corruption, stored, strength))
                    other = replace(experiment, data=spoilt)
                    found = core.scored(other, clean.part, core.predicted(other, clean.part))
                low, high = found.intervals.get(key, (np.nan, np.nan))
                yield {"corruption": name, "strength": strength, "value": found.metrics[key], "low": low, "high": high}

    def _corrupted(self, corruption: Corruption, stored: np.ndarray, strength: float) -> np.ndarray:
        generator = torch.Generator().manual_seed(self._seed)
        made = corruption(torch.from_numpy(stored).float() / 255, strength, generator)
        return (made.clamp(0, 1) * 255).round().to(torch.uint8).numpy()

    def _curves(self, table: pd.DataFrame, metric: str, corruptions: Mapping[str, Corruption]) -> Figure:
        columns = min(3, len(corruptions))
        lines = -(-len(corruptions) // columns)
        figure = sheet(width=3.1 * columns, height=2.5 * lines + 0.4)
        grid = figure.subplots(lines, columns, sharey=True, squeeze=False)
        for ax in grid.flat[len(corruptions) :]:
            ax.set_visible(False)
        for ax, (name, corruption) in zip(grid.flat, corruptions.items(), strict=False):
            points = table[table["corruption"] == name]
            ax.fill_between(points["strength"], points["low"], points["high"], color=ACCENT, alpha=0.18, linewidth=0)
            ax.plot(points["strength"], points["value"], color=ACCENT, marker=".")
            ax.axhline(points["value"].iloc[0], color=GREY, linewidth=0.8, linestyle=":")
            ax.set_title(name, fontsize=10)
            ax.set_xlabel(corruption.unit, fontsize=8)
            ax.locator_params(axis="x", nbins=5)
            ax.spines[["top", "right"]].set_visible(False)
        for line in grid:
            line[0].set_ylabel(metric.replace("_", " "))
        figure.suptitle("The more the images are spoilt (with 95 % intervals; dotted: as they are)", fontsize=10)
        return figure

    def _spoilt(self, image: np.ndarray, corruptions: Mapping[str, Corruption]) -> Figure:
        rows = []
        for name, corruption in corruptions.items():
            made = [
                (f"{strength:g}", self._corrupted(corruption, image[None], strength)[0]) for strength in corruption.strengths
            ]
            rows.append((name, [panels.image(pixels, caption) for caption, pixels in [("", image), *made]]))
        return panels.gallery(rows, title="An example, as it is and at each strength")


class Spoilt(Data):
    """Some rows of a data set with other images; all else is the data set's own."""

    def __init__(self, data: Data, rows: np.ndarray, images: np.ndarray):
        super().__init__(prepared=data.prepared, shape=data.shape, num_classes=data.num_classes, batch_size=data.batch_size)
        self.mean, self.std = data.mean, data.std
        self._data = data
        self._rows = rows
        self._targets = data.targets(rows)
        self._images = images

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        return {"input": self._images, "target": self._targets}

    def rows(self, part: str) -> np.ndarray:
        """The rows of these arrays, whatever the part."""
        return np.arange(len(self._images))

    def assemble(self, rows: np.ndarray, predictions: Iterator[Mapping[str, np.ndarray]]) -> Any:
        return self._data.assemble(self._rows[rows], predictions)

    def normalise(self, inputs: np.ndarray) -> np.ndarray:
        return self._data.normalise(inputs)

    def show(self, row: int) -> Picture:
        return Picture.of(self._images[row])
