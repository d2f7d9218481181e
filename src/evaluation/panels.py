"""Pictures side by side: images as they are stored, and maps of what a network makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from src.evaluation.style import GREY, axes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GAP = 0.12  # between two pictures; a picture is 1 wide, and that is an inch
LINE = 0.15  # height of a line of a caption


@dataclass(frozen=True)
class Picture:
    """Pixels with the colours that they are shown in. Shapes: (height, width), or (height, width, 3) from 0 to 1."""

    pixels: np.ndarray
    colours: str = "gray_r"
    low: float = 0
    high: float = 1
    caption: str = ""


def image(stored: np.ndarray, caption: str = "") -> Picture:
    """An image as it is stored; grey unless it has three channels. Shape: (channels, height, width)."""
    pixels = stored.transpose(1, 2, 0) if stored.shape[0] == 3 else stored.mean(axis=0)
    return Picture(pixels / 255, caption=caption)


def heat(values: np.ndarray) -> Picture:
    """A map in colours of its own range: white is 0, red above it, blue below. Shape: (height, width)."""
    most = max(float(np.abs(values).max()), 1e-12)
    return Picture(values, "RdBu_r", -most, most)


def tinted(values: np.ndarray) -> Picture:
    """Three channels of any range as colours. Shape: (3, height, width)."""
    low, high = values.min(), values.max()
    return Picture(((values - low) / max(high - low, 1e-12)).transpose(1, 2, 0))


def gallery(rows: Sequence[tuple[str, Sequence[Picture]]], *, title: str) -> Figure:
    """Rows of pictures, each with a label. All lie in one plot, for a plot of its own takes longer than a picture."""
    columns = max(len(pictures) for _, pictures in rows)
    places, bottom = [], 0.0
    for _, pictures in rows:
        lines = max((picture.caption.count("\n") + 1 for picture in pictures if picture.caption), default=0)
        tall = max((picture.pixels.shape[0] / picture.pixels.shape[1] for picture in pictures), default=0)
        places.append(bottom + lines * LINE)
        bottom = places[-1] + tall + GAP
    wide = columns * (1 + GAP) - GAP
    labelled = any(label for label, _ in rows)
    figure, ax = axes(width=wide + (1.6 if labelled else 0.3), height=bottom + 0.5)
    for (label, pictures), top in zip(rows, places, strict=True):
        tall = 0.0
        for column, picture in enumerate(pictures):
            left, tall = column * (1 + GAP), picture.pixels.shape[0] / picture.pixels.shape[1]
            ax.imshow(
                picture.pixels,
                cmap=picture.colours,
                vmin=picture.low,
                vmax=picture.high,
                extent=(left, left + 1, top + tall, top),
                interpolation="nearest",
            )
            ax.text(left + 0.5, top - 0.03, picture.caption, fontsize=8, ha="center", va="bottom")
        ax.text(-GAP, top + tall / 2, label, fontsize=8, color=GREY, ha="right", va="center")
    ax.set(xlim=(0, wide), ylim=(bottom - GAP, 0))
    ax.axis("off")
    ax.set_title(title, fontsize=10, pad=8)
    return figure
