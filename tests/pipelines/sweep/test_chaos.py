"""Two commands share a study on a journal or on PostgreSQL. One of them is killed during trials, again and again."""

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest
from optuna.trial import TrialState

from tests.pipelines.sweep import epochs, kill, records, start, tree
from tests.pipelines.sweep import trials as recorded_trials
from tests.servers import postgres

KILLS = 3
FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)


@contextmanager
def _journal() -> Iterator[None]:
    with nullcontext() as nothing:
        yield nothing


@pytest.mark.parametrize(
    ("trials", "length", "pruner"),
    [
        pytest.param(9, 20, "none", marks=[pytest.mark.cluster, pytest.mark.servers]),
        pytest.param(60, 60, "median", marks=pytest.mark.long),
    ],
)
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("server", [_journal, postgres], ids=["journal", "postgresql"])
def test_exactly_the_budget_is_trained_whatever_is_killed(tmp_path, server, trials, length, pruner):
    with server() as url:
        settings = [f"sweep.n_trials={trials}", f"trainer.max_epochs={length}", "tracking.wait=60", f"sweep/pruner={pruner}"]
        settings += [f"sweep.storage={url}"] if url else []
        patient, victim = start(tmp_path, *settings), start(tmp_path, *settings)
        random.seed(trials)
        in_training = []
        for number in range(1, KILLS + 1):
            in_training.append(_wait(tmp_path, url, victim.pid, at_least=number * trials // (KILLS + 2)))
            time.sleep(random.uniform(0, 0.2))
            kill(victim)
            victim = start(tmp_path, *settings)
        assert any(in_training)
        for process in (patient, victim):
            _, error = process.communicate(timeout=2400)
            assert process.returncode == 0, error
        _check(tmp_path, recorded_trials(tmp_path, url), trials, length)


def _wait(folder: Any, url: str | None, victim: int, *, at_least: int) -> bool:
    """Waits until so many trials have ended and the victim's own has trained two epochs; whether it got so far."""
    while True:
        time.sleep(0.1)
        try:
            trials = recorded_trials(folder, url)
        except (KeyError, FileNotFoundError):
            continue
        done = sum(trial.state in FINISHED for trial in trials)
        running = [trial for trial in trials if trial.state == TrialState.RUNNING]
        own = [trial for trial in running if f":{victim}:" in trial.user_attrs.get("owner", "")]
        if done >= at_least and any(len(trial.intermediate_values) >= 2 for trial in own):
            return True
        if done >= at_least + 3:
            return False


def _check(folder: Any, trials: list[Any], budget: int, length: int) -> None:
    assert len(trials) == budget
    assert all(trial.state in FINISHED for trial in trials)
    trained = epochs(folder)
    assert trained.keys() == set(range(budget))
    for trial in trials:
        told = sorted(trial.intermediate_values)
        assert told == list(range(1, len(told) + 1))
        assert set(trained[trial.number]) == set(told)
        assert len(told) == length or trial.state == TrialState.PRUNED
    repeated = {number: len(numbers) - len(set(numbers)) for number, numbers in trained.items()}
    # One checkpoint interval, which is an epoch, for each kill: so no trial began again from its start.
    assert sum(repeated.values()) <= KILLS, repeated
    assert tree(folder) == {f"trial-{trial.number:04d}": trial.state.name for trial in trials}
    assert {record["status"] for record in records(folder).values()} == {"FINISHED"}
