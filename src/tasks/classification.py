"""One class of several for each example."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, Unpack

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, one_hot

from src import losses
from src.optimization.auxiliary_heads import add_auxiliary_losses
from src.protocols import Batch, Mix, Outcome
from src.tasks.base import Task, TaskArguments


class Classification(Task["Tensor | MixedTarget"]):
    """Cross-entropy over logits. It measures accuracy and predicts probabilities.

    Args:
        label_smoothing: the share of a target that is spread over all classes (Szegedy et al. 2016), also in validation.
        focus: the exponent of the focal loss, by which confident correct predictions count less; 0 for plain cross-entropy.
        class_weights: a factor for the loss of each class's examples; None for 1.
        loss: in place of all this, from logits and class numbers to the mean over the batch, (). For mixed examples it gets the
            shares of the classes, (batch, classes), as torch's cross_entropy does.
    """

    primary_output = "probability"

    def __init__(
        self,
        *,
        label_smoothing: float = 0.0,
        focus: float = 0.0,
        class_weights: Sequence[float] | None = None,
        loss: Callable[[Tensor, Tensor], Tensor] | None = None,
        **common: Unpack[TaskArguments],
    ):
        if not 0 <= label_smoothing < 1:
            raise ValueError(f"task.label_smoothing: expected 0 up to, but not including, 1; received {label_smoothing}.")
        if focus < 0:
            raise ValueError(f"task.focus: expected at least 0; received {focus}.")
        if loss is not None and (label_smoothing or focus or class_weights is not None):
            raise ValueError(
                "task.loss: expected no label_smoothing, focus and class_weights beside a loss of your own; received "
                f"{label_smoothing}, {focus} and {class_weights}. Give them to that loss, where it takes them."
            )
        super().__init__(**common)
        self._weights: Tensor | None
        self._loss = loss
        self._smoothing, self._focus = label_smoothing, focus
        self.register_buffer("_weights", losses.weights(class_weights, key="task.class_weights"), persistent=False)

    def step(self, batch: Batch) -> Outcome:
        return add_auxiliary_losses(self.model(batch.input), partial(self._outcome, target=batch.target))

    def _outcome(self, logits: Tensor, target: Any) -> Outcome:
        spread = target.spread(logits.shape[1]) if isinstance(target, MixedTarget) else target
        if self._loss is not None:
            return Outcome(losses.mean(self._loss, logits, spread), logits, target)
        if not self._focus and self._weights is None:
            return Outcome(cross_entropy(logits, spread, label_smoothing=self._smoothing), logits, target)
        shares = spread if isinstance(target, MixedTarget) else one_hot(target, logits.shape[1]).float()
        weight = losses.check_weights(self._weights, logits, key="task.class_weights")
        shares = losses.smooth(shares if weight is None else shares * weight, self._smoothing)
        loss = losses.focal(logits.float().log_softmax(dim=1), shares, focus=self._focus)
        return Outcome(loss.mean(), logits, target)

    def mix(self, target: "Tensor | MixedTarget", mix: Mix) -> "MixedTarget":
        if not isinstance(target, MixedTarget):
            target = MixedTarget(target.unsqueeze(1), torch.ones(len(target), 1, device=target.device))
        share = mix.share.unsqueeze(1)
        return MixedTarget(
            torch.cat([target.classes, target.classes[mix.partner]], dim=1),
            torch.cat([target.shares * share, target.shares[mix.partner] * (1 - share)], dim=1),
        )

    def measure(self, outcome: Outcome) -> Mapping[str, Tensor | int]:
        correct = (outcome.prediction.argmax(dim=1) == outcome.target).sum()
        return {"correct": correct, "examples": len(outcome.target)}

    def scores(self, sums: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        return {"accuracy": sums["correct"] / sums["examples"]}

    def predict(self, input: Tensor) -> Mapping[str, Tensor]:
        return {"probability": self.model(input).float().softmax(dim=1)}


class MixedTarget(NamedTuple):
    """The classes of mixed examples and their shares, which add up to 1. Shapes: (batch, count)."""

    classes: Tensor
    shares: Tensor

    def spread(self, num_classes: int) -> Tensor:
        """The shares over all classes. Shape: (batch, num_classes)."""
        one_hot = self.classes.unsqueeze(2) == torch.arange(num_classes, device=self.classes.device)
        return (one_hot * self.shares.unsqueeze(2)).sum(dim=1)
