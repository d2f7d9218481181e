"""Signals that ask a command to stop: at once, or where its work can be saved.

SIGINT comes from a person; SIGTERM and SIGUSR1 come from a scheduler, or a machine that shuts down. A signal that is ignored
when a command starts, as SIGINT is in a shell's background, stays ignored.
"""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Self

LEAVING = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


class Preempted(KeyboardInterrupt):
    """A scheduler wants the machine back. It is handled wherever an interrupt is."""


def leave(number: int) -> None:
    """Raises the exception of a signal."""
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise Preempted(signal.Signals(number).name)


def name(error: BaseException) -> str:
    """The name of the signal that an interrupt came from."""
    return str(error) if isinstance(error, Preempted) else signal.SIGINT.name


@contextmanager
def interrupting() -> Iterator[None]:
    """A block that each of the signals ends at once, as an interrupt does."""
    with _handling(lambda number, frame: leave(number)):
        yield


@contextmanager
def ignored() -> Iterator[None]:
    """A block that no signal interrupts; it must be short."""
    with _handling(signal.SIG_IGN):
        yield


class Postponed:
    """A block in which the first signal only sets `number`; the block reads it where it can stop.

    A second SIGINT ends the block at once. A signal that the block never read is raised at its end.

    Args:
        announce: whether to tell the user that the signal has come.
    """

    def __init__(self, *, announce: bool = True):
        self.number = 0  # of the signal, 0 before one came
        self._announce = announce

    def __enter__(self) -> Self:
        self._block = _handling(self._note)
        self._block.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._block.__exit__(None, None, None)
        if kind is None and self.number:
            leave(self.number)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.number and number == signal.SIGINT:
            leave(number)
        if self._announce and not self.number:
            hint = "; again leaves at once" if number == signal.SIGINT else ""
            text = f"{signal.Signals(number).name}: saving before the next block of steps{hint}.\n"
            os.write(2, text.encode())  # a handler may come in the middle of a print
        self.number = self.number or number


@contextmanager
def _handling(handler: Callable[[int, FrameType | None], object] | signal.Handlers) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():  # Python handles signals in the main thread only
        yield
        return
    before = {number: signal.getsignal(number) for number in LEAVING}
    handled = [number for number, old in before.items() if old not in (signal.SIG_IGN, None)]
    try:
        for number in handled:
            signal.signal(number, handler)
        yield
    finally:
        for number in handled:
            signal.signal(number, before[number])
