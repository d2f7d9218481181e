"""The pixels of one image file of any size: decoded, with 8 bits, cropped and scaled to the size of a data set."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from src.data.sources.decoding import channels_first, decode, is_deep
from src.data.sources.depth import Depth, eight_bits

if TYPE_CHECKING:
    from PIL.Image import Image

ELONGATED = 4  # times as long as wide; the middle square of a longer image is less than a quarter of it
RATIOS = 3 / 4, 4 / 3  # width over height of a random crop, before it is scaled to a square
ATTEMPTS = 10  # draws of a random crop that lies within the image


def one(file: Path | bytes, *, channels: int, shift: int, size: Sequence[int] | None, reduced: bool = False) -> np.ndarray:
    """The pixels of one image file, as those of a data set: uint8, (channels, height, width).

    Args:
        shift: bits that an image with 16 bits of grey loses on the right.
        size: height and width to which it is scaled and cropped; None leaves it as it is.
        reduced: whether a JPEG file is decoded at 1/2, 1/4 or 1/8 of its size where that has enough pixels.

    Raises:
        ValueError: it cannot be read as an image.
    """
    least = None if size is None or not reduced else whole(*size)
    image = with_eight_bits(decode(file, channels=channels, depth=Depth(), least=least), shift, channels)
    return np.ascontiguousarray(channels_first(image if size is None else scaled(image, *size)))


def whole(height: int, width: int) -> Callable[[int, int], tuple[int, int]]:
    """How wide and high an image must be decoded at least, of which the middle is scaled to a size."""
    return lambda *_: (width, height)


@dataclass(frozen=True)
class PixelDecoder:
    """Decodes the image files that a data set keeps as they are.

    Args:
        shape: (channels, height, width) of what it gives.
        shift: bits that an image with 16 bits of grey loses on the right.
        random_crop: the smallest and the largest share of an image's area that a reading at random takes, with sides in a ratio
            from 3/4 to 4/3 (Szegedy et al. 2014, arXiv:1409.4842). None takes the middle square of the whole image.
    """

    shape: Sequence[int]
    shift: int = 0
    random_crop: Sequence[float] | None = None

    def __call__(self, content: bytes, rng: np.random.Generator | None = None) -> np.ndarray:
        channels, *size = self.shape
        if rng is None or self.random_crop is None:
            return one(content, channels=channels, shift=self.shift, size=size, reduced=True)
        crop = _RandomCrop(size, self.random_crop, rng)
        image = with_eight_bits(decode(content, channels=channels, depth=Depth(), least=crop.draw), self.shift, channels)
        return np.ascontiguousarray(channels_first(crop.of(image)))


class _RandomCrop:
    """A random part of one image, scaled.

    Args:
        size: height and width that it is scaled to.
        shares: the smallest and the largest share of the area.
    """

    def __init__(self, size: Sequence[int], shares: Sequence[float], rng: np.random.Generator):
        self._size, self._shares, self._rng = size, shares, rng
        self._box = (0.0, 0.0, 1.0, 1.0)  # left, top, right and bottom as shares of width and height

    def draw(self, width: int, height: int) -> tuple[int, int]:
        """Chooses the part. Returns how wide and high the image must be decoded at least."""
        share_x, share_y = self._sides(width, height)
        left, top = self._rng.random() * (1 - share_x), self._rng.random() * (1 - share_y)
        self._box = left, top, left + share_x, top + share_y
        return math.ceil(self._size[1] / share_x), math.ceil(self._size[0] / share_y)

    def of(self, image: Image) -> Image:
        """The part of the image."""
        (left, top, right, bottom), (width, height) = self._box, image.size
        box = left * width, top * height, min(right * width, width), min(bottom * height, height)
        return image.resize((self._size[1], self._size[0]), box=box)

    def _sides(self, width: int, height: int) -> tuple[float, float]:
        """The part's sides as shares of the image's. An image that is too long for all draws gives its middle ratio."""
        for _ in range(ATTEMPTS):
            area = self._rng.uniform(self._shares[0], self._shares[1]) * width * height
            ratio = math.exp(self._rng.uniform(math.log(RATIOS[0]), math.log(RATIOS[1])))
            wide, high = math.sqrt(area * ratio), math.sqrt(area / ratio)
            if 1 <= wide <= width and 1 <= high <= height:
                return wide / width, high / height
        ratio = min(max(width / height, RATIOS[0]), RATIOS[1])
        return min(1.0, height * ratio / width), min(1.0, width / ratio / height)


def with_eight_bits(image: Image, shift: int, channels: int) -> Image:
    """An image with 16 bits of grey as one with 8; others as they are."""
    if not is_deep(image):
        return image
    from PIL.Image import fromarray  # only where images are decoded

    return fromarray(eight_bits(np.asarray(image), shift)).convert("L" if channels == 1 else "RGB")


def scaled(image: Image, height: int, width: int) -> Image:
    """An image that is scaled until it fills the size, and cropped to the middle."""
    if image.size == (width, height):
        return image
    image = _shortened(image)
    scale = max(width / image.size[0], height / image.size[1])
    image = image.resize((max(width, round(image.size[0] * scale)), max(height, round(image.size[1] * scale))))
    left, top = (image.size[0] - width) // 2, (image.size[1] - height) // 2
    return image.crop((left, top, left + width, top + height))


def _shortened(image: Image) -> Image:
    """The middle of a very long image. Scaled as a whole, 60,000x1 pixels would fill the memory."""
    longest = ELONGATED * min(image.size)
    width, height = min(image.size[0], longest), min(image.size[1], longest)
    left, top = (image.size[0] - width) // 2, (image.size[1] - height) // 2
    return image if (width, height) == image.size else image.crop((left, top, left + width, top + height))
