"""The loop of one worker: it claims trials, starts them in free slots, prunes them, and tells the study how they ended."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from optuna.trial import Trial, TrialState

from pipelines.sweep.messages import IntermediateValue, TrialResult, TrialSpec
from pipelines.sweep.objectives import sign
from pipelines.sweep.pool import TrialPool, TrialProcess
from pipelines.sweep.study import FINISHED, NoTrial, Worker
from src import signals
from src.errors import RunFailed

HEARTBEAT = 2.0  # seconds between heartbeats
ATTEMPTS = 3  # how often a trial is started whose process is killed
STATES = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "infeasible": TrialState.PRUNED}


@dataclass
class Search:
    """One worker's share of a search.

    Args:
        spec: says what the process of a claimed trial runs.
        ended: is called with the number of each trial that has ended here.
        max_failures: failed trials in the whole study, after which the search is given up.
    """

    worker: Worker
    pool: TrialPool
    spec: Callable[[Trial], TrialSpec]
    ended: Callable[[int], None]
    max_failures: int
    started: float = field(default_factory=time.monotonic)
    _running: dict[int, Trial] = field(default_factory=dict)  # by number

    def run(self) -> None:
        """Works until the budget of the whole study is spent.

        Raises:
            RunFailed: too many trials failed.
            KeyboardInterrupt: after its trials were stopped and left to the next worker.
        """
        last_heartbeat, done = 0.0, False
        try:
            while not done or self.pool.running:
                if time.monotonic() - last_heartbeat > HEARTBEAT:
                    self.worker.heartbeat()
                    last_heartbeat = time.monotonic()
                done = self._fill()
                for process, message in self.pool.messages(0.2 if self.pool.running else 0.0):
                    self._handle(process, message)
                if not self.pool.running and not done:
                    time.sleep(0.1)
                self._show()
        finally:
            with signals.ignored():  # releasing is short, and must be complete
                self.pool.kill_all()
                for trial in self._running.values():
                    self.worker.release(trial)
            self._show(last=True)

    def _fill(self) -> bool:
        """Starts trials in the free slots; whether there is no trial left to claim."""
        while self.pool.free:
            failed = [trial for trial in self.worker.trials() if trial.state == TrialState.FAIL]
            if len(failed) >= self.max_failures:
                reason = failed[-1].user_attrs.get("reason", "").rstrip(".")
                raise RunFailed(
                    f"{len(failed)} trials failed (sweep.max_failures={self.max_failures}); the last: {reason}. Correct the "
                    "cause; then the same command continues with a larger sweep.max_failures."
                )
            claimed = self.worker.claim()
            if isinstance(claimed, NoTrial):
                return claimed is NoTrial.DONE
            self.pool.start(self.spec(claimed), claimed.number)
            self._running[claimed.number] = claimed
        return False

    def _handle(self, process: TrialProcess, message: IntermediateValue | TrialResult) -> None:
        trial = self._running[process.number]
        if not self.worker.owns(trial):  # this worker gave no heartbeat for so long that another one has taken the trial over
            self.pool.kill(process)
            self.worker.release(self._running.pop(trial.number))
        elif isinstance(message, IntermediateValue):
            process.reply(self.worker.should_prune(trial, message.value, message.step))
        else:
            self._end(self._running.pop(trial.number), message)

    def _end(self, trial: Trial, result: TrialResult) -> None:
        if result.state == "killed":
            attempts = self.worker.trial(trial.number).user_attrs.get("attempts", 0) + 1
            trial.set_user_attr("attempts", attempts)
            trial.set_user_attr("reason", result.reason)
            if attempts < ATTEMPTS:
                self.worker.release(trial)  # it continues from its checkpoint, under its number
                return
        for name in ("epochs", "seconds", "parameters", "reason"):
            if value := getattr(result, name):
                trial.set_user_attr(name, value)
        if len(result.by_seed) > 1:
            trial.set_user_attr("by_seed", list(result.by_seed))
        if result.state == "infeasible":
            trial.set_constraint("feasible", 1.0)  # samplers keep away from it
        state = STATES.get(result.state, TrialState.FAIL)
        self.worker.tell(trial, result.values if state == TrialState.COMPLETE else None, state)
        self.ended(trial.number)

    def _show(self, *, last: bool = False) -> None:
        terminal = sys.stderr.isatty()
        if terminal:
            print(f"\r\033[K{progress(self.worker, self.started)}", end="\n" if last else "", file=sys.stderr, flush=True)
        elif last:
            print(progress(self.worker, self.started), file=sys.stderr)


def progress(worker: Worker, started: float) -> str:
    """One line: how many trials are done, pruned, running and failed, the best value, and the seconds that are left."""
    trials = worker.trials()
    count = {state: sum(trial.state == state for trial in trials) for state in TrialState}
    finished = sum(count[state] for state in FINISHED)
    best = ""
    if count[TrialState.COMPLETE]:
        first = worker.objectives[0]
        values = [trial.values[0] for trial in trials if trial.state == TrialState.COMPLETE]
        best = f", best {max(values, key=lambda value: sign(first) * value):.4f}"
        best += f" in {first.metric}" if worker.multi_objective else ""
    here = [trial for trial in trials if trial.datetime_complete and trial.user_attrs.get("owner") == worker.id]
    left = ""
    if here and finished < worker.n_trials:
        left = f", about {(time.monotonic() - started) / len(here) * (worker.n_trials - finished):.0f} s left"
    states = f"({count[TrialState.PRUNED]} pruned), {count[TrialState.RUNNING]} running, {count[TrialState.FAIL]} failed"
    return f"sweep: {finished} of {worker.n_trials} done {states}{best}{left}"
