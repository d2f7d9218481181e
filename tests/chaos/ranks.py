"""kill -9 of one process of two at random moments: `python -m tests.chaos.ranks 10`, with any override after it.

torchrun starts both again.
"""

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests import chaos
from tests.chaos import commands
from tests.chaos.kills import Kills, report
from tests.launch import LONG, STANDALONE, process, runs, start

VICTIMS = {f"process {rank}": lambda command, rank=rank: [process(command, rank)] for rank in (0, 1)}


def kills(folder: Path, count: int, *, arguments: Sequence[str] = (), seed: int = 0) -> Kills:
    """Kills one process in each of `count` trainings, and lets each training finish.

    Args:
        arguments: besides those of the training.
    """
    return commands.kills(
        folder,
        count,
        start=lambda subfolder: start(subfolder, *STANDALONE, *LONG, *arguments),
        end=_end,
        victims=VICTIMS,
        seed=seed,
    )


def _end(folder: Path, command: subprocess.Popen[str], victim: str) -> dict[str, Any]:
    _, error = command.communicate()
    assert command.returncode == 0, error
    (run,) = runs(folder)
    return {"name": run.folder.name, **chaos.outcome(run.folder)}


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        sys.exit(report(kills(Path(name), int(sys.argv[1]), arguments=sys.argv[2:])))
