"""The final evaluation of a run: its test split, and all that goes into its record."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from src.evaluation import augmentation_preview, curves, scoring
from src.evaluation.latency import latency
from src.evaluation.plotting import write
from src.experiment import Experiment
from src.runs.files import read_json, write_json
from src.runs.folder import Run

if TYPE_CHECKING:
    from src.tracking.record import Record


def evaluate_test(experiment: Experiment, run: Run, record: Record) -> None:
    """Evaluates the test split with the weights that the learner holds, and records predictions, metrics, figures and latency.

    Figures and tables of an earlier evaluation are removed, because it may have had other analyses.
    """
    start = time.monotonic()
    print("evaluating the test split", file=sys.stderr)
    result = scoring.evaluate(experiment, "test", run.folder)
    for path in (*run.figures.glob("*.png"), *run.tables.glob("*.csv")):
        path.unlink()
    result = scoring.analyse(experiment, result, run.folder)
    timings = {**read_json(run.timings), **latency(experiment)}
    fit = read_json(run.metrics)
    figures = curves.learning(run.journal, best_epoch=fit["best_epoch"], metric=experiment.config["objective"]["metric"])
    for name, figure in {**figures, **augmentation_preview.preview(experiment)}.items():
        write(figure, run.figures / f"{name}.png")
    record.flush()  # ends the command where somebody deleted the folder
    scoring.save(experiment, result, run.folder)
    write_json(run.timings, {**timings, "evaluate_seconds": time.monotonic() - start})
    print("recording the run", file=sys.stderr)
    for path in sorted(run.figures.rglob("*.png")):  # with those that the training drew, in a folder of their own
        record.artifact(path, path.parent.relative_to(run.folder).as_posix())
    for path in sorted(run.tables.glob("*.csv")):
        record.artifact(path, "tables")
    for path in (run.predictions, run.metrics, run.intervals, run.timings):
        record.artifact(path)
    record.reopen(f"{result.split}/")
    record.log({**result.metrics, **{f"timing/{name}": value for name, value in timings.items()}}, fit["steps"], fit["epochs"])
