"""Masks: a class for each pixel of an image, in tiles of images that are larger than the input of a network.

A row of the store is a tile: `image`, and `target`, the mask, uint8 class indices of shape (tile, height, width), with IGNORED
at pixels that do not count. The array `group` has the number of the tile's image. The array `position` has the tile's top and
left, and the height and width of the whole image. The card's `groups` are the names of the images.

Tiles are fixed, so that one index reads a batch. Training and its validation use tiles, so that pixels in an overlap count
several times. Evaluation uses whole images, where each pixel counts once.
"""

from collections.abc import Iterator, Mapping

import numpy as np

from src.data.pictures import Pictures
from src.data.reading import Reader
from src.data.tiles import Canvas, paste


class Masks(Pictures):
    """A prepared data set of images with masks."""

    @property
    def image_names(self) -> list[str]:
        """The names of the whole images, by their numbers."""
        return self.prepared.card["groups"]

    def assemble(
        self, rows: np.ndarray, predictions: Iterator[Mapping[str, np.ndarray]]
    ) -> Iterator[tuple[np.ndarray, Mapping[str, np.ndarray], np.ndarray | None]]:
        """Whole images, one by one: number, outputs as maps of shape (1, ..., height, width), and mask."""
        group, position = self.prepared.array("group")[rows], self.prepared.array("position")[rows]
        ends = np.append(np.flatnonzero(np.diff(group)) + 1, len(rows)).tolist()
        canvas, start = None, 0
        for number, tile in enumerate(tile for batch in predictions for tile in _examples(batch)):
            top, left, height, width = position[number].tolist()
            canvas = canvas or Canvas(height=height, width=width)
            canvas.add(tile, top=top, left=left)
            if number + 1 == ends[0]:
                whole = {name: value[None] for name, value in canvas.means().items()}
                mask = None
                if "target" in self.fields:
                    corners = position[start : ends[0], :2]
                    mask = paste(self.targets(rows[start : ends[0]]), corners, height=height, width=width)[None]
                yield group[number : number + 1], whole, mask
                canvas, start = None, ends.pop(0)

    def reader(self) -> Reader:
        from src.data.sources.image_reader import TileReader  # only a prediction reads raw inputs

        channels, tile, _ = self.shape
        return TileReader(channels=channels, tile=tile, **{"stride": tile, **self.prepared.card.get("reading", {})})

    def tiles(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """The rows of an image's tiles, and the top and left of each tile."""
        rows = np.flatnonzero(self.prepared.array("group") == number)
        return rows, self.prepared.array("position")[rows, :2]

    def whole(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """An image's pixels (channels, height, width) and its mask (height, width)."""
        rows, corners = self.tiles(number)
        height, width = self.prepared.array("position")[rows[0], 2:].tolist()
        image, mask = (paste(array, corners, height=height, width=width) for array in (self.inputs(rows), self.targets(rows)))
        return image, mask


def _examples(batch: Mapping[str, np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
    for number in range(len(next(iter(batch.values())))):
        yield {name: output[number] for name, output in batch.items()}
