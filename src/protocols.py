"""What crosses a seam between data, models, tasks, learners and evaluation."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias

if TYPE_CHECKING:  # a classical baseline and the report run without importing torch
    import torch
    from torch import Tensor


Fields: TypeAlias = "Tensor | Mapping[str, Tensor]"
"""One tensor, or several by name. The first dimension of each is the example. Ragged ones are padded, beside their lengths."""


class Batch(NamedTuple):
    """Examples, and the rows of the store that they come from.

    Args:
        input, target: `Fields`, in the form on which the data, the model and the task agree. A target is None where the
            examples have none.
        real: False for a filler, which a process without a share of a batch computes so that all processes take the same
            steps. It counts in nothing.
    """

    input: Any
    target: Any
    row: Tensor
    real: bool = True

    @property
    def size(self) -> int:
        """The number of examples."""
        return len(self.row)

    def to(self, device: torch.device) -> Batch:
        """The batch on a device. The copy may still be in progress."""
        return self._mapped(lambda field: field.to(device, non_blocking=True))

    def head(self, count: int) -> Batch:
        """The first examples."""
        return self._mapped(lambda field: field[:count])

    def split(self, count: int) -> Sequence[Batch]:
        """So many pieces, whose sizes differ by one example at most."""
        first, rest = divmod(self.size, count)
        ends = [number * first + min(number, rest) for number in range(count + 1)]
        return [self._mapped(lambda field, a=a, b=b: field[a:b]) for a, b in pairwise(ends)]  # type: ignore[misc]

    def _mapped(self, function: Callable[[Tensor], Tensor]) -> Batch:
        target = None if self.target is None else mapped(self.target, function)
        return Batch(mapped(self.input, function), target, function(self.row), self.real)


def mapped(fields: Fields, function: Callable[[Tensor], Tensor]) -> Fields:
    """A function of each field."""
    if isinstance(fields, Mapping):
        return {name: function(field) for name, field in fields.items()}
    return function(fields)


class Mix(NamedTuple):
    """How the examples of a batch were mixed: each is `share` of itself, and the rest is the example at index `partner`."""

    partner: Tensor
    share: Tensor


class Move(NamedTuple):
    """How the pictures of a batch were moved.

    Args:
        apply: moves maps over the pictures in the same way. The maps are float32, (batch, channels, height, width). Values are
            those of the nearest pixel, and 0 where the outside comes in.
    """

    apply: Callable[[Tensor], Tensor]


class Augmentation(Protocol):
    """Changes the stored inputs of a batch at random, and says how examples were mixed and moved."""

    def __call__(self, input: Tensor, /) -> tuple[Tensor, Sequence[Mix | Move]]: ...


class Outcome(NamedTuple):
    """What a task computes for a batch: the mean loss, (), and what its metrics compare."""

    loss: Tensor
    prediction: Tensor
    target: Tensor


class Heads(NamedTuple):
    """The output of a classifier with auxiliary heads in training: its logits, and each auxiliary head's with their weight."""

    logits: Tensor
    auxiliary: tuple[tuple[Tensor, float], ...]


class Reconstruction(NamedTuple):
    """An autoencoder's output, and the latent that it was decoded from.

    The latent of a variational autoencoder is the mean of its distribution. The divergence of that distribution from the prior
    is in nats, (batch,). A prior may estimate it by the latent that was decoded.
    """

    output: Tensor
    latent: Tensor
    divergence: Tensor | None = None


@dataclass(frozen=True)
class Fit:
    """How a training ended.

    Args:
        best_epoch: the epoch of the checkpoint that the objective chose, counted from 1; 0 for none.
        steps: of the optimizer.
        examples: that were trained on; one counts as often as it was used.
        seconds: of the training alone, over all its interruptions.
    """

    epochs: int
    best_epoch: int
    steps: int
    examples: int
    seconds: float


@dataclass(frozen=True)
class Objective:
    """The metric that chooses the best checkpoint, and what a search optimizes.

    Args:
        metric: as it is logged, `val/accuracy`.
        mode: `min` or `max`.
    """

    metric: str
    mode: str

    def __post_init__(self) -> None:
        if self.mode not in ("min", "max"):
            raise ValueError(f"objective.mode: expected min or max; received {self.mode}.")


@dataclass(frozen=True)
class Cost:
    """What one example costs a learner.

    Args:
        parameters: of the network or estimator.
        flops: floating-point operations of one example's forward pass; None where they cannot be counted.
    """

    parameters: int
    flops: int | None


class Sink(ABC):
    """Takes the metrics of a training, and may ask the training to stop."""

    @abstractmethod
    def log(self, metrics: Mapping[str, float | Tensor], step: int, epoch: int) -> None:
        """Takes metrics by name.

        Args:
            metrics: numbers, or tensors of one element, which are read later.
            step: optimizer steps so far.
            epoch: counted from 1.
        """

    @abstractmethod
    def flush(self) -> None:
        """Makes everything that was logged survive a power failure."""

    @property
    def should_stop(self) -> bool:
        """Whether the training is to end now.

        The first process is asked after each validation: its metrics are logged, and best.ckpt is written. A training
        without validations asks after each call of its loop.
        """
        return False


class NullSink(Sink):
    """Keeps nothing, and never asks to stop."""

    def log(self, metrics: Mapping[str, float | Tensor], step: int, epoch: int) -> None:
        """Drops the metrics."""

    def flush(self) -> None:
        """Has nothing to keep."""
