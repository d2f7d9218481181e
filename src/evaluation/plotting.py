"""Figures that all look alike, and how they are written. matplotlib is imported by the first one."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from src.runs.files import write_atomic

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ACCENT = "#2563a8"
SECOND = "#c2571a"
GREY = "#5b6470"
DPI = 110
MARGIN = 0.1  # inches around the content of a figure


def new_figure(*, width: float, height: float, arranged: bool = False) -> Figure:
    """An empty figure. Sizes in inches.

    Args:
        arranged: whether the layout makes room for the labels of several plots. One plot needs none, for a figure is cut to its
            content when it is written; and the layout takes as long as the drawing.
    """
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained" if arranged else None)


def axes(*, width: float = 5, height: float = 3.4) -> tuple[Figure, Axes]:
    """A figure with one plot, without the upper and the right line. Sizes in inches."""
    figure = new_figure(width=width, height=height)
    ax = figure.add_subplot()
    ax.spines[["top", "right"]].set_visible(False)
    ax.title.set_fontsize(10)
    return figure, ax


def write(figure: Figure, path: Path) -> Path:
    """Writes a figure as PNG, cut to its content. Equal figures give equal bytes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure.set_dpi(DPI)
    canvas, layout = FigureCanvasAgg(figure), figure.get_layout_engine()
    if layout is not None:
        layout.execute(figure)
        figure.set_layout_engine("none")  # or the drawing would arrange it again
    content = figure.get_tightbbox(canvas.get_renderer()).padded(MARGIN)  # bbox_inches="tight" would draw everything twice
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, bbox_inches=content, metadata={"Software": None})
    write_atomic(path, buffer.getvalue())
    return path
