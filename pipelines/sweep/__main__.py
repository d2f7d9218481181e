"""An Optuna search: `python -m pipelines.sweep +experiment=cnn +sweep=cnn sweep.n_trials=40 sweep.workers=2`.

The same command again goes on, and so does the same command on another machine with the same storage.
"""

import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

import optuna
from optuna.pruners import NopPruner

from pipelines.sweep import best, check
from pipelines.sweep.confirm import confirm
from pipelines.sweep.search import Search
from pipelines.sweep.setup import Setup, named
from pipelines.sweep.slots import Slots
from src.config import command_line
from src.errors import InputError
from src.runs import locks
from src.tracking.upload_state import SEARCHING


def sweep(arguments: Sequence[str]) -> Path:
    """Searches, or goes on with a search; gives the study's folder."""
    setup = Setup.of(list(arguments))
    slots = Slots.of(setup)
    worker = setup.worker()
    if worker.several and not isinstance(worker.study.pruner, NopPruner):
        print("sweep: several objectives are weighed against each other, so no trial is pruned.", file=sys.stderr)
    if setup.sweep["dry_run"] or all(trial.datetime_start is None for trial in worker.trials()):
        check.points(setup, slots)
    if setup.sweep["dry_run"]:
        return setup.folder
    keeper = best.Keeper(setup, worker)
    with locks.shared(setup.folder / SEARCHING), setup.record() as record:
        record.begin(device=f"{slots.count} slots of {slots.threads} threads")
        Search(
            worker=worker,
            slots=slots,
            order=lambda trial: setup.order(setup.space.suggest(trial), named(trial.number), threads=slots.threads),
            ended=keeper.ended,
            max_failures=int(setup.sweep["max_failures"]),
        ).run()
        confirmed = confirm(setup, worker, slots)
        best.summarise(setup, worker, record, confirmed or {})
    best.finish(setup, worker, confirmed)
    return setup.folder


def main(arguments: Sequence[str]) -> int:
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    command_line.environment()
    flags = [argument for argument in arguments if argument.startswith("-") and not argument.startswith("--config-dir")]

    def work() -> None:
        if flags:
            raise InputError(f"expected overrides key=value; received {flags[0]}. `python -m src.train --help` lists the keys.")
        sweep(arguments)

    return command_line.guard(work)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
