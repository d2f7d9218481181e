"""What crosses a seam between data, models, tasks, learners and evaluation."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:  # a classical baseline and the report run without importing torch
    import torch
    from torch import Tensor


class Batch(NamedTuple):
    """Examples and the rows of the store that they come from. The first dimension of each field is the example.

    Several processes may share a batch. The mean of their losses times their weights is then the mean loss of the whole batch.
    A process without a share has some example with the weight 0, which does not count.
    """

    input: Tensor
    target: Tensor
    row: Tensor
    weight: float = 1.0

    def to(self, device: torch.device) -> Batch:
        """The batch on a device. The copy may still be in progress."""
        input, target, row = (field.to(device, non_blocking=True) for field in (self.input, self.target, self.row))
        return Batch(input, target, row, self.weight)


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
