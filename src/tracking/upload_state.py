"""What is known of a record's upload without asking the store: who lives, and what the store confirmed."""

import time
from pathlib import Path
from typing import Any

from src.errors import InUse
from src.runs import locks
from src.runs.files import REMEDY, read_json, write_json
from src.runs.folder import UPLOADED, Run
from src.tracking.journal import read

STUDIES = "sweeps"  # the folder of studies in a folder of runs
SEARCHING = ".searching"  # the lock file that the workers of a study hold together
LOCK = ".upload.lock"  # held by the one process that uploads the folder
STATE = UPLOADED
KEYS = ("uri", "experiment", "name", "key", "params", "dataset", "tags", "started", "artifacts", "model", "status", "ended")


def read_record(folder: Path) -> dict[str, Any]:
    """The record of a run or study; empty where there is none.

    Raises:
        InputError: it is damaged.
    """
    remedy = "Delete it; the command of the search then writes it anew." if is_study(folder) else REMEDY
    return read_json(folder / "record.json", keys=KEYS, remedy=remedy)


def read_state(folder: Path) -> dict[str, Any]:
    """What the store confirmed of a run or study; empty where there is nothing.

    Raises:
        InputError: it is damaged.
    """
    return read_json(folder / STATE, remedy="Delete it; `python -m pipelines.sync` then uploads what the store lacks.")


def is_study(folder: Path) -> bool:
    """Whether a folder with a record is that of a study, and not of a run."""
    return folder.absolute().parent.name == STUDIES


def living(folder: Path) -> bool:
    """Whether a living process trains the run or searches the study."""
    return locks.is_locked(folder / SEARCHING) if is_study(folder) else Run(folder).locked()


def uploaded(folder: Path) -> bool:
    """Whether the store has confirmed the whole record, its end included."""
    state, record = read_state(folder), read_record(folder)
    journal = folder / "metrics.jsonl"
    size = journal.stat().st_size if journal.is_file() else 0
    ended = (state.get("status"), state.get("ended")) == (record.get("status"), record.get("ended"))
    return bool(state) and ended and state["status"] != "RUNNING" and state["offset"] == size


def close(folder: Path) -> bool:
    """Closes the record of a run or study whose process died without a word; whether it was one."""
    path, record = folder / "record.json", read_record(folder)
    if record.get("status") != "RUNNING" or living(folder):
        return False
    if is_study(folder):
        write_json(path, died(record, time.time_ns() // 1_000_000))
        return True
    run = Run(folder)
    beat = (folder / ".lock").stat().st_mtime_ns // 1_000_000 if (folder / ".lock").is_file() else 0
    try:
        with run.lock(timeout=0):
            record = read_record(folder)
            if record["status"] != "RUNNING":
                return False
            write_json(path, died(record, max([beat, record["started"], *(point["time"] for point in read(run.journal))])))
    except InUse:  # it goes on just now
        return False
    return True


def died(record: dict[str, Any], ended: int) -> dict[str, Any]:
    """The record of a process that left none of its own end.

    Args:
        ended: milliseconds, of its last sign of life.
    """
    moment = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(ended / 1000))
    tags = {**record["tags"], "end": "DIED", "end.reason": f"its process was gone; the last sign of life at {moment}"}
    return {**record, "tags": tags, "status": "KILLED", "ended": ended}
