"""What Hydra itself does for a command: --cfg, shell completion, and grids, each job of which is checked like a single run."""

import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

from omegaconf import DictConfig

from src.config import checks, composition, grid, usage
from src.errors import InputError
from src.runs.folder import Run


def run(
    job: Callable[[list[str]], object], arguments: Sequence[str], overrides: Sequence[str], *, extra: Sequence[Path]
) -> None:
    """Lets Hydra read the flags of a command line.

    Args:
        job: does the work for the overrides of one job, and gives the run.
        overrides: those among the arguments.
        extra: further folders of configuration groups.
    """
    import hydra
    from hydra.core.hydra_config import HydraConfig

    jobs: list[grid.Job] = []

    def one(config: DictConfig) -> None:
        own = list(HydraConfig.get().overrides.task)
        jobs.append(grid.Job(own, None))
        result = job(own)
        jobs[-1] = grid.Job(own, result if isinstance(result, Run) else None)

    sys.argv[1:] = arguments
    start = hydra.main(version_base="1.3", config_path=str(checks.CONF), config_name="train")(one)
    if not {*usage.GRID}.isdisjoint(arguments):
        _check_grid(overrides, extra)
        try:
            start()
        finally:  # also where a job has failed, which ends the grid
            if any(job.run for job in jobs):
                print(grid.table(jobs))
        return
    if {"-c", "--cfg"} & {argument.partition("=")[0] for argument in arguments}:
        composition.compose(overrides, extra=extra)  # Hydra composes it again, with messages of its own
    shown = StringIO()
    try:
        with redirect_stdout(shown):  # Hydra would print a traceback where the reader leaves
            start()
    finally:
        print(shown.getvalue(), end="")


def _check_grid(overrides: Sequence[str], extra: Sequence[Path]) -> None:
    """Checks the jobs of a grid before the first one starts. Of jobs that differ in the seed alone it checks one."""
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

    (jobs,) = BasicSweeper.split_arguments(composition.parse(overrides), max_batch_size=None)
    for job in {tuple(one for one in job if not one.startswith("seed=")): job for job in jobs}.values():
        trainer = composition.compose(job, extra=extra).trainer
        if trainer.get("devices", 1) not in (1, "auto") or trainer.get("num_nodes", 1) != 1:
            raise InputError(
                "-m: expected trainer.devices=1, because each job of a grid is one process. Start trainings on several "
                "processes one by one."
            )
