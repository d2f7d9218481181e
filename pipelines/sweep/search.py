"""The loop of one worker: claims trials, starts them in free slots, judges their values, and tells the study."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from optuna.trial import FrozenTrial, Trial, TrialState

from pipelines.sweep.messages import End, Order, Value
from pipelines.sweep.slots import Process, Slots
from pipelines.sweep.study import OVER, WAIT, Worker
from src import signals
from src.errors import RunFailed

BEAT = 2.0  # seconds between signs of life
ATTEMPTS = 3  # how often a trial is started again after its process was killed
STATES = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "infeasible": TrialState.PRUNED}


@dataclass
class Search:
    """One worker's share of a search.

    Args:
        order: what a claimed trial's process is to do.
        ended: is told the number of each trial that has ended here.
        max_failures: failed trials in the whole study, after which it is given up.
    """

    worker: Worker
    slots: Slots
    order: Callable[[Trial], Order]
    ended: Callable[[int], None]
    max_failures: int
    began: float = field(default_factory=time.monotonic)

    def run(self) -> None:
        """Works until the budget of the whole study is spent.

        Raises:
            RunFailed: too many trials failed.
            KeyboardInterrupt: after its trials were stopped and left to whoever comes next.
        """
        beaten, over = 0.0, False
        try:
            while not over or self.slots.running:
                if time.monotonic() - beaten > BEAT:
                    self.worker.beat()
                    beaten = time.monotonic()
                over = self._fill()
                for process, message in self.slots.messages(0.2 if self.slots.running else 0.0):
                    self._handle(process, message)
                if not self.slots.running and not over:
                    time.sleep(0.1)
                self._show()
        finally:
            with signals.ignored():  # letting go is short, and must be whole
                for process in self.slots.stop():
                    self.worker.release(process.trial)
            self._show(last=True)

    def _fill(self) -> bool:
        """Starts trials in the free slots; whether there is nothing left to claim."""
        while self.slots.free:
            failed = sum(trial.state == TrialState.FAIL for trial in self.worker.trials())
            if failed >= self.max_failures:
                reasons = [
                    trial.user_attrs.get("reason", "") for trial in self.worker.trials() if trial.state == TrialState.FAIL
                ]
                raise RunFailed(
                    f"{failed} trials failed (sweep.max_failures={self.max_failures}); the last: {reasons[-1]} "
                    "Mend it, then the same command goes on with a larger sweep.max_failures."
                )
            claimed = self.worker.claim()
            if not isinstance(claimed, Trial):
                assert claimed in (WAIT, OVER)
                return claimed is OVER
            self.slots.start(self.order(claimed), claimed)
        return False

    def _handle(self, process: Process, message: Value | End) -> None:
        trial = process.trial
        if not self.worker.owns(trial):  # this worker was silent for so long that another one has taken it over
            self.slots.drop(process)
            self.worker.release(trial)
            return
        if isinstance(message, Value):
            process.answer(self.worker.judge(trial, message.value, message.epoch))
            return
        if message.state == "killed":
            attempts = _frozen(self.worker, trial).user_attrs.get("attempts", 0) + 1
            trial.set_user_attr("attempts", attempts)
            trial.set_user_attr("reason", message.reason)
            if attempts < ATTEMPTS:
                self.worker.release(trial)  # it goes on from its checkpoint, under its number
                return
        for name in ("epochs", "seconds", "parameters", "reason"):
            if value := getattr(message, name):
                trial.set_user_attr(name, value)
        if len(message.by_seed) > 1:
            trial.set_user_attr("by_seed", list(message.by_seed))
        if message.state == "infeasible":
            trial.set_constraint("feasible", 1.0)  # samplers keep away from it
        state = STATES.get(message.state, TrialState.FAIL)
        self.worker.tell(trial, message.values if state == TrialState.COMPLETE else None, state)
        self.ended(trial.number)

    def _show(self, *, last: bool = False) -> None:
        terminal = sys.stderr.isatty()
        if terminal:
            print(f"\r\033[K{progress(self.worker, self.began)}", end="\n" if last else "", file=sys.stderr, flush=True)
        elif last:
            print(progress(self.worker, self.began), file=sys.stderr)


def progress(worker: Worker, began: float) -> str:
    """Done, running, pruned, failed, best, and the time that is left."""
    trials = worker.trials()
    count = {state: sum(trial.state == state for trial in trials) for state in TrialState}
    finished = count[TrialState.COMPLETE] + count[TrialState.PRUNED]
    best = ""
    if count[TrialState.COMPLETE]:
        first = worker.objectives[0]
        best = f", best {max(first.sign * t.values[0] for t in trials if t.state == TrialState.COMPLETE) * first.sign:.4f}"
        best += f" in {first.metric}" if worker.several else ""
    here = [trial for trial in trials if trial.datetime_complete and trial.user_attrs.get("owner") == worker.me]
    left = ""
    if here and finished < worker.n_trials:
        left = f", about {(time.monotonic() - began) / len(here) * (worker.n_trials - finished):.0f} s left"
    states = f"({count[TrialState.PRUNED]} pruned), {count[TrialState.RUNNING]} running, {count[TrialState.FAIL]} failed"
    return f"sweep: {finished} of {worker.n_trials} done {states}{best}{left}"


def _frozen(worker: Worker, trial: Trial) -> FrozenTrial:
    return worker.trials()[trial.number]  # numbers are places
