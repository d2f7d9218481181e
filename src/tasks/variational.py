"""The input itself, through a random latent: a model that can make new examples."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from src.optimization import deterministic_noise
from src.protocols import Batch, Mix, Outcome
from src.tasks.base import Task


class Variational(Task):
    """The negative evidence lower bound in nats for an example (Kingma and Welling 2014, arXiv:1312.6114).

    It is the cross-entropy of the pixels, from 0 to 1, and the latent's divergence from the model's prior. One latent
    is drawn for each example: at random in training, and elsewhere one that depends on the example alone.

    Args:
        beta: weight of the divergence in the loss (Higgins et al. 2017); what is measured has the weight 1.
        warm_up: optimizer steps over which that weight rises from zero (Bowman et al. 2016, arXiv:1511.06349).
    """

    primary_output = "reconstruction"
    model: Any  # gives a Reconstruction, and has a decoder, a prior and the size of its latent
    preprocess: Any

    def __init__(self, *, beta: float = 1.0, warm_up: int = 0, **common):
        if beta < 0 or warm_up < 0:
            raise ValueError(f"task: expected beta and warm_up of at least 0; received {beta} and {warm_up}.")
        super().__init__(**common)
        self._beta = beta
        self._warm_up = warm_up

    def step(self, batch: Batch) -> Outcome:
        size = (len(batch.input), self.model.latent_size)
        noise = (
            torch.randn(size, device=batch.input.device) if self.training else deterministic_noise.normal(batch.input, size[1])
        )
        terms = self._terms(batch.input, noise)
        weight = self._beta
        if self.training and self.global_step < self._warm_up:
            weight *= self.global_step / self._warm_up
        return Outcome((terms[:, 0] + weight * terms[:, 1]).mean(), terms, batch.target)

    def mix(self, target: Any, mix: Mix) -> Any:
        return target  # `step` does not look at it

    def measure(self, outcome: Outcome) -> Mapping[str, tuple[Tensor, int]]:
        error, divergence = outcome.prediction.detach().sum(dim=0)
        count = len(outcome.prediction)
        return {"negative_elbo": (error + divergence, count), "kl": (divergence, count)}

    def predict(self, input: Tensor) -> Mapping[str, Tensor]:
        made = self.model(input)
        terms = self._terms(input, deterministic_noise.normal(input, self.model.latent_size))
        return {
            "reconstruction": made.output.float().sigmoid(),
            "error": terms[:, 0],
            "kl": terms[:, 1],
            "latent": made.latent.float(),
        }

    def generate(self, latents: Tensor) -> Tensor:
        """Pixels from 0 to 1 for latents, (batch, latent_size)."""
        return self.model.decoder(latents).float().sigmoid()

    def sample(self, noise: Tensor) -> Tensor:
        """Pixels from 0 to 1 for standard normal numbers, (batch, latent_size), which are made into latents of the prior."""
        return self.generate(self.model.prior.transform_noise(noise))

    def _terms(self, input: Tensor, noise: Tensor) -> Tensor:
        """Cross-entropy and divergence of each example, (batch, 2)."""
        made = self.model(input, noise)
        error = binary_cross_entropy_with_logits(made.output.float(), self.preprocess.pixels(input), reduction="none")
        return torch.stack([error.flatten(1).sum(dim=1), made.divergence], dim=1)
