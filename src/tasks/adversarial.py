"""Two networks against each other: one makes examples, the other one tells them from real ones."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import relu, softplus

from src.protocols import Batch, Mix, Outcome
from src.tasks import drawing
from src.tasks.base import Task


class Adversarial(Task):
    """A generator and a discriminator, of which each learns by its own loss (Goodfellow et al. 2014, arXiv:1406.2661).

    Both learn from the same weights, in one step of the optimizer (Nowozin, Cseke and Tomioka 2016, arXiv:1606.00709,
    algorithm 1): the loss is the sum of both, and the gradient of each reaches its own network alone. No number of a
    validation says which weights are best: `steps`, those taken so far, makes the last ones the best.

    Args:
        loss: from the discriminator's logits for real examples, for made ones, and for the same made ones as the generator
            learns by them, to the two mean losses.
    """

    answer = "realness"
    descends = False  # what one network gains, the other one loses
    model: Any  # has a generator, a discriminator and the size of a code
    preprocess: Any

    def __init__(self, *, loss: Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]], **common):
        super().__init__(**common)
        self._loss = loss

    def step(self, batch: Batch) -> Outcome:
        size = (len(batch.input), self.model.code)
        codes = torch.randn(size, device=batch.input.device) if self.training else drawing.normal(batch.input, size[1])
        made = self.preprocess(255 * self.generate(codes))
        real, fake = (self._logits(examples) for examples in (batch.input, made.detach()))
        with _frozen(self.model.discriminator):
            judged = self._logits(made)
        losses = self._loss(real, fake, judged)
        return Outcome(losses[0] + losses[1], torch.stack([real, fake], dim=1), torch.stack(losses))

    def mix(self, target: Any, mix: Mix) -> Any:
        return target  # `step` does not look at it

    def measure(self, outcome: Outcome) -> Mapping[str, tuple[Tensor, int]]:
        (real, fake), count = outcome.prediction.detach().unbind(dim=1), len(outcome.prediction)
        discriminator, generator = outcome.target.detach() * count
        return {
            "discriminator": (discriminator, count),
            "generator": (generator, count),
            "told_apart": ((real > 0).sum() + (fake < 0).sum(), 2 * count),
            "steps": (torch.tensor(count * self.global_step, device=real.device), count),
        }

    def predict(self, input: Tensor) -> Mapping[str, Tensor]:
        return {"realness": self._logits(input)}

    def generate(self, codes: Tensor) -> Tensor:
        """Pixels from 0 to 1 for codes, (batch, code)."""
        return self.model.generator(codes).float().sigmoid()

    def _logits(self, examples: Tensor) -> Tensor:
        return self.model.discriminator(examples).float().squeeze(1)


def non_saturating(real: Tensor, fake: Tensor, judged: Tensor) -> tuple[Tensor, Tensor]:
    """Cross-entropy; the generator's is that of its examples being real (Goodfellow et al. 2014)."""
    return (softplus(-real) + softplus(fake)).mean(), softplus(-judged).mean()


def hinge(real: Tensor, fake: Tensor, judged: Tensor) -> tuple[Tensor, Tensor]:
    """What lies beyond the margin of 1 no longer counts (Lim and Ye 2017, arXiv:1705.02894)."""
    return (relu(1 - real) + relu(1 + fake)).mean(), -judged.mean()


@contextmanager
def _frozen(module: nn.Module) -> Iterator[None]:
    """A forward pass through which gradients flow back, but none to the module's own parameters."""
    free = [parameter for parameter in module.parameters() if parameter.requires_grad]
    for parameter in free:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in free:
            parameter.requires_grad_(True)
