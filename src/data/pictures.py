"""What every data set of pictures has: uint8 pixels (example, channel, height, width), their statistics, and targets."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping

import numpy as np

from src.data.store import Prepared


class Pictures(ABC):
    """A prepared data set of pictures.

    Args:
        shape: channels, height and width.
        num_classes: None where there are no classes.
    """

    def __init__(self, *, prepared: Prepared, shape: list[int], num_classes: int | None, batch_size: int):
        if batch_size < 1:
            raise ValueError(f"data.batch_size: expected at least 1; received {batch_size}.")
        self.prepared = prepared
        self.shape = tuple(shape)
        self.num_classes = num_classes
        self.batch_size = batch_size
        self.classes = prepared.card["classes"]
        statistics = prepared.card["statistics"]["image"]
        self.mean, self.std = np.float32(statistics["mean"]), np.float32(statistics["std"])
        self._image = prepared.array("image")
        self._target = prepared.array("target")

    def __len__(self) -> int:
        return len(self._image)

    @abstractmethod
    def assembled(
        self, rows: np.ndarray, predictions: Iterator[Mapping[str, np.ndarray]]
    ) -> Iterator[tuple[np.ndarray, Mapping[str, np.ndarray], np.ndarray]]:
        """What is scored: numbers, outputs and targets of whole examples."""

    def rows(self, part: str) -> np.ndarray:
        return self.prepared.index(part)

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """What a batch is made of: input and target, mapped from disk."""
        return {"input": self._image, "target": self._target}

    def inputs(self, rows: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(self._image[rows])

    def targets(self, rows: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(self._target[rows])

    def normalise(self, pixels: np.ndarray) -> np.ndarray:
        """Pixels from 0 to 255 as float32, centred and scaled by the training part's statistics of each channel."""
        shape = (1, -1, 1, 1)
        return (pixels.astype(np.float32) / 255 - self.mean.reshape(shape)) / self.std.reshape(shape)
