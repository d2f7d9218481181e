"""Latents without labels: two random views of an example are to lie together, and apart from those of all others."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from src.errors import InputError
from src.optimization.random_state import random_state, set_random_state
from src.protocols import Batch, Mix, Outcome
from src.tasks.base import Task


class Contrastive(Task):
    """The normalised, temperature-scaled cross-entropy between views (Chen et al. 2020, arXiv:2002.05709).

    A view is the example as the run's augmentation changes it. Of all other views of the batch, each view is to name the
    other one of its example, by the cosine between the outputs of the network's head. The latent before the head is
    kept. Each example is compared with those of its own batch, on each process apart. So the loss depends on the batch size,
    the temperature and the strength of the augmentation: compare runs that differ in these by their evaluation.

    Args:
        temperature: that cosines are divided by.
    """

    primary_output = "latent"
    needs_in_batch_negatives = True
    model: Any  # a head behind an encoder

    def __init__(self, *, temperature: float = 0.5, **common):
        if temperature <= 0:
            raise ValueError(f"task.temperature: expected a number above 0; received {temperature}.")
        super().__init__(**common)
        if self._augmentation is None:
            raise InputError(
                "task=contrastive: expected an augmentation, without which both views of an example are the same. "
                "Choose one that leaves an example what it is: augmentation=views."
            )
        self._temperature = temperature

    def augmented(self, batch: Batch) -> Batch:
        """The views of each example, (batch, 2, ...)."""
        one, other = super().augmented(batch), super().augmented(batch)
        return batch._replace(input=torch.stack([one.input, other.input], dim=1))

    def validated(self, batch: Batch) -> Batch:
        """Views of each example that are the same every time."""
        random = random_state()  # the training goes on with the numbers that it would have had
        torch.manual_seed(int(batch.row[0]))
        views = self.augmented(batch)
        set_random_state(random)
        return views

    def step(self, batch: Batch) -> Outcome:
        projected = self.model(batch.input.flatten(0, 1)).float()
        with torch.autocast(projected.device.type, enabled=False):  # in bfloat16 many views would be equally near
            places = normalize(projected, dim=1)
            cosines = places @ places.T / self._temperature
            cosines.fill_diagonal_(-torch.inf)
            other = torch.arange(len(cosines), device=cosines.device) ^ 1  # views of an example follow one another
            return Outcome(cross_entropy(cosines, other), cosines, other)

    def mix(self, target: Any, mix: Mix) -> Any:
        raise InputError(
            "augmentation: expected views of one example each; what mixes examples (mixup, cutmix) makes views of two. "
            "Leave it out."
        )

    def measure(self, outcome: Outcome) -> Mapping[str, tuple[Tensor, int]]:
        """How many views name the other one."""
        return {"matched": ((outcome.prediction.argmax(dim=1) == outcome.target).sum(), len(outcome.target))}

    def forward_for_flops(self, input: Tensor) -> Tensor:
        return self.model.encoder(input)

    def predict(self, input: Tensor) -> Mapping[str, Tensor]:
        return {"latent": self.model.encoder(input).float()}
