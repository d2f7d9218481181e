"""A pool of processes that import no more than the function they are given.

multiprocessing would import the module of the command in each of them, with all that it imports, or fork a process that may
have threads.
"""

import os
import pickle
import queue
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Generic, TypeVar

from src.data.worker import PROTOCOL
from src.errors import ProcessLost

ROOT = Path(__file__).resolve().parents[2]
WORKER = "src.data.worker"
PIPE = 2**20  # bytes that a process can write before somebody reads them
AHEAD = 4  # items for each process that are given out before the first of them is used
Item = TypeVar("Item")
Result = TypeVar("Result")


def processors() -> int:
    """The processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def started(
    function: Callable[[Item], Result], *, processes: int, what: str
) -> Iterator[Callable[[Iterable[Item]], Iterator[Result]]]:
    """A block with a pool; it gets a function that calls `function` for each item, and gives the results in their order.

    An error of the function is raised here. No process outlives the block, nor a kill of this process. Several threads may
    use the pool at once.

    Args:
        function: of a module, or a partial of one.
        what: the processes do, for messages.

    Raises:
        ProcessLost: a process ended.
    """
    workers = [_Worker(function, what) for _ in range(processes)]
    idle: queue.SimpleQueue[_Worker[Item, Result]] = queue.SimpleQueue()
    for worker in workers:
        idle.put(worker)

    def call(item: Item) -> Result:
        worker = idle.get()
        try:
            return worker.call(item)
        finally:
            idle.put(worker)

    try:
        with ThreadPoolExecutor(processes, "pool") as threads:
            try:
                yield lambda items: _results(lambda item: threads.submit(call, item), items, ahead=AHEAD * processes)
            finally:
                for worker in workers:
                    worker.end()  # a thread that waits for it goes on
                threads.shutdown(cancel_futures=True)
    finally:
        for worker in workers:
            worker.close()


def _results(submit: Callable[[Item], Future[Result]], items: Iterable[Item], *, ahead: int) -> Iterator[Result]:
    pending: deque[Future[Result]] = deque()
    for item in items:
        pending.append(submit(item))
        if len(pending) > ahead:
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()


class _Worker(Generic[Item, Result]):
    """One process, which waits for items at its standard input. It ends with this one: then its input ends.

    It has a process group of its own, so that Ctrl-C at a terminal reaches this process alone, which ends it.
    """

    def __init__(self, function: Callable[[Item], Result], what: str):
        self._what = what
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        self._process = subprocess.Popen(
            [sys.executable, "-m", WORKER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path},
            process_group=0,
            pipesize=PIPE,
        )
        self._send(function)

    def call(self, item: Item) -> Result:
        assert self._process.stdout is not None
        self._send(item)
        try:
            result = pickle.load(self._process.stdout)
        except (EOFError, OSError, ValueError, pickle.UnpicklingError) as error:
            raise self._lost() from error
        if isinstance(result, BaseException):
            raise result
        return result

    def end(self) -> None:
        """Kills the process. A call that waits for it fails."""
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """Ends the process, and closes its streams, which no call may use any more."""
        self.end()
        for stream in (self._process.stdin, self._process.stdout):
            with suppress(BrokenPipeError):  # what it has not read
                stream.close()  # type: ignore[union-attr]

    def _send(self, content: object) -> None:
        assert self._process.stdin is not None
        try:
            pickle.dump(content, self._process.stdin, PROTOCOL)
            self._process.stdin.flush()
        except (OSError, ValueError) as error:
            raise self._lost() from error

    def _lost(self) -> ProcessLost:
        code = self._process.wait()
        reason = " (SIGKILL: by the kernel where the memory is full, or by a person)" if code == -9 else ""
        return ProcessLost(
            f"A process that {self._what} ended with code {code}{reason}. Nothing was written; the same command begins again."
        )
