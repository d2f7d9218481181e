"""The input itself, through a narrow code."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor
from torch.nn.functional import mse_loss

from src.protocols import Batch, Mix, Outcome
from src.tasks.base import Task


class Reconstruction(Task):
    """Mean squared error, in units of the normalised input, between the input and what the model makes of it."""

    answer = "reconstruction"
    model: Any  # gives a Reconstruction, and has a decoder
    preprocess: Any

    def step(self, batch: Batch) -> Outcome:
        output = self.model(batch.input).output
        return Outcome(mse_loss(output, batch.input), output, batch.input)

    def mix(self, target: Any, mix: Mix) -> Any:
        return target  # `step` does not look at it: a mixed input is its own target

    def measure(self, outcome: Outcome) -> Mapping[str, tuple[Tensor, int]]:
        squares = (outcome.prediction.detach().float() - outcome.target).square().sum()
        return {"error": (squares, outcome.target.numel())}

    def predict(self, input: Tensor) -> Mapping[str, Tensor]:
        made = self.model(input)
        error = (made.output.float() - input).flatten(1).square().mean(dim=1)
        return {"reconstruction": made.output.float(), "error": error, "code": made.code.float()}

    def generate(self, codes: Tensor) -> Tensor:
        """Pixels from 0 to 1 for codes, (batch, code)."""
        return self.preprocess.pixels(self.model.decoder(codes))
