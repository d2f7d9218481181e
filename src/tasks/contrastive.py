"""Latents without labels: two random views of an example shall lie together, and apart from the views of all others."""

from collections.abc import Mapping
from typing import Any, Unpack

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from src.errors import InputError
from src.optimization.random_state import random_state, set_random_state
from src.protocols import Batch, Mix, Outcome
from src.tasks.base import Task, TaskArguments


class Contrastive(Task[object]):
    """The normalised, temperature-scaled cross-entropy between views (Chen et al. 2020, arXiv:2002.05709).

    A view is an augmented example. Each view must find the other view of its example among all views of the batch, by the
    cosine between the outputs of the network's head. The latent before the head is what is kept. Each process compares the
    examples of its own batch. So the loss depends on the batch size, the temperature and the strength of the augmentation.
    Compare runs that differ in these by their evaluation.

    Args:
        temperature: the divisor of the cosines.
    """

    primary_output = "latent"
    needs_in_batch_negatives = True
    model_attributes = ("encoder",)
    model: Any

    def __init__(self, *, temperature: float = 0.5, **common: Unpack[TaskArguments]):
        if temperature <= 0:
            raise ValueError(f"task.temperature: expected a number above 0; received {temperature}.")
        super().__init__(**common)
        if self._augmentation is None:
            raise InputError(
                "task=contrastive: expected an augmentation; received none, which makes both views of an example the same. "
                "Choose augmentation=views."
            )
        self._temperature = temperature

    def augmented(self, batch: Batch) -> Batch:
        """The two views of each example, (batch, 2, ...)."""
        one, other = super().augmented(batch), super().augmented(batch)
        return batch._replace(input=torch.stack([one.input, other.input], dim=1))

    def validated(self, batch: Batch) -> Batch:
        """The two views of each example, the same ones every time."""
        random = random_state()  # the training continues with the random numbers that it would have had
        torch.manual_seed(int(batch.row[0]))
        views = self.augmented(batch)
        set_random_state(random)
        return views

    def step(self, batch: Batch) -> Outcome:
        projected = self.model(batch.input.flatten(0, 1)).float()
        with torch.autocast(projected.device.type, enabled=False):  # in bfloat16 many views would be equally near
            directions = normalize(projected, dim=1)
            cosines = directions @ directions.T / self._temperature
            cosines.fill_diagonal_(-torch.inf)
            other = torch.arange(len(cosines), device=cosines.device) ^ 1  # views of an example follow one another
            return Outcome(cross_entropy(cosines, other), cosines, other)

    def mix(self, target: object, mix: Mix) -> object:
        raise InputError(
            "augmentation: expected steps that keep examples apart; mixup and cutmix make views of two. Leave them out."
        )

    def measure(self, outcome: Outcome) -> Mapping[str, Tensor | int]:
        """How many views find the other one of their example."""
        return {"matched": (outcome.prediction.argmax(dim=1) == outcome.target).sum(), "views": len(outcome.target)}

    def scores(self, sums: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        return {"matched": sums["matched"] / sums["views"]}

    def forward_for_flops(self, input: Tensor) -> Tensor:
        return self.model.encoder(input)

    def predict(self, input: Tensor) -> Mapping[str, Tensor]:
        return {"latent": self.model.encoder(input).float()}
