"""The turns of a training step: parts of a task that learn one after the other, each by an optimizer step of its own."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from src.optimization.gradient_accumulation import MicroBatches, Whole
from src.optimization.optimizer_step import Stepping
from src.protocols import Batch


class Turns:
    """The training steps of a task. Each counts once, however many turns it has.

    A part that is frozen as a whole has no turn. While a part learns, the parameters of the others get no gradients, and
    optimizers leave alone what has none. A turn sees the weights that the turn before it came to.

    Args:
        passes: forward and backward, over the batches of a step.
    """

    def __init__(self, task: Any, stepping: Stepping, passes: Whole | MicroBatches):
        self._task = task
        self._stepping = stepping
        self._passes = passes
        named = [*task.named_parameters()]
        self._parts = {part: [found for name, found in named if name.startswith(part)] for part in task.parts}
        self._others = {part: [found for name, found in named if not name.startswith(part)] for part in task.parts}

    def __call__(self, group: Sequence[Batch], step: int) -> list[Tensor]:
        """The loss of each batch, those of all turns added up."""
        turns = []
        parts = [part for part, own in self._parts.items() if any(parameter.requires_grad for parameter in own)]
        for number, part in enumerate(parts, start=1):
            learning = [parameter for parameter in self._others[part] if parameter.requires_grad]  # what is frozen stays so
            for parameter in learning:
                parameter.requires_grad_(False)
            try:
                self._stepping.begin()
                turns.append(self._passes(partial(self._learn, part), group, step))
                self._stepping.step(turns[-1], last=number == len(parts))
            finally:
                for parameter in learning:
                    parameter.requires_grad_(True)
        return turns[0] if len(turns) == 1 else [torch.stack(losses).sum() for losses in zip(*turns, strict=True)]

    def _learn(self, part: str, batch: Batch, divisor: float) -> Tensor:
        """A batch's mean loss; to the gradients those of the loss divided by a number are added."""
        loss = self._task.turn(part, self._task.augmented(batch))
        if batch.weight != 1:
            loss = loss * batch.weight
        self._stepping.backward(loss if divisor == 1 else loss / divisor)
        return loss.detach()
