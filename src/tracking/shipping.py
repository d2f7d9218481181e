"""What is known of a record's shipping without asking the store: locks, and what the store confirmed."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from src.runs import read_json


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Holds a lock file, waiting for it; the kernel lets go of it with the process."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def shipped(folder: Path) -> bool:
    """Whether the store has confirmed the whole record, its end included."""
    state, record = read_json(folder / ".shipped.json"), read_json(folder / "record.json")
    journal = folder / "metrics.jsonl"
    size = journal.stat().st_size if journal.is_file() else 0
    ended = (state.get("status"), state.get("ended")) == (record.get("status"), record.get("ended"))
    return bool(state) and ended and state["status"] != "RUNNING" and state["offset"] == size


def settle(folder: Path) -> bool:
    """Waits for a courier that is busy with the folder; whether the record is whole in the store then."""
    with alone(folder / ".courier.lock"):
        return shipped(folder)
