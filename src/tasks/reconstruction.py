"""The input itself, through a narrow latent."""

from collections.abc import Mapping
from typing import Any, Unpack

import torch
from torch import Tensor
from torch.nn.functional import mse_loss

from src.optimization import deterministic_noise
from src.protocols import Batch, Mix, Outcome
from src.tasks.base import TaskArguments
from src.tasks.generative import Generative


class Reconstruction(Generative):
    """Mean squared error between the input and its reconstruction, in units of the normalised input.

    Args:
        noise: standard deviation, in those units, of normal noise on the model's input. The target is the clean input (Vincent
            et al. 2008, doi:10.1145/1390156.1390294). Outside of training an example always has the same noise.
        sparsity: weight of the mean absolute value of the latents in the loss.
    """

    primary_output = "reconstruction"
    model_attributes = ("decoder",)
    model: Any  # its output is a Reconstruction
    preprocess: Any

    def __init__(self, *, noise: float = 0.0, sparsity: float = 0.0, **common: Unpack[TaskArguments]):
        if noise < 0 or sparsity < 0:
            raise ValueError(f"task: expected noise and sparsity of at least 0; received {noise} and {sparsity}.")
        super().__init__(**common)
        self._noise = noise
        self._sparsity = sparsity

    def step(self, batch: Batch) -> Outcome:
        reconstruction = self.model(self._noisy(batch.input) if self._noise else batch.input)
        loss = mse_loss(reconstruction.output, batch.input)
        if self._sparsity:
            loss = loss + self._sparsity * reconstruction.latent.abs().mean()
        return Outcome(loss, reconstruction.output, batch.input)

    def mix(self, target: object, mix: Mix) -> object:
        return target  # `step` does not use it: a mixed input is its own target

    def measure(self, outcome: Outcome) -> Mapping[str, Tensor | int]:
        squares = (outcome.prediction.detach().float() - outcome.target).square().sum()
        return {"squares": squares, "values": outcome.target.numel()}

    def scores(self, sums: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        return {"error": sums["squares"] / sums["values"]}

    def predict(self, input: Tensor) -> Mapping[str, Tensor]:
        """The reconstruction of the input. With noise also that of the noisy input, `restored`, which the error belongs to."""
        reconstruction = self.model(input)
        output, latent = reconstruction.output.float(), reconstruction.latent.float()
        if not self._noise:
            return {"reconstruction": output, "error": _error(output, input), "latent": latent}
        noisy = self._noisy(input)
        restored = self.model(noisy).output.float()
        error = _error(restored, input)
        return {"reconstruction": output, "error": error, "latent": latent, "noisy": noisy, "restored": restored}

    def generate(self, latents: Tensor) -> Tensor:
        return self.preprocess.pixels(self.model.decoder(latents))

    def _noisy(self, input: Tensor) -> Tensor:
        numbers = (
            torch.randn_like(input) if self.training else deterministic_noise.normal(input, input[0].numel()).view_as(input)
        )
        return input + self._noise * numbers


def _error(output: Tensor, input: Tensor) -> Tensor:
    """The mean squared error of each example, (batch,)."""
    return (output - input).flatten(1).square().mean(dim=1)
