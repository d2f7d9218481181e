"""What every data set of pictures has: uint8 pixels (example, channel, height, width), their statistics, and targets."""

from collections.abc import Mapping, Sequence

import numpy as np

from src.data.base import Data
from src.data.shown import Picture
from src.data.store import Prepared


class Pictures(Data):
    """A prepared data set of pictures.

    Args:
        shape: channels, height and width.
        num_classes: None where there are no classes.
    """

    def __init__(self, *, prepared: Prepared, shape: Sequence[int], num_classes: int | None, batch_size: int):
        super().__init__(prepared=prepared, shape=shape, num_classes=num_classes, batch_size=batch_size)
        statistics = prepared.card["statistics"]["image"]
        self.mean, self.std = np.array(statistics["mean"], np.float32), np.array(statistics["std"], np.float32)
        self._arrays = {"input": prepared.array("image"), "target": prepared.array("target")}

    @property
    def arrays(self) -> Mapping[str, np.ndarray]:
        return self._arrays

    def normalise(self, inputs: np.ndarray) -> np.ndarray:
        """Pixels from 0 to 255 as float32, centred and scaled by the statistics of each channel."""
        shape = (1, -1, 1, 1)
        return (inputs.astype(np.float32) / 255 - self.mean.reshape(shape)) / self.std.reshape(shape)

    def show(self, row: int) -> Picture:
        return Picture.of(self.arrays["input"][row])
