"""Scores, intervals and figures of one part of the data, from predictions alone; knows no task by name."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from src.config.assembly import Experiment
from src.runs import identity
from src.runs.files import atomic, read_json, write_atomic, write_json
from src.runs.folder import EVALUATION_SETTINGS

PIECE = 16_384  # rows of a table of predictions that are written at once


class Evaluation(Protocol):
    """What a task's predictions are worth; each conf/task file names one.

    `columns` picks from a batch's outputs what the table of predictions keeps. `scores` takes that table and gives
    the metrics and their intervals; what no table gives is asked for by `ask` (see Asking). `figures` draws from the table,
    and may ask the experiment for a few outputs.
    """

    headline: Mapping[str, str | None]  # the metrics that a short table shows: max or min, None where neither end is the better

    def columns(self, outputs: Mapping[str, np.ndarray], target: np.ndarray) -> Mapping[str, np.ndarray | list[Any]]: ...

    def scores(self, table: pd.DataFrame) -> tuple[dict[str, float], dict[str, tuple[float, float]]]: ...

    def figures(self, table: pd.DataFrame, experiment: Experiment) -> Mapping[str, Any]: ...


@runtime_checkable
class Asking(Protocol):
    """An evaluation with scores that a part's predictions alone do not give: it asks the learner for more."""

    def ask(self, table: pd.DataFrame, experiment: Experiment) -> dict[str, float]: ...


@runtime_checkable
class Rebuilding(Protocol):
    """An evaluation that judges an example by what is made of itself: one that is spoilt would be judged by the spoilt one."""

    of_input: bool


@dataclass(frozen=True)
class Result:
    """One part evaluated: its predictions, and metrics and 95 % intervals by flat name (`test/accuracy`)."""

    part: str
    table: pd.DataFrame
    metrics: dict[str, float]
    intervals: dict[str, tuple[float, float]]


def evaluate(experiment: Experiment, part: str, folder: Path | None = None) -> Result:
    """Predicts a part with the weights that the learner holds, and scores the predictions.

    Args:
        folder: gets predictions.parquet, written while the predictions are made.
    """
    result = scored(experiment, part, predicted(experiment, part, folder))
    if isinstance(experiment.evaluation, Asking):
        result.metrics.update(_numbers(part, experiment.evaluation.ask(result.table, experiment)))
    return result


def predicted(experiment: Experiment, part: str, folder: Path | None = None) -> pd.DataFrame:
    """The table of predictions of a part; it passes through a file where a folder is to have it."""
    tables = _tables(experiment, experiment.data.rows(part))
    if folder is None:
        table = pa.concat_tables(tables)
    else:
        _stream(tables, folder / "predictions.parquet")
        table = pq.read_table(folder / "predictions.parquet")
    return table.to_pandas(split_blocks=True, self_destruct=True)


def scored(experiment: Experiment, part: str, table: pd.DataFrame) -> Result:
    """What predictions of a part, or of some of it, are worth by themselves.

    A score that there is none of, as of a class without examples, is left out: JSON knows no word for it.
    """
    metrics, intervals = experiment.evaluation.scores(table)
    numbers = _numbers(part, metrics)
    named = {f"{part}/{name}": (float(low), float(high)) for name, (low, high) in intervals.items()}
    found = {name: ends for name, ends in named.items() if name in numbers and np.isfinite(ends).all()}
    return Result(part=part, table=table, metrics=numbers, intervals=found)


def _numbers(part: str, scores: Mapping[str, float]) -> dict[str, float]:
    return {f"{part}/{name}": float(value) for name, value in scores.items() if np.isfinite(value)}


def _tables(experiment: Experiment, rows: np.ndarray) -> Iterator[pa.Table]:
    """The table of predictions, in pieces of several batches."""
    chunks: list[pa.Table] = []
    predictions = experiment.learner.predict(experiment.data, rows)
    for index, outputs, target in experiment.data.assemble(rows, predictions):
        chunks.append(pa.table({"index": index, **experiment.evaluation.columns(outputs, target)}))
        if sum(map(len, chunks)) >= PIECE:
            yield pa.concat_tables(chunks).combine_chunks()
            chunks.clear()
    if chunks:
        yield pa.concat_tables(chunks).combine_chunks()


def _stream(tables: Iterator[pa.Table], path: Path) -> None:
    """Writes each piece when it is there; the file appears when it is whole."""
    first = next(tables)
    with atomic(path) as temporary, pq.ParquetWriter(temporary, first.schema) as writer:
        writer.write_table(first)
        for table in tables:
            writer.write_table(table)


def save(result: Result, folder: Path, experiment: Experiment, *, figures: bool = True) -> list[Path]:
    """Writes the figures, puts the numbers of this part into metrics.json and intervals.json, and says how they were found."""
    folder.mkdir(parents=True, exist_ok=True)

    def merge(path: Path, found: Mapping[str, Any]) -> None:
        kept = {key: value for key, value in read_json(path).items() if not key.startswith(f"{result.part}/")}
        write_json(path, {**kept, **found})

    merge(folder / "intervals.json", result.intervals)
    written = []
    if figures:
        for name, figure in experiment.evaluation.figures(result.table, experiment).items():
            written.append(draw(figure, folder / "figures" / f"{name}.png"))
    write_json(folder / EVALUATION_SETTINGS, {key: experiment.config.get(key) for key in identity.EVALUATION})
    merge(folder / "metrics.json", result.metrics)
    return written


def draw(figure: Any, path: Path) -> Path:
    """Writes a matplotlib figure as PNG; equal figures give equal bytes."""
    from io import BytesIO

    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=110, bbox_inches="tight", metadata={"Software": None})
    write_atomic(path, buffer.getvalue())
    return path


def bootstrap(rows: int, *, resamples: int = 1000, seed: int = 0) -> np.ndarray:
    """How often each row is drawn in each resample (Efron 1979), shape (resamples, rows)."""
    rng = np.random.default_rng(seed)
    return np.stack([np.bincount(rng.integers(rows, size=rows), minlength=rows) for _ in range(resamples)])


def interval(values: np.ndarray) -> tuple[float, float]:
    """The 95 % percentile interval of resampled values; of a score that there is none of, no numbers."""
    if np.isnan(values).all():
        return np.nan, np.nan
    low, high = np.nanpercentile(values, [2.5, 97.5])
    return float(low), float(high)


def latency(experiment: Experiment, *, budget: float = 0.5) -> dict[str, float]:
    """Median milliseconds for one example and for a batch, preprocessing included.

    Args:
        budget: seconds for each of the two, after a first call that warms up; at least three calls are timed.
    """
    found = {}
    rows = experiment.data.rows("val")
    for name, size in (("one", 1), ("batch", experiment.data.batch_size)):
        chosen = np.resize(rows, size)
        seconds: list[float] = []
        while len(seconds) < 4 or (sum(seconds) < budget and len(seconds) < 50):
            start = time.perf_counter()
            for _ in experiment.learner.predict(experiment.data, chosen):
                pass
            seconds.append(time.perf_counter() - start)
        found[f"latency_{name}_ms"] = 1000 * float(np.median(seconds[1:]))
    return found
