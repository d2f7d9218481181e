"""The courier of a record: a process of its own that ships it to the store, while the run goes on or after it."""

import os
import subprocess
import sys
from pathlib import Path

from src.errors import InputError
from src.runs import locks
from src.runs.files import read_json
from src.runs.folder import Run
from src.tracking import store
from src.tracking.upload_state import shipped

ROOT = Path(__file__).resolve().parents[2]


def send(run: Run) -> None:
    """Has a record that is over shipped, where its courier was killed on the way; nobody waits for it."""
    record = read_json(run.record)
    if record.get("status", "RUNNING") == "RUNNING" or shipped(run.folder) or locks.is_locked(run.folder / ".courier.lock"):
        return
    try:
        unreachable = store.check(record["uri"])
    except InputError as error:
        unreachable = str(error)
    if unreachable:
        say(f"it is whole in {run.folder}, and `python -m pipelines.sync` ships it: {unreachable}")
        return
    courier = start("src.tracking.late")
    assert courier.stdin is not None
    courier.stdin.write(f"{run.folder.resolve()}\n".encode())
    courier.stdin.close()
    courier.returncode = 0  # it goes on in the background


def start(module: str, *arguments: str) -> subprocess.Popen:
    """A courier that waits for its folder. It outlives an interrupt of the run, and ends with the pipe."""
    environment = {**os.environ, **store.ENVIRONMENT, "OMP_NUM_THREADS": "1"}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    for name in ("MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME"):
        environment.pop(name, None)  # they would send the run into another one
    return subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment,
        # A Ctrl-C is for the run; the courier then ships its end. A session of its own would do that too, but Linux
        # shares the processors out by session (sched_autogroup), and the courier's low priority would mean nothing.
        process_group=0,
    )


def say(text: str) -> None:
    """A word to the user of where the record stands."""
    print(f"record: {text}", file=sys.stderr)
