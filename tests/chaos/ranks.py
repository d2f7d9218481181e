"""kill -9 of one process of two at random moments: `python -m tests.chaos.ranks 10`, with any override after it.

torchrun starts both again. The moments are uniform from the command's start to its exit, and the victims take turns.
"""

import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from tests.chaos.kills import Kills, report
from tests.launch import ALONE, EXTRA, LONG, agrees, process, runs, start
from tests.repository import run


def kills(folder: Path, count: int, *, arguments: Sequence[str] = (), seed: int = 0) -> Kills:
    """Kills a process of so many trainings, each once, and lets each come to its end.

    Args:
        folder: of the trainings, one in a folder of its own.
        arguments: besides those of the training.
    """
    generator = random.Random(seed)
    settings = [*ALONE, *LONG, *arguments]
    whole = folder / "whole"
    whole.mkdir()
    began = time.monotonic()
    run(whole, *settings, **EXTRA)
    length, (expected,) = time.monotonic() - began, runs(whole)
    found, number = Kills(), 0
    while found.hit.total() < count:
        rank = number % 2
        number += 1
        place = folder / f"kill-{number}"
        command = start(place, *settings)
        with suppress(subprocess.TimeoutExpired):
            command.wait(generator.uniform(0, length))
        if not _kill(command, rank):
            command.communicate()
            found.missed += 1
            continue
        found.hit[f"process {rank}"] += 1
        try:
            _, error = command.communicate()
            assert command.returncode == 0, error
            (ended,) = runs(place)
            assert agrees(ended, expected)
        except Exception as error:  # whatever it is, it is what this kill came to
            found.different.append(f"{place}, killed: process {rank}: {error}")
        print(f"\r{found.hit.total()} of {count}, last process {rank}\033[K", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return found


def _kill(command: subprocess.Popen[str], rank: int) -> bool:
    """Whether there was a process of this rank to kill; at the start it is waited for."""
    while command.poll() is None:
        with suppress(psutil.Error, LookupError):
            process(command, rank).kill()
            return True
        time.sleep(0.01)
    return False


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        sys.exit(report(kills(Path(name), int(sys.argv[1]), arguments=sys.argv[2:])))
