"""Signals that ask a command to leave: which exception they become, where they wait, and that they stay what they were."""

import os
import signal
import threading

import pytest

from src import signals
from src.config import command_line

PREEMPTING = [signal.SIGTERM, signal.SIGUSR1]


@pytest.fixture(autouse=True)
def _handlers():
    """Whatever a test does, the handlers of the tests' own process are the same afterwards."""
    before = {number: signal.getsignal(number) for number in signals.LEAVING}
    yield
    assert {number: signal.getsignal(number) for number in signals.LEAVING} == before


def come(number: int) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", PREEMPTING)
def test_a_scheduler_preempts_at_once(number):
    with pytest.raises(signals.Preempted) as caught, signals.interrupting():
        come(number)
    assert signals.name(caught.value) == number.name


def test_a_person_interrupts_at_once():
    with pytest.raises(KeyboardInterrupt) as caught, signals.interrupting():
        come(signal.SIGINT)
    assert not isinstance(caught.value, signals.Preempted)
    assert signals.name(caught.value) == "SIGINT"


def postponed(*numbers: int, look: bool = False, end: BaseException | None = None) -> list[int]:
    """The signals that a block has seen. The block checks for them, or raises an error, or runs to its end."""
    seen.clear()
    with signals.Postponed() as asked:
        for number in numbers:
            come(number)
            seen.append(asked.number)
        if look:
            signals.leave(asked.number)
        if end:
            raise end
    return seen


seen: list[int] = []


@pytest.mark.parametrize("look", [True, False])
@pytest.mark.parametrize("number", signals.LEAVING)
def test_a_signal_waits_until_the_block_looks_at_it_or_is_over(number, look):
    with pytest.raises(KeyboardInterrupt) as caught:
        postponed(number, look=look)
    assert seen == [number]
    assert signals.name(caught.value) == number.name


def test_without_a_signal_nothing_happens():
    assert postponed() == []


def test_a_failure_of_the_block_counts_more_than_a_signal():
    with pytest.raises(ValueError, match="broken"):
        postponed(signal.SIGTERM, end=ValueError("broken"))


@pytest.mark.parametrize("first", signals.LEAVING)
def test_a_second_interrupt_leaves_at_once(first, capfd):
    with pytest.raises(KeyboardInterrupt):
        postponed(first, signal.SIGINT)
    assert seen == [first]
    assert capfd.readouterr().err.startswith(f"{first.name}: saving before the next block of steps")


def test_a_scheduler_may_repeat_itself():
    with pytest.raises(signals.Preempted, match="SIGUSR1"):
        postponed(signal.SIGUSR1, signal.SIGTERM)
    assert seen == [signal.SIGUSR1, signal.SIGUSR1]


def test_what_is_ignored_stays_ignored():
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with signals.interrupting(), signals.Postponed() as asked:
            come(signal.SIGTERM)
            assert asked.number == 0
    finally:
        signal.signal(signal.SIGTERM, before)


def test_what_must_be_whole_is_not_disturbed():
    before = [signal.getsignal(number) for number in signals.LEAVING]
    outlived = []
    with signals.interrupting(), signals.ignored():
        for number in signals.LEAVING:
            come(number)
            outlived.append(number)
    assert outlived == [*signals.LEAVING]
    assert [signal.getsignal(number) for number in signals.LEAVING] == before


def test_another_thread_leaves_the_handlers_alone():
    handlers = []

    def work():
        with signals.interrupting(), signals.Postponed() as asked:
            handlers.append((signal.getsignal(signal.SIGTERM), asked.number))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert handlers == [(signal.getsignal(signal.SIGTERM), 0)]


@pytest.mark.parametrize(
    ("number", "code", "message"),
    [
        (signal.SIGINT, 130, "interrupted; the same command continues"),
        (signal.SIGTERM, 75, "preempted by SIGTERM; the same command continues"),
        (signal.SIGUSR1, 75, "preempted by SIGUSR1; the same command continues"),
    ],
)
def test_a_command_says_why_it_left(number, code, message, capsys):
    assert command_line.guard(lambda: come(number)) == code
    assert message in capsys.readouterr().err
