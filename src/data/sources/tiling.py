"""Images with masks, which become rows of square tiles one image after the other."""

from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np

from src.data import scratch, tiles
from src.data.raw import IGNORED
from src.data.sources.depth import Depth


class Tiling:
    """The arrays of a store of tiles. They go to disk as the images come, where a preparation is at work.

    Args:
        tile, stride: in pixels, as `tiles.cut` takes them.
        channels: of the stored images.
        labels: the class by the value of a mask's pixels. None: each value is a class of its own, in rising order.
        ignored: values of a mask's pixels that do not count.

    Attributes:
        depth: counts the images with 16 bits of grey.
    """

    def __init__(
        self, *, tile: int, stride: int, channels: int, labels: Mapping[int, str] | None = None, ignored: Sequence[int] = ()
    ):
        self.depth = Depth()
        self._tile, self._stride, self._channels = tile, stride, channels
        self._classes = _Classes(labels, ignored)
        self._image = scratch.Growing((channels, tile, tile), np.uint8)
        self._target = scratch.Growing((tile, tile), np.uint8)
        self._positions: list[np.ndarray] = []
        self._shifts: dict[int, int] = {}

    def add(self, pixels: np.ndarray, values: np.ndarray) -> None:
        """Adds the tiles of one image.

        Args:
            pixels: (channels, height, width); (1, height, width) of 16 bits of grey, which `depth` has counted.
            values: those of its mask, (height, width).
        """
        if pixels.dtype != np.uint8:
            self._shifts[len(self._positions)] = self.depth.shift
        images, position = self._cut(pixels)
        masks, _ = tiles.cut(self._classes.numbers(values), size=self._tile, stride=self._stride)
        self._image.append(images)
        self._target.append(masks)
        self._positions.append(position)

    @property
    def classes(self) -> list[str]:
        """The names of the classes. Masks of more than IGNORED classes are not kept."""
        return self._classes.names

    @property
    def outdated(self) -> list[int]:
        """The numbers of the images whose 16 bits were shifted before a larger value came. Others replace them."""
        return [number for number, shift in self._shifts.items() if shift != self.depth.shift]

    def replace(self, number: int, pixels: np.ndarray) -> None:
        """Cuts one image anew, when all are added.

        Raises:
            ValueError: it has another size or depth than it had before.
        """
        before = self._positions[number]
        if pixels.dtype == np.uint8 or pixels.shape[1:] != tuple(before[0, 2:]):
            raise ValueError("expected the size and depth that it had before; received others")
        start = sum(map(len, self._positions[:number]))
        self._images[start : start + len(before)] = self._cut(pixels)[0]
        scratch.release(self._images)

    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays of the store. None is added afterwards."""
        target, table = self._target.array(), self._classes.table()
        if (table != np.arange(len(table))).any():
            for chunk in scratch.chunks(target):
                chunk[...] = table[chunk]
        counts = [len(position) for position in self._positions]
        return {
            "image": self._images,
            "target": target,
            "group": np.repeat(np.arange(len(counts), dtype=np.int64), counts),
            "position": np.concatenate(self._positions),
        }

    @cached_property
    def _images(self) -> np.ndarray:
        return self._image.array()

    def _cut(self, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The tiles of an image, and for each its top and left, and the image's height and width."""
        if pixels.dtype != np.uint8:
            pixels = np.repeat(self.depth.eight_bits(pixels), self._channels, axis=0)
        images, corners = tiles.cut(pixels, size=self._tile, stride=self._stride)
        size = np.tile(np.array(pixels.shape[1:], dtype=np.int32), (len(images), 1))
        return images, np.hstack([corners, size])


class _Classes:
    """The classes of the values in masks.

    Without labels, a value gets the next free number when it first occurs; `table` has the final ones.
    """

    def __init__(self, labels: Mapping[int, str] | None, ignored: Sequence[int]):
        self._labelled = [*dict.fromkeys(labels.values())] if labels else None
        indices = {name: number for number, name in enumerate(self._labelled or [])}
        self._found: dict[int, int] = {}  # values without labels
        self._known = {value: indices[name] for value, name in (labels or {}).items()} | dict.fromkeys(ignored, IGNORED)

    @property
    def names(self) -> list[str]:
        return [str(value) for value in sorted(self._found)] if self._labelled is None else self._labelled

    def numbers(self, values: np.ndarray) -> np.ndarray:
        """The number of each pixel's class, uint8; zeros where there are more classes than bytes can tell apart."""
        present = np.unique(values).tolist()
        for value in present:
            if value not in self._known:
                self._found.setdefault(value, len(self._found))
        mask = np.zeros(values.shape, dtype=np.uint8)
        if len(self._found if self._labelled is None else self._labelled) <= IGNORED:
            numbers = self._found | self._known
            for value in present:
                mask[values == value] = numbers[value]
        return mask

    def table(self) -> np.ndarray:
        """The final number by the one that a class got at first."""
        table = np.arange(IGNORED + 1, dtype=np.uint8)
        for final, value in enumerate(sorted(self._found)):
            table[self._found[value]] = final
        return table
