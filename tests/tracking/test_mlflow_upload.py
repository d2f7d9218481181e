"""A courier that is killed at any moment, and what the next one finds in the store."""

import json
import random
import subprocess
import sys
import time
from pathlib import Path

import mlflow
import pytest

from src.runs.files import write_json
from src.tracking.mlflow_upload import ship
from src.tracking.upload_state import shipped
from tests.repository import ROOT

SHIP = """
import sys
from pathlib import Path
from src.tracking.mlflow_upload import ship
print("ready", flush=True)
ship(Path(sys.argv[1]))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of a run that has ended."""
    folder = tmp_path / "runs" / "cnn-1"
    points = [{"name": "val/loss", "step": step, "epoch": 1, "time": 10**12 + step, "value": step / 3} for step in range(2500)]
    folder.mkdir(parents=True)
    (folder / "metrics.jsonl").write_text("".join(json.dumps(point) + "\n" for point in points))
    (folder / "note.txt").write_text("an artifact")
    write_json(folder / "record.json", record(tmp_path))
    return folder


def record(place: Path, **more) -> dict:
    return {
        "uri": f"sqlite:///{place}/mlflow.db",
        "experiment": "made up",
        "name": "cnn-1",
        "key": "k",
        "params": {"lr": "0.1"},
        "dataset": {"name": "noise", "content": "c" * 64, "source": "here", "counts": {"train": 3}},
        "tags": {"host": "this one"},
        "started": 10**12,
        "artifacts": [{"file": "note.txt", "folder": ""}],
        "model": None,
        "status": "FINISHED",
        "ended": 10**12 + 9000,
        **more,
    }


@pytest.mark.cluster
@pytest.mark.timeout(900)
def test_a_courier_that_is_killed_again_and_again_leaves_one_whole_run(folder, tmp_path):
    """From the making of a new database on: each life is a little longer than the one before."""
    generator, life, kills = random.Random(0), 0.0, 0
    while not shipped(folder):
        command = [sys.executable, "-c", SHIP, str(folder)]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as courier:
            assert courier.stdout is not None
            assert courier.stdout.readline() == b"ready\n"
            time.sleep(life * generator.random())
            courier.kill()
            kills += 1
        life += 0.2
    assert kills > 5
    check(tmp_path)


def check(place: Path, **tags: str) -> None:
    client = mlflow.MlflowClient(f"sqlite:///{place}/mlflow.db")
    (found,) = client.search_runs([client.get_experiment_by_name("made up").experiment_id])
    assert found.info.status == "FINISHED"
    assert found.data.params == {"lr": "0.1"}
    assert {"host": "this one", "record": "k", **tags}.items() <= found.data.tags.items()
    assert len(found.inputs.dataset_inputs) == 1
    history = client.get_metric_history(found.info.run_id, "val/loss")
    assert sorted((point.step, point.value) for point in history) == [(step, step / 3) for step in range(2500)]
    assert {"note.txt", "versions.txt"} == {artifact.path for artifact in client.list_artifacts(found.info.run_id)}


def test_a_run_that_the_store_knows_already_is_found_again(folder, tmp_path):
    """As after a kill between the run's making and the note of its id."""
    assert ship(folder)
    (folder / ".shipped.json").unlink()
    assert ship(folder)
    check(tmp_path)


def test_what_a_record_says_no_more_goes_from_the_store(folder, tmp_path):
    write_json(folder / "record.json", record(tmp_path, status="FAILED", tags={"host": "this one", "failure": "a full disk"}))
    assert ship(folder)
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    (found,) = client.search_runs([client.get_experiment_by_name("made up").experiment_id])
    assert (found.info.status, found.data.tags["failure"]) == ("FAILED", "a full disk")
    write_json(folder / "record.json", record(tmp_path))
    assert ship(folder)
    assert "failure" not in client.get_run(found.info.run_id).data.tags
    check(tmp_path)


def test_a_run_without_an_end_is_closed_as_a_death(folder, tmp_path):
    write_json(folder / "record.json", record(tmp_path, status="RUNNING", ended=None))
    assert ship(folder)
    found = json.loads((folder / "record.json").read_text())
    assert (found["status"], found["ended"], found["tags"]["end"]) == ("KILLED", 10**12 + 2499, "DIED")
    assert json.loads((folder / ".shipped.json").read_text())["status"] == "KILLED"
