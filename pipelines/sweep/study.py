"""A study that many workers share: its storage, its budget, and which worker runs which trial.

Trials are counted under a lock that dies with its holder. The trial of a dead worker is not failed: another worker takes it
over, under its own number. So the finished trials are exactly as many as were asked for, whatever is killed.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from pathlib import Path

import optuna
import psutil
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState

from pipelines.sweep.objectives import sign
from pipelines.sweep.parameters import Stored
from pipelines.sweep.storage import open_storage
from src.errors import InputError
from src.protocols import Objective

FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)


class NoTrial(Enum):
    """Why a worker gets no trial: other workers still run the last ones, or the budget is spent and all have ended."""

    WAIT, DONE = range(2)


class Worker:
    """One command's part in a study.

    Args:
        storage: null for a journal in the folder, or the URL of a PostgreSQL database.
        folder: of the study.
        sampler: makes a sampler from a seed; the same seed and trials give the same parameters.
        seed: of the sampler; each trial has its own, derived from this one and its number.
        n_trials: the budget of the whole study.
        grace_period: seconds without a heartbeat after which a worker on another machine counts as dead.
    """

    def __init__(
        self,
        *,
        storage: str | None,
        folder: Path,
        name: str,
        objectives: Sequence[Objective],
        sampler: Callable[[int], BaseSampler],
        pruner: BasePruner,
        seed: int,
        n_trials: int,
        grace_period: float,
    ):
        self.id = f"{socket.gethostname()}:{os.getpid()}:{psutil.Process().create_time():.2f}"
        self.n_trials, self.objectives = n_trials, tuple(objectives)
        self._sampler, self._seed = sampler, seed
        self._grace_period = grace_period
        self._claimed: set[int] = set()
        self._heartbeats = 0
        self._seen: dict[str, tuple[int | None, float]] = {}  # by worker: its last heartbeat, and when this one first saw it
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

    def initialize(self, content: Mapping[str, object], enqueued: Sequence[dict[str, Stored]], *, adapt: bool) -> None:
        """Gives a new study its content and its first trials. Checks that an old one has the same content.

        Args:
            content: what must be equal for trials to be comparable.
            enqueued: the parameters of the first trials.
            adapt: whether a study with other content is continued all the same.

        Raises:
            InputError: the study has other content.
        """
        with self.lock():
            before = self.study.user_attrs.get("content")
            if before is not None and before != content and not adapt:
                changed = ", ".join(sorted(key for key in {*before, *content} if before.get(key) != content.get(key)))
                raise InputError(
                    f"sweep.study={self.study.study_name}: expected a study with the same content; {changed} differs. "
                    "Name another study (sweep.study=...), or continue this one all the same (sweep.adapt=true)."
                )
            if before is None:
                if self.multi_objective:  # else figures and the dashboard would call them 0 and 1
                    self.study.set_metric_names([one.metric for one in self.objectives])
                for params in enqueued:
                    self.study.enqueue_trial(params, skip_if_exists=True)
            if before != content:
                self.study.set_user_attr("content", dict(content))

    def claim(self) -> Trial | NoTrial:
        """A trial to run: one whose worker is dead, or a new one within the budget."""
        with self.lock():
            trials = self.trials()
            running = [trial for trial in trials if trial.state == TrialState.RUNNING]
            for trial in running:
                if trial.number not in self._claimed and not self._is_alive(trial.user_attrs.get("owner")):
                    self._reseed(trial.number)  # its worker may have died before it had chosen the parameters
                    return self._take(trial._trial_id, trial.number)
            if sum(trial.state in FINISHED for trial in trials) + len(running) < self.n_trials:
                self._reseed(sum(trial.state != TrialState.WAITING for trial in trials))
                new = self.study.ask()
                return self._take(new._trial_id, new.number)
            return NoTrial.WAIT if running else NoTrial.DONE

    @property
    def multi_objective(self) -> bool:
        """Whether there are several objectives. Then no trial is pruned, and there is no single best one."""
        return len(self.objectives) > 1

    def ranked(self) -> list[FrozenTrial]:
        """The complete trials, the best first, of equal ones the earlier. With several objectives, the Pareto front first."""
        complete = [trial for trial in self.trials() if trial.state == TrialState.COMPLETE]
        front = {trial.number for trial in self.study.best_trials} if self.multi_objective and complete else set()
        first = sign(self.objectives[0])
        return sorted(complete, key=lambda trial: (trial.number not in front, -first * trial.values[0], trial.number))

    def pareto_front(self) -> list[FrozenTrial]:
        """The trials that no other one beats in every objective, the best in the first objective first."""
        front = {trial.number for trial in self.study.best_trials}
        return [trial for trial in self.ranked() if trial.number in front]

    def should_prune(self, trial: Trial, value: float, step: int) -> bool:
        """Reports an intermediate value to the study; whether its pruner ends the trial."""
        if self.multi_objective:
            return False
        if step not in self.trial(trial.number).intermediate_values:  # one that continues from a checkpoint repeats some
            trial.report(value, step)
        return trial.should_prune()

    def tell(self, trial: Trial, values: Sequence[float] | None, state: TrialState) -> None:
        """Ends a trial in the study. Nothing happens where another worker has taken it over."""
        with self.lock():
            if self.owns(trial):
                self.study.tell(trial, values, state=state)
        self._claimed.discard(trial.number)

    def owns(self, trial: Trial) -> bool:
        """Whether a running trial is this worker's."""
        current = self.trial(trial.number)
        return current.state == TrialState.RUNNING and current.user_attrs.get("owner") == self.id

    def release(self, trial: Trial) -> None:
        """Leaves a trial to the next worker that claims one."""
        if self.owns(trial):
            trial.set_user_attr("owner", "")
        self._claimed.discard(trial.number)

    def heartbeat(self) -> None:
        """Tells the other workers that this one is alive."""
        self._heartbeats += 1
        self.study.set_user_attr(f"heartbeat:{self.id}", self._heartbeats)

    def trials(self) -> list[FrozenTrial]:
        return self.study.get_trials(deepcopy=False)

    def trial(self, number: int) -> FrozenTrial:
        """The stored state of a trial."""
        return self.trials()[number]  # Optuna numbers trials by their index

    def _reseed(self, number: int) -> None:
        """Makes the sampler that chooses the parameters of the trial with this number."""
        self.study.sampler = self._sampler(self._seed * 1_000_003 + number)

    def _take(self, identifier: int, number: int) -> Trial:
        self.storage.set_trial_user_attr(identifier, "owner", self.id)
        self._claimed.add(number)
        return Trial(self.study, identifier)

    def _is_alive(self, owner: str | None) -> bool:
        if not owner:  # its worker died between asking for the trial and taking it, or has released it
            return False
        if owner == self.id:
            return False  # not among the claimed: told already, or an earlier process of the same name
        host, pid, started = owner.rsplit(":", 2)
        if host == socket.gethostname():
            try:
                return f"{psutil.Process(int(pid)).create_time():.2f}" == started
            except psutil.NoSuchProcess:
                return False
        heartbeat = self.study.user_attrs.get(f"heartbeat:{owner}")
        last, since = self._seen.get(owner, (None, 0.0))
        if owner not in self._seen or heartbeat != last:
            self._seen[owner] = (heartbeat, time.monotonic())
            return True
        return time.monotonic() - since < self._grace_period
