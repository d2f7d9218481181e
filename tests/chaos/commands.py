"""kill -9 of processes that a command has started, at moments uniform from its start to its exit; the victims take turns."""

import random
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from tests.chaos.kills import Kills

Find = Callable[[subprocess.Popen[str]], Sequence[psutil.Process]]


def kills(
    folder: Path,
    count: int,
    *,
    start: Callable[[Path], subprocess.Popen[str]],
    end: Callable[[Path, subprocess.Popen[str], str], Any],
    victims: Mapping[str, Find],
    seed: int = 0,
) -> Kills:
    """Kills something in so many commands, once in each, and lets each come to its end.

    Args:
        folder: of the commands, each in a folder of its own.
        start: the command, in a folder.
        end: waits for a command of which a victim was killed, or none, and does what a user would then; what it has come to.
        victims: by name; LookupError where there is none yet.
    """
    generator = random.Random(seed)
    whole = folder / "whole"
    whole.mkdir()
    began = time.monotonic()
    expected = end(whole, start(whole), "nobody")
    length = time.monotonic() - began
    found, number = Kills(), 0
    while found.hit.total() < count:
        victim = [*victims][found.hit.total() % len(victims)]
        number += 1
        place = folder / f"kill-{number}"
        place.mkdir()
        command = start(place)
        with suppress(subprocess.TimeoutExpired):
            command.wait(generator.uniform(0, length))
        if not _kill(command, victims[victim]):
            command.communicate()
            found.missed += 1
            continue
        found.hit[victim] += 1
        try:
            ended = end(place, command, victim)
            assert ended == expected, f"{ended}, expected {expected}"
        except Exception as error:  # whatever it is, it is what this kill came to
            found.different.append(f"{place}, killed: {victim}: {error}")
        print(f"\r{found.hit.total()} of {count}, last {victim}\033[K", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return found


def _kill(command: subprocess.Popen[str], find: Find) -> bool:
    """Whether there was somebody to kill; at the start they may have to be waited for."""
    while command.poll() is None:
        with suppress(psutil.Error, LookupError):
            for process in find(command):
                process.kill()
            return True
        time.sleep(0.01)
    return False
