"""A run folder on its way into a tracking store.

Everything here can be done again: what the store confirmed is kept in the run folder, a metric point that is uploaded twice
is one point there, and what an upload that was killed has created is found again.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag

from src.runs.files import confined, write_json
from src.runs.masking import mask
from src.tracking import system_metrics
from src.tracking.journal import read
from src.tracking.keys import metric_key, mlflow_key
from src.tracking.mlflow_store import KEY, Store
from src.tracking.models import log_model
from src.tracking.system_metrics import Sample
from src.tracking.upload_state import STATE, read_record, read_state

BATCH = 1000  # points in one request, the limit of MLflow's REST interface
LONGEST = 6000  # characters of a parameter's value


class RunUpload:
    """One run folder on its way into one store.

    Args:
        tags: besides those of the record.
        samples: of the load of the machine that trains the run; what is uploaded is removed from the list.
    """

    def __init__(
        self, store: Store, folder: Path, *, tags: Mapping[str, str] | None = None, samples: list[Sample] | None = None
    ):
        self.folder = folder
        self.record = read_record(folder)
        self.state = read_state(folder)
        self._store, self._client = store, store.client
        self._more, self._samples = tags or {}, [] if samples is None else samples
        self._open = False

    def live(self) -> Iterator[None]:
        """Uploads what the run has logged since the last time; first of all, what it is."""
        if not self._open:
            yield from self._begin()
            self._open = True
        yield from self._metrics()

    def finish(self) -> Iterator[None]:
        """Uploads the rest, artifacts and model included, and says how the run ended."""
        yield from self.live()
        self.record = read_record(self.folder)
        yield from self._metrics()
        self._tags()
        yield
        for entry in self.record["artifacts"]:
            path = confined(self.folder, entry["file"])
            stamp = path.stat().st_mtime_ns if path.is_file() else None
            if stamp and self.state["artifacts"].get(entry["file"]) != stamp:
                self._client.log_artifact(self.state["run"], str(path), entry["folder"] or None)
                self.state["artifacts"][entry["file"]] = stamp
                self._save()
                yield
        if self.record["model"] and not self.state["model"]:
            params = {mlflow_key(name): value[:LONGEST] for name, value in self.record["params"].items()}
            log_model(self._client, self.state["run"], confined(self.folder, "model"), self.record["model"], params)
            self.state["model"] = True
            self._save()
            yield
        self._client.set_terminated(self.state["run"], self.record["status"], self.record["ended"])
        self.state |= {"status": self.record["status"], "ended": self.record["ended"]}
        self._save()

    def _begin(self) -> Iterator[None]:
        experiment = self._store.experiment(self.record["experiment"])
        if self.state.get("uri") != mask(self._store.uri) or not self._store.alive(self.state["run"]):
            self.state = {
                "uri": mask(self._store.uri),
                "experiment": experiment,
                "run": self._run(experiment),
                "offset": 0,
                "artifacts": {},
                "model": False,
                "status": "RUNNING",
                "described": False,
                "tags": {},
            }
            self._save()
        elif self.state["status"] != "RUNNING":
            self._client.update_run(self.state["run"], status="RUNNING")
            self.state["status"] = "RUNNING"
        yield
        self._tags()
        if not self.state["described"]:
            yield from self._describe()

    def _run(self, experiment: str) -> str:
        """The id of the record's run, which an earlier upload may have created before it was killed."""
        known = self._store.recorded(experiment, self.record["key"])
        if known:
            return known
        name, started = self.record["name"], self.record["started"]
        tags = {KEY: self.record["key"]}
        return self._client.create_run(experiment, start_time=started, tags=tags, run_name=name).info.run_id

    def _describe(self) -> Iterator[None]:
        """Uploads what does not change in a run. Doing it again changes nothing."""
        params = [Param(mlflow_key(name), value[:LONGEST]) for name, value in self.record["params"].items()]
        for first in range(0, len(params), 100):
            self._client.log_batch(self.state["run"], params=params[first : first + 100])
            yield
        data = self.record["dataset"]
        described = Dataset(
            name=data["name"],
            digest=data["content"][:36],
            source_type="local",
            source=json.dumps({"origin": data["source"]}),
            profile=json.dumps(data["counts"]),
        )
        self._client.log_inputs(self.state["run"], [DatasetInput(described, [InputTag("mlflow.data.context", "training")])])
        self.state["described"] = True
        self._save()
        yield

    def _metrics(self) -> Iterator[None]:
        """What the journal has gained since the last time, and the load of the machines."""
        batch: list[Metric] = []
        end = self.state["offset"]
        for point in read(confined(self.folder, "metrics.jsonl"), end):
            batch.append(_metric(point))
            end = point["end"]
            if len(batch) == BATCH:
                yield from self._batch(batch, end)
                batch = []
        if batch:
            yield from self._batch(batch, end)
        while self._samples:
            metrics = [Metric(*sample) for sample in self._samples[:BATCH]]
            self._client.log_batch(self.state["run"], metrics=metrics)
            del self._samples[: len(metrics)]
            yield
        yield from self._other_machines()

    def _batch(self, batch: list[Metric], end: int) -> Iterator[None]:
        self._client.log_batch(self.state["run"], metrics=batch)
        self.state["offset"] = end
        self._save()
        yield

    def _other_machines(self) -> Iterator[None]:
        """The load of the further machines that train the run, which each of them has sampled itself."""
        ends = self.state.setdefault("loads", {})
        for path in self.folder.glob(system_metrics.file(Path(), "*").name):
            points = list(read(confined(self.folder, path.name), ends.get(path.name, 0)))
            for first in range(0, len(points), BATCH):
                some = points[first : first + BATCH]
                self._client.log_batch(self.state["run"], metrics=[_metric(point) for point in some])
                ends[path.name] = some[-1]["end"]
                self._save()
                yield

    def _tags(self) -> None:
        tags, before = {**self.record["tags"], **self._more}, self.state["tags"]
        if tags == before:
            return
        new = [RunTag(name, value) for name, value in tags.items() if before.get(name) != value]
        self._client.log_batch(self.state["run"], tags=new)
        if gone := {*before} - {*tags}:  # why it ended before: it goes on now
            for name in gone & {*self._client.get_run(self.state["run"]).data.tags}:
                self._client.delete_tag(self.state["run"], name)
        self.state["tags"] = tags
        self._save()

    def _save(self) -> None:
        if self.folder.is_dir():  # one that was deleted meanwhile is not made again
            write_json(self.folder / STATE, self.state)


def _metric(point: Mapping[str, Any]) -> Metric:
    name, step = metric_key(point["name"], point["step"])
    return Metric(name, point["value"], point["time"], step)
