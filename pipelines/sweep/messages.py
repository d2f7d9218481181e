"""What passes between a search and the processes of a trial; nothing here is heavy to import."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from src.tracking.code import Code


@dataclass(frozen=True)
class Training:
    """A point of the space, trained with one seed.

    Args:
        config: complete, as a plain container.
        folder: of the run.
        tags: of its record.
    """

    config: dict[str, Any]
    folder: Path
    tags: Mapping[str, str]


@dataclass(frozen=True)
class Order:
    """What a trial's process is to do.

    Args:
        trainings: of the trial, one for each seed, the first in the trial's own folder.
        measures: the names of the objectives, the first one that which is told while a training goes on.
        prepared: the folder of the prepared data.
        threads: of the processor, for each of the trial's processes.
        code: that the search began with, and its processes were forked from.
        environment: variables that must be there before a device is touched.
    """

    trainings: tuple[Training, ...]
    measures: tuple[str, ...]
    prepared: Path
    threads: int
    code: Code
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        return self.trainings[0].folder


@dataclass(frozen=True)
class Value:
    """The first objective after an epoch; the answer is whether to stop.

    Args:
        epoch: counted from 1, over all trainings of the trial.
        value: the mean over the trainings so far, of the ended ones as their best checkpoints have it.
    """

    epoch: int
    value: float


@dataclass(frozen=True)
class End:
    """How a trial ended.

    Args:
        state: complete, pruned, infeasible (the point itself is bad: NaN, memory, a network that does not fit) or failed.
        values: of the objectives, each the mean over the seeds of what the best checkpoint has.
        by_seed: of the first objective.
        seconds: of the training alone, in this process.
        pace: seconds of an epoch after the first, validation included; None where there was no second one.
        memory: bytes, at most, of its process.
    """

    state: str
    values: tuple[float, ...] = ()
    by_seed: tuple[float, ...] = ()
    epochs: int = 0
    seconds: float = 0.0
    pace: float | None = None
    parameters: int = 0
    memory: int = 0
    reason: str = ""


def work(pipe: Connection, order: Order) -> None:
    """The main function of a trial's process. What it imports has been imported before the process was forked."""
    importlib.import_module("pipelines.sweep.trial").main(pipe, order)
