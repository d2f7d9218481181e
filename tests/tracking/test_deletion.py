"""The record of a run that is deleted, in a real store."""

import pytest

from pipelines.runs import __main__ as runs
from src.errors import InputError
from src.tracking import deferred_upload, deletion, upload_state
from tests.tracking import client, run_folder, stored


@pytest.fixture
def uploaded(project, database):
    """A run whose record is whole in the store, and the store's address."""
    folder, uri = run_folder(project), f"sqlite:///{database}"
    deferred_upload.upload(folder, uri)
    return folder, uri


@pytest.mark.slow
@pytest.mark.parametrize("damage", [None, "record.json", upload_state.STATE])
def test_a_record_is_deleted_once_and_can_be_restored(project, uploaded, damage):
    folder, uri = uploaded
    run = stored(project).info.run_id
    if damage:
        (folder / damage).write_text("{")
    assert deletion.delete(folder, uri) == run
    assert client(project).get_run(run).info.lifecycle_stage == "deleted"
    assert deletion.delete(folder, uri) is None
    client(project).restore_run(run)
    assert stored(project).info.run_id == run


def test_the_command_deletes_folder_and_record(project, uploaded, capsys):
    folder, uri = uploaded
    run = stored(project).info.run_id
    runs.main(["delete=cnn-1", "yes=true", f"uri={uri}"])
    assert not folder.exists()
    assert client(project).get_run(run).info.lifecycle_stage == "deleted"
    assert f"deleted runs/cnn-1 and its record {run}\n" in capsys.readouterr().out


@pytest.mark.slow
def test_a_folder_that_stays_is_uploaded_as_another_run(project, uploaded):
    folder, uri = uploaded
    first = deletion.delete(folder, uri)
    deferred_upload.upload(folder, uri)
    assert stored(project).info.run_id not in (None, first)


@pytest.mark.slow
def test_a_record_in_another_store_is_left_there(project, uploaded):
    folder, _ = uploaded
    with pytest.raises(InputError, match=r"cnn-1: expected a record in sqlite:///other\.db.* it is in sqlite:.*mlflow\.db"):
        deletion.delete(folder, "sqlite:///other.db")
    assert stored(project).info.lifecycle_stage == "active"


def test_no_store_is_made_for_a_deletion(project):
    folder = run_folder(project)
    assert deletion.delete(folder, f"sqlite:///{project}/mlflow.db") is None
    assert not (project / "mlflow.db").exists()
    (folder / "record.json").unlink()
    assert not deletion.check(folder, "http://127.0.0.1:9")
