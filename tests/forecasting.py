"""A series as data, which src does not know: the next value from those before it.

It tests a column of windows, which overlap, and splits by time. The task, the model and the evaluation are those of regression.
"""

from pathlib import Path

import numpy as np

from src.data.base import Data
from src.data.columns import Columns, Windows
from src.data.raw import Raw, SplitBy
from src.data.shown import Picture, Shown
from src.data.store import Prepared


class Wave:
    """A sine with seeded noise. A row is a step."""

    def __init__(self, *, steps: int):
        self._steps = steps

    def state(self) -> str:
        return str(self._steps)

    def read(self) -> Raw:
        time, rng = np.arange(self._steps), np.random.default_rng(0)
        values = (np.sin(time / 5) + rng.normal(0, 0.1, self._steps)).astype(np.float32)
        return Raw(
            arrays={"target": values[:, None], "split_by": time},
            target_names=["next"],
            split_by=SplitBy("time", "step", [str(step) for step in time]),
            origin="drawn",
        )


class Series(Data):
    """Windows as inputs, and the value after each as its target. Both lie in one split, so that none knows another's values.

    Args:
        shape: steps and values of a window.
    """

    def __init__(self, *, prepared: Prepared, shape: list[int], num_classes: int | None, batch_size: int):
        super().__init__(prepared=prepared, shape=shape, num_classes=num_classes, batch_size=batch_size)
        values, self._length = prepared.array("target"), shape[0]
        target = Windows(values[:, 0], length=1, shift=self._length)
        self._fields = {"input": Windows(values, length=self._length, count=len(target)), "target": target}

    @property
    def fields(self) -> Columns:
        return self._fields

    def rows(self, split: str) -> np.ndarray:
        steps = super().rows(split)
        return steps[np.isin(steps + self._length, steps)]

    def show(self, row: int) -> Shown:
        return Picture(np.zeros((1, 1), dtype=np.uint8))


def write_configuration(conf: Path) -> None:
    """Writes the options of the groups data and experiment: `+experiment=forecast`."""
    for group in ("data", "experiment"):
        (conf / group).mkdir(parents=True, exist_ok=True)
    (conf / "data/wave.yaml").write_text(
        "dataset:\n"
        "  name: wave\n"
        "  source: {_target_: tests.forecasting.Wave, steps: 600}\n"
        "  split: {seed: 0, val: 0.2, test: 0.2}\n"
        "  max_duplicates: 1.0\n"
        "_target_: tests.forecasting.Series\n"
        "gives: number\n"
        "shape: [8, 1]\n"
        "num_classes: null\n"
        "num_targets: null\n"
        "target_mean: null\n"
        "target_std: null\n"
        "batch_size: 16\n"
    )
    (conf / "experiment/forecast.yaml").write_text(
        "# @package _global_\n# Which value comes next?\n"
        "defaults:\n  - override /data: wave\n  - override /model: fnn\n  - override /task: regression\n"
        "name: forecast\noptimizer: {lr: 0.005}\ntrainer: {max_epochs: 8}\n"
    )
