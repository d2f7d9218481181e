"""Who works on which trial, as several workers of one study see it."""

import pytest
from optuna.pruners import NopPruner
from optuna.samplers import RandomSampler
from optuna.trial import TrialState

from pipelines.sweep.objectives import Objective
from pipelines.sweep.study import OVER, WAIT, Worker


@pytest.fixture
def worker(tmp_path):
    def make(name: str) -> Worker:
        made = Worker(
            storage=None,
            folder=tmp_path,
            name="study",
            objectives=[Objective("val/accuracy", "max")],
            sampler=lambda seed: RandomSampler(seed=seed),
            pruner=NopPruner(),
            seed=0,
            n_trials=2,
            stale=0.0,
        )
        made.me = f"{name}:1:0.00"  # on another machine
        made.settle({}, [], adapt=False)
        return made

    return make


def test_the_budget_is_shared(worker):
    one, other = worker("one"), worker("other")
    first, second = one.claim(), other.claim()
    assert [first.number, second.number] == [0, 1]
    one.beat()
    other.beat()
    assert one.claim() is WAIT
    one.tell(first, [0.5], TrialState.COMPLETE)
    other.tell(second, None, TrialState.PRUNED)
    assert one.claim() is OVER
    assert [trial.number for trial in one.ranked()] == [0]


def test_a_trial_that_was_taken_over_is_left_to_the_other_one(worker):
    one, other = worker("one"), worker("other")
    trial = one.claim()
    other.claim()
    one.beat()
    assert other.claim() is WAIT  # the beat is new to it
    taken = other.claim()  # and has been silent since
    assert taken.number == trial.number
    assert not one.owns(trial)
    one.release(trial)
    one.tell(trial, [0.5], TrialState.COMPLETE)
    assert other.owns(taken)
    other.tell(taken, [0.25], TrialState.COMPLETE)
    assert one.trials()[trial.number].values == [0.25]
    assert not other.owns(taken)
