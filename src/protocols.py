"""What crosses a seam between data, models, tasks, learners and evaluation."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

if TYPE_CHECKING:  # a classical baseline and the report run without importing torch
    import numpy as np
    import torch
    from torch import Tensor

    from src.data.base import Data


class Batch(NamedTuple):
    """Examples and the rows of the store that they come from; the first dimension of each is the example.

    Where several processes share a batch, the mean of their losses times their weights is the whole batch's mean loss. One
    that has no example of it has some example with the weight 0, which counts for nothing.
    """

    input: Tensor
    target: Tensor
    row: Tensor
    weight: float = 1.0

    def to(self, device: torch.device) -> Batch:
        """The batch on a device; what is on its way there may still be going on."""
        input, target, row = (part.to(device, non_blocking=True) for part in (self.input, self.target, self.row))
        return Batch(input, target, row, self.weight)


class Mix(NamedTuple):
    """How the examples of a batch were mixed: each is `share` of itself, and for the rest the one at place `partner`."""

    partner: Tensor
    share: Tensor


class Move(NamedTuple):
    """How the pictures of a batch were moved.

    Args:
        apply: moves maps that lie over the pictures, float32 of shape (batch, channels, height, width), alike. It takes the
            nearest value, and 0 for what comes in from outside.
    """

    apply: Callable[[Tensor], Tensor]


class Outcome(NamedTuple):
    """What a task makes of a batch: the mean loss, and what its metrics compare."""

    loss: Tensor
    prediction: Tensor
    target: Tensor


class Heads(NamedTuple):
    """What a classifier with auxiliary heads answers in training: its logits, and those of each other head with their share."""

    logits: Tensor
    others: tuple[tuple[Tensor, float], ...]


class Reconstruction(NamedTuple):
    """An autoencoder's output, and the latent that it was decoded from.

    A variational autoencoder gives the mean of the latent's distribution, and that distribution's divergence from the prior
    in nats, (batch,). A prior may estimate the divergence by the latent that was decoded.
    """

    output: Tensor
    latent: Tensor
    divergence: Tensor | None = None


@dataclass(frozen=True)
class Fit:
    """How a training ended.

    Args:
        best_epoch: counted from 1, the epoch of the checkpoint that the objective chose.
        steps: optimizer steps.
        examples: that were trained on, each as often as it was.
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
    """Where a training sends its metrics, and what may ask it to stop."""

    @abstractmethod
    def log(self, metrics: Mapping[str, Any], step: int, epoch: int) -> None:
        """Takes metrics by name, after so many optimizer steps, in the epoch counted from 1."""

    @abstractmethod
    def flush(self) -> None:
        """Makes everything logged so far survive a power failure."""

    @property
    def should_stop(self) -> bool:
        """Whether the training is to end. It is asked after each validation, once its metrics were logged."""
        return False


class Learner(Protocol):
    """What is trained, saved and asked: a network under a Trainer, or a classical estimator."""

    parameters: int

    @property
    def device(self) -> str:
        """The name of what it computes on."""
        ...

    def fit(
        self,
        data: Data,
        *,
        folder: Path,
        log: Callable[[Mapping[str, Any], int, int], None],
        flush: Callable[[], None],
        resume: Path | None,
    ) -> Fit:
        """Trains to the end, or goes on where an interrupted training in the folder stopped. Writes best.ckpt there.

        Args:
            log: takes metrics by name, the step and the epoch.
            flush: makes what was logged safe.
            resume: a checkpoint to start from where the folder has none.
        """
        ...

    def load(self, path: Path) -> None:
        """Takes the weights from best.ckpt, or from a file that `export` wrote."""
        ...

    def export(self, folder: Path) -> Path:
        """Writes the weights alone; equal weights give equal bytes."""
        ...

    def predict(self, data: Data, rows: np.ndarray) -> Iterator[Mapping[str, np.ndarray]]:
        """Outputs by name, batch by batch, in the order of the rows; the first one is the model's answer."""
        ...

    def package(self, folder: Path, example: np.ndarray) -> Mapping[str, Any]:
        """Writes the whole predictor, preprocessing included, for the record; returns the names of its files."""
        ...

    def flops(self, data: Data) -> int | None:
        """Floating-point operations of one example's forward pass; None where they cannot be counted.

        Raises:
            InputError: the model does not fit the data.
        """
        ...


@runtime_checkable
class Checking(Protocol):
    """A callback that asks something of what is trained."""

    def check(self, task: Any, *, processes: int) -> None:
        """Refuses a task or a network that it cannot do its part with, before anything is written.

        Args:
            processes: that train it together.
        """
        ...


@runtime_checkable
class Learning(Protocol):
    """A callback that is a part of an optimizer step, and needs no epoch's end: a search for a learning rate keeps it."""

    learning: bool
