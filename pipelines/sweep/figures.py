"""Figures of a study, drawn by Optuna."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import optuna
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from src.evaluation.plotting import write
from src.protocols import Objective

WIDTH, HEIGHT = 7.5, 4.2  # inches
SLICE = 3.2  # inches, of each parameter


def draw(study: Study, folder: Path, objectives: Sequence[Objective]) -> list[Path]:
    """Draws history, importances, slices, parallel coordinates, learning curves, Pareto front and timeline.

    With several objectives, each has its own figures, under its name.

    Returns:
        The paths of the figures.
    """
    from matplotlib import pyplot

    complete = [trial for trial in study.get_trials(deepcopy=False) if trial.state == TrialState.COMPLETE]
    written = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        warnings.filterwarnings("ignore", category=UserWarning, module="optuna")
        for name, plot in _plots(study, complete, objectives):
            axes = plot()  # one, or an array of them
            figure = (axes if hasattr(axes, "figure") else axes.flat[0]).figure
            params = len(complete[0].params) if complete else 1
            figure.set_size_inches(max(WIDTH, SLICE * params) if name.startswith("slices") else WIDTH, HEIGHT)
            written.append(write(figure, folder / f"{name}.png"))
            pyplot.close(figure)  # Optuna leaves it open
    return written


def _plots(
    study: Study, complete: Sequence[FrozenTrial], objectives: Sequence[Objective]
) -> Iterator[tuple[str, Callable[[], Any]]]:
    """The names of the figures that these trials allow, and the functions that draw them."""
    from optuna.visualization import matplotlib as plots

    if not complete:
        return
    yield "timeline", partial(plots.plot_timeline, study)
    if len(objectives) == 1:
        yield "curves", partial(plots.plot_intermediate_values, study)
    elif len(objectives) <= 3:
        yield "front", partial(plots.plot_pareto_front, study, target_names=[one.metric for one in objectives])
    shared = sorted(set.intersection(*(set(trial.params) for trial in complete)))
    for number, one in enumerate(objectives):
        target = partial(_value, number=number) if len(objectives) > 1 else None
        suffix = f"-{one.metric.replace('/', '-')}" if target else ""
        yield f"history{suffix}", partial(plots.plot_optimization_history, study, target=target, target_name=one.metric)
        if shared and len({trial.values[number] for trial in complete}) > 1:
            for name, plot in (
                ("slices", plots.plot_slice),
                ("parallel", plots.plot_parallel_coordinate),
                ("importances", plots.plot_param_importances),
            ):
                yield f"{name}{suffix}", partial(plot, study, params=shared, target=target, target_name=one.metric)


def _value(trial: FrozenTrial, *, number: int) -> float:
    return trial.values[number]
