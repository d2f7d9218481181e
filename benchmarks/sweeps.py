"""What a search costs beyond the trainings themselves."""

import itertools
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState, create_trial

from benchmarks.problem import ROOT
from pipelines.sweep.messages import TrialSpec
from pipelines.sweep.pool import TrialPool
from pipelines.sweep.search import Search
from pipelines.sweep.setup import Setup, trial_name
from pipelines.sweep.study import Worker

FNN = ("+experiment=fnn", "trainer.max_epochs=1")
COMMON = ("tracking.wait=0.0", "sweep.keep=1")


class Barrier(Search):
    """A search that starts the next trials when all of the last ones have ended, as batch-synchronous sweepers do."""

    def _fill(self) -> bool:
        return False if self.pool.running else super()._fill()


@contextmanager
def _search(kind: type[Search], *settings: str, space: str = "fnn") -> Iterator[tuple[Worker, Callable[[], None]]]:
    """A new study, and the function that spends its budget."""
    with tempfile.TemporaryDirectory() as folder:
        chosen = () if any(setting.startswith("+experiment=") for setting in settings) else FNN
        setup = Setup.of([*chosen, *COMMON, f"+sweep={space}", f"paths.runs={folder}/runs", *settings])
        pool = TrialPool.of(setup)
        worker = setup.worker()

        def spec(trial: optuna.Trial) -> TrialSpec:
            return setup.trial_spec(setup.space.suggest(trial), trial_name(trial.number), threads=pool.threads)

        yield worker, kind(worker, pool, spec, lambda number: None, max_failures=1).run


def per_trial(*, trials: int = 30) -> dict[str, Any]:
    """Seconds of a trial beyond its training. Each trial is a process, one after another."""
    with _search(Search, f"sweep.n_trials={trials}") as (worker, run):
        run()
        finished = worker.trials()
    costs = _gaps(finished[3:])  # the first ones wait for the fork server's imports
    low, *_, high = statistics.quantiles(costs, n=10)
    return {"seconds": statistics.median(costs), "range": [low, high], "times": len(costs)}


def growth() -> dict[str, Any]:
    """The seconds of a trial with 5,000 finished trials in the study, over those with 100."""
    seconds = {}
    for count in (100, 5000):
        with _search(Search, f"sweep.n_trials={count + 20}") as (worker, run):
            space = {"optimizer.lr": optuna.distributions.FloatDistribution(5e-4, 3e-2, log=True)}
            space |= {"model.hidden": optuna.distributions.CategoricalDistribution(["[64]", "[128]", "[128, 64]"])}
            space |= {"model.dropout": optuna.distributions.FloatDistribution(0.0, 0.5)}
            sampler = optuna.samplers.RandomSampler(seed=0)
            other = optuna.create_study(sampler=sampler)
            for number in range(count):
                params = other.ask(space).params
                values = {1: number / count}
                worker.study.add_trial(
                    create_trial(params=params, distributions=space, value=number / count, intermediate_values=values)
                )
            run()
            seconds[count] = statistics.median(_gaps(worker.trials()[count + 3 :]))
    ratio = seconds[5000] / seconds[100]
    return {"ratio": round(ratio, 3), "range": [round(ratio, 3)] * 2, "seconds": {k: round(v, 3) for k, v in seconds.items()}}


def idle(*, trials: int = 24) -> dict[str, Any]:
    """The share of the time that two workers wait, without and with a barrier. The longest trials have ten times the epochs."""
    shares = {}
    lengths = "+sweep.space={trainer.max_epochs: 'tag(log, int(interval(4, 40)))'}"
    for kind in (Search, Barrier):
        with _search(kind, "sweep/pruner=none", lengths, f"sweep.n_trials={trials}", "sweep.workers=2", space="default") as (
            worker,
            run,
        ):
            run()
            finished = [trial for trial in worker.trials() if trial.state == TrialState.COMPLETE]
        shares[kind.__name__] = _idle(finished, workers=2)
    return {
        "percent": round(100 * shares["Search"], 2),
        "range": [round(100 * shares["Search"], 2)] * 2,
        "beside": f"with a barrier {100 * shares['Barrier']:.1f} %",
        "trials": trials,
    }


def pruning(*, seeds: int = 5, trials: int = 40) -> dict[str, Any]:
    """The epochs of a search that prunes over those of one that does not, and the best values of both.

    The CNN on the digits, nine epochs a trial. Each seed decides the parameters and the trainings of both.
    """
    best: dict[str, list[float]] = {"successive_halving": [], "none": []}
    epochs: dict[str, list[int]] = {kind: [] for kind in best}
    for seed in range(seeds):
        for kind in best:
            settings = ("+experiment=cnn", "trainer.max_epochs=9", f"seed={seed}", f"sweep.n_trials={trials}")
            with _search(Search, *settings, f"sweep/pruner={kind}", "sweep.workers=2", space="cnn") as (worker, run):
                run()
                finished = worker.trials()
                best[kind].append(worker.study.best_value)
            epochs[kind].append(sum(trial.user_attrs["epochs"] for trial in finished))
    ratios = [one / other for one, other in zip(epochs["successive_halving"], epochs["none"], strict=True)]
    means = {kind: statistics.fmean(values) for kind, values in best.items()}
    return {
        "ratio": round(statistics.median(ratios), 3),
        "range": [round(min(ratios), 3), round(max(ratios), 3)],
        "best": best,
        "epochs": epochs,
        "beside": f"best value {means['successive_halving']:.4f}, without pruning {means['none']:.4f} "
        f"(sd {statistics.stdev(best['none']):.4f})",
    }


def _gaps(trials: list[FrozenTrial]) -> list[float]:
    """Seconds from a trial's start to the next one's, without its training."""
    pairs = itertools.pairwise(trials)
    return [_seconds(one, other) - one.user_attrs["seconds"] for one, other in pairs]


def _seconds(one: FrozenTrial, other: FrozenTrial) -> float:
    assert one.datetime_start is not None
    assert other.datetime_start is not None
    return (other.datetime_start - one.datetime_start).total_seconds()


def _idle(trials: list[FrozenTrial], *, workers: int) -> float:
    """The share up to the start of the last trial: then there is no trial left for the first worker."""
    starts = sorted(trial.datetime_start for trial in trials if trial.datetime_start)
    begin, end = starts[workers], starts[-1]  # behind the fork server's start
    busy = 0.0
    for trial in trials:
        assert trial.datetime_start is not None
        assert trial.datetime_complete is not None
        busy += max(0.0, (min(trial.datetime_complete, end) - max(trial.datetime_start, begin)).total_seconds())
    return 1 - busy / (workers * (end - begin).total_seconds())


def main(name: str) -> None:
    """Runs in a separate process, because a trial's process imports the main module."""
    print(json.dumps({"per_trial": per_trial, "growth": growth, "idle": idle, "pruning": pruning}[name]()))


def measure(name: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.sweeps", name], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    main(sys.argv[1])
