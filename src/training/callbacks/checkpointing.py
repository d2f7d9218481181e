"""best.ckpt, chosen by the objective, and last.ckpt, from which an interrupted training continues exactly."""

import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from src import signals
from src.errors import InputError
from src.optimization.random_state import random_state, set_random_state
from src.protocols import Objective
from src.runs import checkpoints
from src.training.settings import CheckpointInterval

DUE = 1  # a checkpoint is due; signals have numbers from 2


class Checkpointing(Callback):
    """Writes the checkpoints, and restores what Lightning's own restoring leaves out.

    The first process writes; a checkpoint has the random state of every process.

    last.ckpt is written when the step before it is over, with its log, its validation and its epoch's end: before the first
    block of an epoch, before any block once the interval has passed or a signal has come, and at the end of the training.

    good.ckpt is last.ckpt as it was at an epoch's beginning, or after the interval's number of steps, once one block after it
    has gone well. Its content depends neither on the time nor on interruptions. It is deleted at the end of the training.

    Args:
        flush: makes the metrics so far safe, before a checkpoint is written that skips their steps.
        asked: the number of a signal that asks to save and leave; 0 for none.
        keep_good: whether good.ckpt is kept.
        before: the callback of the fit before this one, which was rolled back; its best checkpoint stays the best.
    """

    def __init__(
        self,
        *,
        folder: Path,
        objective: Objective,
        interval: CheckpointInterval,
        flush: Callable[[], None],
        asked: Callable[[], int] = int,
        keep_good: bool = False,
        before: "Checkpointing | None" = None,
    ):
        self.best_path, self.last_path = folder / "best.ckpt", folder / "last.ckpt"
        self.good_path = folder / "good.ckpt"
        self._next_path = folder / "good.ckpt.next"
        self._objective = objective
        self._interval = interval
        self._flush = flush
        self._asked = asked
        self._keep_good = keep_good
        self._before = before
        self.best: float | None = None
        self.best_epoch = 0
        self._seconds = 0.0  # of training before this process
        self._started = time.monotonic()
        self._saved = self._started
        self._saved_step = 0
        self._may_be_good = False  # whether last.ckpt may become good.ckpt
        self._waiting = False  # whether good.ckpt.next waits for a block to go well
        self._random: list[dict[str, Any]] = []  # by process, as of last.ckpt
        self._random_to_restore: list[dict[str, Any]] | None = None
        self._has_begun = False

    @property
    def elapsed(self) -> float:
        """Seconds of training, over all interruptions."""
        return self._seconds + time.monotonic() - self._started

    def state_dict(self) -> dict[str, Any]:
        state = {"best": self.best, "best_epoch": self.best_epoch, "seconds": self.elapsed, "good": self._may_be_good}
        return {**state, "random": self._random}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.best, self.best_epoch, self._seconds = state["best"], state["best_epoch"], state["seconds"]
        if self._before is not None:
            self.best, self.best_epoch, self._seconds = self._before.best, self._before.best_epoch, self._before.elapsed
        self._random_to_restore = state["random"]
        self._may_be_good = state.get("good", False)

    def on_train_batch_start(self, trainer: Trainer, module: LightningModule, batch: object, batch_idx: int) -> None:
        first, self._has_begun = not self._has_begun, True
        if self._random_to_restore is not None:  # not earlier: the loop's reset and a validation come before this hook
            if trainer.global_rank < len(self._random_to_restore):  # more processes may train a finished run further
                set_random_state(self._random_to_restore[trainer.global_rank])
            self._random_to_restore = None
            self._saved_step = trainer.global_step
        if self._waiting:
            os.replace(self._next_path, self.good_path)
            self._waiting = False
        step, every = trainer.global_step, self._interval.save_every_n_steps
        overdue = time.monotonic() - self._saved > 60 * self._interval.save_every_n_minutes
        many = every is not None and step // every > self._saved_step // every
        request = _largest_of_all(trainer, self._asked() or (DUE if overdue or many else 0))
        elsewhere = first and self._keep_good and not self._starts_from_last(trainer)  # this folder has no good.ckpt yet
        if elsewhere or (step > self._saved_step and (batch_idx == 0 or request)):
            self._may_be_good = elsewhere or batch_idx == 0 or many
            self._save_last(trainer, _content_before_this_batch)
        if self._may_be_good and self._keep_good and trainer.is_global_zero:
            self._link_good(immediately=elsewhere or not self.good_path.is_file())
        if request > DUE:
            signals.leave(request)

    def on_validation_end(self, trainer: Trainer, module: LightningModule) -> None:
        metric = self._objective.metric
        value = trainer.callback_metrics.get(metric)
        if value is None:
            names = ", ".join(sorted(trainer.callback_metrics)) or "none"
            raise InputError(f"objective.metric={metric}: expected a metric that the task logs; it logs {names}.")
        sign = 1 if self._objective.mode == "max" else -1
        before = -math.inf if self.best is None or math.isnan(self.best) else sign * self.best  # any number is better than NaN
        if self.best is None or sign * float(value) > before:
            self.best, self.best_epoch = float(value), trainer.current_epoch + 1
            content = _content(trainer)
            if trainer.is_global_zero:
                checkpoints.write(self.best_path, content)

    def on_train_end(self, trainer: Trainer, module: LightningModule) -> None:
        self._may_be_good = False
        self._save_last(trainer, _content)
        if trainer.is_global_zero:
            self.good_path.unlink(missing_ok=True)
            self._next_path.unlink(missing_ok=True)

    def _save_last(self, trainer: Trainer, content: Callable[[Trainer], dict[str, Any]]) -> None:
        self._random = _gathered(random_state(), trainer)
        checkpoint = content(trainer)
        if trainer.is_global_zero:
            self._flush()
            checkpoints.write(self.last_path, checkpoint)
        self._saved, self._saved_step = time.monotonic(), trainer.global_step

    def _starts_from_last(self, trainer: Trainer) -> bool:
        """Whether the training started from last.ckpt of this folder."""
        return trainer.ckpt_path is not None and Path(trainer.ckpt_path).resolve() == self.last_path.resolve()

    def _link_good(self, *, immediately: bool) -> None:
        """Makes last.ckpt good.ckpt too, after the next block. After an interruption in between the next process does so."""
        self._may_be_good = False
        if self.last_path.is_file():  # a damaged one was set aside; what good.ckpt holds is as good or better
            self._next_path.unlink(missing_ok=True)
            os.link(self.last_path, self._next_path)
            if immediately:
                os.replace(self._next_path, self.good_path)
            self._waiting = not immediately


def _largest_of_all(trainer: Trainer, request: int) -> int:
    """The largest request of all processes: what one of them was asked for, or finds due, all of them do."""
    if trainer.world_size == 1:
        return request
    return int(trainer.strategy.reduce(torch.tensor(request, device=trainer.strategy.root_device), reduce_op="max"))


def _gathered(state: dict[str, Any], trainer: Trainer) -> list[dict[str, Any]]:
    """The states of all processes; empty on all but the first."""
    if trainer.world_size == 1:
        return [state]
    states: list[Any] = [None] * trainer.world_size
    torch.distributed.gather_object(state, states if trainer.is_global_zero else None)
    return states if trainer.is_global_zero else []


def _content(trainer: Trainer) -> dict[str, Any]:
    """A checkpoint's content. All processes must call it: those that shard a network gather it together."""
    return trainer._checkpoint_connector.dump_checkpoint()


def _content_before_this_batch(trainer: Trainer) -> dict[str, Any]:
    """A checkpoint without the block that has been fetched already, but not yet trained on."""
    content = _content(trainer)
    loop = content["loops"]["fit_loop"]
    progress = loop["epoch_loop.batch_progress"]
    progress["current"]["ready"] -= 1
    progress["total"]["ready"] -= 1
    progress["is_last_batch"] = False
    for state in loop["state_dict"]["combined_loader"]:
        state["position"] -= 1
    return content
