"""A split of an experiment's data, evaluated, analysed and saved. It knows no task by name."""

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from src.evaluation.plotting import write
from src.evaluation.predictions import predictions
from src.experiment import Experiment, Result
from src.runs import identity
from src.runs.files import REMEDY, read_json, write_atomic, write_json
from src.runs.folder import ANALYSES, EVALUATION_SETTINGS


def evaluate(experiment: Experiment, split: str, folder: Path | None = None) -> Result:
    """Predicts a split with the weights that the learner holds, and scores the predictions.

    Args:
        folder: gets predictions.parquet, which is written while the predictions are computed.
    """
    result = score(experiment, split, predictions(experiment, split, folder))
    more = _finite(split, experiment.evaluation.ask(experiment, result.table))
    return replace(result, metrics={**result.metrics, **more})


def score(experiment: Experiment, split: str, table: pd.DataFrame) -> Result:
    """Scores predictions of a split, or of some of its examples.

    A score that is not a number, such as that of a class without examples, is left out, because JSON has no NaN.
    """
    values, intervals = experiment.evaluation.scores(table)
    metrics = _finite(split, values)
    named = {f"{split}/{name}": (float(low), float(high)) for name, (low, high) in intervals.items()}
    kept = {name: ends for name, ends in named.items() if name in metrics and np.isfinite(ends).all()}
    return Result(split=split, table=table, metrics=metrics, intervals=kept)


def analyse(experiment: Experiment, result: Result, folder: Path) -> Result:
    """Runs the experiment's analyses, writes their figures and tables, and adds their metrics to the result."""
    metrics = dict(result.metrics)
    names: dict[str, list[str]] = {}
    for group, analysis in experiment.analyses.items():
        print(f"analysing the {result.split} split: {group}", file=sys.stderr)
        findings = analysis.analyse(experiment, result)
        for name, figure in findings.figures.items():
            write(figure, folder / "figures" / f"{name}.png")
        for name, table in findings.tables.items():
            write_atomic(folder / "tables" / f"{name}.csv", table.to_csv(index=False).encode())
        metrics |= {f"{result.split}/{name}": float(value) for name, value in findings.metrics.items()}
        names[group] = list(findings.metrics)
    return replace(result, metrics=metrics, analyses=names)


def save(experiment: Experiment, result: Result, folder: Path) -> list[Path]:
    """Writes the evaluation's figures, metrics.json, intervals.json and the settings of the evaluation; gives the figures.

    analyses.json says which metrics come from which analysis. Numbers of other splits that stand in the two files stay there.
    """
    folder.mkdir(parents=True, exist_ok=True)

    def merge(path: Path, numbers: Mapping[str, object]) -> None:
        remedy = REMEDY if result.split == "test" else "Delete it; the same command then writes it anew."
        others = {key: value for key, value in read_json(path, remedy=remedy).items() if not key.startswith(f"{result.split}/")}
        write_json(path, {**others, **numbers})

    merge(folder / "intervals.json", result.intervals)
    figures = experiment.evaluation.figures(experiment, result.table)
    written = [write(figure, folder / "figures" / f"{name}.png") for name, figure in figures.items()]
    write_json(folder / EVALUATION_SETTINGS, {key: experiment.config.get(key) for key in identity.EVALUATION})
    write_json(folder / ANALYSES, result.analyses)
    merge(folder / "metrics.json", result.metrics)
    return written


def _finite(split: str, scores: Mapping[str, float]) -> dict[str, float]:
    return {f"{split}/{name}": float(value) for name, value in scores.items() if np.isfinite(value)}
