"""The input itself, through a random latent: a model that can make new examples."""

from collections.abc import Mapping
from typing import Any, Unpack

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from src.optimization import deterministic_noise
from src.protocols import Batch, Mix, Outcome
from src.tasks.base import TaskArguments
from src.tasks.generative import SamplesPrior
from src.value_types import Whole


class Variational(SamplesPrior):
    """The negative evidence lower bound in nats for an example (Kingma and Welling 2014, arXiv:1312.6114).

    It is the cross-entropy of the pixels, from 0 to 1, plus the latent's divergence from the model's prior. One latent is
    sampled for each example: at random in training; elsewhere the example decides it.

    Args:
        beta: weight of the divergence in the loss (Higgins et al. 2017). In the metrics the weight is 1.
        warm_up: optimizer steps in which that weight rises from zero (Bowman et al. 2016, arXiv:1511.06349).
    """

    primary_output = "reconstruction"
    model_attributes = ("decoder", "prior", "latent_size")
    model: Any  # its output is a Reconstruction
    preprocess: Any

    def __init__(self, *, beta: float = 1.0, warm_up: Whole = 0, **common: Unpack[TaskArguments]):
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

    def mix(self, target: object, mix: Mix) -> object:
        return target  # `step` does not use it

    def measure(self, outcome: Outcome) -> Mapping[str, Tensor | int]:
        error, divergence = outcome.prediction.detach().sum(dim=0)
        return {"negative_elbo": error + divergence, "kl": divergence, "examples": len(outcome.prediction)}

    def scores(self, sums: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        return {name: sums[name] / sums["examples"] for name in ("negative_elbo", "kl")}

    def predict(self, input: Tensor) -> Mapping[str, Tensor]:
        reconstruction = self.model(input)
        terms = self._terms(input, deterministic_noise.normal(input, self.model.latent_size))
        return {
            "reconstruction": reconstruction.output.float().sigmoid(),
            "error": terms[:, 0],
            "kl": terms[:, 1],
            "latent": reconstruction.latent.float(),
        }

    def generate(self, latents: Tensor) -> Tensor:
        return self.model.decoder(latents).float().sigmoid()

    def sample(self, noise: Tensor) -> Tensor:
        return self.generate(self.model.prior.transform_noise(noise))

    def _terms(self, input: Tensor, noise: Tensor) -> Tensor:
        """Cross-entropy and divergence of each example, (batch, 2)."""
        reconstruction, pixels = self.model(input, noise), self.preprocess.pixels(input)
        error = binary_cross_entropy_with_logits(reconstruction.output.float(), pixels, reduction="none")
        return torch.stack([error.flatten(1).sum(dim=1), reconstruction.divergence], dim=1)
