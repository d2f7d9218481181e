"""Which worker runs which trial, as several workers of one study see it."""

import pytest
from optuna.pruners import NopPruner
from optuna.samplers import RandomSampler
from optuna.trial import TrialState

from pipelines.sweep.study import NoTrial, Worker
from src.protocols import Objective


@pytest.fixture
def worker(tmp_path):
    def make(host: str) -> Worker:
        worker = Worker(
            storage=None,
            folder=tmp_path,
            name="study",
            objectives=[Objective("val/accuracy", "max")],
            sampler=lambda seed: RandomSampler(seed=seed),
            pruner=NopPruner(),
            seed=0,
            n_trials=2,
            grace_period=0.0,
        )
        worker.id = f"{host}:1:0.00"
        worker.initialize({}, [], adapt=False)
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
