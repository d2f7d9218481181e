"""One class of several for each example."""

from collections.abc import Mapping

from torch import Tensor
from torch.nn.functional import cross_entropy

from src.protocols import Batch, Outcome
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
        logits = self.model(batch.input)
        loss = cross_entropy(logits, batch.target, label_smoothing=self._smoothing)
        return Outcome(loss, logits, batch.target)

    def measure(self, outcome: Outcome) -> Mapping[str, tuple[Tensor, int]]:
        right = (outcome.prediction.argmax(dim=1) == outcome.target).sum()
        return {"accuracy": (right, len(outcome.target))}

    def predict(self, input: Tensor) -> Mapping[str, Tensor]:
        return {"probability": self.model(input).float().softmax(dim=1)}
