"""Images with 16 bits in each channel, which become images with 8 bits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from src.data.notes import counted
from src.errors import InputError

if TYPE_CHECKING:
    from PIL.Image import Image


def eight_bits(values: np.ndarray, shift: int) -> np.ndarray:
    """Values with 16 bits as bytes. What is brighter than all images of the data set becomes white."""
    return (values >> shift).clip(max=255).astype(np.uint8)


class Depth:
    """The values that the images with 16 bits have, over all files of a data set.

    Cameras and scanners often use 10, 12 or 14 of the 16 bits. All images are shifted by the same number of bits, so that the
    largest value of the data set keeps its highest bit, and images stay comparable.
    """

    def __init__(self) -> None:
        self._grey, self._largest = 0, 0
        self._colour, self._brightest = 0, 0

    def add(self, other: Depth) -> None:
        """Counts what another one has counted."""
        self._grey, self._largest = self._grey + other._grey, max(self._largest, other._largest)
        self._colour, self._brightest = self._colour + other._colour, max(self._brightest, other._brightest)

    def add_grey(self, image: Image) -> None:
        """Counts an image with 16 bits of grey, which `eight_bits` reduces when all are counted.

        Raises:
            ValueError: it has values below 0.
        """
        values = np.asarray(image)
        if values.min(initial=0) < 0:
            raise ValueError(f"expected pixels from 0; received {values.min()}. Convert it to 8 or 16 bits without a sign")
        self._grey += 1
        self._largest = max(self._largest, int(values.max(initial=0)))

    def add_colour(self, image: Image) -> None:
        """Counts an image of 16 bits and several channels. Pillow gives the upper 8 bits and not the lower."""
        self._colour += 1
        self._brightest = max(self._brightest, int(np.asarray(image).max(initial=0)))

    def eight_bits(self, values: np.ndarray) -> np.ndarray:
        """Values with 16 bits as bytes."""
        return eight_bits(values, self.shift)

    def notes(self, where: str) -> list[str]:
        """What became of the images with 16 bits.

        Raises:
            InputError: colours that do not use the upper bits, of which little would be left.
        """
        if self._colour and self._brightest < 128:
            raise InputError(
                f"{where}: expected images with 16 bits in each colour to use all of them, since only the upper 8 can be read; "
                f"the values of {counted(self._colour, 'such file')} stay below {(self._brightest + 1) << 8:,} of 65,536. "
                "Convert them to 8 bits, scaled to their range."
            )
        lines = []
        if self._grey:
            lines.append(
                f"{counted(self._grey, 'image has', 'images have')} 16 bits of grey with values up to {self._largest:,}; "
                f"they are shifted by {counted(self.shift, 'bit')} to 8 bits."
            )
        if self._colour:
            lines.append(
                f"{counted(self._colour, 'image has', 'images have')} 16 bits in each channel; the upper 8 bits are kept."
            )
        return lines

    @property
    def shift(self) -> int:
        """Bits that images with 16 bits of grey lose on the right."""
        return max(0, self._largest.bit_length() - 8)
