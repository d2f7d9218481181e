"""How figures look, the same everywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ACCENT = "#2563a8"
SECOND = "#c2571a"
GREY = "#5b6470"


def sheet(*, width: float, height: float) -> Figure:
    """An empty figure. Sizes in inches."""
    from matplotlib.figure import Figure  # half a second, which only a stage that draws should pay

    return Figure(figsize=(width, height), layout="constrained")


def axes(*, width: float = 5, height: float = 3.4) -> tuple[Figure, Axes]:
    """One plot without the upper and the right line. Sizes in inches."""
    figure = sheet(width=width, height=height)
    ax = figure.add_subplot()
    ax.spines[["top", "right"]].set_visible(False)
    ax.title.set_fontsize(10)
    return figure, ax
