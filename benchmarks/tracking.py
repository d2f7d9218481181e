"""What a record costs a run: each metric on the step's path, and the whole of it."""

import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.pairs import alternate, repeat
from benchmarks.problem import Platform
from src.tracking.journal import Journal


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


def share(*, epochs: int = 24, pairs: int = 7) -> dict[str, Any]:
    """A training whose metrics go to MLflow while it runs, over one whose store cannot be reached."""
    with tempfile.TemporaryDirectory() as folder:
        platform = Platform("mlp", Path(folder))
        return alternate(
            lambda: platform.train(epochs=epochs)[0],
            lambda: platform.train("tracking.uri=http://127.0.0.1:9", epochs=epochs)[0],
            pairs=pairs,
        )
