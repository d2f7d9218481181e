"""What a record costs a run: each metric on the step's path, and the whole of it."""

import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from benchmarks import shares
from benchmarks.pairs import alternate, repeat
from benchmarks.problem import Platform
from benchmarks.shares import Clock
from src.protocols import Sink
from src.runs.files import write_json
from src.runs.folder import Run
from src.tracking.journal import Journal
from src.tracking.record import Record


class Watched(Sink):
    """A record whose calls a clock watches."""

    def __init__(self, record: Record, clock: Clock):
        self._log, self._flush = clock.watch(record.log), clock.watch(record.flush)

    def log(self, metrics: Mapping[str, Any], step: int, epoch: int) -> None:
        self._log(metrics, step, epoch)

    def flush(self) -> None:
        self._flush()


def metric() -> dict[str, Any]:
    """Seconds for one metric handed to the journal as a tensor, writing included."""

    def measure(count: int = 20_000) -> float:
        with tempfile.TemporaryDirectory() as folder:
            journal = Journal(Path(folder) / "metrics.jsonl")
            value = torch.tensor(0.5)
            start = time.perf_counter()
            for step in range(count):
                journal.log({"train/loss": value}, step, 1)
            journal.write()
            seconds = time.perf_counter() - start
            journal.close()
        return seconds / count

    return repeat(measure)


def recording(*, epochs: int = 24, rounds: int = 5) -> dict[str, Any]:
    """The share of a training that passes in its record's calls."""

    def train(platform: Platform, folder: Path, clock: Clock) -> float:
        experiment = platform.build(
            f"trainer.max_epochs={epochs}", f"tracking.uri=sqlite:///{folder}/mlflow.db", "tracking.wait=60"
        )
        run = Run(folder / "runs" / "run")
        run.folder.mkdir(parents=True)
        write_json(run.config, dict(experiment.config))
        with run.lock(), Record.of(run, experiment.config, experiment.prepared.card) as record:
            sink = Watched(record, clock)
            began = time.perf_counter()
            clock.watch(record.begin)(device="cpu")
            experiment.learner.fit(experiment.data, folder=run.folder, sink=sink)
            return time.perf_counter() - began

    return shares.share(train, rounds=rounds, each=lambda clock: {"calls": len(clock.spent)})


def share(*, epochs: int = 24, pairs: int = 7) -> dict[str, Any]:
    """A training whose metrics go to MLflow while it runs, over one whose store cannot be reached."""
    with tempfile.TemporaryDirectory() as folder:
        platform = Platform("mlp", Path(folder))
        return alternate(
            lambda: platform.train(epochs=epochs)[0],
            lambda: platform.train("tracking.uri=http://127.0.0.1:9", epochs=epochs)[0],
            pairs=pairs,
        )
