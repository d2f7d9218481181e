"""What crosses a seam between data, models, tasks, learners and evaluation."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:  # a classical baseline and the report run without importing torch
    import numpy as np
    import torch
    from torch import Tensor, nn

    from src.data.base import Data


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


class Learner(ABC):
    """What is trained, saved and asked for predictions: a network under Lightning's Trainer, or a classical estimator."""

    @property
    def network(self) -> nn.Module | None:
        """The network that is trained, from preprocessed inputs to outputs; None for an estimator."""
        return None

    @property
    def scoring_network(self) -> nn.Module | None:
        """The network from preprocessed inputs to one score a class, which explanations explain; None for an estimator."""
        return None

    @property
    def loss_decreases(self) -> bool:
        """Whether the training loss falls while the learner learns."""
        return True

    @property
    def device(self) -> str:
        """The name of the hardware that computes."""
        return "cpu"

    @abstractmethod
    def check(self, data: Data) -> Cost:
        """What one example costs. It is called before anything of a run is written.

        Raises:
            InputError: the learner cannot be trained on these data, or not with its settings.
        """

    @abstractmethod
    def fit(self, data: Data, *, folder: Path, sink: Sink, resume: Path | None = None) -> Fit:
        """Trains, and writes best.ckpt into the folder. An interrupted training in the folder is continued exactly.

        Args:
            sink: takes the metrics. When it asks to stop, the training ends, and its last epoch stays unfinished in last.ckpt.
            resume: the checkpoint to start from where the folder has none.
        """

    @abstractmethod
    def load(self, path: Path) -> None:
        """Takes the weights of best.ckpt, or of a file that `export` wrote."""

    @abstractmethod
    def export(self, folder: Path) -> Path:
        """Writes the weights alone, and gives the file. Equal weights give equal bytes."""

    @abstractmethod
    def predict(self, data: Data, rows: np.ndarray) -> Iterator[Mapping[str, np.ndarray]]:
        """Outputs by name, batch by batch, in the order of the rows of the store."""

    @abstractmethod
    def package(self, folder: Path, example: np.ndarray) -> Mapping[str, str]:
        """Writes the whole predictor, preprocessing included, and gives the names of its files.

        Args:
            example: a few stored inputs, as float32.
        """

    def preprocess(self, inputs: np.ndarray) -> Tensor:
        """Stored inputs as the network takes them, on the device of its weights."""
        raise NotImplementedError(f"{type(self).__name__} has no network.")

    def generate(self, latents: np.ndarray, *, noise: bool = False) -> np.ndarray:
        """Examples that are decoded from latents: pixels from 0 to 1, (count, channels, height, width).

        Args:
            latents: (count, latent_size).
            noise: whether these are standard normal numbers, from which the latents are made first.
        """
        raise NotImplementedError(f"{type(self).__name__} decodes no latents.")
