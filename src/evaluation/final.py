"""The test part of a run, evaluated once and handed to its record."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from src.config.assembly import Experiment
from src.evaluation import augmentation_preview, core, curves
from src.evaluation.analysis import analyse
from src.runs.files import read_json, write_json
from src.runs.folder import Run

if TYPE_CHECKING:
    from src.tracking.record import Record


def evaluate_test(run: Run, experiment: Experiment, record: Record) -> None:
    """Evaluates the test part with the weights that the learner holds: predictions, numbers, figures and latency.

    Figures and tables of an earlier evaluation that looked at other things go.
    """
    began = time.monotonic()
    result = core.evaluate(experiment, "test", run.folder)
    for path in (*run.figures.glob("*.png"), *run.tables.glob("*.csv")):
        path.unlink()
    result = analyse(experiment, result, run.folder)
    timings = {**read_json(run.timings), **core.latency(experiment)}
    fit = read_json(run.metrics)
    drawn = curves.learning(run.journal, best_epoch=fit["best_epoch"], metric=experiment.config["objective"]["metric"])
    drawn |= augmentation_preview.sheet(experiment)
    for title, figure in drawn.items():
        core.draw(figure, run.figures / f"{title}.png")
    core.save(result, run.folder, experiment)
    write_json(run.timings, {**timings, "evaluate_seconds": time.monotonic() - began})
    for path in sorted(run.figures.rglob("*.png")):  # with those that the training drew, in a folder of their own
        record.artifact(path, path.parent.relative_to(run.folder).as_posix())
    for path in sorted(run.tables.glob("*.csv")):
        record.artifact(path, "tables")
    for path in (run.predictions, run.metrics, run.intervals, run.timings):
        record.artifact(path)
    record.reopen(f"{result.part}/")
    record.log({**result.metrics, **{f"timing/{name}": value for name, value in timings.items()}}, fit["steps"], fit["epochs"])
