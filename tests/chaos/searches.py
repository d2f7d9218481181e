"""kill -9 in a search, and the same command again: `python -m tests.chaos.searches 12`, with any override after it.

Killed are the worker alone, the worker with all that it has started, and the process of a trial, in turn; the moments are
uniform from the command's start to its exit.
"""

import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from tests import chaos
from tests.chaos.kills import Kills, report
from tests.pipelines.sweep import start, study, sweep, tree

# A sampler whose points depend on a trial's number alone, and a single worker: each trial can be compared.
SEARCH = ("sweep/sampler=random", "sweep/pruner=none", "sweep.n_trials=4", "trainer.max_epochs=8", "tracking.wait=60")
WORKER, ALL, TRIAL = VICTIMS = ("the worker", "the worker and all its processes", "a trial's process")


def kills(folder: Path, count: int, *, arguments: Sequence[str] = (), seed: int = 0) -> Kills:
    """Kills in so many searches, in each once, and lets each come to its end.

    Args:
        folder: of the searches, one in a folder of its own.
        arguments: besides those of the search.
    """
    generator = random.Random(seed)
    settings = [*SEARCH, *arguments]
    whole = folder / "whole"
    whole.mkdir()
    began = time.monotonic()
    sweep(whole, *settings)
    length, expected = time.monotonic() - began, outcome(whole)
    found, number = Kills(), 0
    while found.hit.total() < count:
        victim = VICTIMS[number % len(VICTIMS)]
        number += 1
        place = folder / f"kill-{number}"
        place.mkdir()
        command = start(place, *settings)
        with suppress(subprocess.TimeoutExpired):
            command.wait(generator.uniform(0, length))
        searching = any(place.glob("runs/sweeps/fnn/trial-*"))  # before, the corners of the space are looked at
        if not _kill(command, victim):
            command.communicate()
            found.missed += 1
            continue
        found.hit[victim] += 1
        try:
            _, error = command.communicate()
            if victim == TRIAL and searching:
                assert command.returncode == 0, error
            else:
                sweep(place, *settings)
            assert outcome(place) == expected, f"{outcome(place)}, expected {expected}"
        except Exception as error:  # whatever it is, it is what this kill came to
            found.different.append(f"{place}, killed: {victim}: {error}")
        print(f"\r{found.hit.total()} of {count}, last {victim}\033[K", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return found


def outcome(folder: Path) -> dict[str, Any]:
    """What a search has come to: its trials by number, what MLflow shows of them, and the run of the best one."""
    trials = {one.number: (one.state.name, one.params, one.values, one.intermediate_values) for one in study(folder).trials}
    assert tree(folder) == {f"trial-{number:04d}": state for number, (state, *_) in trials.items()}
    (best,) = (folder / "runs").glob("fnn-*")
    return {"trials": trials, **chaos.outcome(best)}


def _kill(command: subprocess.Popen[str], victim: str) -> bool:
    """Whether there was a victim to kill; a trial's process may have to be waited for."""
    while command.poll() is None:
        with suppress(psutil.Error):
            worker = psutil.Process(command.pid)
            children = worker.children()
            trials = [trial for child in children if "forkserver" in " ".join(child.cmdline()) for trial in child.children()]
            victims = {WORKER: [worker], ALL: [worker, *worker.children(recursive=True)], TRIAL: trials[:1]}[victim]
            for process in victims:
                process.kill()
            if victims:
                return True
        time.sleep(0.01)
    return False


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        sys.exit(report(kills(Path(name), int(sys.argv[1]), arguments=sys.argv[2:])))
