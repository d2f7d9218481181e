"""What checkpoints cost a training at their default interval."""

import time
from pathlib import Path
from typing import Any
from unittest.mock import patch

from benchmarks import shares
from benchmarks.problem import Platform
from benchmarks.shares import Clock
from src.tracking.journal import Journal
from src.training.callbacks.checkpointing import Checkpointing

HOOKS = ("on_train_batch_start", "on_validation_end", "on_train_end")


class Unsynced(Journal):
    """A journal that does not wait for the disk: the benchmark is about checkpoints."""

    def flush(self) -> None:
        self.write()


def share(*, epochs: int = 12, rounds: int = 5) -> dict[str, Any]:
    """The share of a training that passes in the callback which writes best.ckpt and last.ckpt; the MLP, of short epochs."""

    def train(platform: Platform, folder: Path, clock: Clock) -> float:
        experiment = platform.build(f"trainer.max_epochs={epochs}")
        journal = Unsynced(folder / "metrics.jsonl")
        with patch.multiple(Checkpointing, **{hook: clock.watch(getattr(Checkpointing, hook)) for hook in HOOKS}):
            began = time.perf_counter()
            experiment.learner.fit(experiment.data, folder=folder, sink=journal)
            whole = time.perf_counter() - began
        journal.close()
        return whole

    def each(clock: Clock) -> dict[str, float]:
        return {"milliseconds_a_checkpoint": 1000 * sum(clock.spent) / (2 * epochs)}

    return shares.share(train, rounds=rounds, each=each)
