"""Reads one image, or one tile after the other of a large one, as the preparation of a data set of images did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from src.data import tiles
from src.data.reading import Reader
from src.data.sources import pixels, values
from src.data.sources.decoding import SUFFIXES
from src.errors import InputError


class ImageReader(Reader):
    """Images as a file, its bytes, or an array (height, width), (height, width, channels) or (channels, height, width).

    Args:
        shape: of the stored images, (channels, height, width).
        scales: whether an image of another size is scaled and cropped to the middle; otherwise it is refused, because nobody
            knows how the images of the data set got their size.
        shift: bits that images with 16 bits of grey lose on the right.
        reduced: whether JPEG files are decoded at a smaller size, as `pixels.one` does it.
    """

    suffixes = SUFFIXES
    requires = ("pillow",)

    def __init__(self, *, shape: Sequence[int], scales: bool = False, shift: int = 0, reduced: bool = False):
        self._channels, *self._size = shape
        self._scales, self._shift, self._reduced = scales, shift, reduced

    def read(self, raw: Any) -> Mapping[str, np.ndarray]:
        if isinstance(raw, np.ndarray):
            image = _array(raw, self._channels)
        else:
            size = self._size if self._scales else None
            image = pixels.one(raw, channels=self._channels, shift=self._shift, size=size, reduced=self._reduced)
        if [*image.shape[1:]] != self._size:
            expected, received = values.shown(self._size), values.shown(image.shape[1:])
            raise ValueError(f"expected {expected} pixels, the size of the images that were learned; received {received}")
        return {"image": image[None]}


class TileReader(Reader):
    """Images of any size from that of a tile on, which are stored in tiles.

    Args:
        channels: of the stored images.
        tile, stride: in pixels, as `tiles.cut` takes them.
        shift: bits that images with 16 bits of grey lose on the right.
    """

    suffixes = SUFFIXES
    requires = ("pillow",)

    def __init__(self, *, channels: int, tile: int, stride: int, shift: int = 0):
        self._channels, self._tile, self._stride, self._shift = channels, tile, stride, shift

    def read(self, raw: Any) -> Mapping[str, np.ndarray]:
        if isinstance(raw, np.ndarray):
            image = _array(raw, self._channels)
        else:
            image = pixels.one(raw, channels=self._channels, shift=self._shift, size=None)
        try:
            cut, corners = tiles.cut(image, size=self._tile, stride=self._stride)
        except InputError as error:
            expected, received = values.shown([self._tile] * 2), values.shown(image.shape[1:])
            raise ValueError(f"expected at least {expected} pixels, the size of a tile; received {received}") from error
        size = np.tile(np.array(image.shape[1:], dtype=np.int32), (len(cut), 1))
        return {"image": cut, "position": np.hstack([corners, size])}


def _array(array: np.ndarray, channels: int) -> np.ndarray:
    """An array as uint8, (channels, height, width)."""
    try:
        (image,) = values.as_bytes(values.channels_first(array[None], "the array"), "the array")
    except InputError as error:
        raise ValueError(str(error).removeprefix("the array: ")) from error
    if len(image) != channels:
        raise ValueError(f"expected {channels} channels; received an array of shape {list(array.shape)}")
    return image
