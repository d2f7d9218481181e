"""Signals that ask a command to leave: at once, or where its work can be saved.

SIGINT is a person; SIGTERM and SIGUSR1 are a scheduler or a machine that is about to go. A signal that is ignored when a
command starts, as SIGINT is in a shell's background, stays ignored.
"""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Self

LEAVING = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


class Preempted(KeyboardInterrupt):
    """The machine is wanted back. Whatever lets an interrupt through lets this through."""


def leave(number: int) -> None:
    """Raises what a signal means."""
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise Preempted(signal.Signals(number).name)


def name(error: BaseException) -> str:
    """The name of the signal that an interrupt came from."""
    return str(error) if isinstance(error, Preempted) else signal.SIGINT.name


@contextmanager
def heard() -> Iterator[None]:
    """Each of the signals ends the block at once, as an interrupt does."""
    with _handling(lambda number, frame: leave(number)):
        yield


@contextmanager
def ignored() -> Iterator[None]:
    """For what is short and must be whole."""
    with _handling(signal.SIG_IGN):
        yield


class Postponed:
    """A block in which the first signal only sets `number`; the block looks at it where it can be left.

    A second SIGINT ends it at once. A signal that the block never looked at counts when it is over.

    Args:
        say: whether to tell the user that the signal has been heard.
    """

    def __init__(self, *, say: bool = True):
        self.number = 0  # of the signal, 0 before one came
        self._say = say

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
        if self._say and not self.number:
            hint = "; again leaves at once" if number == signal.SIGINT else ""
            text = f"{signal.Signals(number).name}: saving before the next block of steps{hint}.\n"
            os.write(2, text.encode())  # a handler may come in the middle of a print
        self.number = self.number or number


@contextmanager
def _handling(handler: Callable[[int, FrameType | None], Any] | signal.Handlers) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():  # Python hears signals in the main thread alone
        yield
        return
    before = {number: signal.getsignal(number) for number in LEAVING}
    heeded = [number for number, old in before.items() if old not in (signal.SIG_IGN, None)]
    try:
        for number in heeded:
            signal.signal(number, handler)
        yield
    finally:
        for number in heeded:
            signal.signal(number, before[number])
