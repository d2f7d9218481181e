"""Two networks against each other: one generates examples, the other one tells them from real ones."""

from collections.abc import Mapping
from typing import Any, Protocol, Unpack

import torch
from torch import Tensor
from torch.nn.functional import relu, softplus

from src.optimization import deterministic_noise
from src.protocols import Batch, Mix, Outcome
from src.tasks.base import TaskArguments
from src.tasks.generative import SamplesPrior


class Loss(Protocol):
    """The losses of both networks from the discriminator's logits, (batch,). They are means over the examples, ()."""

    def discriminator(self, real: Tensor, generated: Tensor) -> Tensor: ...

    def generator(self, generated: Tensor) -> Tensor: ...


class Adversarial(SamplesPrior):
    """A generator and a discriminator. Each learns by its own loss (Goodfellow et al. 2014, arXiv:1406.2661).

    A training step updates the discriminator first, by the batch and as many generated examples. It then updates the generator,
    by other generated examples and the new discriminator. No metric of a validation says which weights are best. The metric
    `steps`, the number of training steps, makes the last ones the best.
    """

    primary_output = "realness"
    loss_decreases = False  # what one network gains, the other one loses
    parts = ("model.discriminator", "model.generator")
    model_attributes = ("generator", "discriminator", "latent_size")
    model: Any
    preprocess: Any

    def __init__(self, *, loss: Loss, **common: Unpack[TaskArguments]):
        super().__init__(**common)
        self._loss = loss

    def step(self, batch: Batch) -> Outcome:
        real, generated = self._logits(batch.input), self._logits(self._generated(batch.input))
        losses = torch.stack([self._loss.discriminator(real, generated), self._loss.generator(generated)])
        return Outcome(losses.sum(), torch.stack([real, generated], dim=1), losses)

    def part_loss(self, part: str, batch: Batch) -> Tensor:
        generated = self._logits(self._generated(batch.input))
        if part == "model.generator":
            return self._loss.generator(generated)
        return self._loss.discriminator(self._logits(batch.input), generated)

    def mix(self, target: object, mix: Mix) -> object:
        return target  # no loss uses it

    def measure(self, outcome: Outcome) -> Mapping[str, Tensor | int]:
        (real, generated), count = outcome.prediction.detach().unbind(dim=1), len(outcome.prediction)
        discriminator, generator = outcome.target.detach() * count
        return {
            "discriminator": discriminator,
            "generator": generator,
            "told_apart": (real > 0).sum() + (generated < 0).sum(),
            "steps": count * self.global_step,
            "examples": count,
        }

    def scores(self, sums: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        count = sums["examples"]
        means = {name: sums[name] / count for name in ("discriminator", "generator", "steps")}
        return {**means, "told_apart": sums["told_apart"] / (2 * count)}

    def forward_for_flops(self, input: Tensor) -> Tensor:
        return self._logits(self._generated(input))

    def predict(self, input: Tensor) -> Mapping[str, Tensor]:
        return {"realness": self._logits(input)}

    def generate(self, latents: Tensor) -> Tensor:
        return self.model.generator(latents).float().sigmoid()

    def sample(self, noise: Tensor) -> Tensor:
        return self.generate(noise)  # the numbers are the latents

    def _generated(self, examples: Tensor) -> Tensor:
        """As many generated examples, preprocessed. In training the latents are random, elsewhere the examples decide them."""
        count, size = len(examples), self.model.latent_size
        latents = (
            torch.randn(count, size, device=examples.device) if self.training else deterministic_noise.normal(examples, size)
        )
        return self.preprocess(255 * self.generate(latents))

    def _logits(self, examples: Tensor) -> Tensor:
        return self.model.discriminator(examples).float().squeeze(1)


class NonSaturating:
    """Cross-entropy. The generator's target is that its examples are real (Goodfellow et al. 2014)."""

    def discriminator(self, real: Tensor, generated: Tensor) -> Tensor:
        return (softplus(-real) + softplus(generated)).mean()

    def generator(self, generated: Tensor) -> Tensor:
        return softplus(-generated).mean()


class Hinge:
    """Logits beyond the margin of 1 no longer count (Lim and Ye 2017, arXiv:1705.02894)."""

    def discriminator(self, real: Tensor, generated: Tensor) -> Tensor:
        return (relu(1 - real) + relu(1 + generated)).mean()

    def generator(self, generated: Tensor) -> Tensor:
        return -generated.mean()
