"""A tracking store, opened by MLflow."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from src.errors import InputError
from src.runs.locks import mutex
from src.tracking import store

KIND = {"mlflow.experimentKind": "custom_model_development"}  # for MLflow's pages: "Machine learning", no language models
KEY = "record"  # the tag by which a record finds its run again


class Store:
    """A tracking store that has been opened; a local database is created where there is none."""

    def __init__(self, uri: str):
        self.uri = uri
        with _opening(uri):
            self.client = MlflowClient(uri)
            self.client.search_experiments(max_results=1)
            self._file = self._identity()

    @property
    def replaced(self) -> bool:
        """Whether the database was deleted, or is another file now. MLflow would go on with the old one."""
        return self._identity() != self._file

    def experiment(self, name: str) -> str:
        """The experiment's id; it is created where the store lacks it.

        Raises:
            InputError: it was deleted there.
        """
        with _opening(self.uri):
            experiment = self.client.get_experiment_by_name(name)
            if experiment is None:
                return self.client.create_experiment(name, store.artifacts(self.uri), tags=KIND)
            if experiment.lifecycle_stage != "active":
                raise InputError(store.deleted(name, experiment.experiment_id))
            return experiment.experiment_id

    def recorded(self, experiment: str, key: str) -> str | None:
        """The id of the run of a record; None where the store has none that is not deleted.

        Args:
            experiment: its id.
            key: of the record.
        """
        known = self.client.search_runs([experiment], f"tags.{KEY} = '{key}'", max_results=1)
        return known[0].info.run_id if known else None

    def alive(self, run: str) -> bool:
        """Whether the store has a run of this id; a store that was deleted and filled anew does not."""
        try:
            return self.client.get_run(run).info.lifecycle_stage == "active"
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return False

    def _identity(self) -> tuple[int, int] | None:
        path = store.database(self.uri)
        if path is None or not path.is_file():
            return None
        state = path.stat()
        return state.st_dev, state.st_ino


@contextmanager
def _opening(uri: str) -> Iterator[None]:
    """Held while a local database is opened: two processes that open a new one at once would both create its tables."""
    path = store.database(uri)
    if path is None:
        yield
        return
    with mutex(store.lock(path)):
        if not path.is_file():
            _create(path)
        yield


def _create(path: Path) -> None:
    """Creates a new database under another name first: MLflow cannot open one whose making was killed halfway."""
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    client = MlflowClient(f"sqlite:///{new}")
    client.search_experiments(max_results=1)
    client._tracking_client.store.engine.dispose()
    os.replace(new, path)
