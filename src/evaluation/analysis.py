"""What else is looked at once a part is evaluated: how an answer comes about, what it withstands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pandas as pd

from src.config.assembly import Experiment
from src.evaluation import core
from src.evaluation.core import Result
from src.runs.files import write_atomic

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Findings:
    """What an analysis found: numbers by name, and figures and tables by the names of their files."""

    metrics: Mapping[str, float] = field(default_factory=dict)
    figures: Mapping[str, Figure] = field(default_factory=dict)
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)


class Analysis(Protocol):
    """A further look at a part that was evaluated; each group of conf that holds some is a field of the configuration.

    Where it does not apply to what was trained, it says so on the standard error and finds nothing.
    """

    def analyse(self, result: Result, experiment: Experiment) -> Findings: ...


def analyse(experiment: Experiment, result: Result, folder: Path) -> Result:
    """The result with the numbers of the run's analyses, whose figures and tables are written."""
    metrics = dict(result.metrics)
    for analysis in experiment.analyses.values():
        found = analysis.analyse(result, experiment)
        for name, figure in found.figures.items():
            core.draw(figure, folder / "figures" / f"{name}.png")
        for name, table in found.tables.items():
            write_atomic(folder / "tables" / f"{name}.csv", table.to_csv(index=False).encode())
        metrics |= {f"{result.part}/{name}": float(value) for name, value in found.metrics.items()}
    return replace(result, metrics=metrics)
