"""best.ckpt, chosen by the objective, and last.ckpt, from which an interrupted training goes on exactly."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from src import signals
from src.optimization.random_state import random_state, set_random_state
from src.runs import checkpoints

DUE = 1  # besides the numbers of signals, of which the least is 2


class Checkpointing(Callback):
    """Writes both checkpoints, and puts back what Lightning's own restoring leaves out.

    The first process writes; the checkpoint has the random state of each.

    last.ckpt is written where everything of the step before is over, its log, its validation and its epoch's end:
    before the first block of an epoch, before any block once `minutes` or `steps` have passed or a signal has come, and at the
    end of the training.

    good.ckpt is last.ckpt as it was at an epoch's beginning or after so many `steps`, once a block after it has gone well: what
    it holds does not depend on the time, nor on interruptions. It stays until the end of the training.

    Args:
        metric, mode: the objective; `min` or `max`.
        minutes, steps: how old last.ckpt may become within an epoch; it is looked at before each block.
        asked: the number of a signal that asks to save and leave, 0 while none has come.
        flush: makes the metrics so far safe, before a checkpoint that would skip their steps is written.
        good: whether good.ckpt is kept.
        before: of the fit that this one follows, from its good.ckpt; what was the best then remains so.
    """

    def __init__(
        self,
        *,
        folder: Path,
        metric: str,
        mode: str,
        minutes: float,
        flush: Callable[[], None],
        steps: int | None = None,
        asked: Callable[[], int] = int,
        good: bool = False,
        before: "Checkpointing | None" = None,
    ):
        self.best_path, self.last_path = folder / "best.ckpt", folder / "last.ckpt"
        self.good_path = folder / "good.ckpt"
        self.good = good
        self._next_path = folder / "good.ckpt.next"
        self._before = before
        self.metric = metric
        self.sign = 1 if mode == "max" else -1
        self.minutes = minutes
        self.steps = steps
        self.flush = flush
        self.asked = asked
        self.best: float | None = None
        self.best_epoch = 0
        self.seconds = 0.0  # of training before this process
        self._started = time.monotonic()
        self._saved = self._started
        self._saved_step = 0
        self._at_good = False  # whether last.ckpt may become good.ckpt
        self._promising = False  # whether a block is being taken since
        self._random: list[dict[str, Any]] = []  # by process, as of last.ckpt
        self._restored: list[dict[str, Any]] | None = None
        self._begun = False

    @property
    def elapsed(self) -> float:
        return self.seconds + time.monotonic() - self._started

    def state_dict(self) -> dict[str, Any]:
        found = {"best": self.best, "best_epoch": self.best_epoch, "seconds": self.elapsed, "good": self._at_good}
        return {**found, "random": self._random}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.best, self.best_epoch, self.seconds = state["best"], state["best_epoch"], state["seconds"]
        if self._before is not None:
            self.best, self.best_epoch, self.seconds = self._before.best, self._before.best_epoch, self._before.elapsed
        self._restored = state["random"]
        self._at_good = state.get("good", False)

    def on_train_batch_start(self, trainer: Trainer, module: LightningModule, batch: Any, batch_idx: int) -> None:
        first, self._begun = not self._begun, True
        if self._restored is not None:  # not earlier: the loop's reset and a validation come before this hook
            if trainer.global_rank < len(self._restored):  # a training on more processes may go on from this run's end
                set_random_state(self._restored[trainer.global_rank])
            self._restored = None
            self._saved_step = trainer.global_step
        if self._promising:
            os.replace(self._next_path, self.good_path)
            self._promising = False
        step = trainer.global_step
        late = time.monotonic() - self._saved > 60 * self.minutes
        many = self.steps is not None and step // self.steps > self._saved_step // self.steps
        wish = _agreed(trainer, self.asked() or (DUE if late or many else 0))
        elsewhere = first and self.good and not self._from_last(trainer)  # nothing to go back to lies here yet
        if elsewhere or (step > self._saved_step and (batch_idx == 0 or wish)):
            self._at_good = elsewhere or batch_idx == 0 or many
            self._save_last(trainer, _before_this_batch)
        if self._at_good and self.good and trainer.is_global_zero:
            self._keep_good(at_once=elsewhere or not self.good_path.is_file())
        if wish > DUE:
            signals.leave(wish)

    def on_validation_end(self, trainer: Trainer, module: LightningModule) -> None:
        value = trainer.callback_metrics.get(self.metric)
        if value is None:
            names = ", ".join(sorted(trainer.callback_metrics)) or "none"
            raise ValueError(f"objective.metric={self.metric}: the task never logs it; it logs {names}.")
        if self.best is None or self.sign * float(value) > self.sign * self.best:
            self.best, self.best_epoch = float(value), trainer.current_epoch + 1
            content = _content(trainer)
            if trainer.is_global_zero:
                checkpoints.write(self.best_path, content)

    def on_train_end(self, trainer: Trainer, module: LightningModule) -> None:
        self._at_good = False
        self._save_last(trainer, _content)
        if trainer.is_global_zero:
            self.good_path.unlink(missing_ok=True)
            self._next_path.unlink(missing_ok=True)

    def _save_last(self, trainer: Trainer, content: Callable[[Trainer], dict[str, Any]]) -> None:
        self._random = _of_all(random_state(), trainer)
        found = content(trainer)
        if trainer.is_global_zero:
            self.flush()
            checkpoints.write(self.last_path, found)
        self._saved, self._saved_step = time.monotonic(), trainer.global_step

    def _from_last(self, trainer: Trainer) -> bool:
        """Whether the training goes on from last.ckpt of this folder."""
        return trainer.ckpt_path is not None and Path(trainer.ckpt_path).resolve() == self.last_path.resolve()

    def _keep_good(self, *, at_once: bool) -> None:
        """Makes last.ckpt good.ckpt too, after the next block; after an interruption in between, the next process does."""
        self._at_good = False
        if self.last_path.is_file():  # a damaged one was set aside, and what good.ckpt holds is as good or better
            self._next_path.unlink(missing_ok=True)
            os.link(self.last_path, self._next_path)
            if at_once:
                os.replace(self._next_path, self.good_path)
            self._promising = not at_once


def _agreed(trainer: Trainer, wish: int) -> int:
    """The largest wish of all processes: what one of them was told, or finds due, all of them do."""
    if trainer.world_size == 1:
        return wish
    return int(trainer.strategy.reduce(torch.tensor(wish, device=trainer.strategy.root_device), reduce_op="max"))


def _of_all(state: dict[str, Any], trainer: Trainer) -> list[dict[str, Any]]:
    """What every process has; empty on all but the first."""
    if trainer.world_size == 1:
        return [state]
    found: list[Any] = [None] * trainer.world_size
    torch.distributed.gather_object(state, found if trainer.is_global_zero else None)
    return found if trainer.is_global_zero else []


def _content(trainer: Trainer) -> dict[str, Any]:
    """A checkpoint's content; every process asks for it, for those that share a network out gather it together."""
    return trainer._checkpoint_connector.dump_checkpoint()


def _before_this_batch(trainer: Trainer) -> dict[str, Any]:
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
