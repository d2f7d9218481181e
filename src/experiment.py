"""An experiment, and what evaluates it: the seam between what assembles a run and what looks at it."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:  # a classical baseline runs without importing torch, and draws only in the end
    import numpy as np
    import pandas as pd
    from matplotlib.figure import Figure

    from src.data.augmentation import Augmentation
    from src.data.base import Data
    from src.data.store import Prepared
    from src.learner import Learner


@dataclass(frozen=True)
class Experiment:
    """What train, evaluate, export and the record share.

    Args:
        config: resolved, as a plain container.
        augmentation: of the training examples, None for none.
        analyses: of an evaluated split, by the key of the configuration.
    """

    config: Mapping[str, Any]
    prepared: Prepared
    data: Data
    learner: Learner
    evaluation: Evaluation
    augmentation: Augmentation | None = None
    analyses: Mapping[str, Analysis] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.config["name"]


class Scores(NamedTuple):
    """Metrics by name, and 95 % intervals of some of them."""

    values: dict[str, float]
    intervals: dict[str, tuple[float, float]]


@dataclass(frozen=True)
class Result:
    """An evaluated split, or answers for raw inputs.

    Args:
        split: empty for raw inputs, which have no targets.
        table: its predictions, one row an example; `index` is the row of the store, or the number of a whole image.
        metrics: by flat name, such as `test/accuracy`.
        intervals: 95 % intervals of some of them.
        analyses: the names of the metrics that each analysis added, without the split.
    """

    split: str
    table: pd.DataFrame
    metrics: Mapping[str, float]
    intervals: Mapping[str, tuple[float, float]]
    analyses: Mapping[str, Sequence[str]] = field(default_factory=dict)


class Evaluation(ABC):
    """Turns predictions of a task into scores and figures. Each file in conf/task names one.

    Args:
        headline: the metrics of a short table, and which end is better: `max`, `min`, or None for neither.

    Attributes:
        evaluates_input: whether the target of an example is the example itself. A changed input then has a changed target.
    """

    evaluates_input: bool = False

    def __init__(self, *, headline: Mapping[str, str | None]):
        self.headline = headline

    @abstractmethod
    def columns(self, outputs: Mapping[str, np.ndarray], target: np.ndarray) -> Mapping[str, np.ndarray | Sequence[object]]:
        """The columns of the table of predictions, for one batch. The column `index` is added to them.

        Args:
            outputs: of the learner, by name; the first dimension is the example.
        """

    def answers(self, outputs: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray | Sequence[object]]:
        """The columns of a table of answers for raw inputs, which have no targets. By default they are the outputs."""
        return {name: output if output.ndim == 1 else [*output] for name, output in outputs.items()}

    @abstractmethod
    def scores(self, table: pd.DataFrame) -> Scores:
        """Scores of a table of predictions, by names without the split. A score that is not a number is left out."""

    def ask(self, experiment: Experiment, table: pd.DataFrame) -> Mapping[str, float]:
        """Scores that the predictions do not give, by names without the split: the learner is asked for more."""
        return {}

    def figures(self, experiment: Experiment, table: pd.DataFrame) -> Mapping[str, Figure]:
        """Figures by the names of their files. The learner may be asked for more."""
        return {}

    def examples(self, table: pd.DataFrame, *, mistakes: int, right: int) -> pd.DataFrame:
        """Rows of the table that are worth an explanation: the worst mistakes, then right answers.

        Besides `index` they have `prediction`, the number of the network's output that is its answer, and `caption`. Where
        there are no answers, it is the first row with `index` alone.
        """
        return table[["index"]].head(1)

    def explained(self, table: pd.DataFrame, count: int) -> pd.DataFrame:
        """Rows of a table of answers, so many at most, with what `examples` gives."""
        return table[["index"]].head(1)


@dataclass(frozen=True)
class Findings:
    """What an analysis gives: metrics by names without the split, figures and tables by the names of their files."""

    metrics: Mapping[str, float] = field(default_factory=dict)
    figures: Mapping[str, Figure] = field(default_factory=dict)
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)


class Analysis(ABC):
    """Looks further into an evaluated split. Each of its groups in conf is a key of the configuration."""

    @abstractmethod
    def analyse(self, experiment: Experiment, result: Result) -> Findings:
        """Analyses the result. What does not apply to the experiment is skipped, with a line on the standard error."""

    @staticmethod
    def skip(what: str, reason: str) -> None:
        """Tells the user what is skipped, and why."""
        print(f"{what}: skipped, because {reason}.", file=sys.stderr)
