"""Whether a tracking store can be used, asked without MLflow."""

import os
import shutil
import socket
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from src.errors import InputError
from src.runs.folder import Run
from src.tracking import store
from src.tracking.mlflow_store import Store
from src.tracking.record import Record
from tests.repository import ROOT
from tests.tracking import DATA, TRACKING


def set_revision(path: Path, revision: str | None) -> None:
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("delete from alembic_version")
        if revision:
            database.execute("insert into alembic_version values (?)", (revision,))


def test_a_database_of_the_installed_mlflow_can_be_used(database):
    assert store.check(f"sqlite:///{database}") is None
    assert store.check("sqlite:///mlflow.db") is None


def test_the_newest_revision_is_the_one_that_mlflow_writes(database):
    known, head = store._revisions()
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("select version_num from alembic_version").fetchall() == [(head,)]
    assert head in known
    assert len(known) > 30


def test_a_database_that_is_not_there_yet_can_be_used(project):
    assert store.check(f"sqlite:///{project / 'new.db'}") is None
    (project / "empty.db").touch()
    assert store.check(f"sqlite:///{project / 'empty.db'}") is None


def test_an_older_schema_is_refused_with_the_command_that_upgrades_it(database):
    known, head = store._revisions()
    older = min(known - {head})
    set_revision(database, older)
    uri = f"sqlite:///{database}"
    with pytest.raises(InputError) as caught:
        store.check(uri)
    message = str(caught.value)
    assert f"expected the tracking schema {head} of the installed MLflow; received the older {older}" in message
    assert f"mlflow db upgrade {uri}" in message


@pytest.mark.parametrize("revision", ["ffffffffffff", None])
def test_an_unknown_schema_is_refused(database, revision):
    set_revision(database, revision)
    with pytest.raises(InputError, match=f"received {revision or 'none'}, which it does not know.*newer MLflow"):
        store.check(f"sqlite:///{database}")


@pytest.mark.parametrize("folder", ["with space", "100% #1", "äöü"])
def test_the_schema_is_checked_wherever_the_database_lies(database, folder):
    path = database.parent / folder / "mlflow.db"
    path.parent.mkdir()
    set_revision(database, "ffffffffffff")
    shutil.move(database, path)
    with pytest.raises(InputError, match="received ffffffffffff"):
        store.check(f"sqlite:///{path}")


def test_a_file_that_is_no_database_is_refused(project):
    path = project / "notes.txt"
    path.write_text("this is not a database\n" * 100)
    with pytest.raises(InputError, match=r"notes.txt: expected an SQLite database; .*tracking\.uri"):
        store.check(f"sqlite:///{path}")


def test_a_database_that_is_being_made_is_waited_for(project):
    with closing(sqlite3.connect(project / "mlflow.db")) as connection:
        connection.execute("create table experiments (name text)")
        connection.commit()
    assert store.check("sqlite:///mlflow.db") is None


def test_looking_at_a_database_does_not_change_it(database):
    before = database.read_bytes()
    store.check(f"sqlite:///{database}")
    assert database.read_bytes() == before
    assert {path.name for path in database.parent.iterdir()} <= {"mlflow.db", "mlflow.db.lock"}


@pytest.mark.parametrize("scheme", ["http", "postgresql", "postgresql+psycopg", "https"])
def test_a_server_that_does_not_answer_gives_a_reason(scheme):
    with socket.socket() as bound:  # a port that is bound, but that nothing listens to
        bound.bind(("127.0.0.1", 0))
        uri = f"{scheme}://127.0.0.1:{bound.getsockname()[1]}"
        reason = store.check(uri)
    assert reason is not None
    assert f"{uri} does not answer" in reason


def test_a_server_that_answers_gives_none():
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert store.check(f"http://127.0.0.1:{server.getsockname()[1]}") is None


@pytest.mark.parametrize("uri", ["./mlruns", "file:./mlruns", "file:///tmp/mlruns", "/tmp/mlruns", "databricks"])
def test_a_folder_is_refused(uri):
    with pytest.raises(InputError, match=r"tracking\.uri=.*expected sqlite:///file\.db.*a folder cannot hold runs"):
        store.check(uri)


@pytest.mark.parametrize("port", ["70000", "abc", "-1"])
def test_a_port_that_cannot_be_is_refused(port):
    with pytest.raises(InputError, match=r"tracking\.uri=http://127\.0\.0\.1"):
        store.check(f"http://127.0.0.1:{port}")


def test_the_address_is_the_configured_one_then_the_environments_then_the_working_folders(project, monkeypatch):
    assert store.address(None) == f"sqlite:///{project}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://tracking:5000")
    assert store.address(None) == "http://tracking:5000"
    assert store.address("sqlite:///mine.db") == "sqlite:///mine.db"


@pytest.mark.parametrize("inner", ["", "src", "results/cnn"])
def test_the_root_is_the_working_folder_also_in_an_experiment_of_dvc(project, monkeypatch, inner):
    copy = project / ".dvc" / "tmp" / "exps" / "tmpabc" / inner
    copy.mkdir(parents=True)
    assert store.root() == project
    monkeypatch.chdir(copy)
    assert store.root() == project
    assert store.address(None) == f"sqlite:///{project}/mlflow.db"


def test_a_folder_of_the_name_exps_is_nothing_special(project, monkeypatch):
    (project / "tmp" / "exps" / "mine").mkdir(parents=True)
    monkeypatch.chdir(project / "tmp" / "exps" / "mine")
    assert store.root() == project / "tmp" / "exps" / "mine"


def test_artifacts_lie_beside_a_local_database(project):
    assert store.artifacts(f"sqlite:///{project}/mlflow.db") == (project / "mlartifacts").as_uri()
    assert store.artifacts("sqlite:///mlflow.db") == (project / "mlartifacts").as_uri()
    assert store.artifacts("http://tracking:5000") is None
    assert store.artifacts("postgresql://host/database") is None


def test_a_check_does_not_import_mlflow(database):
    script = "import sys; from src.tracking import store; store.check(sys.argv[1]); print(*sys.modules)"
    command = [sys.executable, "-c", script, f"sqlite:///{database}"]
    done = subprocess.run(command, cwd=ROOT, env=dict(os.environ), capture_output=True, text=True, check=True)
    assert "src.tracking.store" in done.stdout.split()
    assert "mlflow" not in done.stdout.split()


def test_an_experiment_that_was_deleted_is_refused_before_the_training_and_by_the_upload(project, database):
    uri = f"sqlite:///{database}"
    client = Store(uri).client
    store.check_experiment(uri, "images")
    number = client.create_experiment("images")
    store.check_experiment(uri, "images")
    client.delete_experiment(number)
    message = rf"tracking.experiment=images: .*mlflow experiments restore --experiment-id {number}\)"
    with pytest.raises(InputError, match=message):
        store.check_experiment(uri, "images")
    with pytest.raises(InputError, match=message):
        Record(Run(project / "runs/cnn-1"), tracking={**TRACKING, "experiment": "images"}, params={}, dataset=DATA, tags={})
    with pytest.raises(InputError, match=message):
        Store(uri).experiment("images")
    client.restore_experiment(number)
    assert Store(uri).experiment("images") == number
