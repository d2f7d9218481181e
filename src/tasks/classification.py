"""One class of several for each example."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from src.protocols import Batch, Heads, Mix, Outcome
from src.tasks.base import Task


class Classification(Task):
    """Cross-entropy over logits; measures accuracy and predicts probabilities.

    Args:
        label_smoothing: the share of a target that is spread over all classes (Szegedy et al. 2016); the validation
            loss is smoothed alike.
    """

    answer = "probability"

    def __init__(self, *, label_smoothing: float = 0.0, **common):
        if not 0 <= label_smoothing < 1:
            raise ValueError(f"task.label_smoothing: expected 0 up to, but not including, 1; received {label_smoothing}.")
        super().__init__(**common)
        self._smoothing = label_smoothing

    def step(self, batch: Batch) -> Outcome:
        made = self.model(batch.input)
        if not isinstance(made, Heads):
            return self._judged(made, batch.target)
        outcome = self._judged(made.logits, batch.target)
        losses = [share * self._judged(logits, batch.target).loss for logits, share in made.others]
        return outcome._replace(loss=torch.stack([outcome.loss, *losses]).sum())

    def _judged(self, logits: Tensor, target: Any) -> Outcome:
        spread = target.over(logits.shape[1]) if isinstance(target, Mixed) else target
        return Outcome(cross_entropy(logits, spread, label_smoothing=self._smoothing), logits, target)

    def mix(self, target: Any, mix: Mix) -> "Mixed":
        if not isinstance(target, Mixed):
            target = Mixed(target.unsqueeze(1), torch.ones(len(target), 1, device=target.device))
        share = mix.share.unsqueeze(1)
        return Mixed(
            torch.cat([target.classes, target.classes[mix.partner]], dim=1),
            torch.cat([target.shares * share, target.shares[mix.partner] * (1 - share)], dim=1),
        )

    def measure(self, outcome: Outcome) -> Mapping[str, tuple[Tensor, int]]:
        right = (outcome.prediction.argmax(dim=1) == outcome.target).sum()
        return {"accuracy": (right, len(outcome.target))}

    def predict(self, input: Tensor) -> Mapping[str, Tensor]:
        return {"probability": self.model(input).float().softmax(dim=1)}


class Mixed(NamedTuple):
    """The classes that a mixed example has, and their shares, which add up to 1. Shapes: (batch, count)."""

    classes: Tensor
    shares: Tensor

    def over(self, num_classes: int) -> Tensor:
        """The shares over all classes. Shape: (batch, num_classes)."""
        one_hot = self.classes.unsqueeze(2) == torch.arange(num_classes, device=self.classes.device)
        return (one_hot * self.shares.unsqueeze(2)).sum(dim=1)
