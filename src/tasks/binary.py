"""One of two classes for each example, by one output."""

from collections.abc import Mapping
from functools import partial
from typing import Unpack

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from src import losses
from src.errors import InputError
from src.optimization.auxiliary_heads import add_auxiliary_losses
from src.protocols import Batch, Mix, Outcome
from src.tasks.base import Task, TaskArguments


class Binary(Task[Tensor]):
    """Binary cross-entropy over the logit of the second class. It predicts the probabilities of both classes.

    Args:
        num_classes: of the data, which must be 2.
        label_smoothing: the share of a target that is spread over both classes.
        positive_weight: a factor in the loss of examples of the second class.
    """

    primary_output = "probability"

    def __init__(
        self,
        *,
        num_classes: int,
        label_smoothing: float = 0.0,
        positive_weight: float = 1.0,
        **common: Unpack[TaskArguments],
    ):
        if num_classes != 2:
            raise InputError(
                f"task=binary: expected data of two classes; received {num_classes}. Choose two of them "
                "(data.dataset.classes=[0,1] data.num_classes=null), or task=classification."
            )
        if not 0 <= label_smoothing < 1:
            raise ValueError(f"task.label_smoothing: expected 0 up to, but not including, 1; received {label_smoothing}.")
        if positive_weight <= 0:
            raise ValueError(f"task.positive_weight: expected a factor above 0; received {positive_weight}.")
        super().__init__(**common)
        self._weight: Tensor
        self._smoothing = label_smoothing
        self.register_buffer("_weight", torch.tensor(float(positive_weight)), persistent=False)

    @property
    def scoring(self) -> nn.Module:
        return nn.Sequential(self.model, _BothClasses())

    def step(self, batch: Batch) -> Outcome:
        return add_auxiliary_losses(self.model(batch.input), partial(self._outcome, target=batch.target))

    def _outcome(self, logits: Tensor, target: Tensor) -> Outcome:
        if logits.shape[1] != 1:
            raise InputError(
                f"task=binary: expected a model with one output; {type(self.model).__name__} has {logits.shape[1]}. Set "
                "model.num_outputs=1 (of torchvision's model.network.num_classes=1), or choose task=classification."
            )
        logit = logits[:, 0].float()
        shares = losses.smooth(torch.stack([1 - target.float(), self._weight * target], dim=1), self._smoothing)
        log_probability = logsigmoid(torch.stack([-logit, logit], dim=1))
        return Outcome(-(shares * log_probability).sum(dim=1).mean(), logit, target)

    def mix(self, target: Tensor, mix: Mix) -> Tensor:
        return torch.lerp(target[mix.partner].float(), target.float(), mix.share)

    def measure(self, outcome: Outcome) -> Mapping[str, Tensor | int]:
        correct = ((outcome.prediction > 0) == (outcome.target > 0.5)).sum()
        return {"correct": correct, "examples": len(outcome.target)}

    def scores(self, sums: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        return {"accuracy": sums["correct"] / sums["examples"]}

    def predict(self, input: Tensor) -> Mapping[str, Tensor]:
        return {"probability": _both_logits(self.model(input).float()).sigmoid()}


class _BothClasses(nn.Module):
    def forward(self, logit: Tensor) -> Tensor:
        return _both_logits(logit)


def _both_logits(logit: Tensor) -> Tensor:
    """The logits of both classes from that of the second one. Shapes: (batch, 1) to (batch, 2)."""
    return torch.cat([-logit, logit], dim=1)
