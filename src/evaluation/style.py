"""How figures look, the same everywhere."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

ACCENT = "#2563a8"
SECOND = "#c2571a"
GREY = "#5b6470"


def axes(*, width: float = 5, height: float = 3.4) -> tuple[Figure, Axes]:
    """One plot without the upper and the right line. Sizes in inches."""
    figure = Figure(figsize=(width, height), layout="constrained")
    ax = figure.add_subplot()
    ax.spines[["top", "right"]].set_visible(False)
    ax.title.set_fontsize(10)
    return figure, ax
