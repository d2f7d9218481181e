"""The updates of a training step: parts of a task are updated one after the other, each by its own loss."""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from lightning.pytorch import LightningModule
from torch import Tensor

from src.optimization.gradient_accumulation import MicroBatches, WholeBatches
from src.optimization.optimizer_step import OptimizerStep
from src.protocols import Batch


class AlternatingUpdates:
    """The training steps of a task. Each counts as one step, however many parts it updates.

    While a part is updated, the parameters of the others get no gradients, and optimizers leave parameters without
    gradients alone. A part sees the weights that the update before it gave. A part that is wholly frozen is left out.

    Args:
        parts: by the beginnings of their parameters' names in the task.
        loss: the mean loss, (), over the units of a stored batch, by which a part learns.
        batching: the forward and backward passes of an optimizer step.
    """

    def __init__(
        self,
        task: LightningModule,
        parts: Sequence[str],
        loss: Callable[[str, Batch], Tensor],
        *,
        optimizer_step: OptimizerStep,
        batching: WholeBatches | MicroBatches,
    ):
        self._loss = loss
        self._optimizer_step = optimizer_step
        self._batching = batching
        named = [*task.named_parameters()]
        self._parts = {part: [weight for name, weight in named if name.startswith(part)] for part in parts}
        self._others = {part: [weight for name, weight in named if not name.startswith(part)] for part in parts}

    def __call__(self, batches: Sequence[Batch], divisors: Sequence[float], step: int) -> list[Tensor]:
        """Takes one training step, and gives the loss of each batch, summed over the parts. Their mean is that of all units.

        Args:
            divisors: of the batches' losses: their quotients add up to the mean loss of the step's units.
        """
        losses = []
        parts = [part for part, weights in self._parts.items() if any(weight.requires_grad for weight in weights)]
        for number, part in enumerate(parts, start=1):
            others = [weight for weight in self._others[part] if weight.requires_grad]  # what is frozen stays frozen
            for weight in others:
                weight.requires_grad_(False)
            try:
                self._optimizer_step.begin()
                losses.append(self._batching(partial(self._forward_backward, part, len(batches)), batches, divisors, step))
                self._optimizer_step.step(losses[-1], last=number == len(parts))
            finally:
                for weight in others:
                    weight.requires_grad_(True)
        return losses[0] if len(losses) == 1 else [torch.stack(of_batch).sum() for of_batch in zip(*losses, strict=True)]

    def _forward_backward(self, part: str, count: int, batch: Batch, divisor: float) -> Tensor:
        """The gradients of the loss divided by a number are added to the parameters'.

        Args:
            count: batches of the step, by which the returned quotient is multiplied.
        """
        loss = self._loss(part, batch)
        self._optimizer_step.backward(loss if divisor == 1 else loss / divisor)
        return loss.detach() if divisor == count else loss.detach() * (count / divisor)
