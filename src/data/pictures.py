"""What every data set of pictures has: uint8 pixels (example, channel, height, width), their statistics, and targets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from src.data.base import Data
from src.data.columns import Column, Dense, Ragged
from src.data.encoded import Encoded
from src.data.reading import Reader
from src.data.shown import Picture
from src.data.store import Prepared

if TYPE_CHECKING:
    from torch import nn


class Pictures(Data):
    """A prepared data set of pictures.

    Args:
        shape: channels, height and width.
        num_classes: None where there are no classes.

    Attributes:
        mean, std: of each channel over the training split, of pixels scaled to lie between 0 and 1; float32.
    """

    def __init__(self, *, prepared: Prepared, shape: Sequence[int], num_classes: int | None, batch_size: int):
        super().__init__(prepared=prepared, shape=shape, num_classes=num_classes, batch_size=batch_size)
        statistics = prepared.card["statistics"]["image"]
        self.mean, self.std = np.array(statistics["mean"], np.float32), np.array(statistics["std"], np.float32)
        self._fields: dict[str, Column] = {"input": self._images()}
        if prepared.has("target"):
            self._fields["target"] = Dense(prepared.array("target"))

    @property
    def fields(self) -> Mapping[str, Column]:
        return self._fields

    def _images(self, random_crop: Sequence[float] | None = None) -> Column:
        """The column of the images. Those of raw inputs come decoded, however the data set is stored.

        Args:
            random_crop: of files, as their decoder takes it.
        """
        column = self.prepared.column("image")
        if not isinstance(column, Ragged):
            return column
        from src.data.sources.pixels import PixelDecoder  # only where files are decoded

        decode = PixelDecoder(self.shape, self.prepared.card["reading"]["shift"], random_crop)
        return Encoded(column, decode, self.shape)

    def preprocess(self) -> nn.Module:
        from src.data.normalisation import Normalise  # a classical baseline runs without importing torch

        return Normalise(mean=self.mean, std=self.std)

    def normalise(self, inputs: np.ndarray) -> np.ndarray:
        """Pixels from 0 to 255 as float32, centred and scaled by the statistics of each channel."""
        shape = (1, -1, 1, 1)
        return (inputs.astype(np.float32) / 255 - self.mean.reshape(shape)) / self.std.reshape(shape)

    def exported_example(self, rows: np.ndarray) -> np.ndarray:
        """Pixels from 0 to 255 as float32, the type in which most users have images."""
        return self.inputs(rows).astype(np.float32)

    def feature_statistics(self) -> tuple[np.ndarray, np.ndarray]:
        pixels = prod(self.shape[1:])
        mean, std = (np.repeat(255 * values, pixels).astype(np.float64) for values in (self.mean, self.std))
        return mean, std

    def reader(self) -> Reader:
        from src.data.sources.image_reader import ImageReader  # only a prediction reads raw inputs

        return ImageReader(shape=self.shape, **self.prepared.card.get("reading", {}))

    def show(self, row: int) -> Picture:
        return Picture.of(self.inputs(np.array([row]))[0])
