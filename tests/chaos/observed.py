"""The process of a run under test: `python -m src.train` that shows what it is at.

A byte of a shared file says it, so that whoever kills the process knows after its death where it was.
"""

import mmap
import os
import pickle
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from src import train
from src.config import command_line
from src.evaluation import final, scoring
from src.runs import checkpoints
from src.tracking import journal, record
from src.training import learner

PHASES = ("start-up", "training", "checkpoint writing", "evaluation", "flush")
START, TRAINING, WRITING, EVALUATION, FLUSH = range(len(PHASES))


PHASE, PAUSE = "phase", "pause.pickle"  # files in the working folder


def main() -> None:
    """Trains in the working folder, which holds the file of the phase.

    Where the other file is there, it holds a function that is asked whether the moment has come at which the process stops
    itself, once.
    """
    _show(Path(PHASE))
    if Path(PAUSE).is_file():
        _stop(Path.cwd(), pickle.loads(Path(PAUSE).read_bytes()))
    command_line.main(train.train)


def at(phase: Path) -> int:
    """What a process is at, or was at when it died."""
    return phase.read_bytes()[0]


def _show(path: Path) -> None:
    with open(path, "r+b") as file:
        shown = mmap.mmap(file.fileno(), 1)

    def mark(owner: Any, name: str, phase: int, *, then: int | None = None) -> None:
        inner: Callable[..., Any] = getattr(owner, name)

        def marked(*arguments: Any, **keywords: Any) -> Any:
            before = shown[0]
            shown[0] = phase
            try:
                return inner(*arguments, **keywords)
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

        def stopping(*arguments: Any, **keywords: Any) -> None:
            nonlocal due
            inner(*arguments, **keywords)
            if due and pause(folder):
                due = False
                os.kill(os.getpid(), signal.SIGSTOP)

        setattr(owner, name, stopping)

    after(journal.Journal, "write")
    after(checkpoints, "write")


if __name__ == "__main__":
    main()
