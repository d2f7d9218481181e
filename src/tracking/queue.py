"""The uploader's queue on disk: which runs and studies of a folder have still to reach their tracking store.

There is one queue, and at most one living uploader, for each folder of runs, tracking store and machine. Everything in it
survives the death of any process.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import socket
import sys
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from subprocess import DEVNULL, Popen
from typing import TextIO
from urllib.parse import quote, unquote

from src.runs.files import no_link
from src.runs.masking import mask
from src.tracking import store

ROOT = Path(__file__).resolve().parents[2]
MODULE = "src.tracking.uploader"
STUDIES = "sweeps"  # the folder of studies in a folder of runs


@dataclass(frozen=True)
class Queue:
    """One queue. An entry is a file in `entries`, whose name says the run; one that was given up lies in `failed`.

    Args:
        runs: the folder of runs.
        folder: of the queue, its lock and the uploader's log.
    """

    runs: Path
    folder: Path

    @classmethod
    def of(cls, folder: Path, uri: str) -> Queue:
        """The queue of a run or a study. Each Python environment has its own: its MLflow must fit the store.

        Args:
            folder: of the run or study.
            uri: of its tracking store.
        """
        folder = folder.absolute()
        runs = folder.parents[1] if folder.parent.name == STUDIES else folder.parent
        digest = hashlib.sha256(f"{store.location(uri)}\n{sys.prefix}".encode()).hexdigest()[:8]
        return cls(runs, runs / ".uploader" / f"{socket.gethostname()}-{digest}")

    @property
    def lock(self) -> Path:
        """The lock that the living uploader holds."""
        return self.folder / "lock"

    @property
    def log(self) -> Path:
        return self.folder / "log.txt"

    def put(self, folder: Path) -> None:
        """Adds a run or study that is absolute or relative to the working folder. Each call adds an entry of its own.

        So the uploader can remove the entries that it saw before it looked at a run, and loses none that came later.
        """
        self.remove(self._in("failed").get(folder.absolute(), []))
        name = quote(folder.absolute().relative_to(self.runs).as_posix(), safe="")
        entries = self.folder / "entries"
        entries.mkdir(parents=True, exist_ok=True)
        (entries / f"{name}@{uuid.uuid4().hex[:8]}").touch()
        directory = os.open(entries, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def entries(self) -> dict[Path, list[Path]]:
        """The folders that wait for the uploader, each with its entries."""
        return self._in("entries")

    def remove(self, entries: Sequence[Path]) -> None:
        for entry in entries:
            entry.unlink(missing_ok=True)

    def give_up(self, entries: Sequence[Path], reason: str) -> None:
        """Sets entries aside until the next uploader starts."""
        (self.folder / "failed").mkdir(exist_ok=True)
        for entry in entries:
            failed = self.folder / "failed" / entry.name
            with suppress(FileNotFoundError):
                entry.replace(failed)
                with suppress(OSError):  # a full disk keeps the reason away, and not the entry
                    failed.write_text(mask(reason))

    def try_again(self) -> None:
        """Puts back what an earlier uploader gave up."""
        for failed in [path for paths in self._in("failed").values() for path in paths]:
            failed.replace(self.folder / "entries" / failed.name)

    def failure(self, folder: Path) -> str | None:
        """Why the uploader gave a run or study up; None where it did not."""
        failed = self._in("failed").get(folder.absolute())
        return failed[-1].read_text() if failed else None

    def start_uploader(self, uri: str) -> None:
        """Starts the uploader for the store of this URI, which its environment alone holds, unless one lives.

        Whoever gets the lock hands it to the new process, so that two commands at one moment start one uploader. The
        uploader looks at the queue once more after it has let go of the lock: an entry that was put before this call is
        served. Nothing may take the lock only to look whether it is held, for a command would then start none.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with open(self.lock, "a+", opener=no_link) as lock, open(self.log, "a", opener=no_link) as log:
            if not try_lock(lock):
                return
            command = [sys.executable, "-m", MODULE, str(self.runs), str(self.folder), str(lock.fileno())]
            uploader = Popen(
                command,
                stdin=DEVNULL,
                stdout=log,
                stderr=log,
                env=_environment(uri),
                pass_fds=[lock.fileno()],
                start_new_session=True,  # no Ctrl-C and no closing of a terminal is for it
            )
            uploader.returncode = 0  # it goes on when this process ends

    def _in(self, name: str) -> dict[Path, list[Path]]:
        entries: dict[Path, list[Path]] = {}
        with suppress(FileNotFoundError):
            for entry in sorted((self.folder / name).iterdir()):
                path = unquote(entry.name.rpartition("@")[0])
                if ".." not in Path(path).parts and not Path(path).is_absolute():
                    entries.setdefault(self.runs / path, []).append(entry)
        return entries


def try_lock(file: TextIO) -> bool:
    """Takes the lock of an open file; False where another process holds it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def inform(text: str) -> None:
    """Tells the user where a record stands."""
    print(f"record: {mask(text)}", file=sys.stderr)


def _environment(uri: str) -> dict[str, str]:
    environment = {**os.environ, **store.ENVIRONMENT, "OMP_NUM_THREADS": "1", "MLFLOW_TRACKING_URI": uri}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    for name in ("MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME"):
        environment.pop(name, None)  # they would send the runs into another one
    return environment
