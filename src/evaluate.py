"""Any part of a run's data again: `python -m src.evaluate run=runs/cnn-1a2b3c4d split=test`."""

import sys
from collections.abc import Sequence
from pathlib import Path

from src import command
from src.errors import InputError


def evaluate(run: Path, split: str) -> None:
    """Evaluates a part with the run's best weights; writes predictions, figures and numbers, and prints them.

    The test part's files are the run's own; those of another part go into a folder of its name.
    """
    if split not in ("train", "val", "test"):
        raise InputError(f"split={split}: expected train, val or test.")
    if not run.is_dir():
        raise InputError(f"run={run}: expected the folder of a run; there is none. `ls runs` shows the runs.")
    from src import assembly
    from src.evaluation import core

    experiment = assembly.restore(run)
    folder = run if split == "test" else run / split
    result = core.evaluate(experiment, split, folder)
    core.save(result, folder, experiment)
    rows = {}
    for name, value in result.metrics.items():
        low, high = result.intervals.get(name, (None, None))
        rows[name] = f"{value:.4f}" + (f"  ({low:.4f} to {high:.4f})" if low is not None else "")
    print(command.table(rows))
    print(f"evaluation: {folder}")


def main(arguments: Sequence[str]) -> int:
    def work() -> None:
        given = command.keywords(arguments, run=None, split="test")
        evaluate(Path(given["run"]), given["split"])

    return command.guard(work)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
