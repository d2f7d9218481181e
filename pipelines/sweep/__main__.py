"""An Optuna search: `python -m pipelines.sweep +experiment=cnn +sweep=cnn sweep.n_trials=40 sweep.workers=2`.

The same command again continues the search. On another machine with the same storage it takes part in it.
"""

import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import optuna
from optuna.pruners import NopPruner

from pipelines.sweep import best, check
from pipelines.sweep.confirm import confirm
from pipelines.sweep.pool import TrialPool
from pipelines.sweep.search import Search
from pipelines.sweep.setup import Setup, trial_name
from src.config import command_line, usage
from src.runs import locks
from src.tracking.upload_state import SEARCHING


def sweep(arguments: Sequence[str], *, train: bool = True) -> Path:
    """Searches, or continues a search; returns the study's folder.

    Args:
        train: whether the best trials become finished runs here; else the next command with their configurations finishes them.
    """
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    setup = Setup.of(arguments)
    pool = TrialPool.of(setup)
    if setup.sweep["dry_run"]:
        return _try(setup, pool)
    worker = setup.worker()
    if worker.multi_objective and not isinstance(worker.study.pruner, NopPruner):
        print("sweep: several objectives are optimized together, so no trial is pruned.", file=sys.stderr)
    if all(trial.datetime_start is None for trial in worker.trials()):
        check.extremes(setup, pool)
    checkpoints = best.BestCheckpoints(setup, worker)
    with locks.shared(setup.folder / SEARCHING), setup.record() as record:
        record.begin(device=f"{pool.slots} slots of {pool.threads} threads")
        Search(
            worker=worker,
            pool=pool,
            spec=lambda trial: setup.trial_spec(setup.space.suggest(trial), trial_name(trial.number), threads=pool.threads),
            ended=checkpoints.trial_ended,
            max_failures=int(setup.sweep["max_failures"]),
        ).run()
        confirmed = confirm(setup, worker, pool)
        best.record_study(setup, worker, record, confirmed or {})
    if confirmed is not None:
        best.write_tuned(setup, worker, confirmed)
    best.make_runs(setup, worker, train=train)
    return setup.folder


def _try(setup: Setup, pool: TrialPool) -> Path:
    """Checks the space and prints what trials take. No study has its content by it, and nothing stays."""
    with TemporaryDirectory() as nowhere:
        setup.worker(Path(nowhere))
    check.extremes(setup, pool)
    if setup.folder.is_dir() and not any(setup.folder.iterdir()):
        setup.folder.rmdir()
    return setup.folder


def main(arguments: Sequence[str]) -> int:
    """Searches as a command line states; gives the exit code."""

    def work() -> None:
        command_line.environment()
        if usage.flags(arguments, grid=False):
            command_line.by_flags(lambda config: None, arguments, group="sweep")
        else:
            sweep(arguments)

    return command_line.guard(work)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
