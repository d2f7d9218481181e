"""Processes for trials: forked from a server that has everything imported, one for each slot."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterator
from multiprocessing.connection import Connection, wait
from typing import Any

from pipelines.sweep.orders import End, Order, Value, work

PRELOADED = ["pipelines.sweep.trial"]


class Process:
    """The process of one trial and this side of its pipe."""

    def __init__(self, context: Any, order: Order, trial: Any):
        self.trial = trial
        self.pipe, other = context.Pipe()
        self._process = context.Process(target=work, args=(other, order), daemon=True)
        self._process.start()
        other.close()  # else its death would not end the pipe

    def answer(self, stop: bool) -> None:
        try:
            self.pipe.send(stop)
        except OSError:  # it has died since; the next message says so
            return

    def stop(self) -> None:
        """Ends the process where it is; its last checkpoint stays."""
        self._process.kill()
        self._process.join()
        self.pipe.close()

    def died(self) -> End:
        """How a process ended that did not say so."""
        self._process.join()
        code = self._process.exitcode or 0
        name = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return End("killed", reason=f"its process ended by {name}" + (" (out of memory?)" if code == -signal.SIGKILL else ""))


class Slots:
    """So many processes at once, as there is room.

    Args:
        count: of slots.
    """

    def __init__(self, count: int):
        self.count = count
        self.threads = max(1, _processors() // count)
        self.running: dict[Connection, Process] = {}
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(PRELOADED)

    @property
    def free(self) -> int:
        return self.count - len(self.running)

    def start(self, order: Order, trial: Any) -> None:
        process = Process(self._context, order, trial)
        self.running[process.pipe] = process

    def messages(self, timeout: float) -> Iterator[tuple[Process, Value | End]]:
        """What the trials say, waiting for it so long; one that has ended has left its slot."""
        for pipe in wait([*self.running], timeout):
            assert isinstance(pipe, Connection)
            process = self.running[pipe]
            try:
                message = pipe.recv()
            except EOFError:
                message = process.died()
            if isinstance(message, End):
                del self.running[pipe]
                process.stop()
            yield process, message

    def stop(self) -> Iterator[Process]:
        for process in [*self.running.values()]:
            process.stop()
            yield process
        self.running.clear()


def _processors() -> int:
    """How many this command may use: OMP_NUM_THREADS where it is set, as where several commands share a machine."""
    stated = os.environ.get("OMP_NUM_THREADS", "")
    if stated.isdigit():
        return int(stated)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
