"""A grid of which each point is tried, the enqueued ones among them, before any is tried again."""

from __future__ import annotations

from collections.abc import Sequence

from optuna import Study
from optuna.samplers import GridSampler
from optuna.trial import FrozenTrial, TrialState


class Grid(GridSampler):
    """Optuna's grid, which knows its points in enqueued trials too.

    Optuna's own gives each trial the point of its number and overlooks enqueued ones: it tries their points again, and leaves
    others out.
    """

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        if "grid_id" in trial.system_attrs:
            return
        fixed = trial.system_attrs.get("fixed_params")
        if fixed is None:
            number = min(self._get_unvisited_grid_ids(study), default=trial.number % self._n_min_trials)
        else:
            point = tuple(fixed.get(name) for name in self._param_names)
            if point not in self._all_grids:
                return
            number = self._all_grids.index(point)
        study._storage.set_trial_system_attr(trial._trial_id, "search_space", self._search_space)
        study._storage.set_trial_system_attr(trial._trial_id, "grid_id", number)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        """Ends nothing: the number of trials does. Optuna's own would stop a loop that a search here does not have."""
