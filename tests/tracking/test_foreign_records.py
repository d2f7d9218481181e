"""What `pipelines.sync` does with the record of someone else: it goes to the user's own store, with its own files, unread."""

import pickle
import shutil
from pathlib import Path

import pytest

from pipelines import sync
from src.errors import InputError, RunFailed
from src.runs.files import read_json, write_json
from src.tracking import deferred_upload, store, upload_state
from src.tracking.queue import Queue
from tests.payloads import Payload
from tests.tracking import check, client, package, record, run_folder, stored

ELSEWHERE = "http://127.0.0.1:9"


@pytest.fixture
def foreign(project: Path, database: Path) -> Path:
    """A run folder beside a file that is no part of it."""
    (project / "secret").write_text("a secret")
    return run_folder(project)


def state(folder: Path, **more: object) -> None:
    write_json(folder / "record.json", {**read_json(folder / "record.json"), **more})


def uploaded_files(project: Path) -> list[str]:
    return [path.name for path in (project / "mlartifacts").rglob("*") if path.is_file()]


@pytest.mark.slow
def test_a_record_goes_to_the_users_own_store(foreign, project, capsys):
    sync.main([])
    check(project)
    assert "1 records are whole" in capsys.readouterr().out


@pytest.mark.slow
def test_a_record_for_another_store_stays_here(foreign, project, monkeypatch, capsys):
    monkeypatch.setattr(store, "check", lambda uri: pytest.fail(f"it asked {uri}") if uri == ELSEWHERE else None)
    for status in ("FINISHED", "RUNNING"):
        state(foreign, uri=ELSEWHERE, status=status)
        with pytest.raises(
            RunFailed, match=rf"expected a record for sqlite:\S+, .*; received one for {ELSEWHERE}.*uri={ELSEWHERE}"
        ):
            sync.main([])
    assert read_json(foreign / "record.json")["uri"] == ELSEWHERE
    sync.main([f"uri=sqlite:///{project}/mlflow.db"])
    assert stored(project).info.status == "KILLED"


def test_the_users_own_store_is_that_of_conf_local_or_the_environment(foreign, project, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", ELSEWHERE)
    with pytest.raises(RunFailed, match=f"{ELSEWHERE} does not answer"):
        sync.main([])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["../../secret", "{project}/secret", "link", "folder/secret"])
def test_a_file_outside_the_run_is_not_uploaded(foreign, project, name):
    (foreign / "link").symlink_to(project / "secret")
    (foreign / "folder").symlink_to(project)
    name = name.format(project=project)
    state(foreign, artifacts=[{"file": name, "folder": ""}, {"file": "note.txt", "folder": ""}])
    with pytest.raises(RunFailed, match=r"expected files of this folder; received .*outside"):
        sync.main([])
    assert "secret" not in uploaded_files(project)


@pytest.mark.slow
@pytest.mark.parametrize("link", ["model", "model/model.skops", "metrics.jsonl"])
def test_a_link_out_of_the_run_is_not_followed(foreign, project, link):
    state(foreign, model=package(foreign))
    path, outside = foreign / link, project / "outside"
    shutil.move(path, outside)
    path.symlink_to(outside)
    with pytest.raises(RunFailed, match="which lies outside"):
        sync.main([])
    assert "model.skops" not in uploaded_files(project)


@pytest.mark.slow
@pytest.mark.parametrize("key", ["file", "example"])
def test_a_model_names_its_own_files(foreign, project, key):
    state(foreign, model={**package(foreign), key: "../../../secret"})
    with pytest.raises(RunFailed, match="which lies outside"):
        sync.main([])
    assert "secret" not in uploaded_files(project)


@pytest.mark.slow
def test_a_model_is_logged_without_being_loaded(foreign, project):
    described = package(foreign)
    (foreign / "model" / described["file"]).write_bytes(pickle.dumps(Payload(project / "marker")))
    state(foreign, model=described)
    sync.main([])
    assert described["file"] in uploaded_files(project)
    assert not (project / "marker").exists()


@pytest.mark.slow
def test_an_example_that_is_a_pickle_is_not_read(foreign, project):
    described = package(foreign)
    (foreign / "model" / described["example"]).write_bytes(pickle.dumps(Payload(project / "marker")))
    state(foreign, model=described)
    with pytest.raises(RunFailed, match="allow_pickle="):
        sync.main([])
    assert not (project / "marker").exists()


def test_a_living_record_of_someone_else_is_not_shipped_beside_a_training(foreign, project, serve, monkeypatch):
    """The uploader of a training finds it in its queue."""
    monkeypatch.setattr(store, "check", lambda uri: pytest.fail(f"it asked {uri}") if uri == ELSEWHERE else None)
    monkeypatch.setattr(upload_state, "living", lambda folder: True)
    state(foreign, uri=ELSEWHERE, status="RUNNING", started=0)
    queue = Queue.of(foreign, f"sqlite:///{project}/mlflow.db")
    queue.put(foreign)
    serve(queue)
    assert queue.entries() == {}


def test_an_entry_of_the_queue_leads_nowhere_else(foreign, project):
    queue = Queue.of(foreign, f"sqlite:///{project}/mlflow.db")
    queue.put(foreign)
    for name in ("..%2Fother", "%2Fother"):
        (queue.folder / "entries" / f"{name}@12345678").touch()
    assert [*queue.entries()] == [foreign]


def test_neither_a_finished_run_nor_the_report_asks_a_foreign_store(foreign, monkeypatch, capsys):
    from pipelines import results
    from src.runs.folder import Run

    monkeypatch.setattr(store, "check", lambda uri: pytest.fail(f"it asked {uri}") if uri == ELSEWHERE else None)
    monkeypatch.setattr(Queue, "start_uploader", lambda queue, uri: pytest.fail("it starts an uploader"))
    state(foreign, uri=ELSEWHERE)
    Queue.of(foreign, ELSEWHERE).put(foreign)
    deferred_upload.resume(Run(foreign), None)
    assert "received one for" in capsys.readouterr().err
    monkeypatch.setattr(results, "PATIENCE", 0.1)
    assert results._uploaded(foreign) == {}
    assert "received one for" in capsys.readouterr().err


def test_a_password_is_no_reason_to_send_a_record_elsewhere(foreign):
    state(foreign, uri="http://me:secret@127.0.0.1:9")
    with pytest.raises(InputError):
        deferred_upload.upload(foreign)


def test_trials_move_with_their_study(project, database):
    study = project / "runs/sweeps/made"
    for folder in (study, study / "trial-0000"):
        folder.mkdir(parents=True)
        write_json(folder / "record.json", {**record(project, name=folder.name, key=folder.name), "uri": ELSEWHERE})
    sync.main([f"uri=sqlite:///{project}/mlflow.db"])
    assert read_json(study / "trial-0000/record.json")["uri"].startswith("sqlite")
    assert len(client(project).search_runs([client(project).get_experiment_by_name("made up").experiment_id])) == 2
