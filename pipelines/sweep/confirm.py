"""The best points of a search over seeds, trained with seeds that had no part in choosing them."""

from __future__ import annotations

from statistics import fmean, stdev
from typing import Any

from optuna.trial import FrozenTrial

from pipelines.sweep.setup import Setup, named
from pipelines.sweep.slots import Slots
from pipelines.sweep.study import Worker
from src.errors import InUse, RunFailed
from src.runs.files import write_json
from src.runs.folder import Run


def confirm(setup: Setup, worker: Worker, slots: Slots) -> dict[int, dict[str, Any]] | None:
    """What the best trials reach with fresh seeds, by their numbers, the best first; empty where one seed is all.

    None while another worker trains them: the best point is then that worker's to name.

    The best of many noisy values is better than it will ever be again; with fresh seeds it is not.

    Raises:
        RunFailed: a training with a fresh seed did not come to its end.
    """
    if setup.sweep["seeds"] == 1:
        return {}
    chosen = worker.ranked()[: max(1, setup.sweep["keep"])]
    try:
        with Run(setup.folder / "confirm").lock():
            found = _train(setup, slots, chosen)
            write_json(setup.folder / "confirm" / "confirmed.json", {str(number): one for number, one in found.items()})
    except InUse:
        print("sweep: another worker trains the best points with fresh seeds, and names the best one when it has.")
        return None
    first = worker.objectives[0]
    return dict(sorted(found.items(), key=lambda item: -first.sign * item[1]["mean"]))


def _train(setup: Setup, slots: Slots, chosen: list[FrozenTrial]) -> dict[int, dict[str, Any]]:
    seeds = [seed + len(setup.seeds) for seed in setup.seeds]
    orders = [
        setup.order(setup.space.values(trial.params), named(trial.number), threads=slots.threads, seeds=seeds)
        for trial in chosen
    ]
    found = {}
    try:
        for place, end in slots.each(orders):
            number = chosen[place].number
            if end.state == "infeasible":  # which no seed that chose it has shown
                print(f"trial {number} does not stand a fresh seed: {end.reason}")
                continue
            if end.state != "complete":
                raise RunFailed(f"trial {number} ended with a fresh seed ({', '.join(map(str, seeds))}): {end.reason}")
            found[number] = {
                "metric": setup.objectives[0].metric,
                "mean": fmean(end.by_seed),
                "sd": stdev(end.by_seed),
                "seeds": seeds,
                "by_seed": list(end.by_seed),
            }
    finally:
        list(slots.stop())
    return found
