"""The door for notebooks and scripts: compose a configuration, train it, load a run, and see all runs in one table.

    from src import api

    run = api.train(["+experiment=cnn", "trainer.max_epochs=5"])
    run.metrics["test/accuracy"], run.predictions.head()
    api.runs().sort_values("test/accuracy")

Each does what the command does: the same arguments give the same run, and a finished one is found again. Errors are those of
the commands, as exceptions (`src.errors`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from src.config import command_line, listing, sources, trust
from src.errors import InputError
from src.runs import finding
from src.runs.files import REMEDY, read_json
from src.runs.folder import EXPORTED_KEYS, Run

if TYPE_CHECKING:  # each is imported when it is needed
    import pandas as pd

    from src.experiment import Experiment


@dataclass(frozen=True)
class TrainedRun:
    """A run in its folder. Whatever it gives is read when it is asked for, and only once.

    Args:
        trust: whether its configuration may name any code.
    """

    folder: Path
    trust: bool = False

    @cached_property
    def config(self) -> DictConfig:
        """The whole configuration, resolved."""
        return sources.load(self._run.config, keys=EXPORTED_KEYS, remedy=REMEDY)

    @cached_property
    def metrics(self) -> Mapping[str, float]:
        """By name, such as `test/accuracy`; those of the val split are of the best weights."""
        return read_json(self._run.metrics)

    @cached_property
    def intervals(self) -> Mapping[str, Sequence[float]]:
        """The 95 % intervals of some metrics, by their names."""
        return read_json(self._run.intervals)

    @cached_property
    def predictions(self) -> "pd.DataFrame":
        """Of the test split, one row an example.

        Raises:
            InputError: the run was not evaluated.
        """
        import pandas as pd

        if not self._run.predictions.is_file():
            raise InputError(
                f"{self.folder}: expected predictions of the test split; there are none. `python -m src.evaluate "
                f"run={self.folder}` writes them."
            )
        return pd.read_parquet(self._run.predictions)

    @cached_property
    def experiment(self) -> "Experiment":
        """Data, learner and evaluation, with the best weights.

        Raises:
            InputError: the run is not finished, or its configuration names foreign code.
        """
        from src.config import restoring

        with trust.command():
            trust.grant(str(self.trust))
            return restoring.restore(self.folder)

    @property
    def _run(self) -> Run:
        return Run(self.folder)


def compose(overrides: Sequence[str] = ()) -> DictConfig:
    """The configuration of one run, checked, as the command line composes it.

    Args:
        overrides: in Hydra's grammar, such as `["+experiment=cnn", "optimizer.lr=3e-4"]`.

    Raises:
        InputError: they do not compose.
    """
    command_line.environment()
    return command_line.configure(_several(overrides))


def train(config: DictConfig | Sequence[str]) -> TrainedRun:
    """Trains, evaluates and records a run, or finds it finished.

    Args:
        config: from `compose`, or overrides for it.

    Raises:
        InputError: the configuration is wrong.
        RunFailed: the training cannot go on.
    """
    from src.train import launch

    with trust.command():
        return TrainedRun(launch(config if isinstance(config, DictConfig) else compose(config)).folder)


def load(run: str | Path, *, runs: str | Path = "runs", trust: bool = False) -> TrainedRun:
    """A run that is there.

    Args:
        run: its folder, the name of its folder, or `runs:/ID` of MLflow.
        runs: the folder of runs.
        trust: whether its configuration may name any code, which then runs here with your rights.

    Raises:
        InputError: there is none.
    """
    return TrainedRun(finding.folder("run", str(run), runs=Path(runs)), trust=trust)


def runs(folder: str | Path = "runs") -> "pd.DataFrame":
    """All runs of a folder, one a row by the name of its folder, the newest first.

    The columns are those of `python -m pipelines.runs`: how each stands, every metric, timing and setting by its name.

    Raises:
        InputError: there is no such folder.
    """
    import pandas as pd

    found = [row.values for row in listing.rows(Path(folder))]
    table = pd.DataFrame(found) if found else pd.DataFrame(columns=["run", "state", "started"])
    return table.assign(started=pd.to_datetime(table["started"])).set_index("run")


def _several(overrides: Sequence[str]) -> list[str]:
    if isinstance(overrides, str):
        raise InputError(f"expected a list of overrides; received one text. Write: [{overrides!r}].")
    return list(overrides)
