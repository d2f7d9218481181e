"""The classes of images by their labels."""

from collections.abc import Sequence

import numpy as np

from src.data.notes import counted, listed


def numbered(labels: Sequence[str], kept: Sequence[int]) -> tuple[list[str], np.ndarray, list[str]]:
    """The classes, the number of each image's class, and notes.

    Classes are sorted by name, or by value where all names are whole numbers.

    Args:
        labels: of all images.
        kept: positions of the images that can be read.
    """
    own = [labels[number] for number in kept]
    classes = ordered(own)
    lost = ordered({*labels} - {*classes})
    notes = [f"{counted(len(lost), 'class has', 'classes have')} no image that can be read: {listed(lost)}."] if lost else []
    numbers = {label: number for number, label in enumerate(classes)}
    return classes, np.array([numbers[label] for label in own], dtype=np.int64), notes


def ordered(labels: Sequence[str] | set[str]) -> list[str]:
    """Each label once."""
    names = sorted({*labels})
    return sorted(names, key=int) if all(name.isdecimal() and name.isascii() for name in names) else names
