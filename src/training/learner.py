"""A network as a learner: the task, and the Lightning Trainer that fits it."""

import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, seed_everything
from lightning.pytorch.strategies import Strategy
from torch import Tensor, nn

from src import signals
from src.data.base import Data
from src.data.loader import Batches, batches, size, smallest
from src.data.transforms import Normalise
from src.distributed import processes
from src.optimization import hardware
from src.optimization.averaging import Average
from src.optimization.divergence import Policy
from src.protocols import Cost, Fit, Mix, Move, Sink
from src.training import cost, fitting
from src.training.callbacks.base import TrainingCallback
from src.training.callbacks.checkpointing import Checkpointing
from src.training.callbacks.freezing import Freezing
from src.training.callbacks.progress import Progress
from src.training.callbacks.record_logger import RecordLogger
from src.training.callbacks.sink_stopping import SinkStopping
from src.training.inference import Inference

BLOCK = 32 * 2**20  # bytes of examples that one call of Lightning's loop may get


class NetworkLearner(Inference):
    """A task under a Trainer.

    Args:
        model: builds the network; its weights depend on the seed alone.
        task: builds the task around a model.
        callbacks: builds further Lightning callbacks.
        augmentation: changes the training examples at random, batch by batch.
        averaging, divergence: of weights over the steps, None for none; what is done about it, None to end the run.
        objective: metric and mode by which best.ckpt is chosen.
        steps_per_call: optimizer steps in one call of Lightning's loop; fewer where their examples exceed 32 MiB.
        in_memory_gib: GiB up to which a part of the data is held in memory.
        compile: mode of torch.compile for the network while it is fitted, None for eager.
        limit_batches: at most so many batches of each part.
        overfit_batches: trains and validates on so many batches alone.
        devices, num_nodes: processes on a node, and nodes; each process computes on a device of its own.
        strategy: makes Lightning's strategy for several processes, None for the one that Lightning chooses.
        arguments: of Lightning's Trainer, passed on.
    """

    def __init__(
        self,
        *,
        model: Callable[[], nn.Module],
        task: Callable[..., Any],
        callbacks: Callable[[], list[Callback]],
        data: Data,
        augmentation: Callable[[Tensor], tuple[Tensor, Sequence[Mix | Move]]] | None = None,
        averaging: Average | None = None,
        divergence: Policy | None = None,
        objective: Mapping[str, str],
        seed: int,
        max_epochs: int | None,
        max_steps: int = -1,
        gradient_clip_val: float | None = None,
        accumulate_grad_batches: int = 1,
        auto_micro_batch: bool = False,
        steps_per_call: int = 32,
        in_memory_gib: float = 4.0,
        compile: str | None = None,
        log_every_n_steps: int = 20,
        save_every_n_minutes: float = 10.0,
        save_every_n_steps: int | None = None,
        limit_batches: int | None = None,
        overfit_batches: int = 0,
        progress_bar: bool | None = None,
        devices: int = 1,
        num_nodes: int = 1,
        strategy: Callable[[], Strategy] | None = None,
        **arguments: Any,
    ):
        fitting.check(compile=compile, max_epochs=max_epochs, max_steps=max_steps, gradient_clip_val=gradient_clip_val)
        fitting.check_counts(
            accumulate_grad_batches=accumulate_grad_batches,
            steps_per_call=steps_per_call,
            log_every_n_steps=log_every_n_steps,
        )
        fitting.check_counts(optional=True, save_every_n_steps=save_every_n_steps, limit_batches=limit_batches)
        fitting.check_counts(least=0, overfit_batches=overfit_batches)
        fitting.check_arguments(arguments)
        self._processes = processes.wanted(devices, num_nodes)
        self._world = {"devices": devices, "num_nodes": num_nodes}
        self._strategy = strategy
        self._ends = {"max_epochs": max_epochs or -1, "max_steps": max_steps}
        self._accumulate = accumulate_grad_batches
        self._limit, self._overfit = limit_batches, overfit_batches
        hardware.keep_freed_memory()
        # Deterministic algorithms would fill all new memory with NaN, in case something reads what it never wrote.
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        seed_everything(seed, workers=True, verbose=False)
        ready = task(
            model=model(),
            preprocess=Normalise(mean=data.mean, std=data.std),
            objective=objective["metric"],
            augmentation=augmentation,
            averaging=averaging,
            divergence=divergence,
            gradient_clip_val=gradient_clip_val,
            accumulate_grad_batches=accumulate_grad_batches,
            auto_micro_batch=auto_micro_batch,
            log_every_n_steps=log_every_n_steps,
            total_steps=self._steps(data),
        )
        super().__init__(ready, accelerator=arguments.get("accelerator", "auto"))
        self._objective = objective
        self._seed, self._callbacks = seed, callbacks
        self._steps_per_call, self._compile = steps_per_call, compile
        self._in_memory = in_memory_gib * 2**30
        self._minutes, self._save_steps = save_every_n_minutes, save_every_n_steps
        self._bar = sys.stderr.isatty() if progress_bar is None else progress_bar
        self._arguments = arguments

    def fit(
        self,
        data: Data,
        *,
        folder: Path,
        sink: Sink,
        resume: Path | None = None,
    ) -> Fit:
        seed_everything((self._seed + 1_000_003 * processes.rank()) % 2**32, workers=True, verbose=False)
        callbacks = self._made()
        block = 1 if fitting.watching(callbacks) else self._steps_per_call
        train = self._batches(data, "train", block, shuffle=not self._overfit)
        val = self._batches(data, "train" if self._overfit else "val", block)
        self.task.examples = partial(fitting.sample, self.task, train)
        start = fitting.start(folder, resume) if processes.rank() == 0 else resume  # which the others are told
        if self._compile:
            self.task.model.compile(mode=self._compile)  # in place: the names of its weights stay what they are
        task = processes.fitting(folder, data.prepared.folder, start)
        with signals.Postponed(say=processes.rank() == 0) as asked, processes.together(**self._world, task=task):
            checkpointing = None
            progress = [Progress(self.task.total_steps)] if self._bar else []
            while True:
                self.task.train()  # a fit that a validation has ended left it as that wants it
                checkpointing = Checkpointing(
                    folder=folder,
                    minutes=self._minutes,
                    steps=self._save_steps,
                    flush=sink.flush,
                    asked=lambda: asked.number,
                    good=self.task.divergence.returns,
                    before=checkpointing,
                    **self._objective,
                )
                trainer = fitting.trainer(
                    folder,
                    strategy=self._strategy,
                    callbacks=[checkpointing, *progress, *callbacks, SinkStopping(sink)],
                    logger=RecordLogger(sink, lambda: self.task.current_epoch + 1),
                    **{"deterministic": True, **self._world, **self._ends, **self._arguments},
                )
                end = fitting.fit(trainer, self.task, train, val, ckpt_path=start, weights_only=True)
                if end is not fitting.End.ROLLED_BACK:
                    break
                start, callbacks = checkpointing.good_path, self._made()
        if end is fitting.End.STOPPED:  # no checkpoint has made its last metrics safe
            sink.flush()
        self.task.model._compiled_call_impl = None  # predictions and the export take the eager network
        if trainer.is_global_zero and checkpointing.best is not None:
            self.load(folder / "best.ckpt")
        taken = trainer.global_step + self.task.divergence.lead
        return Fit(
            epochs=trainer.current_epoch + (end is fitting.End.STOPPED),
            best_epoch=checkpointing.best_epoch,
            steps=taken,
            examples=self._seen(train, taken),
            seconds=checkpointing.elapsed,
        )

    def check(self, data: Data) -> Cost:
        callbacks = self._callbacks()
        for callback in callbacks:
            if isinstance(callback, TrainingCallback):
                callback.check(self.task, processes=self._processes)
        self.task.cpu().eval()
        ((batch,),) = Batches(data.arrays, data.rows("train")[:32], batch_size=32)
        found = cost.cost(self.task, batch, name=data.prepared.card["name"])
        limit, rows = self._overfit or self._limit, data.rows("train")
        fewest = smallest(len(rows), batch_size=data.batch_size, ranks=self._processes, limit=limit)
        together = self._processes > 1 and self._arguments.get("sync_batchnorm")  # then it goes by the batches of all
        if fewest == 1 and not together:
            freezing = [callback for callback in callbacks if isinstance(callback, Freezing)]
            frozen = [name for callback in freezing for name in callback.frozen_batch_norms(self.task.model)]
            cost.check_single_example_batch(self.task, batch, frozen=frozen)
        return found

    def _made(self) -> list[Callback]:
        """The callbacks; without validations those alone that are a part of an optimizer step."""
        validated = self._arguments.get("limit_val_batches") != 0
        return [callback for callback in self._callbacks() if validated or _in_optimizer_step(callback)]

    def _steps(self, data: Data) -> int:
        """Optimizer steps of the whole training."""
        count, end = len(data.rows("train")), self._ends["max_steps"]
        together = {"batch_size": data.batch_size, "ranks": self._processes}
        epoch = -(-batches(count, **together, limit=self._overfit or self._limit) // self._accumulate)
        steps = epoch * max(self._ends["max_epochs"], 0)
        return steps if end < 0 else min(steps or end, end)

    def _seen(self, train: Batches, steps: int) -> int:
        """Examples of so many optimizer steps."""
        epochs, rest = divmod(steps, -(-train.batches // self._accumulate))
        return epochs * train.examples + min(rest * self._accumulate * train.together, train.examples)

    def _batches(self, data: Data, part: str, block: int, *, shuffle: bool = False) -> Batches:
        rows = (
            data.rows(part)
            if shuffle or not self.task.needs_in_batch_negatives
            else np.random.default_rng(0).permutation(data.rows(part))
        )
        step = self._accumulate * size(data.arrays, rows[: data.batch_size])
        steps = -(-block // self._accumulate)
        return Batches(
            data.arrays,
            rows,
            batch_size=data.batch_size,
            rank=processes.rank(),
            ranks=self._processes,
            block=self._accumulate * max(1, min(steps, BLOCK // step)),
            shuffle=shuffle,
            seed=self._seed,
            limit=self._overfit or self._limit,
            in_memory=self._in_memory,
            device=self.torch_device if self._fits(size(data.arrays, rows)) else "cpu",
        )

    def _fits(self, size: int) -> bool:
        """Whether so many bytes of examples may lie on the accelerator, a quarter of whose free memory is theirs."""
        return self._processes == 1 and self.torch_device.type == "cuda" and size <= torch.cuda.mem_get_info()[0] / 4


def _in_optimizer_step(callback: Callback) -> bool:
    return isinstance(callback, TrainingCallback) and callback.in_optimizer_step
