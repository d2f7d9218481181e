"""A pool of processes: results in order, errors, and how it ends."""

import math
import signal
import time

import psutil
import pytest

from src.data import worker_pool
from src.errors import ProcessLost


def own_workers() -> list[psutil.Process]:
    alive = [process for process in psutil.Process().children() if process.status() != psutil.STATUS_ZOMBIE]
    return [process for process in alive if worker_pool.WORKER in process.cmdline()]


def test_results_come_in_the_order_of_the_items():
    with worker_pool.started(math.sqrt, processes=2, what="computes") as compute:
        assert list(compute([0, 1, 4] * 20)) == [0, 1, 2] * 20
        assert list(compute([])) == []
        assert list(compute([9])) == [3]


def test_an_error_is_raised_here_with_the_traceback_of_the_process():
    with (
        pytest.raises(ValueError, match="math domain error") as caught,
        worker_pool.started(math.sqrt, processes=2, what="computes") as compute,
    ):
        list(compute([1, 4, -1, 9]))
    assert "worker.py" in "".join(caught.value.__notes__)


def test_a_process_that_is_killed_is_an_error_at_once():
    with (
        pytest.raises(ProcessLost, match=r"A process that sleeps ended with code -9 \(SIGKILL"),
        worker_pool.started(signal.raise_signal, processes=2, what="sleeps") as kill,
    ):
        list(kill([signal.SIGKILL]))


def test_no_process_outlives_the_block_whatever_it_does():
    began = time.monotonic()
    with worker_pool.started(time.sleep, processes=2, what="sleeps") as sleep:
        results = sleep([0, 600, 600, 600] * 5)
        assert next(results) is None
        assert len(own_workers()) == 2
    assert time.monotonic() - began < 60
    assert not own_workers()
