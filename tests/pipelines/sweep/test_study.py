"""Which worker runs which trial, as several workers of one study see it."""

from collections.abc import Callable

import pytest
from optuna.pruners import NopPruner
from optuna.samplers import BaseSampler, RandomSampler
from optuna.trial import TrialState

from pipelines.sweep.grid import Grid
from pipelines.sweep.study import NoTrial, Worker
from src.protocols import Objective


@pytest.fixture
def worker(tmp_path):
    def make(host: str, *, n_trials: int = 2, sampler: Callable[[int], BaseSampler] = RandomSampler, first=()) -> Worker:
        worker = Worker(
            storage=None,
            folder=tmp_path,
            name="study",
            objectives=[Objective("val/accuracy", "max")],
            sampler=lambda seed: sampler(seed=seed),
            pruner=NopPruner(),
            seed=0,
            n_trials=n_trials,
            grace_period=0.0,
        )
        worker.id = f"{host}:1:0.00"
        worker.initialize({}, first, adapt=False)
        return worker

    return make


def test_the_budget_is_shared(worker):
    one, other = worker("one"), worker("other")
    first, second = one.claim(), other.claim()
    assert [first.number, second.number] == [0, 1]
    one.heartbeat()
    other.heartbeat()
    assert one.claim() is NoTrial.WAIT
    one.tell(first, [0.5], TrialState.COMPLETE)
    other.tell(second, None, TrialState.PRUNED)
    assert one.claim() is NoTrial.DONE
    assert [trial.number for trial in one.ranked()] == [0]


def test_a_trial_that_was_taken_over_is_left_to_the_other_worker(worker):
    one, other = worker("one"), worker("other")
    trial = one.claim()
    other.claim()
    one.heartbeat()
    assert other.claim() is NoTrial.WAIT  # it sees this heartbeat for the first time
    reclaimed = other.claim()  # and no other since
    assert reclaimed.number == trial.number
    assert not one.owns(trial)
    one.release(trial)
    one.tell(trial, [0.5], TrialState.COMPLETE)
    assert other.owns(reclaimed)
    other.tell(reclaimed, [0.25], TrialState.COMPLETE)
    assert one.trial(trial.number).values == [0.25]
    assert not other.owns(reclaimed)


@pytest.mark.parametrize("own", [{"width": 16, "depth": "2"}, {"width": 64, "depth": "1"}, {"width": 48, "depth": "1"}])
def test_a_grid_tries_the_enqueued_point_and_each_other_one_once(worker, own):
    grid = {"width": [16, 32, 64], "depth": ["1", "2"]}
    outside = own["width"] not in grid["width"]
    one = worker("one", n_trials=6 + outside, sampler=lambda seed: Grid(grid, seed=0), first=[own])
    points = []
    while (trial := one.claim()) is not NoTrial.DONE:
        width = trial.suggest_int("width", 16, 64, step=16) if outside else trial.suggest_categorical("width", grid["width"])
        points.append((width, trial.suggest_categorical("depth", grid["depth"])))
        one.tell(trial, [0.5], TrialState.COMPLETE)
    assert points[0] == (own["width"], own["depth"])
    assert len(points) == len({*points}) == 6 + outside
