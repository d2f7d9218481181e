"""Uploads that no training waits for: what was interrupted, what is left, and whoever wants to see the end of one."""

import os
import time
from pathlib import Path

from src.errors import InputError
from src.runs.folder import Run
from src.runs.locks import mutex
from src.tracking import store, upload_state
from src.tracking.queue import Queue, inform


def resume(run: Run, uri: str | None) -> None:
    """Has the rest of a record that is over uploaded in the background, where that was interrupted.

    Args:
        uri: of the user's store, as `store.address` takes it.
    """
    record = upload_state.read_record(run.folder)
    if record.get("status", "RUNNING") == "RUNNING" or upload_state.uploaded(run.folder):
        return
    try:
        check_store(run.folder, uri)
        unreachable = store.check(store.address(uri))
    except InputError as error:
        unreachable = str(error)
    if unreachable:
        inform(f"it is whole in {run.folder}, and `python -m pipelines.sync` uploads it: {unreachable}")
        return
    queue = Queue.of(run.folder, record["uri"])
    queue.put(run.folder)
    queue.start_uploader(store.address(uri))


def settle(folder: Path, *, seconds: float, uri: str | None = None) -> bool:
    """Waits for the uploader, where a record is in its queue; whether the record is whole in the store then.

    Args:
        uri: of the user's store, as `store.address` takes it; an uploader is started for it alone.
    """
    record = upload_state.read_record(folder)
    if not record:
        return False
    queue, until = Queue.of(folder, record["uri"]), time.monotonic() + seconds
    if folder.absolute() in queue.entries() and store.same(record["uri"], store.address(uri)):
        queue.start_uploader(store.address(uri))
    while folder.absolute() in queue.entries() and not upload_state.uploaded(folder) and time.monotonic() < until:
        time.sleep(0.05)
    return upload_state.uploaded(folder)


def upload(folder: Path, uri: str | None = None) -> bool:
    """Uploads a run or study that no living process holds, in this process; whether there was one.

    A run that is recorded as running, while nothing runs it, was killed, and is closed as that.

    Args:
        uri: of the user's store, as `store.address` takes it.

    Raises:
        InputError: the record names another store.
    """
    if not (folder / "record.json").is_file() or upload_state.living(folder):
        return False
    check_store(folder, uri)
    upload_state.close(folder)
    record = upload_state.read_record(folder)
    if record["status"] == "RUNNING":  # its own command goes on with it just now
        return False
    os.environ.update(store.ENVIRONMENT)
    from src.tracking import mlflow_upload
    from src.tracking.mlflow_store import Store

    with mutex(folder / upload_state.LOCK):
        for _ in mlflow_upload.of(Store(store.address(uri)), folder).finish():
            pass
    return True


def check_store(folder: Path, uri: str | None) -> None:
    """Refuses the record of a run or a study that names another store than the user's: it may be someone else's.

    Args:
        uri: of the user's store, as `store.address` takes it.

    Raises:
        InputError: it does.
    """
    named, own = upload_state.read_record(folder)["uri"], store.address(uri)
    if not store.same(named, own):
        raise InputError(
            f"{folder}: expected a record for {own}, the store of your configuration; received one for {named}. Say where it "
            f"goes: `python -m pipelines.sync uri={named}`, or uri={own}."
        )
