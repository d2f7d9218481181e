"""One figure for many examples: rows of cells, each with a caption, under one title.

Every figure that shows examples is such a grid. A cell holds anything that is `Shown`: `aspect` and `draw` have one
implementation for each kind, and a new kind registers its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import singledispatch
from textwrap import wrap
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from src.data.shown import Passage, Picture, Shown
from src.evaluation.plotting import DPI, GREY, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Inches.
GAP = 0.12  # between two cells
LINE = 0.15  # of a line of a caption
LINES = 4  # of a text
LETTER = 0.072  # the width of a letter of a caption, at FONT points
FONT, SMALLEST = 8.0, 5.0  # points


@dataclass(frozen=True)
class SignedMap(Shown):
    """A map in colours of its own range: white is 0, red is above it, blue is below it.

    Args:
        values: shape (height, width).
    """

    values: np.ndarray


class Cell(NamedTuple):
    """A shown example, and the lines above it."""

    shown: Shown
    caption: str = ""


class Row(NamedTuple):
    """Cells from left to right, and the lines on their left."""

    cells: Sequence[Cell]
    label: str = ""


class Box(NamedTuple):
    """Where a cell lies in a plot. `bottom` is larger than `top`, as in an image."""

    left: float
    top: float
    right: float
    bottom: float


@singledispatch
def aspect(shown: Shown) -> float:
    """The height of a shown example, for a width of 1."""
    return 1.0


@singledispatch
def draw(shown: Shown, ax: Axes, box: Box) -> None:
    """Draws a shown example into a box of a plot whose units are inches."""
    raise TypeError(f"expected a kind of Shown that figures can draw; received {type(shown).__name__}. Register its drawer.")


@aspect.register(Picture)
def _(shown: Picture) -> float:
    return shown.pixels.shape[0] / shown.pixels.shape[1]


@draw.register(Picture)
def _(shown: Picture, ax: Axes, box: Box) -> None:
    _image(shown.pixels, ax, box, colours="gray_r", low=0, high=255)


@aspect.register(Passage)
def _(shown: Passage) -> float:
    return LINE * len(_wrapped(shown)) / shown.width


@draw.register(Passage)
def _(shown: Passage, ax: Axes, box: Box) -> None:
    for number, line in enumerate(_wrapped(shown)):
        # A dollar would begin a formula.
        ax.text(box.left, box.top + (number + 0.5) * LINE, line.replace("$", r"\$"), fontsize=FONT, va="center")


def _wrapped(shown: Passage) -> list[str]:
    """The first lines of a text."""
    return wrap(shown.text, int(shown.width / LETTER), max_lines=LINES, placeholder=" ...") or [""]


@aspect.register(SignedMap)
def _(shown: SignedMap) -> float:
    return shown.values.shape[0] / shown.values.shape[1]


@draw.register(SignedMap)
def _(shown: SignedMap, ax: Axes, box: Box) -> None:
    largest = max(float(np.abs(shown.values).max()), 1e-12)
    _image(shown.values, ax, box, colours="RdBu_r", low=-largest, high=largest)


def stretched(channels: np.ndarray) -> Picture:
    """Three channels of any range as a picture of the full range. Shape: (3, height, width)."""
    low, high = channels.min(), channels.max()
    return Picture.of(255 * (channels - low) / max(high - low, 1e-12))


def grid(rows: Sequence[Row], *, title: str, side: float | None = None) -> Figure:
    """Draws rows of cells, the first row on top.

    All cells lie in one plot, because a plot for each would take far longer.

    Args:
        side: the width of a cell, in inches; by default what the shown examples need.
    """
    side = side or max(cell.shown.width for row in rows for cell in row.cells)
    columns = max(len(row.cells) for row in rows)
    width = columns * (side + GAP) - GAP
    letters = max((len(line) for row in rows for cell in row.cells for line in cell.caption.splitlines()), default=0)
    font = FONT * min(1.0, (side + GAP) / max(letters * LETTER, 1e-12))
    figure = new_figure(width=width, height=1)
    ax = figure.add_axes((0, 0, 1, 1))
    bottom = 0.0
    for row in rows:
        top = bottom + LINE * max((len(cell.caption.splitlines()) for cell in row.cells), default=0)
        bottom = top + side * max((aspect(cell.shown) for cell in row.cells), default=0)
        ax.text(-GAP, (top + bottom) / 2, row.label, fontsize=FONT, color=GREY, ha="right", va="center")
        for column, cell in enumerate(row.cells):
            left = column * (side + GAP)
            draw(cell.shown, ax, Box(left, top, left + side, top + side * aspect(cell.shown)))
            if cell.caption:
                _caption(ax, cell.caption, left + side / 2, top, font, side)
        bottom += GAP
    figure.set_size_inches(width, bottom - GAP)
    ax.set(xlim=(0, width), ylim=(bottom - GAP, 0))
    ax.axis("off")
    ax.set_title(title, fontsize=10, pad=8, y=1)  # without y, the title is placed by the ticks, which there are none of
    return figure


def _caption(ax: Axes, caption: str, middle: float, bottom: float, font: float, side: float) -> None:
    """Writes a caption above a cell, in letters that do not reach into the next cell."""
    letters = int((side + GAP) / LETTER * FONT / SMALLEST)
    lines = [line if len(line) <= letters else f"{line[: letters - 1]}…" for line in caption.splitlines()]
    ax.text(middle, bottom - 0.03, "\n".join(lines), fontsize=max(font, SMALLEST), ha="center", va="bottom")


def _image(pixels: np.ndarray, ax: Axes, box: Box, *, colours: str, low: float, high: float) -> None:
    from matplotlib.image import AxesImage

    fine = pixels.shape[1] > (box.right - box.left) * DPI  # more pixels than the figure has
    image = AxesImage(
        ax,
        cmap=colours,
        extent=(box.left, box.right, box.bottom, box.top),
        interpolation="auto" if fine else "nearest",
        origin="upper",
    )
    image.set_data(pixels)
    image.set_clim(low, high)
    ax.add_image(image)
