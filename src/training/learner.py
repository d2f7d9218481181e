"""A network as a learner: the task, and Lightning's Trainer that fits it."""

import dataclasses
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from lightning.pytorch import Callback, seed_everything
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from src import signals
from src.data.base import Data
from src.data.loader import Batches, batches, nbytes, smallest_batch
from src.data.loading import Loading
from src.data.transforms import Normalise
from src.distributed import processes
from src.optimization import hardware, schedule
from src.optimization.averaging import Averaging
from src.optimization.divergence import DivergencePolicy, Stop
from src.optimization.settings import Optimization
from src.protocols import Augmentation, Cost, Fit, Objective, Sink
from src.tasks.base import Task
from src.training import cost, fitting
from src.training.callbacks.base import TrainingCallback
from src.training.callbacks.checkpointing import Checkpointing
from src.training.callbacks.freezing import Freezing
from src.training.callbacks.progress import Progress
from src.training.callbacks.record_logger import RecordLogger
from src.training.callbacks.sink_stopping import SinkStopping
from src.training.inference import NetworkInference
from src.training.settings import CheckpointInterval, TrainerSettings, take

BLOCK_BYTES = 32 * 2**20  # of examples that one call of Lightning's loop may get


class NetworkLearner(NetworkInference):
    """A task under a Trainer.

    Args:
        model: makes the network; its weights depend on the seed alone.
        task: makes the task from `model`, `preprocess` and `optimization`.
        callbacks: makes further Lightning callbacks.
        optimization: of the network; its number of steps follows from the data.
    """

    def __init__(
        self,
        *,
        model: Callable[[], nn.Module],
        task: Callable[..., Task],
        callbacks: Callable[[], list[Callback]],
        data: Data,
        optimization: Optimization,
        loading: Loading,
        interval: CheckpointInterval,
        trainer: TrainerSettings,
        seed: int,
    ):
        self._loading, self._interval, self._trainer = loading, interval, trainer
        self._callbacks, self._seed = callbacks, seed
        hardware.keep_freed_memory()
        # Deterministic algorithms fill all new memory with NaN, in case something reads what it never wrote.
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        seed_everything(seed, workers=True, verbose=False)
        self._optimization = dataclasses.replace(optimization, total_steps=self._steps(data, optimization))
        schedule.check(self._optimization)
        network = model()
        preprocess = Normalise(mean=data.mean, std=data.std)
        super().__init__(
            task(model=network, preprocess=preprocess, optimization=self._optimization), accelerator=trainer.accelerator
        )

    @classmethod
    def from_settings(
        cls,
        *,
        model: Callable[[], nn.Module],
        task: Callable[..., Task],
        callbacks: Callable[[], list[Callback]],
        data: Data,
        optimizer: Callable[..., Optimizer],
        scheduler: Callable[..., LRScheduler] | None = None,
        rates: Mapping[str, float] | None = None,
        augmentation: Augmentation | None = None,
        averaging: Averaging | None = None,
        divergence: DivergencePolicy | None = None,
        objective: Objective,
        seed: int,
        **settings: Any,
    ) -> Self:
        """The learner of a `trainer` node of the configuration.

        Args:
            settings: the keys of the node: fields of Optimization, Loading, CheckpointInterval and TrainerSettings, and further
                arguments of Lightning's Trainer.
        """
        optimization = take(
            Optimization,
            settings,
            optimizer=optimizer,
            scheduler=scheduler,
            rates=rates or {},
            averaging=averaging,
            divergence=divergence or Stop(),
            objective=objective,
        )
        loading, interval = take(Loading, settings), take(CheckpointInterval, settings)
        trainer = take(TrainerSettings, settings, arguments=settings)
        return cls(
            model=model,
            task=partial(task, augmentation=augmentation),
            callbacks=callbacks,
            data=data,
            optimization=optimization,
            loading=loading,
            interval=interval,
            trainer=trainer,
            seed=seed,
        )

    def check(self, data: Data) -> Cost:
        callbacks = self._callbacks()
        for callback in callbacks:
            if isinstance(callback, TrainingCallback):
                callback.check(self.task, processes=self._trainer.processes)
        self.task.cpu().eval()
        ((batch,),) = Batches(data.arrays, data.rows("train")[:32], batch_size=32)
        counted = cost.cost(self.task, batch, dataset=data.prepared.card["name"])
        ranks, count = self._trainer.processes, len(data.rows("train"))
        fewest = smallest_batch(count, batch_size=data.batch_size, ranks=ranks, limit=self._loading.limit)
        synchronized = ranks > 1 and self._trainer.arguments.get("sync_batchnorm")  # statistics are of all processes' batches
        if fewest == 1 and not synchronized:
            freezing = [callback for callback in callbacks if isinstance(callback, Freezing)]
            frozen = [name for callback in freezing for name in callback.frozen_batch_norms(self.task.model)]
            cost.check_single_example_batch(self.task, batch, frozen=frozen)
        return counted

    def fit(self, data: Data, *, folder: Path, sink: Sink, resume: Path | None = None) -> Fit:
        folder.mkdir(parents=True, exist_ok=True)
        seed_everything((self._seed + 1_000_003 * processes.rank()) % 2**32, workers=True, verbose=False)
        callbacks = self._callbacks_of_fit()
        block = 1 if fitting.watch_each_step(callbacks) else self._loading.steps_per_call
        train = self._batches(data, "train", block, shuffle=not self._loading.overfit_batches)
        val = self._batches(data, "train" if self._loading.overfit_batches else "val", block)
        self.task.training_batches = partial(fitting.first_batches, self.task, train)
        start = fitting.start(folder, resume) if processes.rank() == 0 else resume  # the others are told
        if self._trainer.compile:
            self.task.model.compile(mode=self._trainer.compile)  # in place: the names of its weights stay the same
        bar = sys.stderr.isatty() if self._trainer.progress_bar is None else self._trainer.progress_bar
        progress = [Progress(self._optimization.total_steps)] if bar else []
        world = {"devices": self._trainer.devices, "num_nodes": self._trainer.num_nodes}
        message = processes.fit_message(folder, data.prepared.folder, start)
        with signals.Postponed(announce=processes.rank() == 0) as asked, processes.together(**world, message=message):
            checkpointing = None
            while True:
                self.task.train()  # a fit that a validation has ended leaves it in evaluation mode
                checkpointing = Checkpointing(
                    folder=folder,
                    objective=self._optimization.objective,
                    interval=self._interval,
                    flush=sink.flush,
                    asked=lambda: asked.number,
                    keep_good=self.task.divergence.rolls_back,
                    before=checkpointing,
                )
                trainer = self._trainer.trainer(
                    folder,
                    callbacks=[checkpointing, *progress, *callbacks, SinkStopping(sink)],
                    logger=RecordLogger(sink, step=lambda: self.task.recorded_step, epoch=lambda: self.task.current_epoch + 1),
                )
                end = fitting.fit(trainer, self.task, train, val, checkpoint=start)
                if end is not fitting.End.ROLLED_BACK:
                    break
                start, callbacks = checkpointing.good_path, self._callbacks_of_fit()
        if end is fitting.End.STOPPED:  # no checkpoint has made its last metrics safe
            sink.flush()
        self.task.model._compiled_call_impl = None  # predictions and the export use the eager network
        if trainer.is_global_zero and checkpointing.best is not None:
            self.load(folder / "best.ckpt")
        steps = self.task.recorded_step
        return Fit(
            epochs=trainer.current_epoch + (end is fitting.End.STOPPED),
            best_epoch=checkpointing.best_epoch,
            steps=steps,
            examples=self._examples(train, steps),
            seconds=checkpointing.elapsed,
        )

    def _callbacks_of_fit(self) -> list[Callback]:
        """The callbacks; without validations only those that are a part of an optimizer step."""
        return [callback for callback in self._callbacks() if self._trainer.validates or _in_optimizer_step(callback)]

    def _steps(self, data: Data, optimization: Optimization) -> int:
        """Optimizer steps of the whole training."""
        ranks, count = self._trainer.processes, len(data.rows("train"))
        epoch = batches(count, batch_size=data.batch_size, ranks=ranks, limit=self._loading.limit)
        return self._trainer.steps(-(-epoch // optimization.accumulate_grad_batches))

    def _examples(self, train: Batches, steps: int) -> int:
        """Training examples of so many optimizer steps."""
        accumulate = self._optimization.accumulate_grad_batches
        epochs, rest = divmod(steps, -(-train.batches // accumulate))
        return epochs * train.examples + min(rest * accumulate * train.together, train.examples)

    def _batches(self, data: Data, split: str, block: int, *, shuffle: bool = False) -> Batches:
        """The loader of a split.

        Args:
            block: optimizer steps in one item, fewer where their examples are large.
        """
        accumulate = self._optimization.accumulate_grad_batches
        rows = data.rows(split)
        if not shuffle and self.task.needs_in_batch_negatives:
            rows = np.random.default_rng(0).permutation(rows)
        step_bytes = accumulate * nbytes(data.arrays, rows[: data.batch_size])
        steps = -(-block // accumulate)
        return Batches(
            data.arrays,
            rows,
            batch_size=data.batch_size,
            rank=processes.rank(),
            ranks=self._trainer.processes,
            block=accumulate * max(1, min(steps, BLOCK_BYTES // step_bytes)),
            shuffle=shuffle,
            seed=self._seed,
            limit=self._loading.limit,
            in_memory=self._loading.in_memory,
            device=self.torch_device if self._fits_on_device(nbytes(data.arrays, rows)) else "cpu",
        )

    def _fits_on_device(self, size: int) -> bool:
        """Whether so many bytes of examples may lie on the accelerator. A quarter of its free memory is theirs."""
        single = self._trainer.processes == 1
        return single and self.torch_device.type == "cuda" and size <= torch.cuda.mem_get_info()[0] / 4


def _in_optimizer_step(callback: Callback) -> bool:
    return isinstance(callback, TrainingCallback) and callback.in_optimizer_step
