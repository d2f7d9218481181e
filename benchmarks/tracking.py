"""What a metric costs on the step's path."""

import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.pairs import repeat
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
