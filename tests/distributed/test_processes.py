"""Which process this one is, and what start of several is refused."""

import os

import pytest

from src.distributed import processes
from src.errors import InputError


@pytest.fixture
def start(monkeypatch):
    """Sets rank and world size of this process as torchrun does."""

    def set_(rank: int, count: int) -> None:
        monkeypatch.setenv("RANK", str(rank))
        monkeypatch.setenv("WORLD_SIZE", str(count))

    return set_


def test_a_process_is_the_only_one_where_nobody_says_otherwise(monkeypatch):
    for name in processes.VARIABLES:
        monkeypatch.delenv(name, raising=False)
    assert (processes.rank(), processes.world_size()) == (0, 1)
    processes.check(1, 1)
    processes.check(4, 1)  # the others are still to be started


def test_torchrun_says_which_one_it_is(start):
    start(3, 4)
    assert (processes.rank(), processes.world_size()) == (3, 4)
    processes.check(4, 1)
    processes.check(2, 2)


@pytest.mark.parametrize(("devices", "nodes"), [(1, 1), (3, 1), (2, 1), (4, 2)])
def test_a_start_that_does_not_fit_the_configuration_is_refused(start, devices, nodes):
    start(0, 4)
    with pytest.raises(InputError, match=rf"expected {devices * nodes} processes, .*; this command was started 4 times"):
        processes.check(devices, nodes)


def test_several_nodes_need_a_start_on_each(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with pytest.raises(InputError, match=r"trainer\.num_nodes=2: expected a start by torchrun on each node"):
        processes.check(1, 2)


@pytest.mark.parametrize("value", ["auto", -1, 0, [0, 1], True, 1.0])
def test_the_number_of_processes_is_stated(value):
    with pytest.raises(InputError, match=r"trainer\.devices: expected a number from 1, which decides the result"):
        processes.wanted(value, 1)
    with pytest.raises(InputError, match=r"trainer\.num_nodes: expected a number from 1"):
        processes.wanted(1, value)


def test_more_processes_than_processors_are_forced(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 5}, raising=False)
    processes.check_processors(2, oversubscribe=False)
    processes.check_processors(99, oversubscribe=True)
    with pytest.raises(InputError, match=r"trainer\.devices=99: expected at most 2, .*trainer\.oversubscribe=true"):
        processes.check_processors(99, oversubscribe=False)
    monkeypatch.setenv("WORLD_SIZE", "99")  # torchrun or a cluster has started them
    processes.check_processors(99, oversubscribe=False)


def test_one_process_needs_no_others(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    before = dict(os.environ)
    with processes.together(1, 1, message={}):
        assert dict(os.environ) == before
