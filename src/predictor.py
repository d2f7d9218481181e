"""A trained run that answers for raw inputs: for images that no split has, as for those of the test split.

from src.predictor import Predictor
predictor = Predictor.load("runs/cnn-1a2b3c4d")
predictor.predict(["cat.png", "dog.jpg"])
"""

from __future__ import annotations

import shutil
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np

from src.config import trust as trusting
from src.data import inputs, reading, unseen, worker_pool
from src.data.notes import counted
from src.data.reading import Read, Reader
from src.errors import InputError, Stop
from src.experiment import Experiment, Result
from src.runs import finding
from src.tracking import store

if TYPE_CHECKING:
    import pandas as pd

TOGETHER = 4_096  # raw inputs that are predicted at once, fewer where they are more than ...
BYTES = 64 * 2**20  # ... so many bytes
EXPLAINED = 64  # raw inputs among which an explanation finds its examples
PIECE = 32  # raw inputs that a process or a thread reads at once
MANY = 500  # raw inputs from which on processes read them
SHOWN = 10  # unreadable inputs in a message


class Unreadable(NamedTuple):
    """A raw input without an answer, and why."""

    name: str
    reason: str


class NotAnswered(Stop):
    """Some raw inputs could not be read. All others have their answers.

    Args:
        answered: how many have one.
        file: has a list of all that cannot be read; None where there is no such file.
        answers: of the others; None where they were given one after the other.
    """

    code = 1

    def __init__(
        self,
        unreadable: Sequence[Unreadable],
        *,
        answered: int,
        file: Path | None = None,
        answers: pd.DataFrame | None = None,
    ):
        self.unreadable, self.answers = tuple(unreadable), answers
        lines = [f"{name}: {reason}" for name, reason in unreadable]
        more = len(lines) - SHOWN
        if more > 0:
            lines = [*lines[:SHOWN], f"and {more:,} more" + (f". All of them: {file}" if file else "")]
        listed = "\n  ".join(lines)
        total = answered + len(unreadable)
        super().__init__(
            f"{len(unreadable):,} of {counted(total, 'raw input')} cannot be read, and {counted(answered, 'has', 'have')} an "
            f"answer. Repair or remove these:\n  {listed}"
        )


class Predictor:
    """Answers of one run.

    An answer does not depend on the inputs beside it: that for a raw file of the test split equals its row in
    predictions.parquet to the last bit, on the same kind of machine.

    Args:
        experiment: for raw inputs, as `load` makes it.

    Raises:
        InputError: the run's data say of no raw input how it is read.
    """

    def __init__(self, experiment: Experiment):
        self._experiment = experiment
        reader = experiment.data.reader()
        if reader is None:
            raise InputError(
                f"{experiment.name}: expected data that are read from raw inputs; those of {type(experiment.data).__name__} "
                "are not. Give the class a method `reader`."
            )
        self.reader: Reader = reader

    @classmethod
    def load(
        cls,
        run: str | Path,
        *,
        runs: str | Path = "runs",
        tracking: str | None = None,
        trust: bool = False,
        analyses: Mapping[str, Any] | None = None,
    ) -> Self:
        """The predictor of a finished run. The data that it learned need not be on this machine.

        Args:
            run: its folder, the name of its folder, or `runs:/ID` of MLflow.
            runs: the folder of runs.
            tracking: the address of MLflow's store, from which a run comes whose folder is not there; None for the user's own.
            trust: whether the run's configuration may name any code, which then runs here with your rights.
            analyses: nodes of a configuration, by key, that `explain` uses.

        Raises:
            InputError: there is no such run, it is not finished, or its configuration names foreign code.
        """
        from src.config import restoring

        with trusting.command(), run_folder(str(run), Path(runs), tracking) as folder:
            trusting.grant(str(trust))
            return cls(restoring.for_predictions(folder, analyses=analyses))

    def predict(self, raw: str | Path | Iterable[Any]) -> pd.DataFrame:
        """A table of answers, one row for each raw input, in their order.

        Args:
            raw: paths, bytes of files, or arrays; or one path as `python -m src.predict input=PATH` takes it: of a file, a
                folder, a table or an array.

        Raises:
            NotAnswered: some cannot be read; it has the answers of the others.
        """
        import pandas as pd

        found = inputs.given(raw, self.reader)
        unreadable: list[Unreadable] = []
        tables = list(self.stream(found.items, unreadable=unreadable, total=found.total))
        table = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()
        if unreadable:
            raise NotAnswered(unreadable, answered=len(table), answers=table)
        return table

    def stream(
        self, items: Iterable[tuple[str, Any]], *, unreadable: list[Unreadable], total: int | None = None
    ) -> Iterator[pd.DataFrame]:
        """Tables of answers, some raw inputs at a time. The memory does not grow with their number.

        Args:
            items: name and raw input.
            unreadable: gets those without an answer.
            total: how many they are, where it is known.
        """
        for read in self._chunks(items, unreadable, total):
            yield self._answers(self._of(read))

    def explain(self, items: Iterable[tuple[str, Any]], folder: Path) -> None:
        """Writes what the analyses of `load` draw of the first raw inputs into a folder."""
        from src.evaluation.plotting import write

        experiment = next((self._of(read) for read in self._chunks(islice(items, EXPLAINED), [], None)), None)
        if experiment is None:
            return
        table = self._answers(experiment)
        for analysis in experiment.analyses.values():
            result = Result("", table.assign(index=np.arange(len(table))), {}, {})
            for name, figure in analysis.analyse(experiment, result).figures.items():
                write(figure, folder / f"{name}.png")

    def _of(self, read: Sequence[tuple[str, Mapping[str, np.ndarray]]]) -> Experiment:
        """The experiment with these raw inputs as its examples."""
        from src.config import assembly

        names, fields = zip(*read, strict=True)
        prepared = unseen.together(self._experiment.prepared.folder, self._experiment.prepared.card, fields, names)
        return replace(self._experiment, prepared=prepared, data=assembly.data_of(self._experiment.config, prepared))

    def _answers(self, experiment: Experiment) -> pd.DataFrame:
        import pandas as pd

        data, tables = experiment.data, []
        rows = np.arange(len(data))
        for index, outputs, _ in data.assemble(rows, experiment.learner.predict(data, rows)):
            tables.append(pd.DataFrame({"example": data.names(index), **experiment.evaluation.answers(outputs)}))
        return pd.concat(tables, ignore_index=True)

    def _chunks(
        self, items: Iterable[tuple[str, Any]], unreadable: list[Unreadable], total: int | None
    ) -> Iterator[list[tuple[str, Mapping[str, np.ndarray]]]]:
        """What was read, so much at a time that the network computes on whole batches of it."""
        chunk: list[tuple[str, Mapping[str, np.ndarray]]] = []
        most = 0
        for name, read in _ahead(self.reader, items, total):
            if isinstance(read, str):
                unreadable.append(Unreadable(name, read))
                continue
            most = most or max(1, min(TOGETHER, BYTES // max(1, sum(field.nbytes for field in read.values()))))
            chunk.append((name, read))
            if len(chunk) == most:
                yield chunk
                chunk = []
        if chunk:
            yield chunk


@contextmanager
def run_folder(run: str, runs: Path, tracking: str | None) -> Iterator[Path]:
    """The folder of a run, for as long as the block lasts: a copy of what MLflow holds where the folder itself is not here."""
    if not run.startswith(finding.MLFLOW) or finding.find(run, runs=runs) is not None:
        yield finding.folder("run", run, runs=runs)
        return
    with TemporaryDirectory() as name:
        for artifact in ("config.yaml", "data_card.json", "checkpoints/best.ckpt"):
            with store.fetched(f"{run.rstrip('/')}/{artifact}", store.address(tracking), key="run") as path:
                shutil.copy(path, name)
        yield Path(name)


def _ahead(reader: Reader, items: Iterable[tuple[str, Any]], total: int | None) -> Iterator[Read]:
    """Each raw input as it was read, or the reason why it cannot be, in their order and ahead of their use.

    Many inputs are read by processes, few ones by threads, which start at once.
    """
    left = iter(items)
    pieces = iter(lambda: list(islice(left, PIECE)), [])
    function, processors = partial(reading.read, reader), worker_pool.processors()
    if total is not None and total >= MANY:
        with worker_pool.started(function, processes=processors, what="reads raw inputs") as pool:
            for read in pool(pieces):
                yield from read
        return
    with ThreadPoolExecutor(processors, "read-ahead") as threads:
        pending: deque[Future[list[Read]]] = deque()
        for piece in pieces:
            pending.append(threads.submit(function, piece))
            if len(pending) > worker_pool.AHEAD * processors:
                yield from pending.popleft().result()
        while pending:
            yield from pending.popleft().result()
