"""Images: arrays of uint8 pixels (example, channel, height, width), with a class each or none."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from src.data.pictures import Pictures
from src.data.store import PARTS


class Images(Pictures):
    """A prepared data set of images.

    Args:
        keep: the classes, as numbers, whose examples alone a part has; a part that is not named has all. The statistics
            that normalise stay those of the whole training part.
        given: as for any data set of pictures.
    """

    def __init__(self, *, keep: Mapping[str, Sequence[int]] | None = None, **given: Any):
        super().__init__(**given)
        self.keep = {part: sorted(classes) for part, classes in (keep or {}).items()}
        if keep and self._target.ndim != 1:
            raise ValueError("data.keep: expected examples with one class each; these have several labels. Leave it out.")
        known = set(range(self.num_classes or 0))
        for part, classes in self.keep.items():
            if part not in PARTS or not set(classes) <= known or not len(self.rows(part)):
                raise ValueError(
                    f"data.keep: expected classes from 0 to {len(known) - 1} that {', '.join(PARTS)} have examples of; "
                    f"received {part}: {classes}."
                )

    def rows(self, part: str) -> np.ndarray:
        rows = super().rows(part)
        return rows[np.isin(self._target[rows], self.keep[part])] if part in self.keep else rows

    def assembled(
        self, rows: np.ndarray, predictions: Iterator[Mapping[str, np.ndarray]]
    ) -> Iterator[tuple[np.ndarray, Mapping[str, np.ndarray], np.ndarray]]:
        done = 0
        for outputs in predictions:
            index = rows[done : done + len(next(iter(outputs.values())))]
            done += len(index)
            yield index, outputs, self.targets(index)
