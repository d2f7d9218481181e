"""best.ckpt, chosen by the objective, and last.ckpt, from which an interrupted training goes on exactly."""

import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from src import checkpoints, signals

DUE = 1  # besides the numbers of signals, of which the least is 2


class Saving(Callback):
    """Writes both checkpoints, and puts back what Lightning's own restoring leaves out.

    The first process writes; the checkpoint has the random state of each.

    last.ckpt is written where everything of the step before is over, its log, its validation and its epoch's end:
    before the first block of an epoch, before any block once `minutes` or `steps` have passed or a signal has come, and at the
    end of the training.

    Args:
        metric, mode: the objective; `min` or `max`.
        minutes, steps: how old last.ckpt may become within an epoch; it is looked at before each block.
        asked: the number of a signal that asks to save and leave, 0 while none has come.
        flush: makes the metrics so far safe, before a checkpoint that would skip their steps is written.
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
    ):
        self.best_path, self.last_path = folder / "best.ckpt", folder / "last.ckpt"
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
        self._random: list[dict[str, Any]] = []  # by process, as of last.ckpt
        self._restored: list[dict[str, Any]] | None = None

    @property
    def elapsed(self) -> float:
        return self.seconds + time.monotonic() - self._started

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "best_epoch": self.best_epoch, "seconds": self.elapsed, "random": self._random}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.best, self.best_epoch, self.seconds = state["best"], state["best_epoch"], state["seconds"]
        self._restored = state["random"]

    def on_train_batch_start(self, trainer: Trainer, module: LightningModule, batch: Any, batch_idx: int) -> None:
        if self._restored is not None:  # not earlier: the loop's reset and a validation come before this hook
            if trainer.global_rank < len(self._restored):  # a training on more processes may go on from this run's end
                set_random_state(self._restored[trainer.global_rank])
            self._restored = None
            self._saved_step = trainer.global_step
        step = trainer.global_step
        late = time.monotonic() - self._saved > 60 * self.minutes
        many = self.steps is not None and step // self.steps > self._saved_step // self.steps
        wish = _agreed(trainer, self.asked() or (DUE if late or many else 0))
        if step > self._saved_step and (batch_idx == 0 or wish):
            self._save_last(trainer, _before_this_batch)
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
        self._save_last(trainer, _content)

    def _save_last(self, trainer: Trainer, content: Callable[[Trainer], dict[str, Any]]) -> None:
        self._random = _of_all(random_state(), trainer)
        found = content(trainer)
        if trainer.is_global_zero:
            self.flush()
            checkpoints.write(self.last_path, found)
        self._saved, self._saved_step = time.monotonic(), trainer.global_step


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


def random_state() -> dict[str, Any]:
    """The state of every generator that a step may draw from, loadable without unpickling objects."""
    version, numbers, gauss = random.getstate()
    state: Any = np.random.get_state()  # noqa: NPY002 - the global generator, which a step may use
    name, keys, position, has_gauss, cached = state
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "python": [version, list(numbers), gauss],
        "numpy": [name, torch.from_numpy(keys.astype(np.int64)), position, has_gauss, cached],
    }


def set_random_state(state: dict[str, Any]) -> None:
    torch.set_rng_state(state["torch"])
    if state["cuda"] and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(state["cuda"])
    version, numbers, gauss = state["python"]
    random.setstate((version, tuple(numbers), gauss))
    name, keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), position, has_gauss, cached))  # noqa: NPY002
