"""The forward and backward passes of one optimizer step, whole batches or, where memory is short, micro-batches.

The loss of a step is the mean over all units of its batches, in all processes: over examples, or what else a task counts. A
batch of fewer units weighs less.
"""

import math
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.strategies import DDPStrategy, SingleDeviceStrategy
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from src.errors import InputError, RunFailed
from src.optimization.optimizer_step import OptimizerStep
from src.optimization.random_state import random_state, set_random_state
from src.protocols import Batch

OUT_OF_MEMORY = "can't allocate memory"  # what torch says on a CPU, in a plain RuntimeError

ForwardBackward = Callable[[Batch, float], Tensor]
"""Gives a batch's share in the loss of its step, times the number of the step's batches, ().

It adds the gradients of the batch's loss divided by a number to those of the parameters.
"""


def loss_divisors(trainer: Trainer, units: Sequence[Tensor | int], together: int) -> list[float]:
    """By what the mean loss of each batch is divided: the quotients of a step add up to the mean over its units.

    Over several processes it is the mean of their sums, as they average their gradients. A batch without units has an infinite
    divisor. All processes must call it.

    Args:
        units: of the loss of each batch in this process.
        together: batches of a step.
    """
    ranks, device = trainer.world_size, trainer.strategy.root_device
    own: list[int] = [number for number in units if isinstance(number, int)]
    if len(own) < len(units):
        own = torch.stack([torch.as_tensor(number, device=device) for number in units]).tolist()  # one wait for the device
    totals: list[float] = [*own]
    if ranks > 1:
        totals = trainer.strategy.reduce(torch.tensor(own, dtype=torch.float64, device=device), reduce_op="sum").tolist()
    divisors: list[float] = []
    for first in range(0, len(own), together):
        total = sum(totals[first : first + together])
        divisors += [total / (ranks * number) if number else math.inf for number in own[first : first + together]]
    return divisors


class WholeBatches:
    """One forward and one backward pass for each batch. Several processes average their gradients in the last pass of a step.

    DDP averages the gradients of all parameters. A task whose parts are updated alternately needs those of one part, so
    here they are averaged without DDP.

    Args:
        parts: the number of parts that the task updates alternately.
    """

    def __init__(self, task: LightningModule, optimizer_step: OptimizerStep, *, parts: int):
        strategy: Any = task.trainer.strategy
        self.synchronization = GradientSynchronization(strategy, optimizer_step.parameters)
        self.zero_grad = optimizer_step.zero_grad
        self._part_by_part = parts > 1 and self.synchronization.needed
        if self._part_by_part and type(strategy) is not DDPStrategy:
            raise InputError(
                f"trainer: expected one device, or trainer=ddp; {type(task).__name__} updates its parts alternately, which "
                f"{type(strategy).__name__} does not support."
            )

    def __call__(
        self, forward_backward: ForwardBackward, batches: Sequence[Batch], divisors: Sequence[float], step: int
    ) -> list[Tensor]:
        """The loss of each batch of an optimizer step; the parameters have the gradients afterwards."""
        (*first, last), (*those, of_last) = batches, divisors
        with self.synchronization.postponed():
            losses = [forward_backward(batch, divisor) for batch, divisor in zip(first, those, strict=True)]
        with self.synchronization.postponed() if self._part_by_part else nullcontext():
            losses.append(forward_backward(last, of_last))
        if self._part_by_part:
            self.synchronization.average()
        return losses


class MicroBatches:
    """Splits each batch into as many micro-batches as memory needs. Where it is short, the micro-batch is halved for good.

    The losses of the micro-batches, weighted by their units, add up to the batch's mean loss, and their gradients likewise.
    Batch normalisation sees one micro-batch at a time, and so do dropout and augmentation. A step that ran out of memory is
    repeated from its beginning: without gradients, with the buffers and the random numbers of before.

    Several processes average their gradients only after all of them had the memory for their own. A network that
    communicates in its forward pass would leave the other processes waiting, and is refused.

    Args:
        whole: the passes without micro-batches.
        units: that the loss of a batch is a mean of.
        size: examples of a micro-batch; None for whole batches.
        on_change: is called with the size whenever it has changed.
    """

    def __init__(
        self,
        whole: WholeBatches,
        task: LightningModule,
        *,
        units: Callable[[Batch], Tensor | int],
        size: int | None,
        on_change: Callable[[int], None],
    ):
        strategy: Any = task.trainer.strategy
        communicates = any(isinstance(module, nn.SyncBatchNorm) for module in task.modules())
        if type(strategy) not in (SingleDeviceStrategy, DDPStrategy) or communicates:
            raise InputError(
                "trainer.auto_micro_batch=true: expected one device, or trainer=ddp without trainer.sync_batchnorm. Processes "
                "that communicate within a forward pass cannot repeat one for which memory was short."
            )
        self._synchronization = whole.synchronization
        self._zero_grad = whole.zero_grad
        self._strategy = strategy
        self._buffers = [*task.buffers()]
        self._units = units
        self._on_change = on_change
        self.size = size

    def __call__(
        self, forward_backward: ForwardBackward, batches: Sequence[Batch], divisors: Sequence[float], step: int
    ) -> list[Tensor]:
        """The loss of each batch of an optimizer step; the parameters have the gradients afterwards.

        Raises:
            RunFailed: memory is too short for a single example.
        """
        before = self.size
        losses = self._with_retries(forward_backward, batches, divisors, step)
        if self.size is not None and self.size != before:
            self._on_change(self.size)
            if self._strategy.is_global_zero:
                print(f"memory: too short for a batch at once; {self.size} examples at a time from here on.", file=sys.stderr)
        return losses

    def _with_retries(
        self, forward_backward: ForwardBackward, batches: Sequence[Batch], divisors: Sequence[float], step: int
    ) -> list[Tensor]:
        while True:
            random, buffers = random_state(), [buffer.clone() for buffer in self._buffers]
            exhausted = None
            try:
                with self._synchronization.postponed():
                    pairs = zip(batches, divisors, strict=True)
                    losses = [self._in_micro_batches(forward_backward, batch, divisor) for batch, divisor in pairs]
            except (RuntimeError, MemoryError) as error:
                if not _is_out_of_memory(error):
                    raise
                exhausted = str(error).partition("\n")[0]  # the error itself holds the frames, and with them their memory
            largest = max(batch.size for batch in batches)
            short, largest = self._in_all_processes(exhausted is not None, largest)
            if not short:
                self._synchronization.average()
                return losses
            self._zero_grad()
            for buffer, before in zip(self._buffers, buffers, strict=True):
                buffer.copy_(before)
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            self._halve(min(self.size or largest, largest), step, exhausted or "in another process")
            set_random_state(random)

    def _in_micro_batches(self, forward_backward: ForwardBackward, batch: Batch, divisor: float) -> Tensor:
        if self.size is None or batch.size <= self.size:
            return forward_backward(batch, divisor)
        units, losses = float(self._units(batch)), []
        for piece in batch.split(-(-batch.size // self.size)):
            own = float(self._units(piece))
            losses.append(forward_backward(piece, divisor * (units / own) if own else math.inf))
        return torch.stack(losses).sum()

    def _halve(self, size: int, step: int, reason: str) -> None:
        if size == 1:
            raise RunFailed(
                f"Out of memory in step {step}, even with one example at a time: {reason}. Choose a smaller model, smaller "
                "examples, or trainer.precision=bf16-mixed."
            )
        self.size = -(-size // 2)

    def _in_all_processes(self, short: bool, largest: int) -> tuple[bool, int]:
        """Whether memory was short in any process, and the largest batch of all processes."""
        if not self._synchronization.needed:
            return short, largest
        values = torch.tensor([int(short), largest], device=self._strategy.root_device)
        torch.distributed.all_reduce(values, torch.distributed.ReduceOp.MAX)
        return bool(values[0]), int(values[1])


class GradientSynchronization:
    """Averages the gradients of the processes of DDP, at a time of our own.

    Attributes:
        needed: whether there are several processes.
    """

    def __init__(self, strategy: Any, parameters: Sequence[nn.Parameter]):
        self._strategy = strategy
        self._parameters = parameters
        self.needed = getattr(strategy, "world_size", 1) > 1

    def postponed(self) -> AbstractContextManager[None]:
        """A block in which backward passes leave gradients as each process has them."""
        model = self._strategy.model
        return model.no_sync() if isinstance(model, DistributedDataParallel) else nullcontext()

    def average(self) -> None:
        """Averages the gradients over the processes, in place: it needs no memory of its own."""
        if not self.needed:
            return
        gradients = [parameter.grad for parameter in self._parameters if parameter.grad is not None]
        pending = [torch.distributed.all_reduce(gradient, async_op=True) for gradient in gradients]
        for work in pending:
            work.wait()
        torch._foreach_div_(gradients, self._strategy.world_size)


def _is_out_of_memory(error: Exception) -> bool:
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or OUT_OF_MEMORY in str(error)
