"""A class for each pixel."""

from collections.abc import Mapping, Sequence
from typing import Unpack

import torch
from torch import Tensor, nn

from src import losses
from src.protocols import Batch, Move, Outcome
from src.tasks.base import Task, TaskArguments

OUTSIDE = -1  # the target of pixels that an augmentation has moved in from outside of the picture; they do not count


class Segmentation(Task[Tensor]):
    """Cross-entropy and soft Dice over the logits of each pixel. It predicts probabilities.

    Targets have the shape (batch, height, width). A pixel counts where its target is the number of a class. The metrics are
    accuracy over pixels, and the Dice coefficient and the intersection over union as means over classes.

    Args:
        cross_entropy, dice: the weights of both losses.
        class_weights: a factor for each class in the cross-entropy; None for 1.
    """

    primary_output = "probability"

    def __init__(
        self,
        *,
        cross_entropy: float = 1.0,
        dice: float = 1.0,
        class_weights: Sequence[float] | None = None,
        **common: Unpack[TaskArguments],
    ):
        if min(cross_entropy, dice) < 0 or cross_entropy + dice == 0:
            raise ValueError(
                f"task: expected cross_entropy and dice from 0 and one above 0; received {cross_entropy} and {dice}."
            )
        super().__init__(**common)
        self._weights: Tensor | None
        self._loss_weights = (cross_entropy, dice)
        self.register_buffer("_weights", losses.weights(class_weights, key="task.class_weights"), persistent=False)

    @property
    def scoring(self) -> nn.Module:
        return nn.Sequential(self.model, _PixelMeans())

    def step(self, batch: Batch) -> Outcome:
        logits = self.model(batch.input)
        truth = batch.target.unsqueeze(1) == torch.arange(logits.shape[1], device=logits.device).view(-1, 1, 1)
        log_probability = logits.float().log_softmax(dim=1)
        weight = losses.check_weights(self._weights, logits, key="task.class_weights")
        cross_entropy = losses.pixel_cross_entropy(log_probability, truth, weight)
        dice = losses.soft_dice(log_probability.exp() * truth.any(dim=1, keepdim=True), truth)
        loss = self._loss_weights[0] * cross_entropy + self._loss_weights[1] * dice
        return Outcome(loss.mean(), logits, batch.target)

    def move(self, target: Tensor, move: Move) -> Tensor:
        """Classes are moved as numbers from 1, because 0 comes in from outside."""
        return move.apply(target.unsqueeze(1).float() + 1).squeeze(1).round().long() - 1

    def measure(self, outcome: Outcome) -> Mapping[str, Tensor | int]:
        classes, target = outcome.prediction.shape[1], outcome.target.long()  # stored targets are bytes, which have no -1
        cells = target * classes + outcome.prediction.argmax(dim=1)
        counts = torch.bincount(cells[(target >= 0) & (target < classes)], minlength=classes**2).view(classes, classes)
        return {"correct": counts.diagonal(), "sizes": counts.sum(dim=0) + counts.sum(dim=1), "pixels": counts.sum()}

    def scores(self, sums: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        correct, sizes = sums["correct"], sums["sizes"]
        return {
            "accuracy": correct.sum() / sums["pixels"],
            "dice_macro": (2 * correct / sizes).nanmean(),
            "iou_macro": (correct / (sizes - correct)).nanmean(),
        }

    def predict(self, input: Tensor) -> Mapping[str, Tensor]:
        return {"probability": self.model(input).float().softmax(dim=1)}


class _PixelMeans(nn.Module):
    """A picture's scores are the means of its pixels' logits (Vinogradova, Dibrov and Myers 2020, arXiv:2002.11434)."""

    def forward(self, logits: Tensor) -> Tensor:
        return logits.mean(dim=(2, 3))
