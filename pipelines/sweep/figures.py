"""What a search looked like: pictures of a study, drawn by Optuna."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import optuna
from optuna.study import Study
from optuna.trial import TrialState

from src.evaluation import core


def draw(study: Study, folder: Path, metric: str) -> list[Path]:
    """Draws history, importances, slices, parallel coordinates, learning curves and timeline; gives their paths."""
    from optuna.visualization import matplotlib as plots

    complete = [trial for trial in study.get_trials(deepcopy=False) if trial.state == TrialState.COMPLETE]
    params = sorted(set.intersection(*(set(trial.params) for trial in complete))) if complete else []
    kinds = {
        "history": lambda: plots.plot_optimization_history(study, target_name=metric),
        "curves": lambda: plots.plot_intermediate_values(study),
        "timeline": lambda: plots.plot_timeline(study),
        "slices": lambda: plots.plot_slice(study, params=params, target_name=metric),
        "parallel": lambda: plots.plot_parallel_coordinate(study, params=params, target_name=metric),
        "importances": lambda: plots.plot_param_importances(study, params=params, target_name=metric),
    }
    if len(complete) < 2 or len({trial.value for trial in complete}) < 2 or not params:
        kinds = {name: kinds[name] for name in ("history", "timeline") if complete}
    written = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        warnings.filterwarnings("ignore", category=UserWarning, module="optuna")
        for name, plot in kinds.items():
            made: Any = plot()
            figure = (made if hasattr(made, "figure") else made.flat[0]).figure
            figure.set_size_inches(7.5 if name != "slices" else 3.2 * len(params), 4.2)
            written.append(core.draw(figure, folder / f"{name}.png"))
    return written
