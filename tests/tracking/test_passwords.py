"""A password in an address stays where the user keeps it: no file and no message holds it."""

import stat
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from pipelines import stage, sync
from src.config import command_line, composition, machine
from src.errors import InputError, RunFailed
from src.launch import submission
from src.launch.submission import Submission
from src.runs.files import read_json, write_json
from src.runs.folder import Run
from src.runs.masking import mask
from src.tracking import deferred_upload, mlflow_store, store
from src.tracking import queue as queues
from src.tracking.queue import Queue
from src.tracking.record import Record
from src.train import train
from tests.tracking import run_folder

SECRET = "".join(("s3cr", ":et@x"))  # this file is in the diff of uncommitted changes too
URI = f"http://me:{SECRET}@127.0.0.1:9/mlflow"
MASKED = "http://me:***@127.0.0.1:9/mlflow"


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        (URI, MASKED),
        (MASKED, MASKED),
        ("cannot reach postgresql+psycopg://u:pw@host/db: no", "cannot reach postgresql+psycopg://u:***@host/db: no"),
        ("uri: 'https://:token@host'", "uri: 'https://:***@host'"),
        ("postgresql://host/db?user=me&password=pw&x=1", "postgresql://host/db?user=me&password=***&x=1"),
        ("http://127.0.0.1:5000/a@b", "http://127.0.0.1:5000/a@b"),
        ("sqlite:////here/mlflow.db", "sqlite:////here/mlflow.db"),
        ("me@here: at 10:30", "me@here: at 10:30"),
    ],
)
def test_the_password_of_an_address_is_masked(text, masked):
    assert mask(text) == masked


def nothing_holds_it(folder: Path) -> None:
    holding = [path for path in folder.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]
    assert not holding


@pytest.mark.slow
@pytest.mark.parametrize("by", ["command line", "environment"])
def test_no_file_and_no_message_of_a_training_holds_it(project, capfd, monkeypatch, by):
    typed = []
    if by == "environment":
        monkeypatch.setenv("MLFLOW_TRACKING_URI", URI)
    else:
        typed = [f"tracking.uri='{URI}'"]
    run = train(command_line.configure(["+experiment=most_frequent", *typed]))
    nothing_holds_it(project)
    assert read_json(run.record)["uri"] == MASKED
    assert f"{MASKED} does not answer" in (printed := "".join(capfd.readouterr()))
    assert SECRET not in printed
    assert run.folder.parent.joinpath(".uploader").is_dir()


def test_no_message_of_a_command_holds_it(capsys):
    def refuse() -> None:
        raise InputError(f"tracking.uri={URI}: no")

    def fail() -> None:
        raise KeyError(URI)

    assert (command_line.guard(refuse), command_line.guard(fail)) == (2, 1)
    printed = capsys.readouterr().err
    assert SECRET not in printed
    assert printed.count(MASKED) == 2


def test_the_uploader_has_it_in_its_environment_alone(project, monkeypatch):
    started: list[Any] = []

    class Popen:
        def __init__(self, command: list[str], env: dict[str, str], **others: object):
            started.append((command, env["MLFLOW_TRACKING_URI"]))

    monkeypatch.setattr(queues, "Popen", Popen)
    queue = Queue.of(project / "runs/cnn-1", URI)
    queue.start_uploader(URI)
    ((command, uri),) = started
    assert uri == URI
    assert SECRET not in " ".join(command)
    assert queue == Queue.of(project / "runs/cnn-1", MASKED) == Queue.of(project / "runs/cnn-1", URI.replace("s3cr", "new"))
    queue.put(project / "runs/cnn-1")
    queue.give_up(queue.entries()[project / "runs/cnn-1"], f"{URI} is away")
    nothing_holds_it(project)


def test_a_record_is_uploaded_with_the_password_of_the_configuration(project, monkeypatch):
    folder, asked = run_folder(project), []
    write_json(folder / "record.json", {**read_json(folder / "record.json"), "uri": MASKED})

    def open_store(uri: str) -> None:
        asked.append(uri)
        raise ConnectionError("away")

    monkeypatch.setattr(mlflow_store, "Store", open_store)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", URI)
    assert store.with_password(MASKED) == URI
    assert store.with_password("http://me:***@elsewhere") == "http://me:***@elsewhere"
    with pytest.raises(ConnectionError):
        deferred_upload.upload(folder)
    monkeypatch.setattr(store, "check", lambda uri: None)
    with pytest.raises(RunFailed, match="away"):
        sync.main([])
    assert asked == [URI, URI]
    write_json(folder / "record.json", {**read_json(folder / "record.json"), "uri": "sqlite:///other.db"})
    with pytest.raises(RunFailed, match="away"):
        sync.main([f"uri={URI}"])
    assert asked == [URI] * 3
    nothing_holds_it(project)


def test_a_configuration_that_must_hold_it_is_its_owners(project, monkeypatch):
    monkeypatch.setattr(submission, "_files", lambda root, runs: [])
    frozen = Submission(Run(project / "runs/cnn-1"))
    frozen.freeze(OmegaConf.create({"tracking": {"uri": URI}}), test=True)
    path = frozen.folder / "config.yaml"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    config, _, _ = frozen.load()
    assert config.tracking.uri == URI


def test_a_stage_and_a_resumed_run_take_it_from_the_users_own_configuration(project, monkeypatch, capsys):
    own = composition.compose([f"tracking.uri='{URI}'"])
    monkeypatch.setattr(composition, "compose", lambda overrides: own)
    stored = OmegaConf.create(mask(OmegaConf.to_yaml({**own, "code": {}, "sweep": None})))
    assert stored.tracking.uri == MASKED
    Path("build").mkdir()
    OmegaConf.save(stored, "build/cnn.yaml")
    assert stage.load("cnn").tracking.uri == URI
    assert machine.localised(stored, Path("build/cnn.yaml")).tracking.uri == URI
    assert capsys.readouterr().err == ""


def test_the_reason_of_a_failure_is_recorded_without_it(project):
    run = Run(project / "runs/cnn-1")
    run.folder.mkdir(parents=True)

    def fail() -> None:
        settings: dict[str, Any] = {"tracking": {"uri": URI, "experiment": "athanor", "wait": 0.0}, "params": {"url": URI}}
        dataset = {"name": "a", "content": "b", "source": "c", "counts": {}}
        with Record(run, **settings, dataset=dataset, tags={}, upload=False) as record:
            record.begin(device="cpu")
            raise KeyError(URI)

    with pytest.raises(KeyError):
        fail()
    assert MASKED in read_json(run.record)["tags"]["failure"]
    assert MASKED in (run.folder / "traceback.txt").read_text()
    nothing_holds_it(project)
