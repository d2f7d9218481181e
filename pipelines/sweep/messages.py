"""Messages between a search and the processes of its trials. This module imports nothing heavy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from src.tracking.code import Code


@dataclass(frozen=True)
class Training:
    """One training of a trial: its parameter values with one seed.

    Args:
        config: complete, as a plain container.
        folder: of the run.
        tags: of its record.
    """

    config: dict[str, Any]
    folder: Path
    tags: Mapping[str, str]


@dataclass(frozen=True)
class TrialSpec:
    """What the process of a trial runs.

    Args:
        trainings: of the trial, one for each seed, the first in the trial's own folder.
        metrics: the objectives' names; the values of the first one are reported while a training goes on.
        prepared: the folder of the prepared data.
        threads: of the processor, for each of the trial's processes.
        code: that the search began with, and its processes were forked from.
        environment: variables that must be set before a device is touched.
    """

    trainings: tuple[Training, ...]
    metrics: tuple[str, ...]
    prepared: Path
    threads: int
    code: Code
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        return self.trainings[0].folder


@dataclass(frozen=True)
class IntermediateValue:
    """The first objective after an epoch. The search replies whether the trial is pruned.

    Args:
        step: epochs so far, over all trainings of the trial.
        value: the mean over the trainings so far; a finished training counts with the value of its best checkpoint.
    """

    step: int
    value: float


@dataclass(frozen=True)
class TrialResult:
    """How a trial ended.

    Args:
        state: complete, pruned, infeasible (the parameter values themselves are bad: NaN, memory, a network that does not fit),
            failed, or killed.
        values: of the objectives, each the mean over the seeds of what the best checkpoint has.
        by_seed: values of the first objective.
        seconds: of the training alone, in this process.
        epoch_seconds: of an epoch after the first, validation included; None where there was no second one.
        memory: peak of the process, in bytes.
    """

    state: str
    values: tuple[float, ...] = ()
    by_seed: tuple[float, ...] = ()
    epochs: int = 0
    seconds: float = 0.0
    epoch_seconds: float | None = None
    parameters: int = 0
    memory: int = 0
    reason: str = ""
