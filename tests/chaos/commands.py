"""kill -9 of a command's processes, at moments uniform from its start to its exit. The kinds of victims alternate."""

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
    """Kills one process in each of `count` commands, and lets each command finish.

    Args:
        folder: of the commands, each in a folder of its own.
        start: the command, in a folder.
        end: waits for a command, of which a victim may have been killed, and acts like a user. Returns the result.
        victims: by name; LookupError where there is none yet.
    """
    generator = random.Random(seed)
    whole = folder / "whole"
    whole.mkdir()
    began = time.monotonic()
    expected = end(whole, start(whole), "nobody")
    length = time.monotonic() - began
    results, number = Kills(), 0
    while results.hit.total() < count:
        victim = [*victims][results.hit.total() % len(victims)]
        number += 1
        subfolder = folder / f"kill-{number}"
        subfolder.mkdir()
        command = start(subfolder)
        with suppress(subprocess.TimeoutExpired):
            command.wait(generator.uniform(0, length))
        if not _kill(command, victims[victim]):
            command.communicate()
            results.missed += 1
            continue
        results.hit[victim] += 1
        try:
            ended = end(subfolder, command, victim)
            assert ended == expected, f"{ended}, expected {expected}"
        except Exception as error:  # any error is the result of this kill
            results.different.append(f"{subfolder}, killed: {victim}: {error}")
        print(f"\r{results.hit.total()} of {count}, last {victim}\033[K", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return results


def _kill(command: subprocess.Popen[str], find: Find) -> bool:
    """Whether there was a process to kill. Waits for one while the command starts."""
    while command.poll() is None:
        with suppress(psutil.Error, LookupError):
            for process in find(command):
                process.kill()
            return True
        time.sleep(0.01)
    return False
