"""kill -9 in a search, and the same command again: `python -m tests.chaos.searches 12`, with any override after it.

It kills only the worker, the worker with all processes that it has started, or the process of a trial.
"""

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

from tests import chaos
from tests.chaos import commands
from tests.chaos.kills import Kills, report
from tests.pipelines.sweep import start, study, sweep, tree

# The sampler's points depend only on a trial's number, and there is one worker, so that each trial can be compared.
SEARCH = ("sweep/sampler=random", "sweep/pruner=none", "sweep.n_trials=3", "trainer.max_epochs=6", "tracking.wait=60")


def kills(folder: Path, count: int, *, arguments: Sequence[str] = (), seed: int = 0) -> Kills:
    """Kills one process in each of `count` searches, and lets each search finish.

    Args:
        arguments: besides those of the search.
    """
    settings = [*SEARCH, *arguments]

    def end(subfolder: Path, command: subprocess.Popen[str], victim: str) -> dict[str, Any]:
        _, error = command.communicate()
        if command.returncode != 0:
            assert victim in VICTIMS, error
            lost = victim == TRIAL and any(
                subfolder.glob("runs/sweeps/fnn/trial-*")
            )  # before, the space's corners are looked at
            assert not lost, f"the search did not outlive a trial: {error}"
            sweep(subfolder, *settings)
        return outcome(subfolder)

    return commands.kills(
        folder, count, start=lambda subfolder: start(subfolder, *settings), end=end, victims=VICTIMS, seed=seed
    )


def outcome(folder: Path) -> dict[str, Any]:
    """The results of a search: its trials by number, what MLflow shows of them, and the run of the best one."""
    trials = {one.number: (one.state.name, one.params, one.values, one.intermediate_values) for one in study(folder).trials}
    assert tree(folder) == {f"trial-{number:04d}": state for number, (state, *_) in trials.items()}
    (best,) = (folder / "runs").glob("fnn-*")
    return {"trials": trials, **chaos.outcome(best)}


def _all(command: subprocess.Popen[str]) -> list[psutil.Process]:
    worker = psutil.Process(command.pid)
    return [worker, *worker.children(recursive=True)]


def _trial(command: subprocess.Popen[str]) -> list[psutil.Process]:
    servers = [child for child in psutil.Process(command.pid).children() if "forkserver" in " ".join(child.cmdline())]
    trials = [trial for server in servers for trial in server.children()]
    if not trials:
        raise LookupError("no trial is under way")
    return trials[:1]


TRIAL = "a trial's process"
VICTIMS: dict[str, commands.Find] = {
    "the worker": lambda command: _all(command)[:1],
    "the worker and all its processes": _all,
    TRIAL: _trial,
}


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        sys.exit(report(kills(Path(name), int(sys.argv[1]), arguments=sys.argv[2:])))
