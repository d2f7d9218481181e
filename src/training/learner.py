"""A network as a learner: the task, and Lightning's Trainer that fits it."""

import dataclasses
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Self

import torch
from lightning.pytorch import Callback, seed_everything
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from src import signals
from src.data.base import Data
from src.data.loader import Batches
from src.data.loading import Loading
from src.data.order import Order
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
from src.training.loaders import Loaders
from src.training.settings import CheckpointInterval, TrainerSettings, take


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
        self._cost: Cost | None = None  # once it is counted
        hardware.keep_freed_memory()
        # Deterministic algorithms fill all new memory with NaN, in case something reads what it never wrote.
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        seed_everything(seed, workers=True, verbose=False)
        accumulate = optimization.accumulate_grad_batches
        steps = self._trainer.steps(Loaders(data, loading, ranks=trainer.processes, accumulate=accumulate, seed=seed).steps)
        if not len(data.rows("train")):  # raw inputs of a prediction: nothing is trained, and a schedule would have no steps
            optimization = dataclasses.replace(optimization, scheduler=None)
        self._optimization = dataclasses.replace(optimization, total_steps=steps)
        schedule.check(self._optimization)
        network = model()
        super().__init__(
            task(model=network, preprocess=data.preprocess(), optimization=self._optimization), accelerator=trainer.accelerator
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
        rows = data.rows("train")[:32]
        ((batch,),) = Batches(data.fields, rows, Order(len(rows), together=32))
        self._cost = counted = cost.cost(self.task, batch, dataset=data.prepared.card["name"])
        ranks = self._trainer.processes
        fewest = self._loaders(data).smallest_batch
        synchronized = ranks > 1 and self._trainer.arguments.get("sync_batchnorm")  # statistics are of all processes' batches
        if fewest == 1 and not synchronized:
            freezing = [callback for callback in callbacks if isinstance(callback, Freezing)]
            frozen = [name for callback in freezing for name in callback.frozen_batch_norms(self.task.model)]
            cost.check_single_example_batch(self.task, batch, frozen=frozen)
        return counted

    def fit(self, data: Data, *, folder: Path, sink: Sink, resume: Path | None = None) -> Fit:
        folder.mkdir(parents=True, exist_ok=True)
        flops = (self._cost or self.check(data)).flops or 0
        passes = 3  # a forward pass, and a backward one that costs twice as much
        with hardware.training_threads(passes * flops * data.batch_size, self.torch_device):
            return self._fit(data, folder=folder, sink=sink, resume=resume)

    def _fit(self, data: Data, *, folder: Path, sink: Sink, resume: Path | None) -> Fit:
        seed_everything((self._seed + 1_000_003 * processes.rank()) % 2**32, workers=True, verbose=False)
        callbacks = self._callbacks_of_fit()
        block = 1 if fitting.watch_each_step(callbacks) else self._loading.steps_per_call
        loaders, overfit = self._loaders(data), bool(self._loading.overfit_batches)
        loader = partial(loaders.loader, block=block, device=self.torch_device)
        train, val = loader("train", shuffle=not overfit), loader("train" if overfit else "val")
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
            examples=loaders.examples(train, steps),
            seconds=checkpointing.elapsed,
        )

    def _callbacks_of_fit(self) -> list[Callback]:
        """The callbacks; without validations only those that are a part of an optimizer step."""
        return [callback for callback in self._callbacks() if self._trainer.validates or _in_optimizer_step(callback)]

    def _loaders(self, data: Data) -> Loaders:
        accumulate, spread = self._optimization.accumulate_grad_batches, self.task.needs_in_batch_negatives
        return Loaders(
            data, self._loading, ranks=self._trainer.processes, accumulate=accumulate, seed=self._seed, spread=spread
        )


def _in_optimizer_step(callback: Callback) -> bool:
    return isinstance(callback, TrainingCallback) and callback.in_optimizer_step
