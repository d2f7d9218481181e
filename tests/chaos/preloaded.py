"""The process of a run under test: forked from one that has imported everything, so that a run starts in a moment.

It is `python -m src.train` in all else. A byte of a shared file says what it is at, so that whoever kills it knows after
its death where it was.
"""

import mmap
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import kornia.augmentation  # noqa: F401 - what the verb would import later is imported before the fork
import matplotlib.pyplot  # noqa: F401

from src import train
from src.config import assembly, command_line  # noqa: F401
from src.evaluation import final, scoring
from src.runs import checkpoints
from src.tracking import journal, record
from src.training import learner

PHASES = ("start-up", "training", "checkpoint writing", "evaluation", "flush")
START, TRAINING, WRITING, EVALUATION, FLUSH = range(len(PHASES))


def main(folder: Path, arguments: Sequence[str], phase: Path, pause: Callable[[Path], bool] | None = None) -> None:
    """Trains in a folder, and exits with the verb's code; what it prints goes to output.txt there.

    Args:
        pause: whether the moment has come at which the process stops itself, once.
    """
    for name in [name for name in os.environ if name.startswith(("MLFLOW_", "DATA_CACHE", "DVC_"))]:
        del os.environ[name]
    os.chdir(folder)
    output = os.open("output.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for number in (1, 2):
        os.dup2(output, number)
    _show(phase)
    if pause is not None:
        _stop(folder, pause)
    sys.argv = ["src.train", *arguments]
    command_line.main(train.train, arguments)


def at(phase: Path) -> int:
    """What a process is at, or was at when it died."""
    return phase.read_bytes()[0]


def _show(path: Path) -> None:
    with open(path, "r+b") as file:
        shown = mmap.mmap(file.fileno(), 1)

    def mark(owner: Any, name: str, phase: int, *, then: int | None = None) -> None:
        inner: Callable[..., Any] = getattr(owner, name)

        def marked(*given: Any, **named: Any) -> Any:
            before = shown[0]
            shown[0] = phase
            try:
                return inner(*given, **named)
            finally:
                shown[0] = before if then is None else then

        setattr(owner, name, marked)

    mark(learner.NetworkLearner, "fit", TRAINING, then=EVALUATION)
    mark(checkpoints, "write", WRITING)
    mark(scoring, "evaluate", EVALUATION)
    mark(final, "evaluate_test", EVALUATION)
    mark(record.Record, "__exit__", FLUSH)


def _stop(folder: Path, pause: Callable[[Path], bool]) -> None:
    due = True

    def after(owner: Any, name: str) -> None:
        inner: Callable[..., Any] = getattr(owner, name)

        def stopping(*given: Any, **named: Any) -> None:
            nonlocal due
            inner(*given, **named)
            if due and pause(folder):
                due = False
                os.kill(os.getpid(), signal.SIGSTOP)

        setattr(owner, name, stopping)

    after(journal.Journal, "write")
    after(checkpoints, "write")
