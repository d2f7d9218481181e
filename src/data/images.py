"""Images: arrays of uint8 pixels (example, channel, height, width), with a class each or none."""

from collections.abc import Iterator, Mapping

import numpy as np

from src.data.pictures import Pictures


class Images(Pictures):
    """A prepared data set of images."""

    def assembled(
        self, rows: np.ndarray, predictions: Iterator[Mapping[str, np.ndarray]]
    ) -> Iterator[tuple[np.ndarray, Mapping[str, np.ndarray], np.ndarray]]:
        done = 0
        for outputs in predictions:
            index = rows[done : done + len(next(iter(outputs.values())))]
            done += len(index)
            yield index, outputs, self.targets(index)
