"""Images: arrays of uint8 pixels (example, channel, height, width), with a class each or none."""

from collections.abc import Mapping, Sequence

import numpy as np

from src.data.pictures import Pictures
from src.data.splitting import PARTS
from src.data.store import Prepared


class Images(Pictures):
    """A prepared data set of images.

    Args:
        shape: channels, height and width.
        num_classes: None where there are no classes.
        keep: the classes, as numbers, whose examples alone a part has; a part that is not named has all. The statistics
            that normalise stay those of the whole training part.
        labelled: how many examples of each class the training part has, or which share of them; None for all. Its statistics
            need no labels, and stay those of all.
        seed: by which they are drawn.
    """

    def __init__(
        self,
        *,
        prepared: Prepared,
        shape: Sequence[int],
        num_classes: int | None,
        batch_size: int,
        keep: Mapping[str, Sequence[int]] | None = None,
        labelled: float | None = None,
        seed: int = 0,
    ):
        super().__init__(prepared=prepared, shape=shape, num_classes=num_classes, batch_size=batch_size)
        self._drawn: np.ndarray | None = None
        self.keep = {part: sorted(classes) for part, classes in (keep or {}).items()}
        if keep and self.arrays["target"].ndim != 1:
            raise ValueError("data.keep: expected examples with one class each; these have several labels. Leave it out.")
        known = set(range(self.num_classes or 0))
        for part, classes in self.keep.items():
            if part not in PARTS or not set(classes) <= known or not len(self.rows(part)):
                raise ValueError(
                    f"data.keep: expected classes from 0 to {len(known) - 1} that {', '.join(PARTS)} have examples of; "
                    f"received {part}: {classes}."
                )
        if labelled is not None:
            self._drawn = self._draw(labelled, seed)

    def rows(self, split: str) -> np.ndarray:
        if split == "train" and self._drawn is not None:
            return self._drawn
        rows = super().rows(split)
        return rows[np.isin(self.arrays["target"][rows], self.keep[split])] if split in self.keep else rows

    def _draw(self, labelled: float, seed: int) -> np.ndarray:
        """Rows of the training part, in rising order, so many of each class that it has; another seed draws others."""
        rows = self.rows("train")
        target = self.arrays["target"][rows]
        if target.ndim != 1:
            raise ValueError("data.labelled: expected examples with one class each; these have several labels. Leave it out.")
        classes, counts = np.unique(target, return_counts=True)
        share = isinstance(labelled, float) and 0 < labelled < 1
        if not share and not (isinstance(labelled, int) and 1 <= labelled <= counts.min()):
            raise ValueError(
                f"data.labelled: expected a number of examples of each class from 1 to {counts.min()}, or a share between 0 "
                f"and 1; received {labelled}."
            )
        wanted = [max(1, round(labelled * count)) if share else int(labelled) for count in counts.tolist()]
        rng = np.random.default_rng(seed)
        drawn = [rng.permutation(rows[target == label])[:count] for label, count in zip(classes, wanted, strict=True)]
        return np.sort(np.concatenate(drawn))
