"""Masks: a class for each pixel of an image, in tiles of images that are larger than what a network takes.

A row of the store is a tile: `image` and `target`, the mask, uint8 class indices of shape (tile, height, width). The
array `group` says which image a tile is of and `place` where it lies (top, left, height and width of the whole); the
card's `groups` are the images' names. Tiles are fixed, so that a batch is one index. Training and its validation see
tiles, overlaps counted as often as they come; what is evaluated are whole images, each pixel once.
"""

from collections.abc import Iterator, Mapping

import numpy as np

from src.data.pictures import Pictures
from src.data.tiles import Canvas, pasted


class Masks(Pictures):
    """A prepared data set of images with masks."""

    @property
    def names(self) -> list[str]:
        """Of the whole images."""
        return self.prepared.card["groups"]

    def assemble(
        self, rows: np.ndarray, predictions: Iterator[Mapping[str, np.ndarray]]
    ) -> Iterator[tuple[np.ndarray, Mapping[str, np.ndarray], np.ndarray]]:
        """Whole images, one by one: their number, each output as a map of shape (1, ..., height, width), and the mask."""
        group, place = self.prepared.array("group")[rows], self.prepared.array("place")[rows]
        ends = np.append(np.flatnonzero(np.diff(group)) + 1, len(rows)).tolist()
        canvas, begin = None, 0
        for position, tile in enumerate(tile for batch in predictions for tile in _one_by_one(batch)):
            top, left, height, width = place[position].tolist()
            canvas = canvas or Canvas(height=height, width=width)
            canvas.put(tile, top=top, left=left)
            if position + 1 == ends[0]:
                whole = {name: value[None] for name, value in canvas.means().items()}
                mask = pasted(self.targets(rows[begin : ends[0]]), place[begin : ends[0], :2], height=height, width=width)
                yield group[position : position + 1], whole, mask[None]
                canvas, begin = None, ends.pop(0)

    def tiles(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """The rows of an image's tiles, and where each begins, (top, left)."""
        rows = np.flatnonzero(self.prepared.array("group") == number)
        return rows, self.prepared.array("place")[rows, :2]

    def whole(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """An image's pixels (channel, height, width) and its mask (height, width)."""
        rows, corners = self.tiles(number)
        height, width = self.prepared.array("place")[rows[0], 2:].tolist()
        image, mask = (pasted(array, corners, height=height, width=width) for array in (self.inputs(rows), self.targets(rows)))
        return image, mask


def _one_by_one(batch: Mapping[str, np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
    for number in range(len(next(iter(batch.values())))):
        yield {name: output[number] for name, output in batch.items()}
