"""A data set with other images."""

from collections.abc import Iterator, Mapping

import numpy as np

from src.data.columns import Dense
from src.data.pictures import Pictures


class Substitute(Pictures):
    """Some rows of a data set with other images. All else is the data set's own.

    Args:
        rows: of the data set, one for each image; they give the targets.
        images: as the data set stores its own.
    """

    def __init__(self, data: Pictures, rows: np.ndarray, images: np.ndarray):
        super().__init__(prepared=data.prepared, shape=data.shape, num_classes=data.num_classes, batch_size=data.batch_size)
        self._data = data
        self._rows = rows
        self._fields = {"input": Dense(images), "target": Dense(data.targets(rows))}

    def rows(self, split: str) -> np.ndarray:
        """The rows of these images, whatever the split."""
        return np.arange(len(self))

    def assemble(
        self, rows: np.ndarray, predictions: Iterator[Mapping[str, np.ndarray]]
    ) -> Iterator[tuple[np.ndarray, Mapping[str, np.ndarray], np.ndarray | None]]:
        return self._data.assemble(self._rows[rows], predictions)
