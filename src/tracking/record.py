"""The record of one run, on this machine first: what it is, every metric, how it ended. A courier ships it."""

import os
import platform
import subprocess
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
from src.tracking import store
from src.tracking.code import Code
from src.tracking.handover import say, start
from src.tracking.journal import Journal

COURIER = "src.tracking.courier"


class Record(Sink):
    """A context manager around one MLflow run: FINISHED, FAILED when the block raises, KILLED by a signal; never left RUNNING.

    It writes record.json, metrics.jsonl and the run's other files in the run folder. A courier, a process of its
    own, ships them while the run goes on, so that a slow or absent store costs the run nothing. It warms up from
    the start of the block; nothing is written before `begin`.

    Args:
        tracking: uri, experiment, and how long to wait for the courier at the end.
        params: the resolved configuration, flattened.
        dataset: name, content hash, source and counts of the prepared data.
        flavour: of the model that the run is likely to log, which the courier gets ready for.
        courier: the module of the process that ships the record meanwhile; None where someone else does.
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
        flavour: str = "pytorch",
        courier: str | None = COURIER,
        code: Code | None = None,
    ):
        self.run = run
        self._code = code
        self._flavour = flavour
        self._wait = float(tracking["wait"])
        self._path = run.folder / "record.json"
        self._uri = store.address(tracking["uri"])
        self._by = courier
        self._unreachable = store.check(self._uri) if courier else None
        self._journal: Journal | None = None
        before = read_json(self._path)
        self._content: dict[str, Any] = {
            "uri": self._uri,
            "experiment": tracking["experiment"],
            "name": run.folder.name,
            "key": before.get("key", uuid.uuid4().hex),
            "params": {name: str(value) for name, value in params.items()},
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
        courier: str | None = COURIER,
        code: Code | None = None,
    ) -> Self:
        """The record of a run with a resolved configuration on a prepared data set with this card."""
        place = ("hydra", "paths", "tracking", "cluster", "force", "resume")
        return cls(
            run,
            tracking=config["tracking"],
            params={key: value for key, value in flat(config) if key.partition(".")[0] not in place},
            dataset={key: card[key] for key in ("name", "content", "source", "counts")},
            tags={
                "experiment": config["name"],
                "folder": str(run.folder),
                "data": card["name"],
                "data.content": card["content"],
                **(tags or {}),
            },
            courier=courier,
            code=code,
            flavour="pytorch" if config["task"] else "sklearn",  # the learner itself is not imported yet
        )

    def __enter__(self) -> Self:
        self._courier = start(self._by, self._flavour) if self._by and not self._unreachable else None
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
        for file in ("config.yaml", "uncommitted.diff", "job.log"):
            if (self.run.folder / file).is_file():
                self.artifact(self.run.folder / file)
        self._write("RUNNING")
        if self._courier is not None:
            assert self._courier.stdin is not None
            self._courier.stdin.write(f"{self.run.folder.resolve()}\n".encode())
            self._courier.stdin.flush()
        elif self._unreachable:
            say(f"{self._unreachable}. The run goes on; its record is kept in {self.run.folder}, and")
            say("`python -m pipelines.sync` ships it when the store is back.")

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
            self._see_off()
            return
        with signals.Postponed(announce=False):
            self._end(error)
        self._see_off()

    def _end(self, error: BaseException | None) -> None:
        assert self._journal is not None
        try:
            if isinstance(error, KeyboardInterrupt):
                self._content["tags"] |= {"end": "PREEMPTED", "end.reason": signals.name(error)}
            elif error is not None:
                text = "".join(traceback.format_exception(error))
                write_atomic(self.run.folder / "traceback.txt", text.encode())
                self.artifact(self.run.folder / "traceback.txt")
                self._content["tags"]["failure"] = str(error)[:5000]
            self._journal.close()
            self._write("FINISHED" if error is None else "KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED")
        except OSError as full:  # the disk that stopped the run may have no room for its epitaph either
            say(f"the end of {self.run.folder} could not be recorded: {full}")

    def _write(self, status: str) -> None:
        ended = None if status == "RUNNING" else time.time_ns() // 1_000_000
        write_json(self._path, {**self._content, "status": status, "ended": ended})

    def _see_off(self) -> None:
        """Tells the courier that the record is whole, and waits for it."""
        if self._courier is None:
            return
        assert self._courier.stdin is not None
        self._courier.stdin.close()
        try:
            code = self._courier.wait(self._wait)
        except subprocess.TimeoutExpired:
            if self._wait:
                say(f"it is still on its way to {self._uri}, and goes on in the background.")
            return
        log = self.run.folder / "courier.log"
        if code and self._journal is not None:
            lines = log.read_text().strip().splitlines() if log.is_file() else []
            say(f"it did not reach {self._uri}: {lines[-1] if lines else f'exit code {code}'}")
            say(f"It is whole in {self.run.folder}; `python -m pipelines.sync` ships it.")


def _machine() -> dict[str, str]:
    return {
        "host": platform.node(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "cpus": str(os.cpu_count()),
    }
