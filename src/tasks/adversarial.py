"""Two networks against each other: one makes examples, the other one tells them from real ones."""

from collections.abc import Mapping
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn.functional import relu, softplus

from src.optimization import deterministic_noise
from src.protocols import Batch, Mix, Outcome
from src.tasks.base import Task


class Loss(Protocol):
    """By what each network learns, from the discriminator's logits; means over the examples."""

    def discriminator(self, real: Tensor, made: Tensor) -> Tensor: ...

    def generator(self, made: Tensor) -> Tensor: ...


class Adversarial(Task):
    """A generator and a discriminator, of which each learns by its own loss (Goodfellow et al. 2014, arXiv:1406.2661).

    They take turns within a training step: first the discriminator, by the batch and as many made examples; then the
    generator, by other made examples and the discriminator that has just learnt. No number of a validation says which
    weights are best: `steps`, those taken so far, makes the last ones the best.
    """

    primary_output = "realness"
    loss_decreases = False  # what one network gains, the other one loses
    parts = ("model.discriminator", "model.generator")
    model: Any  # has a generator, a discriminator and the size of a latent
    preprocess: Any

    def __init__(self, *, loss: Loss, **common):
        super().__init__(**common)
        self._loss = loss

    def step(self, batch: Batch) -> Outcome:
        real, made = self._logits(batch.input), self._logits(self._made(batch.input))
        losses = torch.stack([self._loss.discriminator(real, made), self._loss.generator(made)])
        return Outcome(losses.sum(), torch.stack([real, made], dim=1), losses)

    def turn(self, part: str, batch: Batch) -> Tensor:
        made = self._logits(self._made(batch.input))
        if part == "model.generator":
            return self._loss.generator(made)
        return self._loss.discriminator(self._logits(batch.input), made)

    def mix(self, target: Any, mix: Mix) -> Any:
        return target  # no loss looks at it

    def measure(self, outcome: Outcome) -> Mapping[str, tuple[Tensor, int]]:
        (real, made), count = outcome.prediction.detach().unbind(dim=1), len(outcome.prediction)
        discriminator, generator = outcome.target.detach() * count
        return {
            "discriminator": (discriminator, count),
            "generator": (generator, count),
            "told_apart": ((real > 0).sum() + (made < 0).sum(), 2 * count),
            "steps": (torch.tensor(count * self.global_step, device=real.device), count),
        }

    def forward_for_flops(self, input: Tensor) -> Tensor:
        return self._logits(self._made(input))

    def predict(self, input: Tensor) -> Mapping[str, Tensor]:
        return {"realness": self._logits(input)}

    def generate(self, latents: Tensor) -> Tensor:
        """Pixels from 0 to 1 for latents, (batch, latent_size)."""
        return self.model.generator(latents).float().sigmoid()

    def sample(self, noise: Tensor) -> Tensor:
        """The same for standard normal numbers: they are the latents."""
        return self.generate(noise)

    def _made(self, examples: Tensor) -> Tensor:
        """As many generated examples: from random latents in training, else from latents that depend on the examples alone."""
        count, size = len(examples), self.model.latent_size
        latents = (
            torch.randn(count, size, device=examples.device) if self.training else deterministic_noise.normal(examples, size)
        )
        return self.preprocess(255 * self.generate(latents))

    def _logits(self, examples: Tensor) -> Tensor:
        return self.model.discriminator(examples).float().squeeze(1)


class NonSaturating:
    """Cross-entropy; the generator's is that of its examples being real (Goodfellow et al. 2014)."""

    def discriminator(self, real: Tensor, made: Tensor) -> Tensor:
        return (softplus(-real) + softplus(made)).mean()

    def generator(self, made: Tensor) -> Tensor:
        return softplus(-made).mean()


class Hinge:
    """What lies beyond the margin of 1 no longer counts (Lim and Ye 2017, arXiv:1705.02894)."""

    def discriminator(self, real: Tensor, made: Tensor) -> Tensor:
        return (relu(1 - real) + relu(1 + made)).mean()

    def generator(self, made: Tensor) -> Tensor:
        return -made.mean()
