"""The queue on disk, and who serves it."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from src.runs.files import write_json
from src.tracking import queue as queues
from src.tracking.queue import Queue, try_lock
from tests.records import uploaders
from tests.repository import ROOT, environment
from tests.tracking import record

URI = "sqlite:///mlflow.db"
START = """
import sys, time
from pathlib import Path
from src.tracking.queue import Queue
folder = Path("runs/cnn-1")
queue = Queue.of(folder, "sqlite:///mlflow.db")
queue.put(folder)
time.sleep(max(0.0, float(sys.argv[1]) - time.time()))
queue.start_uploader("sqlite:///mlflow.db")
"""


def until(condition, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


@pytest.fixture
def leaving(monkeypatch, project) -> Iterator[None]:
    """The uploaders of the working folder exit when the queue is empty, and have exited at the end of the test."""
    monkeypatch.setenv("UPLOADER_IDLE", "0")
    yield
    until(lambda: not uploaders(project))


@pytest.mark.parametrize("name", ["runs", "a folder with spaces", "äöü %41 @"])
@pytest.mark.parametrize("inner", ["cnn-1a2b3c4d", "sweeps/fnn", "name@with%signs-1"])
def test_an_entry_names_its_folder(project, name, inner):
    folder = project / name / inner
    queue = Queue.of(folder, URI)
    assert queue.runs == project / name
    queue.put(folder)
    queue.put(Path(name, inner))
    queue.put(project / name / "another-1")
    by_folder = queue.entries()
    assert {folder: 2, project / name / "another-1": 1} == {path: len(entries) for path, entries in by_folder.items()}
    queue.remove(by_folder[folder])
    assert [*queue.entries()] == [project / name / "another-1"]


def test_stores_have_queues_of_their_own(project):
    folder = Path("runs/cnn-1")
    assert Queue.of(folder, URI) == Queue.of(folder.absolute(), f"sqlite:///{project}/mlflow.db")
    others = {URI, "sqlite:///other.db", "http://127.0.0.1:5000", "http://127.0.0.1:5001"}
    assert len({Queue.of(folder, uri) for uri in others}) == 4


def test_what_was_given_up_is_tried_again_by_the_next_uploader(project):
    folder = project / "runs/cnn-1"
    queue = Queue.of(folder, URI)
    queue.put(folder)
    queue.give_up(queue.entries()[folder], "the store refuses it")
    assert queue.failure(folder) == "the store refuses it"
    assert queue.entries() == {}
    queue.try_again()
    assert [*queue.entries()] == [folder]
    assert queue.failure(folder) is None


def test_an_entry_takes_the_place_of_one_that_was_given_up(project):
    folder = project / "runs/cnn-1"
    queue = Queue.of(folder, URI)
    queue.put(folder)
    queue.give_up(queue.entries()[folder], "the store refuses it")
    queue.put(folder)
    assert queue.failure(folder) is None
    queue.try_again()
    assert len(queue.entries()[folder]) == 1


@pytest.mark.slow
def test_commands_that_end_at_the_same_moment_start_one_uploader(project, leaving, monkeypatch):
    monkeypatch.setenv("UPLOADER_IDLE", "1")
    moment = str(time.time() + 1.5)
    command = [sys.executable, "-c", START, moment]
    started = [subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(ROOT)}) for _ in range(5)]
    assert [process.wait() for process in started] == [0] * 5
    queue = Queue.of(Path("runs/cnn-1"), URI)
    until(lambda: not queue.entries())
    assert queue.log.read_text().count("begins") == 1


@pytest.mark.slow
def test_an_entry_that_comes_while_the_uploader_leaves_is_served(project, leaving, monkeypatch):
    """Each comes a little later than the uploader's last look, or a little earlier: the pause follows how long it stays."""
    monkeypatch.setattr(queues, "MODULE", "tests.quick_uploader")
    folder = project / "runs/cnn-1"
    queue, pause, begun = Queue.of(folder, URI), 0.02, 0
    for _ in range(25):
        queue.put(folder)
        queue.start_uploader(URI)
        until(lambda: not queue.entries(), seconds=60)
        before, begun = begun, queue.log.read_text().count("begins")
        pause *= 0.8 if begun > before else 1.25
        time.sleep(pause)
    assert begun > 1, "uploaders that never leave prove nothing"


@pytest.mark.slow
def test_an_uploader_whose_folder_was_deleted_leaves_the_next_one_its_work(project, leaving, monkeypatch):
    monkeypatch.setenv("UPLOADER_IDLE", "60")
    folder = project / "runs/cnn-1"
    queue = Queue.of(folder, URI)
    queue.put(folder)
    queue.start_uploader(URI)
    until(lambda: not queue.entries())
    (first,) = uploaders(project)
    subprocess.run(["rm", "-r", "runs"], check=True)
    until(lambda: not first.is_running() or first.status() == "zombie")
    monkeypatch.setenv("UPLOADER_IDLE", "0")
    queue.put(folder)
    queue.start_uploader(URI)
    until(lambda: not queue.entries())
    assert queue.log.read_text().count("begins") == 1


@pytest.mark.cluster
def test_a_disk_that_takes_no_entry_does_not_stop_a_run(project):
    (project / "runs").mkdir()
    (project / "runs/.uploader").write_text("no folder")
    command = ["python", "-m", "src.train", "+experiment=most_frequent"]
    done = subprocess.run(command, env=environment(PYTHONPATH=str(ROOT)), capture_output=True, text=True, check=True)
    assert "record: it cannot be uploaded by itself" in done.stderr
    assert "pipelines.sync" in done.stderr
    assert "run: runs/most_frequent-" in done.stdout


def test_a_lock_that_is_held_is_not_taken(project):
    path = project / "lock"
    with open(path, "a+") as one, open(path, "a+") as other:
        assert try_lock(one)
        assert not try_lock(other)


def test_a_record_that_has_moved_to_another_store_leaves_the_queue(project, serve):
    folder = project / "runs/cnn-1"
    queue = Queue.of(folder, URI)
    queue.put(folder)
    write_json(folder / "record.json", record(project / "elsewhere"))
    serve(queue)
    assert queue.entries() == {}
    assert not (project / "mlflow.db").exists()
