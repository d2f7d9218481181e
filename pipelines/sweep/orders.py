"""What passes between a search and the process of a trial; nothing here is heavy to import."""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Order:
    """What a trial's process is to do.

    Args:
        config: complete, as a plain container.
        prepared: the folder of the prepared data.
        folder: of the trial's run.
        threads: of the processor.
        tags: of its record.
        environment: variables that must be there before a device is touched.
    """

    config: dict[str, Any]
    prepared: Path
    folder: Path
    threads: int
    tags: dict[str, str] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Value:
    """The objective after an epoch, counted from 1; the answer is whether to stop."""

    epoch: int
    value: float


@dataclass(frozen=True)
class End:
    """How a trial ended.

    Args:
        state: complete, pruned, infeasible (the point itself is bad: NaN, memory, a network that does not fit) or failed.
        value: of the best checkpoint.
        seconds: of the training alone, in this process.
        memory: bytes, at most, of its process.
    """

    state: str
    value: float | None = None
    epochs: int = 0
    seconds: float = 0.0
    parameters: int = 0
    memory: int = 0
    reason: str = ""


def work(pipe: Connection, order: Order) -> None:
    """The main function of a trial's process. What it imports has been imported before the process was forked."""
    importlib.import_module("pipelines.sweep.trial").main(pipe, order)
