"""Learning curves from a run's journal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from src.evaluation.plotting import ACCENT, GREY, SECOND, axes
from src.tracking.journal import read

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def history(journal: Path) -> dict[str, list[tuple[int, float]]]:
    """Logged values by name, each as (epoch, value), in the order of time."""
    points: dict[str, list[tuple[int, float]]] = {}
    for point in read(journal):
        points.setdefault(point["name"], []).append((point["epoch"], point["value"]))
    return points


def table(journal: Path) -> pd.DataFrame:
    """The values at the end of each epoch, one row an epoch."""
    points = history(journal)
    kept = {name: dict(values) for name, values in points.items() if name.startswith("val/") or name == "train/loss_epoch"}
    return pd.DataFrame(kept).rename_axis("epoch").sort_index().reset_index()


def learning(journal: Path, *, best_epoch: int, metric: str) -> dict[str, Figure]:
    """Losses and the objective by epoch. Empty for a learner without epochs."""
    points = history(journal)
    figures = {}
    lines = [("train/loss_epoch", "training", GREY), ("val/loss", "validation", ACCENT)]
    if len(points.get("val/loss", [])) > 1:
        figures["learning"] = _curve(points, lines, "Loss", best_epoch)
    if len(points.get(metric, [])) > 1 and metric != "val/loss":
        figures["objective"] = _curve(points, [(metric, "validation", SECOND)], metric.partition("/")[2], best_epoch)
    return figures


def _curve(
    points: dict[str, list[tuple[int, float]]], lines: list[tuple[str, str, str]], title: str, best_epoch: int
) -> Figure:
    from matplotlib.ticker import MaxNLocator

    figure, ax = axes()
    for name, label, colour in lines:
        if name in points:
            ax.plot(*zip(*points[name], strict=True), color=colour, label=label, marker="." if len(points[name]) < 30 else None)
    ax.axvline(best_epoch, color=GREY, linewidth=0.8, linestyle=":", label="best checkpoint")
    ax.set(xlabel="epoch", title=title)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.legend(frameon=False)
    return figure
