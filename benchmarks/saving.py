"""What checkpoints cost a training at their default interval."""

import functools
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest.mock import patch

from benchmarks.problem import Platform
from src.callbacks.saving import Saving
from src.tracking.journal import Journal

HOOKS = ("on_train_batch_start", "on_validation_end", "on_train_end")


def share(*, epochs: int = 12, rounds: int = 5) -> dict[str, Any]:
    """The share of a training that passes in the callback which writes best.ckpt and last.ckpt; the MLP, of short epochs."""
    shares, each = [], []
    for number in range(rounds + 1):  # the first one warms up
        with tempfile.TemporaryDirectory() as name:
            experiment = Platform("mlp", Path(name)).build(f"trainer.max_epochs={epochs}")
            journal = Journal(Path(name) / "metrics.jsonl")
            spent: list[float] = []
            timed = {hook: _timed(getattr(Saving, hook), spent) for hook in HOOKS}
            with patch.multiple(Saving, **timed):
                began = time.perf_counter()
                experiment.learner.fit(experiment.data, folder=Path(name), log=journal.log, flush=journal.write, resume=None)
                whole = time.perf_counter() - began
            journal.close()
        if number:
            shares.append(sum(spent) / whole)
            each.append(1000 * sum(spent) / (2 * epochs))
    return {
        "percent": round(100 * statistics.median(shares), 2),
        "range": [round(100 * min(shares), 2), round(100 * max(shares), 2)],
        "milliseconds_a_checkpoint": round(statistics.median(each), 2),
        "rounds": rounds,
    }


def _timed(method: Any, spent: list[float]) -> Any:
    @functools.wraps(method)
    def wrapper(*arguments: Any) -> None:
        began = time.perf_counter()
        try:
            method(*arguments)
        finally:
            spent.append(time.perf_counter() - began)

    return wrapper
