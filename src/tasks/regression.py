"""One or several numbers for each example."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Unpack

import torch
from torch import Tensor

from src import losses
from src.errors import InputError
from src.optimization.auxiliary_heads import add_auxiliary_losses
from src.protocols import Batch, Mix, Outcome
from src.tasks.base import Task, TaskArguments


class Regression(Task[Tensor]):
    """A loss between standardised numbers, so that numbers of any unit count alike.

    Targets are float32 of shape (batch, numbers). The network gives them standardised. Predictions and metrics are in the
    units of the targets.

    Args:
        loss: from the network's outputs and the standardised targets, both (batch, numbers), to the mean over the batch, ().
        mean, std: of each number over the training part.
    """

    primary_output = "prediction"

    def __init__(
        self,
        *,
        loss: Callable[[Tensor, Tensor], Tensor],
        mean: Sequence[float],
        std: Sequence[float],
        **common: Unpack[TaskArguments],
    ):
        super().__init__(**common)
        self._mean: Tensor
        self._std: Tensor
        self._loss = loss
        self.register_buffer("_mean", torch.tensor([float(one) for one in mean]), persistent=False)
        self.register_buffer("_std", torch.tensor([float(one) for one in std]), persistent=False)

    def step(self, batch: Batch) -> Outcome:
        return add_auxiliary_losses(self.model(batch.input), partial(self._outcome, target=batch.target))

    def _outcome(self, output: Tensor, target: Tensor) -> Outcome:
        if output.shape != target.shape:
            raise InputError(
                f"task=regression: expected a model with {target.shape[1]} outputs, one for each number of the target; "
                f"{type(self.model).__name__} has {output.shape[1]}. Leave model.num_outputs to the data."
            )
        standardised = (target - self._mean) / self._std
        return Outcome(losses.mean(self._loss, output.float(), standardised), self._in_units(output), target)

    def mix(self, target: Tensor, mix: Mix) -> Tensor:
        return torch.lerp(target[mix.partner], target, mix.share.unsqueeze(1))

    def measure(self, outcome: Outcome) -> Mapping[str, Tensor | int]:
        target = outcome.target.double()
        error, centred = outcome.prediction.double() - target, target - self._mean
        return {
            "absolute": error.abs().sum(dim=0),
            "squares": error.square().sum(dim=0),
            "centred": centred.sum(dim=0),
            "centred_squares": centred.square().sum(dim=0),
            "examples": len(error),
        }

    def scores(self, sums: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Means over the numbers. A number that is the same everywhere has no share in r2."""
        count = sums["examples"]
        spread = sums["centred_squares"] - sums["centred"].square() / count
        spread = spread.where(spread > 1e-12 * sums["centred_squares"], torch.nan)  # what is left of equal numbers is rounding
        return {
            "mae": (sums["absolute"] / count).mean(),
            "rmse": (sums["squares"] / count).sqrt().mean(),
            "r2": (1 - sums["squares"] / spread).nanmean(),
        }

    def predict(self, input: Tensor) -> Mapping[str, Tensor]:
        return {"prediction": self._in_units(self.model(input))}

    def _in_units(self, output: Tensor) -> Tensor:
        return output.float() * self._std + self._mean
