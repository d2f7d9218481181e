"""What is trained: the interface of networks under a Trainer and of classical estimators."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # a classical baseline runs without importing torch
    import numpy as np
    from torch import Tensor, nn

    from src.data.base import Data
    from src.decoding import Sampling
    from src.protocols import Cost, Fit, Sink


class Learner(ABC):
    """What is trained, saved and asked for predictions: a network under Lightning's Trainer, or a classical estimator."""

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
    def predict(self, data: Data, rows: np.ndarray, *, fill: bool = True) -> Iterator[Mapping[str, np.ndarray]]:
        """Outputs by name, batch by batch, in the order of the rows of the store.

        Args:
            fill: whether the last batch is computed with as many examples as the others, because their number decides the last
                bits: an example then has the same outputs beside whichever others it is predicted. False where time counts.
        """

    def exported_example(self, data: Data, rows: np.ndarray) -> np.ndarray | Mapping[str, np.ndarray]:
        """Inputs as the packaged predictor takes them."""
        return data.exported_example(rows)

    @abstractmethod
    def package(self, folder: Path, example: np.ndarray | Mapping[str, np.ndarray]) -> Mapping[str, Any]:
        """Writes the whole predictor, preprocessing included.

        Args:
            example: a few inputs as the predictor takes them, by name where an input has several fields.

        Returns:
            What the record states of it: the names of the files in the folder, the form of the outputs, what must be installed.
        """


class HasNetwork(Learner):
    """A learner that trains a network."""

    @property
    @abstractmethod
    def network(self) -> nn.Module:
        """The network, from preprocessed inputs to outputs."""

    @property
    @abstractmethod
    def scoring_network(self) -> nn.Module:
        """The network from preprocessed inputs to one score a class, which explanations explain."""

    @abstractmethod
    def preprocess(self, inputs: np.ndarray) -> Tensor:
        """Stored inputs as the network takes them, on the device of its weights."""


class Generates(ABC):
    """A learner that makes examples from latents."""

    @abstractmethod
    def generate(self, latents: np.ndarray, *, noise: bool = False) -> np.ndarray:
        """Examples that are decoded from latents: pixels from 0 to 1, (count, channels, height, width).

        Args:
            latents: (count, latent_size).
            noise: whether these are standard normal numbers, from which the latents are made first.
        """


class Continues(ABC):
    """A learner that says how a sequence of tokens goes on."""

    @property
    @abstractmethod
    def context(self) -> int | None:
        """The most tokens that it reads; None for no limit.

        Raises:
            InputError: it was trained for something else.
        """

    @abstractmethod
    def continuation(self, prompt: Sequence[int], *, count: int, sampling: Sampling, cached: bool = True) -> Iterator[int]:
        """So many tokens that follow a prompt, one after the other.

        Args:
            cached: whether what was computed for earlier tokens is used again.
        """
