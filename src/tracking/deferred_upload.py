"""Uploads that no training waits for: what was interrupted, what is left, and whoever wants to see the end of one."""

import os
import time
from pathlib import Path

from src.errors import InputError
from src.runs.files import read_json
from src.runs.folder import Run
from src.runs.locks import mutex
from src.tracking import store, upload_state
from src.tracking.queue import Queue, inform


def resume(run: Run) -> None:
    """Has the rest of a record that is over uploaded in the background, where that was interrupted."""
    record = read_json(run.record)
    if record.get("status", "RUNNING") == "RUNNING" or upload_state.uploaded(run.folder):
        return
    try:
        unreachable = store.check(record["uri"])
    except InputError as error:
        unreachable = str(error)
    if unreachable:
        inform(f"it is whole in {run.folder}, and `python -m pipelines.sync` uploads it: {unreachable}")
        return
    queue = Queue.of(run.folder, record["uri"])
    queue.put(run.folder)
    queue.start_uploader()


def settle(folder: Path, *, seconds: float) -> bool:
    """Waits for the uploader, where a record is in its queue; whether the record is whole in the store then."""
    record = read_json(folder / "record.json")
    if not record:
        return False
    queue, until = Queue.of(folder, record["uri"]), time.monotonic() + seconds
    if folder.absolute() in queue.entries():
        queue.start_uploader()
    while folder.absolute() in queue.entries() and not upload_state.uploaded(folder) and time.monotonic() < until:
        time.sleep(0.05)
    return upload_state.uploaded(folder)


def upload(folder: Path) -> bool:
    """Uploads a run or study that no living process holds, in this process; whether there was one.

    A run that is recorded as running, while nothing runs it, was killed, and is closed as that.
    """
    if not (folder / "record.json").is_file() or upload_state.living(folder):
        return False
    upload_state.close(folder)
    record = read_json(folder / "record.json")
    if record["status"] == "RUNNING":  # its own command goes on with it just now
        return False
    os.environ.update(store.ENVIRONMENT)
    from src.tracking import mlflow_upload
    from src.tracking.mlflow_store import Store

    with mutex(folder / upload_state.LOCK):
        for _ in mlflow_upload.of(Store(record["uri"]), folder).finish():
            pass
    return True
