"""Images: arrays of uint8 pixels (example, channel, height, width), with a class each or none."""

from collections.abc import Mapping, Sequence

import numpy as np

from src.data.store import PARTS, Prepared


class Images:
    """A prepared data set of images.

    Args:
        shape: channels, height and width.
        num_classes: None where the examples have no class.
        keep: the classes, as numbers, whose examples alone a part has; a part that is not named has all. The statistics
            that normalise stay those of the whole training part.
    """

    def __init__(
        self,
        *,
        prepared: Prepared,
        shape: list[int],
        num_classes: int | None,
        batch_size: int,
        keep: Mapping[str, Sequence[int]] | None = None,
    ):
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
        self.keep = {part: sorted(classes) for part, classes in (keep or {}).items()}
        for part, classes in self.keep.items():
            if part not in PARTS or not set(classes) <= set(range(num_classes or 0)) or not len(self.rows(part)):
                raise ValueError(
                    f"data.keep: expected classes from 0 to {(num_classes or 0) - 1} that {', '.join(PARTS)} have examples of; "
                    f"received {part}: {classes}."
                )

    def __len__(self) -> int:
        return len(self._image)

    def rows(self, part: str) -> np.ndarray:
        rows = self.prepared.index(part)
        return rows[np.isin(self._target[rows], self.keep[part])] if part in self.keep else rows

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
