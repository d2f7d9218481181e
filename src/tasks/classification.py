"""One class of several for each example."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, one_hot

from src import losses
from src.optimization import auxiliary_heads
from src.protocols import Batch, Mix, Outcome
from src.tasks.base import Task


class Classification(Task):
    """Cross-entropy over logits; measures accuracy and predicts probabilities.

    Args:
        label_smoothing: the share of a target that is spread over all classes (Szegedy et al. 2016); the validation
            loss is smoothed alike.
        focus: of the focal loss, by which examples that are answered surely and rightly count less; 0 for none.
        class_weights: a factor for each class in the loss, None for 1.
    """

    primary_output = "probability"

    def __init__(
        self, *, label_smoothing: float = 0.0, focus: float = 0.0, class_weights: Sequence[float] | None = None, **common
    ):
        if not 0 <= label_smoothing < 1:
            raise ValueError(f"task.label_smoothing: expected 0 up to, but not including, 1; received {label_smoothing}.")
        if focus < 0:
            raise ValueError(f"task.focus: expected at least 0; received {focus}.")
        super().__init__(**common)
        self._weights: Tensor | None
        self._smoothing, self._focus = label_smoothing, focus
        self.register_buffer("_weights", losses.weights(class_weights, key="task.class_weights"), persistent=False)

    def step(self, batch: Batch) -> Outcome:
        return auxiliary_heads.judged(self.model(batch.input), partial(self._judged, target=batch.target))

    def _judged(self, logits: Tensor, target: Any) -> Outcome:
        spread = target.over(logits.shape[1]) if isinstance(target, Mixed) else target
        if not self._focus and self._weights is None:
            return Outcome(cross_entropy(logits, spread, label_smoothing=self._smoothing), logits, target)
        shares = spread if isinstance(target, Mixed) else one_hot(target, logits.shape[1]).float()
        shares = (1 - self._smoothing) * shares + self._smoothing / logits.shape[1]
        log_probability = logits.float().log_softmax(dim=1)
        weight = losses.check_weights(self._weights, logits, key="task.class_weights")
        loss = losses.focal(log_probability, shares, focus=self._focus, weight=weight).mean()
        return Outcome(loss, logits, target)

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
