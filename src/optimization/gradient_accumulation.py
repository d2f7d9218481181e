"""The forward and backward passes of one optimizer step: batch by batch, or in smaller pieces where memory is short.

The loss of a step is the mean of its batches' losses, also in an epoch's last step, which may have fewer of them.
"""

import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.strategies import DDPStrategy, SingleDeviceStrategy
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from src.errors import InputError, RunFailed
from src.optimization.optimizer_step import Stepping
from src.optimization.random_state import random_state, set_random_state
from src.protocols import Batch

EXHAUSTED = "can't allocate memory"  # what torch says on a CPU, by a plain RuntimeError


Learn = Callable[[Batch, float], Tensor]
"""Gives a batch's mean loss, and adds to the gradients those of the loss divided by a number."""


class Whole:
    """One forward and one backward pass for each batch; of several processes, gradients are added up with a step's last one.

    Of several processes, DDP adds up the gradients of all parameters at once; where parts of a task learn in turn, each
    process computes those of the part alone, and they are added up here.
    """

    def __init__(self, task: Any, stepping: Stepping):
        strategy: Any = task.trainer.strategy
        self.gradients = Gradients(strategy, stepping.parameters)
        self.forget = stepping.forget
        self._by_hand = len(task.parts) > 1 and self.gradients.several
        if self._by_hand and type(strategy) is not DDPStrategy:
            raise InputError(
                f"trainer: expected one device, or trainer=ddp; {type(task).__name__} has parts that learn in turn, which "
                f"{type(strategy).__name__} does not share out."
            )

    def __call__(self, learn: Learn, group: Sequence[Batch], step: int) -> list[Tensor]:
        *first, last = group
        with self.gradients.alone():
            losses = [learn(batch, len(group)) for batch in first]
        with self.gradients.alone() if self._by_hand else nullcontext():
            losses.append(learn(last, len(group)))
        if self._by_hand:
            self.gradients.add_up()
        return losses


class MicroBatches:
    """As many passes for each batch as memory asks for: where it is short, the micro-batch is halved, for good.

    The losses of a batch's pieces, weighted by their sizes, add up to the mean loss of the batch, and so do the
    gradients. Batch normalisation sees a piece; dropout and augmentation draw for each. A step that ran out of memory
    begins again as if it had not been tried: without gradients, with the buffers and the random numbers of before.

    Of several processes, each computes its gradients alone; only when all have had the memory for it do they add them up. A
    network whose forward pass speaks to other processes would leave them waiting, and is refused.

    Args:
        whole: the passes where memory suffices.
        size: of a micro-batch, None for whole batches.
        found: takes the size when it has changed.
    """

    def __init__(self, whole: Whole, task: LightningModule, *, size: int | None, found: Callable[[int], None]):
        strategy: Any = task.trainer.strategy
        speaks = any(isinstance(module, nn.SyncBatchNorm) for module in task.modules())
        if type(strategy) not in (SingleDeviceStrategy, DDPStrategy) or speaks:
            raise InputError(
                "trainer.auto_micro_batch=true: expected one device, or trainer=ddp without trainer.sync_batchnorm; processes "
                "that speak to each other within a forward pass cannot agree on one that had no memory for it."
            )
        self._gradients = whole.gradients
        self._forget = whole.forget
        self._strategy = strategy
        self._buffers = [*task.buffers()]
        self._found = found
        self.size = size

    def __call__(self, learn: Learn, group: Sequence[Batch], step: int) -> list[Tensor]:
        before = self.size
        losses = self._tried(learn, group, step)
        if self.size is not None and self.size != before:
            self._found(self.size)
            if self._strategy.is_global_zero:
                print(f"memory: too short for a batch at once; {self.size} examples at a time from here on.", file=sys.stderr)
        return losses

    def _tried(self, learn: Learn, group: Sequence[Batch], step: int) -> list[Tensor]:
        while True:
            random, buffers = random_state(), [buffer.clone() for buffer in self._buffers]
            exhausted = None
            try:
                with self._gradients.alone():
                    losses = [self._piecewise(learn, batch, len(group)) for batch in group]
            except (RuntimeError, MemoryError) as error:
                if not _out_of_memory(error):
                    raise
                exhausted = str(error).partition("\n")[0]  # the error itself holds the frames, and with them their memory
            largest = max(len(batch.row) for batch in group)
            short, largest = self._agreed(exhausted is not None, largest)
            if not short:
                self._gradients.add_up()
                return losses
            self._forget()
            for buffer, before in zip(self._buffers, buffers, strict=True):
                buffer.copy_(before)
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            self._halve(min(self.size or largest, largest), step, exhausted or "in another process")
            set_random_state(random)

    def _piecewise(self, learn: Learn, batch: Batch, divisor: int) -> Tensor:
        count = len(batch.row)
        if self.size is None or count <= self.size:
            return learn(batch, divisor)
        pieces = -(-count // self.size)  # of equal sizes, but for one example
        parts = zip(*(field.tensor_split(pieces) for field in (batch.input, batch.target, batch.row)), strict=True)
        losses = []
        for input, target, row in parts:
            loss = learn(Batch(input, target, row, batch.weight), divisor * count / len(row))
            losses.append(loss * (len(row) / count))
        return torch.stack(losses).sum()

    def _halve(self, size: int, step: int, reason: str) -> None:
        if size == 1:
            raise RunFailed(
                f"Out of memory in step {step}, even with one example at a time: {reason}. Choose a smaller model, smaller "
                "examples, or trainer.precision=bf16-mixed."
            )
        self.size = -(-size // 2)

    def _agreed(self, short: bool, largest: int) -> tuple[bool, int]:
        if not self._gradients.several:
            return short, largest
        found = torch.tensor([int(short), largest], device=self._strategy.root_device)
        torch.distributed.all_reduce(found, torch.distributed.ReduceOp.MAX)
        return bool(found[0]), int(found[1])


class Gradients:
    """Those that each process of DDP computes alone, until they are added up."""

    def __init__(self, strategy: Any, parameters: Sequence[nn.Parameter]):
        self._strategy = strategy
        self._parameters = parameters
        self.several = getattr(strategy, "world_size", 1) > 1

    def alone(self) -> AbstractContextManager[None]:
        model = self._strategy.model
        return model.no_sync() if isinstance(model, DistributedDataParallel) else nullcontext()

    def add_up(self) -> None:
        """The mean of all processes' gradients, in place: it needs no memory of its own."""
        if not self.several:
            return
        gradients = [parameter.grad for parameter in self._parameters if parameter.grad is not None]
        waiting = [torch.distributed.all_reduce(gradient, async_op=True) for gradient in gradients]
        for work in waiting:
            work.wait()
        torch._foreach_div_(gradients, self._strategy.world_size)


def _out_of_memory(error: Exception) -> bool:
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or EXHAUSTED in str(error)
