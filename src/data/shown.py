"""How one example looks. A figure draws each kind; nothing here draws."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np


@dataclass(frozen=True)
class Shown:
    """What a figure shows of one example; each subclass is one kind.

    Attributes:
        width: of its cell in a figure, in inches.
    """

    width: ClassVar[float] = 1.0


@dataclass(frozen=True)
class Passage(Shown):
    """A text.

    Args:
        text: of any length. A figure shows its beginning.
    """

    width = 4.4
    text: str


@dataclass(frozen=True)
class Picture(Shown):
    """Pixels that can be drawn as they are.

    Args:
        pixels: uint8, of shape (height, width) for grey or (height, width, 3) for colour.
    """

    pixels: np.ndarray

    @classmethod
    def of(cls, image: np.ndarray) -> Self:
        """The picture of an image with values from 0 to 255, shape (channels, height, width).

        Three channels are colours. Any other number of channels is shown as their mean, in grey.
        """
        pixels = image.transpose(1, 2, 0) if len(image) == 3 else image.mean(axis=0)
        return cls(np.round(pixels).clip(0, 255).astype(np.uint8))
