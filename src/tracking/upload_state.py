"""What is known of a record's shipping without asking the store: locks, and what the store confirmed."""

import time
from pathlib import Path
from typing import Any

from src.errors import InUse
from src.runs.files import read_json, write_json
from src.runs.folder import Run
from src.runs.locks import mutex
from src.tracking.journal import read

SEARCHING = ".searching"  # the lock file that the workers of a study hold together


def shipped(folder: Path) -> bool:
    """Whether the store has confirmed the whole record, its end included."""
    state, record = read_json(folder / ".shipped.json"), read_json(folder / "record.json")
    journal = folder / "metrics.jsonl"
    size = journal.stat().st_size if journal.is_file() else 0
    ended = (state.get("status"), state.get("ended")) == (record.get("status"), record.get("ended"))
    return bool(state) and ended and state["status"] != "RUNNING" and state["offset"] == size


def settle(folder: Path) -> bool:
    """Waits for a courier that is busy with the folder; whether the record is whole in the store then."""
    with mutex(folder / ".courier.lock"):
        return shipped(folder)


def close(run: Run) -> bool:
    """Closes the record of a run whose process died without a word; whether it was one."""
    if read_json(run.record).get("status") != "RUNNING" or run.locked():
        return False
    beat = (run.folder / ".lock").stat().st_mtime_ns // 1_000_000 if (run.folder / ".lock").is_file() else 0
    try:
        with run.lock(timeout=0):
            record = read_json(run.record)
            if record["status"] != "RUNNING":
                return False
            write_json(
                run.record, died(record, max([beat, record["started"], *(point["time"] for point in read(run.journal))]))
            )
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
