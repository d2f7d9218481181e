"""The record of one run, on this machine first: what it is, every metric, how it ended. The uploader takes it to MLflow."""

import os
import platform
import sys
import time
import traceback
import uuid
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from src import signals
from src.protocols import Sink
from src.runs.files import read_json, write_atomic, write_json
from src.runs.folder import Run
from src.runs.identity import flat
from src.runs.masking import mask
from src.tracking import deferred_upload, store
from src.tracking.code import Code
from src.tracking.journal import Journal
from src.tracking.queue import Queue, inform


class Record(Sink):
    """A context manager around one MLflow run: FINISHED, FAILED when the block raises, KILLED by a signal; never left RUNNING.

    It writes record.json, metrics.jsonl and the run's other files in the run folder, whose lock the process holds. The
    uploader, a process of its own, takes them to the store, so that a slow or absent store costs the run nothing. Nothing is
    written or started before `begin`.

    Args:
        tracking: uri, experiment, and how many seconds to wait at the end until the record is in the store.
        params: the resolved configuration, flattened.
        dataset: name, content hash, source and counts of the prepared data.
        upload: whether the uploader is to take it; where not, a study does so with its own.
        code: that the run is computed by; looked up where none is given.
    """

    def __init__(
        self,
        run: Run,
        *,
        tracking: Mapping[str, Any],
        params: Mapping[str, Any],
        dataset: Mapping[str, Any],
        tags: Mapping[str, str],
        upload: bool = True,
        code: Code | None = None,
    ):
        self.run = run
        self._code = code
        self._wait = float(tracking["wait"])
        self._path = run.folder / "record.json"
        self._uri = store.address(tracking["uri"])
        self._queue = Queue.of(run.folder, self._uri) if upload else None
        self._unreachable = store.check(self._uri) if upload else None
        if upload:
            store.check_experiment(self._uri, tracking["experiment"])
        self._journal: Journal | None = None
        before = read_json(self._path)
        self._content: dict[str, Any] = {
            "uri": mask(self._uri),  # the secret stays in the environment or in conf/local
            "experiment": tracking["experiment"],
            "name": run.folder.name,
            "key": before.get("key", uuid.uuid4().hex),
            "params": {name: mask(str(value)) for name, value in params.items()},
            "dataset": dict(dataset),
            "tags": {**_machine(), **tags},
            "started": before.get("started", time.time_ns() // 1_000_000),
            "artifacts": before.get("artifacts", []),
            "model": before.get("model"),
        }

    @classmethod
    def of(
        cls,
        run: Run,
        config: Mapping[str, Any],
        card: Mapping[str, Any],
        *,
        tags: Mapping[str, str] | None = None,
        upload: bool = True,
        code: Code | None = None,
    ) -> Self:
        """The record of a run with a resolved configuration on a prepared data set with this card."""
        local = ("hydra", "paths", "tracking", "cluster", "force", "resume")
        return cls(
            run,
            tracking=config["tracking"],
            params={key: value for key, value in flat(config) if key.partition(".")[0] not in local},
            dataset={key: card[key] for key in ("name", "content", "source", "counts")},
            tags={
                "experiment": config["name"],
                "folder": str(run.folder),
                "data": card["name"],
                "data.content": card["content"],
                **(tags or {}),
            },
            upload=upload,
            code=code,
        )

    def __enter__(self) -> Self:
        return self

    def begin(self, *, device: str) -> None:
        """Opens the run: from here on it is RUNNING.

        Args:
            device: the name of what the run computes on.
        """
        code = self._code or Code.now()
        self._content["tags"] |= {**code.tags(), "device": device}
        if code.diff:
            write_atomic(self.run.folder / "uncommitted.diff", code.diff)
        self._journal = Journal(self.run.journal)
        write_atomic(self.run.folder / "versions.txt", _versions().encode())
        for file in ("config.yaml", "data_card.json", "versions.txt", "uncommitted.diff", "job.log"):
            if (self.run.folder / file).is_file():
                self.artifact(self.run.folder / file)
        self._enqueue()
        self._write("RUNNING")
        self._start_uploader()
        if self._unreachable:
            inform(f"{self._unreachable}. The run goes on; its record is kept in {self.run.folder}, and")
            inform("`python -m pipelines.sync` uploads it when the store is back.")

    def log(self, metrics: Mapping[str, Any], step: int, epoch: int) -> None:
        """Appends metrics to the journal; tensors are read later, off the step's path."""
        assert self._journal is not None
        self._journal.log(metrics, step, epoch)

    def reopen(self, prefix: str) -> None:
        """Lets metrics whose names begin so have other values than an earlier evaluation gave them."""
        assert self._journal is not None
        self._journal.reopen(prefix)

    def flush(self) -> None:
        assert self._journal is not None
        self._journal.flush()

    def artifact(self, path: Path, folder: str = "") -> None:
        """Names a file in the run folder that belongs to the record."""
        entry = {"file": str(path.relative_to(self.run.folder)), "folder": folder}
        if entry not in self._content["artifacts"]:
            self._content["artifacts"].append(entry)

    def tag(self, name: str, value: str) -> None:
        self._content["tags"][name] = value

    def model(self, package: Mapping[str, Any]) -> None:
        """Names the packaged predictor in the run folder's `model`."""
        self._content["model"] = dict(package)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._journal is None:
            return
        if not self._journal.stands():  # a run folder that was deleted is not made again
            self._journal.abandon()
            return
        with signals.Postponed(announce=False):
            self._end(error)
        self._start_uploader()  # it may have been killed meanwhile
        self._wait_for_uploader()

    def _end(self, error: BaseException | None) -> None:
        assert self._journal is not None
        try:
            if isinstance(error, KeyboardInterrupt):
                self._content["tags"] |= {"end": "PREEMPTED", "end.reason": signals.name(error)}
            elif error is not None:
                text = mask("".join(traceback.format_exception(error)))
                write_atomic(self.run.folder / "traceback.txt", text.encode())
                self.artifact(self.run.folder / "traceback.txt")
                self._content["tags"]["failure"] = mask(str(error))[:5000]
            self._journal.close()
            self._write("FINISHED" if error is None else "KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED")
        except OSError as full:  # the disk that stopped the run may have no room for its epitaph either
            inform(f"the end of {self.run.folder} could not be recorded: {full}")

    def _write(self, status: str) -> None:
        ended = None if status == "RUNNING" else time.time_ns() // 1_000_000
        write_json(self._path, {**self._content, "status": status, "ended": ended})

    def _enqueue(self) -> None:
        """Before the record is written: a run that is killed in between is not forgotten."""
        if self._queue is None:
            return
        try:
            self._queue.put(self.run.folder)
        except OSError as error:
            inform(f"it cannot be uploaded by itself: {error}. `python -m pipelines.sync` uploads it.")

    def _start_uploader(self) -> None:
        if self._queue is None or self._unreachable:
            return
        try:
            self._queue.start_uploader(self._uri)
        except OSError as error:
            inform(f"the uploader does not start: {error}. `python -m pipelines.sync` uploads {self.run.folder}.")

    def _wait_for_uploader(self) -> None:
        if self._queue is None or self._unreachable or not self._wait:
            return
        inform(f"waiting until it is in {self._uri}, for {self._wait:g} seconds at most (tracking.wait).")
        if deferred_upload.settle(self.run.folder, seconds=self._wait, uri=self._uri):
            return
        failure = self._queue.failure(self.run.folder)
        if failure is None:
            inform(f"it is still on its way to {self._uri}, and goes on in the background.")
        else:
            inform(f"it did not reach {self._uri}: {failure}")
            inform(f"It is whole in {self.run.folder}; `python -m pipelines.sync` uploads it.")


def _machine() -> dict[str, str]:
    return {
        "host": platform.node(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "cpus": str(os.cpu_count()),
    }


def _versions() -> str:
    """What is installed, as pip writes it down, by the names of the folders: to read each description would take long."""
    folders = {folder.name.removesuffix(".dist-info") for path in sys.path for folder in Path(path).glob("*.dist-info")}
    packages = (name.rpartition("-") for name in folders)
    return "".join(sorted(f"{name.replace('_', '-').lower()}=={version}\n" for name, _, version in packages))
