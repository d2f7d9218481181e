"""Uploads that are interrupted at any moment, and what the next one finds in the store."""

import json
import random
import time
from pathlib import Path

import pytest

from src.runs.files import write_json
from src.tracking import mlflow_upload, upload_state
from src.tracking.deferred_upload import upload
from src.tracking.mlflow_store import Store
from src.tracking.queue import Queue
from tests.records import uploaders
from tests.tracking import check, client, package, record, run_folder, stored


@pytest.fixture
def folder(tmp_path: Path, database: Path) -> Path:
    """The folder of a run that has ended, beside a store without it."""
    return run_folder(tmp_path)


@pytest.mark.cluster
@pytest.mark.timeout(900)
def test_an_uploader_that_is_killed_again_and_again_leaves_one_whole_run(tmp_path):
    """From the creation of a new database on: each life is a little longer than the one before."""
    folder = run_folder(tmp_path)
    generator, life, kills = random.Random(0), 0.0, 0
    queue = Queue.of(folder, f"sqlite:///{tmp_path}/mlflow.db")
    queue.put(folder)
    while not upload_state.uploaded(folder):
        queue.start_uploader(f"sqlite:///{tmp_path}/mlflow.db")
        time.sleep(life * generator.random())
        for uploader in uploaders(tmp_path):
            uploader.kill()
            uploader.wait()
            kills += 1
        life += 0.4
    assert kills > 5
    check(tmp_path)


@pytest.mark.cluster
def test_an_upload_that_ends_after_any_step_is_completed_by_the_next_one(tmp_path, database):
    step, stopped = 0, True
    while stopped:
        name = f"cnn-{step}"
        folder = run_folder(tmp_path, name, key=name)
        write_json(folder / "record.json", record(tmp_path, name=name, key=name, model=package(folder)))
        steps = mlflow_upload.of(Store(f"sqlite:///{tmp_path}/mlflow.db"), folder).finish()
        stopped = all(next(steps, "over") is None for _ in range(step))
        steps.close()
        assert upload(folder)
        check(tmp_path, name, record=name)
        run = stored(tmp_path, name)
        (output,) = run.outputs.model_outputs
        models = client(tmp_path).search_logged_models([run.info.experiment_id], f"source_run_id = '{run.info.run_id}'")
        assert [(model.model_id, model.status.name) for model in models] == [(output.model_id, "READY")]
        step += 1
    assert step > 8


@pytest.mark.slow
def test_a_run_that_the_store_knows_already_is_found_again(folder, tmp_path):
    """As after a kill between the run's creation and the note of its id."""
    assert upload(folder)
    (folder / upload_state.STATE).unlink()
    assert upload(folder)
    check(tmp_path, record="k")


@pytest.mark.slow
def test_what_a_record_says_no_more_goes_from_the_store(folder, tmp_path):
    write_json(folder / "record.json", record(tmp_path, status="FAILED", tags={"host": "this one", "failure": "a full disk"}))
    assert upload(folder)
    run = stored(tmp_path)
    assert (run.info.status, run.data.tags["failure"]) == ("FAILED", "a full disk")
    write_json(folder / "record.json", record(tmp_path))
    assert upload(folder)
    assert "failure" not in stored(tmp_path).data.tags
    check(tmp_path)


@pytest.mark.slow
def test_a_run_without_an_end_is_closed_as_a_death(folder, tmp_path):
    write_json(folder / "record.json", record(tmp_path, status="RUNNING", ended=None))
    assert upload(folder)
    entry = json.loads((folder / "record.json").read_text())
    assert (entry["status"], entry["ended"], entry["tags"]["end"]) == ("KILLED", 10**12 + 2499, "DIED")
    assert json.loads((folder / upload_state.STATE).read_text())["status"] == "KILLED"
