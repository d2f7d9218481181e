"""A study that many workers share: its storage, its budget, and who works on which trial.

Trials are counted under a lock that dies with its holder, and the trial of a dead worker is taken over, under its own
number, rather than failed: so the finished trials are exactly as many as were asked for, whatever is killed.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
import psutil
from optuna.samplers import BaseSampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState

from pipelines.sweep.objectives import Objective
from pipelines.sweep.storage import open_storage
from src.errors import InputError

FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)
CONSTANT = ("GridSampler", "BruteForceSampler", "QMCSampler")  # samplers whose seed fixes the order of all points
WAIT, OVER = object(), object()  # nothing to do yet; nothing to do any more


class Worker:
    """One command's part in a study.

    Args:
        storage: null for a journal in the folder, or the URL of a PostgreSQL database.
        folder: of the study.
        sampler: makes a sampler from a seed; the same seed and trials give the same point.
        stale: seconds without a beat after which a worker on another machine counts as dead.
    """

    def __init__(
        self,
        *,
        storage: str | None,
        folder: Path,
        name: str,
        objectives: Sequence[Objective],
        sampler: Callable[[int], BaseSampler],
        pruner: optuna.pruners.BasePruner,
        seed: int,
        n_trials: int,
        stale: float,
    ):
        self.me = f"{socket.gethostname()}:{os.getpid()}:{psutil.Process().create_time():.2f}"
        self.n_trials, self.objectives = n_trials, tuple(objectives)
        self._sampler, self._seed = sampler, seed
        self._stale = stale
        self._mine: set[int] = set()
        self._beats = 0
        self._seen: dict[str, tuple[Any, float]] = {}  # by worker: its last beat, and when it was first seen here
        folder.mkdir(parents=True, exist_ok=True)
        self.storage, self.lock = open_storage(storage, folder, name)
        with self.lock():
            self.study = optuna.create_study(
                storage=self.storage,
                study_name=name,
                directions=[StudyDirection.MAXIMIZE if one.mode == "max" else StudyDirection.MINIMIZE for one in objectives],
                pruner=pruner,
                sampler=sampler(seed),
                load_if_exists=True,
            )

    def settle(self, content: Mapping[str, Any], points: list[dict[str, Any]], *, adapt: bool) -> None:
        """Makes the study one of this space and configuration, with points to start from, or checks that it is.

        Args:
            content: what must be equal for trials to be comparable.

        Raises:
            InputError: the study is another one's.
        """
        with self.lock():
            before = self.study.user_attrs.get("content")
            if before is not None and before != content and not adapt:
                changed = ", ".join(sorted(key for key in {*before, *content} if before.get(key) != content.get(key)))
                raise InputError(
                    f"sweep.study={self.study.study_name}: expected the study that this command began; {changed} differs. "
                    "Name another study (sweep.study=...), or go on in this one all the same (sweep.adapt=true)."
                )
            if before is None:
                if self.several:  # else figures and the dashboard would call them 0 and 1
                    self.study.set_metric_names([one.metric for one in self.objectives])
                for point in points:
                    self.study.enqueue_trial(point, skip_if_exists=True)
            if before != content:
                self.study.set_user_attr("content", dict(content))

    def claim(self) -> Trial | object:
        """A trial to work on: one whose worker is dead, or a new one; WAIT while others run, OVER when all are done."""
        with self.lock():
            trials = self.trials()
            running = [trial for trial in trials if trial.state == TrialState.RUNNING]
            for trial in running:
                if trial.number not in self._mine and not self._alive(trial.user_attrs.get("owner")):
                    self._seeded(trial.number)  # its worker may have died before it had chosen the point
                    return self._own(trial._trial_id, trial.number)
            if sum(trial.state in FINISHED for trial in trials) + len(running) < self.n_trials:
                seen = sum(trial.state != TrialState.WAITING for trial in trials)
                self._seeded(seen)
                new = self.study.ask()
                return self._own(new._trial_id, new.number)
            return WAIT if running else OVER

    @property
    def several(self) -> bool:
        """Whether objectives are weighed against each other: then no trial is pruned, and there is no one best."""
        return len(self.objectives) > 1

    def ranked(self) -> list[FrozenTrial]:
        """The complete trials, the best first; of equal ones the earlier. Of several objectives, the Pareto front first."""
        complete = [trial for trial in self.trials() if trial.state == TrialState.COMPLETE]
        front = {trial.number for trial in self.study.best_trials} if self.several and complete else set()
        sign = self.objectives[0].sign
        return sorted(complete, key=lambda trial: (trial.number not in front, -sign * trial.values[0], trial.number))

    def front(self) -> list[FrozenTrial]:
        """The trials that no other one beats in every objective, the best in the first one first."""
        front = {trial.number for trial in self.study.best_trials}
        return [trial for trial in self.ranked() if trial.number in front]

    def judge(self, trial: Trial, value: float, epoch: int) -> bool:
        """Whether a trial is to stop, after what it has reached in an epoch."""
        if self.several:
            return False
        if epoch not in self.trials()[trial.number].intermediate_values:  # one that goes on from a checkpoint repeats some
            trial.report(value, epoch)
        return trial.should_prune()

    def tell(self, trial: Trial, values: Sequence[float] | None, state: TrialState) -> None:
        """Ends a trial; nothing happens where another worker has ended it."""
        with self.lock():
            if self.owns(trial):
                self.study.tell(trial, values, state=state)
        self._mine.discard(trial.number)

    def owns(self, trial: Trial) -> bool:
        """Whether a trial is still this worker's to go on with."""
        current = self.trials()[trial.number]
        return current.state == TrialState.RUNNING and current.user_attrs.get("owner") == self.me

    def release(self, trial: Trial) -> None:
        """Leaves a trial to whoever comes next."""
        if self.owns(trial):
            trial.set_user_attr("owner", "")
        self._mine.discard(trial.number)

    def beat(self) -> None:
        """A sign of life."""
        self._beats += 1
        self.study.set_user_attr(f"beat:{self.me}", self._beats)

    def trials(self) -> list[FrozenTrial]:
        return self.study.get_trials(deepcopy=False)

    def _seeded(self, number: int) -> None:
        """Makes the sampler that chooses the point of the trial with this number."""
        self.study.sampler = self._sampler(self._seed * 1_000_003 + number)

    def _own(self, identifier: int, number: int) -> Trial:
        self.storage.set_trial_user_attr(identifier, "owner", self.me)
        self._mine.add(number)
        return Trial(self.study, identifier)

    def _alive(self, owner: str | None) -> bool:
        if not owner:  # between asking and owning there is only a death; a worker that stops leaves it empty
            return False
        if owner == self.me:
            return False  # not among mine: told already, or an earlier process of the same name
        host, pid, started = owner.rsplit(":", 2)
        if host == socket.gethostname():
            try:
                return f"{psutil.Process(int(pid)).create_time():.2f}" == started
            except psutil.NoSuchProcess:
                return False
        beat = self.study.user_attrs.get(f"beat:{owner}")
        last, since = self._seen.get(owner, (None, 0.0))
        if owner not in self._seen or beat != last:
            self._seen[owner] = (beat, time.monotonic())
            return True
        return time.monotonic() - since < self._stale
