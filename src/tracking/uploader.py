"""The uploader: the one process that takes the records of a folder of runs to their tracking store.

`src.tracking.queue` starts it, and it leaves after an idle minute. It yields to trainings: MLflow is imported only when none of
the queue goes on, or after a while, and between the short steps of an upload it rests in proportion to what they cost.
"""

from __future__ import annotations

import fcntl
import os
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from src.runs.locks import mutex
from src.runs.masking import mask
from src.tracking import store, upload_state
from src.tracking.queue import Queue, try_lock
from src.tracking.system_metrics import SAMPLING, Monitor, name
from src.tracking.watched import Watched

if TYPE_CHECKING:
    from src.tracking.mlflow_store import Store

IDLE = float(os.environ.get("UPLOADER_IDLE", 60))  # seconds without a record to upload, after which the uploader leaves
COLD = float(os.environ.get("UPLOADER_COLD", 60))  # seconds of a training after which MLflow is imported beside it
JUST = 60.0  # seconds
LOOK = 0.25  # seconds between looks at the queue
REST = 50.0  # while a run trains: seconds of rest for each second of processor time
LIVE = 2.0  # seconds between uploads of one running record
AGAIN = 2.0  # seconds before a store that is away is tried again
PATIENCE = 120.0  # seconds for which the end of a record is tried


class Uploader:
    """The loop of the uploader's process.

    Args:
        lock: the open lock file of the queue, locked.
        leads: whether the process leads a session, whose priority it may change.
    """

    def __init__(self, queue: Queue, lock: TextIO, *, leads: bool = False):
        self._queue, self._lock, self._leads = queue, lock, leads
        self._monitor = Monitor()
        self._store: Store | None = None  # once MLflow is imported
        self._watched: dict[Path, Watched] = {}
        self._current: Watched | None = None
        self._idle = IDLE
        self._rest = time.monotonic() + COLD  # until when, while a run trains
        self._last_logged = self._priority = ""
        self.outdated = False  # whether the store's database is another one by now

    def leave(self, *_: object) -> None:
        """Has `serve` return as soon as nothing waits."""
        self._idle = 0.0

    def serve(self) -> None:
        """Uploads what the queue holds, until it has been empty for a while or is gone."""
        looked, busy = 0.0, time.monotonic()
        while not self.outdated and self._stands():
            now = time.monotonic()
            if now - looked >= LOOK:
                self.look()
                looked = now
            if self._watched:
                busy = now
            elif now - busy >= self._idle:
                return
            if not self.step():
                time.sleep(LOOK)

    def log(self, text: str) -> None:
        """Writes to the log, but not the same text twice in a row."""
        if text != self._last_logged:
            print(time.strftime("%Y-%m-%d %H:%M:%S"), mask(text), flush=True)
            self._last_logged = text

    def _stands(self) -> bool:
        """Whether the queue is still that of this process: its folder may have been deleted, and created anew."""
        with suppress(OSError):
            return os.path.samestat(self._queue.lock.stat(), os.fstat(self._lock.fileno()))
        return False

    def look(self) -> None:
        """Sees what is in the queue, and how it stands."""
        waiting = self._queue.entries()
        for folder in self._watched.keys() - waiting.keys():
            del self._watched[folder]
        for folder, entries in waiting.items():
            one = self._watched.setdefault(folder, Watched(folder))
            one.entries = entries
            try:
                one.look()
                if one.steps is None and one.settled(self._queue):
                    self._queue.remove(entries)
                    del self._watched[folder]
                else:
                    self._sample(one)
            except (OSError, ValueError, KeyError) as error:  # a record that cannot be read does not hold up the others
                self._give_up(one, error)

    def _sample(self, one: Watched) -> None:
        """Takes a sample of this machine's load for a run that trains, and one for a run that has just ended."""
        now, milliseconds = time.monotonic(), time.time_ns() // 1_000_000
        over = not one.samples and 0 <= milliseconds - (one.record.get("ended") or 0) < 1000 * JUST
        if upload_state.is_study(one.folder) or not (one.training or over) or now - one.sampled < SAMPLING:
            return
        one.sampled = now
        several = int(one.record["params"].get("trainer.num_nodes", 1)) > 1
        step = (milliseconds - one.record["started"]) // (1000 * SAMPLING)
        for metric, value in self._monitor.sample(node=name() if several else None).items():
            one.samples.append((metric, value, milliseconds, step))

    def step(self) -> bool:
        """Takes one step of an upload; False where there is none to take now."""
        training = any(one.training for one in self._watched.values())
        self._yield(training)
        if training and time.monotonic() < self._rest:
            return False
        one = self._current or self._next()
        if one is None:
            return False
        began, cold = time.process_time(), self._store is None
        self._current = one
        try:
            one.steps = one.steps or self._upload(one)
            next(one.steps)
        except StopIteration:
            self._end(one)
        except Exception as error:  # whatever one record comes to, the others go on
            self._fail(one, error)
        if not cold:  # the wait for COLD has paid for it
            self._rest = time.monotonic() + REST * (time.process_time() - began)
        return True

    def _yield(self, training: bool) -> None:
        """Gives this process the lowest priority while a run trains, and else a low one.

        It leads a session of its own, and Linux shares the processors out by session first (sched_autogroup): without a low
        priority of the session, that of the process would mean nothing.
        """
        priority = "19" if training else "5"
        if self._leads and priority != self._priority:
            with suppress(OSError):  # there is no such thing, or it was changed a moment ago
                Path("/proc/self/autogroup").write_text(priority)
                self._priority = priority

    def _next(self) -> Watched | None:
        """The record whose turn it is: first the ends, the oldest before the others, then what goes on."""
        now = time.monotonic()
        due = [one for one in self._watched.values() if one.record and one.due <= now and not (one.training and one.refused)]
        return min(due, key=lambda one: (one.training, one.due, one.record.get("ended") or 0), default=None)

    def _upload(self, one: Watched) -> Iterator[None]:
        from src.tracking import mlflow_upload  # imports mlflow
        from src.tracking.mlflow_store import Store

        uri = store.with_password(one.record["uri"])
        if (one.failing or self._store is None) and (away := store.check(uri)):
            raise ConnectionError(away)
        self._store = self._store or Store(uri)
        if self._store.replaced:
            self.outdated = True
            return
        yield
        if not one.folder.is_dir():  # somebody deleted the run meanwhile; its lock would make the folder again
            return
        with mutex(one.folder / upload_state.LOCK):
            if one.training:
                one.upload = one.upload or mlflow_upload.of(self._store, one.folder, one.samples)
                yield from one.upload.live()
            else:
                one.upload = None
                yield from mlflow_upload.of(self._store, one.folder, one.samples).finish()
                self._queue.try_again()  # the store is there

    def _end(self, one: Watched) -> None:
        one.steps, self._current = None, None
        one.failing, one.refused = None, False
        ended = one.upload is not None and not one.training  # while its live values were uploaded
        one.due = time.monotonic() + (0.0 if ended else LIVE)

    def _fail(self, one: Watched, error: Exception) -> None:
        now = time.monotonic()
        one.steps, one.upload, self._current = None, None, None
        one.due = now + AGAIN
        passing = store.may_pass(error)
        if not passing:
            self.log(f"{one.folder.name}: {''.join(traceback.format_exception(error))}")
            one.refused = True
        if store.is_login(error):
            self.leave()  # the next command may know another password, and passes it to an uploader of its own
        if one.training:
            return
        one.failing = one.failing or now
        if passing and now - one.failing < PATIENCE:
            self.log(f"{one.folder.name} waits for the store: {error}")
        else:
            self._give_up(one, error)

    def _give_up(self, one: Watched, error: Exception) -> None:
        self.log(f"{one.folder.name} stays here, and `python -m pipelines.sync` uploads it: {error}")
        self._queue.give_up(one.entries, str(error))
        self._watched.pop(one.folder, None)


def main(runs: str, folder: str, descriptor: str) -> None:
    os.nice(19)
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGUSR1):  # a scheduler sends them to all the processes of a job
        signal.signal(number, signal.SIG_IGN)
    queue = Queue(Path(runs), Path(folder))
    with open(int(descriptor), "a+") as lock:
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        queue.try_again()
        uploader = Uploader(queue, lock, leads=True)
        uploader.log(f"process {os.getpid()} begins")
        signal.signal(signal.SIGTERM, uploader.leave)
        while True:
            uploader.serve()
            if uploader.outdated:
                os.execv(sys.executable, sys.orig_argv)  # with the lock
            fcntl.flock(lock, fcntl.LOCK_UN)
            if not queue.entries() or not try_lock(lock):
                return


if __name__ == "__main__":
    main(*sys.argv[1:])
