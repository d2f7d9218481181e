"""A study that is searched on another machine with a common folder, as this one sees it."""

import json
import os
import time

import pytest

from src.runs import locks
from src.runs.files import write_json
from src.tracking import upload_state
from src.tracking.deferred_upload import upload
from tests.tracking import client, record, stored


@pytest.mark.cluster
def test_a_study_is_closed_only_when_its_search_on_another_machine_is_silent(tmp_path):
    folder = tmp_path / "runs" / "sweeps" / "fnn"
    folder.mkdir(parents=True)
    write_json(folder / "record.json", record(tmp_path, status="RUNNING", ended=None, artifacts=[]))
    searching = folder / f"{upload_state.SEARCHING}@another-machine"
    searching.write_text("process 7 on another-machine, since 2026-01-01 00:00:00")
    assert not upload(folder, f"sqlite:///{tmp_path}/mlflow.db")
    assert json.loads((folder / "record.json").read_text())["status"] == "RUNNING"
    os.utime(searching, (time.time() - 2 * locks.DEAD_AFTER,) * 2)
    assert upload(folder, f"sqlite:///{tmp_path}/mlflow.db")
    entry = json.loads((folder / "record.json").read_text())
    assert (entry["status"], entry["tags"]["end"]) == ("KILLED", "DIED")
    assert json.loads((folder / upload_state.STATE).read_text())["status"] == "KILLED"


@pytest.mark.slow
def test_trials_lie_within_their_study_and_one_that_was_killed_is_closed(tmp_path):
    folder = tmp_path / "runs" / "sweeps" / "fnn"
    states = {"trial-0000": {}, "trial-0001": {"status": "RUNNING", "ended": None}}
    for name, state in {"": {"name": "fnn", "key": "fnn"}, **states}.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        own = {"name": name, "key": name, **state} if name else state
        write_json(folder / name / "record.json", record(tmp_path, artifacts=[], **own))
    for _ in range(2):  # the second time changes nothing
        assert upload(folder, f"sqlite:///{tmp_path}/mlflow.db")
        parent = stored(tmp_path, "fnn")
        children = {name: stored(tmp_path, name) for name in states}
        assert {child.data.tags["mlflow.parentRunId"] for child in children.values()} == {parent.info.run_id}
        assert [child.info.status for child in children.values()] == ["FINISHED", "KILLED"]
    assert len(client(tmp_path).search_runs([parent.info.experiment_id])) == 3
