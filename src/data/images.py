"""Images: arrays of uint8 pixels (example, channel, height, width), and targets by image."""

from collections.abc import Mapping, Sequence

import numpy as np

from src.data.pictures import Pictures
from src.data.splitting import SPLITS
from src.data.store import Prepared
from src.value_types import Seed


class Images(Pictures):
    """A prepared data set of images.

    The statistics for the normalisation are always those of the whole training split.

    Args:
        shape: channels, height and width.
        num_classes: None where there are no classes.
        random_crop: the share of an image's area that a reading for a training takes, from the smallest to the largest; of
            images that are stored as encoded files. None takes the middle of all of it.
        keep: by split, the numbers of the only classes that it keeps. A split that is not named keeps all.
        labelled: how many examples of each class the training split keeps, as a number or as a share; None keeps all.
        seed: of the draw of these examples.
    """

    def __init__(
        self,
        *,
        prepared: Prepared,
        shape: Sequence[int],
        num_classes: int | None,
        batch_size: int,
        random_crop: Sequence[float] | None = None,
        keep: Mapping[str, Sequence[int]] | None = None,
        labelled: float | None = None,
        seed: Seed = 0,
    ):
        super().__init__(prepared=prepared, shape=shape, num_classes=num_classes, batch_size=batch_size)
        if random_crop is not None:
            self._check_crop(random_crop)
            self._fields["input"] = self._images(random_crop)
        self._labelled: np.ndarray | None = None
        self.keep = {split: sorted(classes) for split, classes in (keep or {}).items()}
        if "target" not in self.fields:  # raw inputs of a prediction: there is nothing to choose from
            return
        if keep and prepared.array("target").ndim != 1:
            raise ValueError("data.keep: expected examples with one class each; these have several labels. Leave it out.")
        known = set(range(self.num_classes or 0))
        for split, classes in self.keep.items():
            if split not in SPLITS or not set(classes) <= known or not len(self.rows(split)):
                raise ValueError(
                    f"data.keep: expected classes from 0 to {len(known) - 1} by split ({', '.join(SPLITS)}), with examples in "
                    f"that split; received {split}: {classes}."
                )
        if labelled is not None:
            self._labelled = self._draw(labelled, seed)

    def _check_crop(self, shares: Sequence[float]) -> None:
        storage = self.prepared.card["arrays"]["image"].get("storage", "decoded")
        if storage != "encoded" or len(shares) != 2 or not 0 < shares[0] <= shares[1] <= 1:
            raise ValueError(
                "data.random_crop: expected two shares of an image's area as [0.08, 1.0], and data.storage=encoded; received "
                f"{[*shares]} for images that are stored {storage}. Leave it null."
            )

    def rows(self, split: str) -> np.ndarray:
        if split == "train" and self._labelled is not None:
            return self._labelled
        rows = super().rows(split)
        return rows[np.isin(self.targets(rows), self.keep[split])] if split in self.keep and "target" in self.fields else rows

    def _draw(self, labelled: float, seed: int) -> np.ndarray:
        """Rows of the training split, in rising order: a number or a share of each class that it has."""
        rows = self.rows("train")
        target = self.targets(rows)
        if target.ndim != 1:
            raise ValueError("data.labelled: expected examples with one class each; these have several labels. Leave it out.")
        classes, counts = np.unique(target, return_counts=True)
        is_share = isinstance(labelled, float) and 0 < labelled < 1
        if not is_share and not (isinstance(labelled, int) and 1 <= labelled <= counts.min()):
            raise ValueError(
                f"data.labelled: expected a number of examples of each class from 1 to {counts.min()}, or a share between 0 "
                f"and 1; received {labelled}."
            )
        numbers = [max(1, round(labelled * count)) if is_share else int(labelled) for count in counts.tolist()]
        rng = np.random.default_rng(seed)
        sample = [rng.permutation(rows[target == label])[:number] for label, number in zip(classes, numbers, strict=True)]
        return np.sort(np.concatenate(sample))
