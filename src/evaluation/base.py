"""What an evaluation and an analysis are, and what they give."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from src.errors import InputError

if TYPE_CHECKING:  # whoever only derives from a class here pays for no other import
    import numpy as np
    import pandas as pd
    from matplotlib.figure import Figure

    from src.config.assembly import Experiment


class Scores(NamedTuple):
    """Metrics by name, and 95 % intervals of some of them."""

    values: dict[str, float]
    intervals: dict[str, tuple[float, float]]


@dataclass(frozen=True)
class Result:
    """An evaluated split.

    Args:
        table: its predictions, one row an example; `index` is the row of the store, or the number of a whole image.
        metrics: by flat name, such as `test/accuracy`.
        intervals: 95 % intervals of some of them.
    """

    split: str
    table: pd.DataFrame
    metrics: Mapping[str, float]
    intervals: Mapping[str, tuple[float, float]]


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


def skip(what: str, reason: str) -> None:
    """Tells the user what an analysis skips, and why."""
    print(f"{what}: skipped, because {reason}.", file=sys.stderr)


def check_classes(experiment: Experiment) -> None:
    """Refuses an evaluation or an analysis of another kind, before anything is trained.

    Raises:
        InputError: its class does not derive from the one here.
    """
    named: dict[str, tuple[object, type]] = {"evaluation": (experiment.evaluation, Evaluation)}
    named |= {key: (analysis, Analysis) for key, analysis in experiment.analyses.items()}
    for key, (value, kind) in named.items():
        if not isinstance(value, kind):
            raise InputError(
                f"{key}._target_: expected a class that derives from {kind.__module__}.{kind.__name__}; "
                f"{type(value).__name__} does not. Derive it from that class."
            )
