"""The best trials of a search over several seeds, trained again with fresh seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import fmean, stdev

from optuna.trial import FrozenTrial

from pipelines.sweep.objectives import sign
from pipelines.sweep.pool import TrialPool
from pipelines.sweep.setup import Setup, trial_name
from pipelines.sweep.study import Worker
from src.errors import InUse, RunFailed
from src.runs.files import write_json
from src.runs.folder import Run


@dataclass(frozen=True)
class Confirmation:
    """What a trial reached with fresh seeds.

    Args:
        metric: the first objective.
        mean: over the seeds.
        sd: the standard deviation.
    """

    metric: str
    mean: float
    sd: float
    seeds: Sequence[int]
    by_seed: Sequence[float]


def confirm(setup: Setup, worker: Worker, pool: TrialPool) -> dict[int, Confirmation] | None:
    """Trains the best trials with seeds that had no part in choosing them.

    The best of many noisy values is too good: it is partly luck. The values with fresh seeds are not.

    Returns:
        By the numbers of the trials, the best first. Empty where the search has one seed. None while another worker trains
        them: that worker names the best trial.

    Raises:
        RunFailed: a training with a fresh seed did not come to its end.
    """
    if setup.sweep["seeds"] == 1:
        return {}
    best = worker.ranked()[: max(1, setup.sweep["keep"])]
    try:
        with Run(setup.folder / "confirm").lock():
            confirmations = _train(setup, pool, best)
            content = {str(number): asdict(one) for number, one in confirmations.items()}
            write_json(setup.folder / "confirm" / "confirmed.json", content)
    except InUse:
        print("sweep: another worker trains the best trials with fresh seeds. It will name the best one.")
        return None
    first = sign(worker.objectives[0])
    return dict(sorted(confirmations.items(), key=lambda item: -first * item[1].mean))


def _train(setup: Setup, pool: TrialPool, trials: Sequence[FrozenTrial]) -> dict[int, Confirmation]:
    seeds = [seed + len(setup.seeds) for seed in setup.seeds]
    specs = [
        setup.trial_spec(setup.space.overrides(trial.params), trial_name(trial.number), threads=pool.threads, seeds=seeds)
        for trial in trials
    ]
    confirmations = {}
    try:
        for index, result in pool.run_all(specs):
            number = trials[index].number
            if result.state == "infeasible":  # which no seed has shown before
                print(f"trial {number} fails with a fresh seed: {result.reason}")
                continue
            if result.state != "complete":
                raise RunFailed(f"trial {number} ended with a fresh seed ({', '.join(map(str, seeds))}): {result.reason}")
            mean, sd = fmean(result.by_seed), stdev(result.by_seed)
            confirmations[number] = Confirmation(setup.objectives[0].metric, mean, sd, seeds, list(result.by_seed))
    finally:
        pool.kill_all()
    return confirmations
