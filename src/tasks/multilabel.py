"""Any number of several labels for each example, none among them."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Unpack

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from src import losses
from src.optimization.auxiliary_heads import add_auxiliary_losses
from src.protocols import Batch, Mix, Outcome
from src.tasks.base import Task, TaskArguments


class MultiLabel(Task[Tensor]):
    """Binary cross-entropy over the logits of each label. It predicts probabilities that do not add up to 1.

    Targets are flags of shape (batch, labels). With one label it is binary classification.

    Args:
        positive_weights: for each label a factor in the loss of the examples that have it; None for 1.
    """

    primary_output = "probability"

    def __init__(self, *, positive_weights: Sequence[float] | None = None, **common: Unpack[TaskArguments]):
        super().__init__(**common)
        self._weights: Tensor | None
        self.register_buffer("_weights", losses.weights(positive_weights, key="task.positive_weights"), persistent=False)

    def step(self, batch: Batch) -> Outcome:
        return add_auxiliary_losses(self.model(batch.input), partial(self._outcome, target=batch.target))

    def _outcome(self, logits: Tensor, target: Tensor) -> Outcome:
        weight = losses.check_weights(self._weights, logits, key="task.positive_weights")
        loss = binary_cross_entropy_with_logits(logits.float(), target.float(), pos_weight=weight)
        return Outcome(loss, logits, target)

    def mix(self, target: Tensor, mix: Mix) -> Tensor:
        return torch.lerp(target[mix.partner].float(), target.float(), mix.share.unsqueeze(1))

    def measure(self, outcome: Outcome) -> Mapping[str, Tensor | int]:
        predicted, true = outcome.prediction > 0, outcome.target > 0.5
        return {
            "correct": (predicted == true).all(dim=1).sum(),
            "examples": len(predicted),
            "hits": (predicted & true).sum(dim=0),
            "flags": predicted.sum(dim=0) + true.sum(dim=0),
        }

    def scores(self, sums: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        return {
            "subset_accuracy": sums["correct"] / sums["examples"],
            "f1_macro": (2 * sums["hits"] / sums["flags"]).nanmean(),
        }

    def predict(self, input: Tensor) -> Mapping[str, Tensor]:
        return {"probability": self.model(input).float().sigmoid()}
