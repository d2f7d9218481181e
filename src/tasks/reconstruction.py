"""The input itself, through a narrow latent."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import mse_loss

from src.optimization import deterministic_noise
from src.protocols import Batch, Mix, Outcome
from src.tasks.base import Task


class Reconstruction(Task):
    """Mean squared error, in units of the normalised input, between the input and what the model makes of it.

    Args:
        noise: standard deviation, in those units, of normal noise on what the model is given; its target is the clean input
            (Vincent et al. 2008, doi:10.1145/1390156.1390294). Outside of training an example has always the same noise.
        sparsity: weight of the mean absolute value of the latents in the loss.
    """

    primary_output = "reconstruction"
    model: Any  # gives a Reconstruction, and has a decoder
    preprocess: Any

    def __init__(self, *, noise: float = 0.0, sparsity: float = 0.0, **common):
        if noise < 0 or sparsity < 0:
            raise ValueError(f"task: expected noise and sparsity of at least 0; received {noise} and {sparsity}.")
        super().__init__(**common)
        self._noise = noise
        self._sparsity = sparsity

    def step(self, batch: Batch) -> Outcome:
        made = self.model(self._noisy(batch.input) if self._noise else batch.input)
        loss = mse_loss(made.output, batch.input)
        if self._sparsity:
            loss = loss + self._sparsity * made.latent.abs().mean()
        return Outcome(loss, made.output, batch.input)

    def mix(self, target: Any, mix: Mix) -> Any:
        return target  # `step` does not look at it: a mixed input is its own target

    def measure(self, outcome: Outcome) -> Mapping[str, tuple[Tensor, int]]:
        squares = (outcome.prediction.detach().float() - outcome.target).square().sum()
        return {"error": (squares, outcome.target.numel())}

    def predict(self, input: Tensor) -> Mapping[str, Tensor]:
        """What it makes of the input as it is; with noise also of the noisy input, which the error is then of."""
        made = self.model(input)
        output, more = made.output.float(), {}
        judged = output
        if self._noise:
            noisy = self._noisy(input)
            judged = self.model(noisy).output.float()
            more = {"noisy": noisy, "restored": judged}
        error = (judged - input).flatten(1).square().mean(dim=1)
        return {"reconstruction": output, "error": error, "latent": made.latent.float(), **more}

    def generate(self, latents: Tensor) -> Tensor:
        """Pixels from 0 to 1 for latents, (batch, latent_size)."""
        return self.preprocess.pixels(self.model.decoder(latents))

    def _noisy(self, input: Tensor) -> Tensor:
        numbers = (
            torch.randn_like(input) if self.training else deterministic_noise.normal(input, input[0].numel()).view_as(input)
        )
        return input + self._noise * numbers
