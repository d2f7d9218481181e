"""A run folder on its way into a tracking store.

Everything here can be done again: what the store confirmed is kept in `.shipped.json` in the run folder, and a metric
point that is shipped twice is one point there.
"""

import json
import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from src.runs.files import read_json, write_json
from src.runs.folder import Run
from src.runs.locks import mutex
from src.tracking import store, system_metrics
from src.tracking.journal import read
from src.tracking.upload_state import close

os.environ.update(store.ENVIRONMENT)

from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

BATCH = 1000  # points in one request, the limit of MLflow's REST interface
LONGEST = 6000  # characters of a parameter's value
KEY = "record"  # the tag by which a record finds its run again
FOREIGN = re.compile(r"[^\w\-. :/]")  # what MLflow refuses in the name of a metric, and a class's name may hold


class Shipment:
    """One run folder on its way into one store.

    Args:
        tags: besides those of the record.
    """

    def __init__(self, folder: Path, *, tags: Mapping[str, str] | None = None):
        self.folder = folder
        self._more = tags or {}
        self.record = read_json(folder / "record.json")
        self.uri = self.record["uri"]
        with _opening(self.uri):
            self.client = MlflowClient(self.uri)
            self.client.search_experiments(max_results=1)
        self._state_path = folder / ".shipped.json"
        self._system: list[Metric] = []
        self._samples = 0
        self.state = self._open()

    def metrics(self) -> None:
        """Ships what the journal has gained since the last time."""
        path = self.folder / "metrics.jsonl"
        batch: list[Metric] = []
        end = self.state["offset"]
        for point in read(path, end):
            batch.append(Metric(FOREIGN.sub("_", point["name"]), point["value"], point["time"], point["step"]))
            end = point["end"]
            if len(batch) == BATCH:
                self._batch(batch, end)
                batch = []
        if batch:
            self._batch(batch, end)
        while self._system:
            self.client.log_batch(self.state["run"], metrics=self._system[:BATCH])
            del self._system[:BATCH]

    def sample(self, monitors: list[Any]) -> None:
        """Takes one sample of the load of this machine, and those that others which train the run have taken of theirs."""
        now, several = time.time_ns() // 1_000_000, int(self.record["params"].get("trainer.num_nodes", 1)) > 1
        for name, value in system_metrics.sample(monitors, node=system_metrics.name() if several else None).items():
            self._system.append(Metric(name, value, now, self._samples))
        self._samples += 1
        ends = self.state.setdefault("loads", {})  # of earlier runs it has none
        for path in self.folder.glob(system_metrics.file(Path(), "*").name):
            for point in read(path, ends.get(path.name, 0)):
                self._system.append(Metric(FOREIGN.sub("_", point["name"]), point["value"], point["time"], point["step"]))
                ends[path.name] = point["end"]

    def close(self) -> None:
        """Ships the rest, artifacts and model included, and says how the run ended."""
        self.record = read_json(self.folder / "record.json")
        self.metrics()
        self._tags()
        for entry in self.record["artifacts"]:
            path = self.folder / entry["file"]
            stamp = path.stat().st_mtime_ns if path.is_file() else None
            if stamp and self.state["artifacts"].get(entry["file"]) != stamp:
                self.client.log_artifact(self.state["run"], str(path), entry["folder"] or None)
                self.state["artifacts"][entry["file"]] = stamp
                self._save()
        if self.record["model"] and not self.state["model"]:
            from src.tracking.models import log_model  # it imports torch or scikit-learn

            log_model(self.uri, self.state["run"], self.folder / "model", self.record["model"])
            self.state["model"] = True
            self._save()
        self.client.set_terminated(self.state["run"], self.record["status"], self.record["ended"])
        self.state |= {"status": self.record["status"], "ended": self.record["ended"]}
        self._save()

    def _batch(self, batch: list[Metric], end: int) -> None:
        self.client.log_batch(self.state["run"], metrics=batch)
        self.state["offset"] = end
        self._save()

    def _open(self) -> dict[str, Any]:
        state = read_json(self._state_path)
        experiment = self._experiment()
        if state.get("uri") == self.uri and self._alive(state["run"]):
            if state["status"] != "RUNNING":
                self.client.update_run(state["run"], status="RUNNING")
            self.state = {**state, "status": "RUNNING"}
            if state.get("described", True):
                self._tags()
            else:
                self._describe()
            return self.state
        self.state = {
            "uri": self.uri,
            "experiment": experiment,
            "run": self._created(experiment),
            "offset": 0,
            "artifacts": {},
            "model": False,
            "status": "RUNNING",
            "described": False,
            "tags": [],
        }
        self._save()
        self._describe()
        return self.state

    def _created(self, experiment: str) -> str:
        """The id of the record's run, which an earlier courier may have made before it was killed."""
        key = self.record.get("key", f"{self.record['name']} {self.record['started']}")
        found = self.client.search_runs([experiment], f"tags.{KEY} = '{key}'", max_results=1)
        if found:
            return found[0].info.run_id
        name, started = self.record["name"], self.record["started"]
        return self.client.create_run(experiment, start_time=started, tags={KEY: key}, run_name=name).info.run_id

    def _describe(self) -> None:
        """Ships what does not change in a run. Doing it again changes nothing."""
        params = [Param(name, value[:LONGEST]) for name, value in self.record["params"].items()]
        for first in range(0, len(params), 100):
            self.client.log_batch(self.state["run"], params=params[first : first + 100])
        self._tags()
        data = self.record["dataset"]
        described = Dataset(
            name=data["name"],
            digest=data["content"][:36],
            source_type="local",
            source=json.dumps({"origin": data["source"]}),
            profile=json.dumps(data["counts"]),
        )
        self.client.log_inputs(self.state["run"], [DatasetInput(described, [InputTag("mlflow.data.context", "training")])])
        self.client.log_text(self.state["run"], _versions(), "versions.txt")
        self.state["described"] = True
        self._save()

    def _alive(self, run: str) -> bool:
        try:
            return self.client.get_run(run).info.lifecycle_stage == "active"
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return False  # the database was deleted: the journal fills a new one

    def _tags(self) -> None:
        tags = {**self.record["tags"], **self._more}
        self.client.log_batch(self.state["run"], tags=[RunTag(name, value) for name, value in tags.items()])
        before = self.state.get("tags", [])
        if gone := {*before} - {*tags}:  # why it ended before: it goes on now
            for name in gone & {*self.client.get_run(self.state["run"]).data.tags}:
                self.client.delete_tag(self.state["run"], name)
        if before != [*tags]:
            self.state["tags"] = [*tags]
            self._save()

    def _experiment(self) -> str:
        """The experiment's id; it is made where the store lacks it."""
        with _opening(self.uri):
            name = self.record["experiment"]
            found = self.client.get_experiment_by_name(name)
            return found.experiment_id if found else self.client.create_experiment(name, store.artifacts(self.uri))

    def _save(self) -> None:
        write_json(self._state_path, self.state)


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
    """Makes a new database under another name first: MLflow cannot open one whose making was killed halfway."""
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    client = MlflowClient(f"sqlite:///{new}")
    client.search_experiments(max_results=1)
    client._tracking_client.store.engine.dispose()
    os.replace(new, path)


def ship(folder: Path, *, tags: Mapping[str, str] | None = None) -> bool:
    """Ships a run that no living process holds; True where there was something to ship.

    A run that is recorded as running, while nothing runs it, was killed, and is closed as that.
    """
    run = Run(folder)
    if not run.record.is_file() or run.locked():
        return False
    with mutex(folder / ".courier.lock"):
        close(run)
        if read_json(run.record)["status"] == "RUNNING":  # its own command goes on with it just now
            return False
        Shipment(folder, tags=tags).close()
    return True


def _versions() -> str:
    from importlib.metadata import distributions

    return "\n".join(sorted({f"{found.name}=={found.version}" for found in distributions()}, key=str.lower)) + "\n"
