"""The uploader: one process for many runs, that yields to trainings and outlives what goes wrong with one record."""

import json
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from src.runs.files import read_json, write_json
from src.runs.folder import Run
from src.tracking import upload_state, uploader
from src.tracking.queue import Queue, try_lock
from src.tracking.record import Record
from src.tracking.uploader import Uploader
from tests.records import uploaders
from tests.tracking import DATA, POINTS, TRACKING, check, client, record, run_folder, stored
from tests.tracking.test_queue import until


@contextmanager
def recorded(name: str) -> Iterator[Record]:
    """A run in the working folder, and its record."""
    run = Run(Path("runs") / name)
    with run.lock(), Record(run, tracking=TRACKING, params={"lr": "0.1"}, dataset=DATA, tags={}) as record:
        record.begin(device="cpu")
        yield record


def running(project: Path, name: str, **more) -> Path:
    """The folder of a run that counts as running while a process holds its lock."""
    return run_folder(project, name, key=name, status="RUNNING", ended=None, **more)


@contextmanager
def loop(queue: Queue) -> Iterator[Uploader]:
    with open(queue.lock, "a+") as lock:
        assert try_lock(lock)
        yield Uploader(queue, lock)


def steps(loop: Uploader) -> int:
    """Runs all steps that are due now. Returns their number."""
    loop.look()
    count = 0
    while loop.step():
        count += 1
    return count


def steps_after_a_rest(loop: Uploader) -> int:
    """The same at the end of its rest, which lasts as long as a real one: no test waits for it."""
    loop._rest = 0.0
    return steps(loop)


@pytest.mark.slow
def test_eight_runs_have_one_uploader_which_leaves_when_it_is_idle(project, database, monkeypatch):
    monkeypatch.setenv("UPLOADER_IDLE", "1")
    pids = set()
    for number in range(8):
        with recorded(f"cnn-{number}") as record:
            record.log({"val/loss": number}, 1, 1)
        pids |= {process.pid for process in uploaders(project)}
        time.sleep(0.1)
    until(lambda: not uploaders(project))
    assert len(pids) == 1
    runs = client(project).search_runs([client(project).get_experiment_by_name("made up").experiment_id])
    assert {run.info.run_name: run.data.metrics["val/loss"] for run in runs} == {f"cnn-{number}": number for number in range(8)}
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert all(any(name.startswith("system/cpu") for name in run.data.metrics) for run in runs)


def test_a_run_that_is_deleted_before_its_upload_is_not_made_again(project, database):
    folder = run_folder(project)
    queue = Queue.of(folder, f"sqlite:///{database}")
    queue.put(folder)
    with loop(queue) as uploader:
        uploader.look()
        assert uploader.step()  # opens the store
        shutil.rmtree(folder)
        steps(uploader)
        uploader.look()
    assert not folder.exists()
    assert not queue.entries()


def test_a_refused_run_starts_nothing(project):
    run = Run(Path("runs/cnn-1"))
    with (
        pytest.raises(ValueError, match="refused"),
        run.lock(),
        Record(run, tracking=TRACKING, params={}, dataset=DATA, tags={}),
    ):
        raise ValueError("refused")
    assert list(project.rglob("*")) == [project / "runs"]


@pytest.mark.slow
def test_a_command_waits_for_its_record_as_long_as_it_is_told_to(project, database, monkeypatch, capsys):
    monkeypatch.setitem(TRACKING, "wait", 60.0)
    monkeypatch.setenv("UPLOADER_IDLE", "0")
    with recorded("cnn-1"):
        pass
    assert upload_state.uploaded(Path("runs/cnn-1"))
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("record: waiting until it is in sqlite:")
    assert line.endswith("for 60 seconds at most (tracking.wait).")
    until(lambda: not uploaders(project))
    monkeypatch.setitem(TRACKING, "wait", 0.01)
    with recorded("cnn-2"):
        pass
    assert "still on its way" in capsys.readouterr().err
    until(lambda: upload_state.uploaded(Path("runs/cnn-2")))
    until(lambda: not uploaders(project))


@pytest.mark.slow
def test_a_record_that_the_store_refuses_stops_no_other(project, database, serve):
    refused = run_folder(project, "cnn-1", experiment="")
    broken = run_folder(project, "cnn-2")
    (broken / "record.json").write_text('{"uri": "sqlite:///mlflow.db", "status": "FINISHED"}')
    unreadable = run_folder(project, "cnn-3")
    (unreadable / "record.json").write_text("{")
    whole = run_folder(project, "cnn-4", key="whole")
    queue = Queue.of(whole, record(project)["uri"])
    for folder in (refused, broken, unreadable, whole):
        queue.put(folder)
    serve(queue)
    check(project, "cnn-4", record="whole")
    assert queue.entries() == {}
    assert all(queue.failure(folder) for folder in (refused, broken, unreadable))
    assert queue.failure(whole) is None


@pytest.mark.slow
def test_a_store_that_is_away_is_waited_for_and_then_left_to_the_next_uploader(project, database, serve):
    away, here = run_folder(project, "cnn-1", uri="http://127.0.0.1:9"), run_folder(project, "cnn-2")
    queues = [Queue.of(away, "http://127.0.0.1:9"), Queue.of(here, record(project)["uri"])]
    for queue, folder in zip(queues, (away, here), strict=True):
        queue.put(folder)
        serve(queue)
    assert "http://127.0.0.1:9 does not answer" in str(queues[0].failure(away))
    check(project, "cnn-2")


@pytest.mark.slow
def test_a_store_that_was_away_gets_what_was_given_up(project, database, serve, monkeypatch):
    folder, uri = run_folder(project), record(project)["uri"]
    queue = Queue.of(folder, uri)
    queue.put(folder)
    with monkeypatch.context() as broken:
        broken.setattr(uploader.store, "check", lambda uri: f"{uri} does not answer")
        serve(queue)
    assert queue.failure(folder) == f"{uri} does not answer"
    later = run_folder(project, "cnn-2", key="later")
    queue.put(later)
    serve(queue)
    check(project, "cnn-1")
    check(project, "cnn-2")
    assert queue.entries() == {}


@pytest.mark.slow
def test_it_rests_while_a_run_trains_and_uploads_its_values_all_the_same(project, database, monkeypatch):
    monkeypatch.setattr(uploader, "COLD", 60.0)
    folder, over = running(project, "cnn-1"), run_folder(project, "cnn-2")
    queue = Queue.of(folder, record(project)["uri"])
    queue.put(folder)
    queue.put(over)
    with Run(folder).lock(), loop(queue) as serving:
        assert steps(serving) == 0, "nothing is imported beside a training that has just begun"
        until(lambda: steps_after_a_rest(serving) and upload_state.uploaded(over))
        size = (folder / "metrics.jsonl").stat().st_size
        until(lambda: steps_after_a_rest(serving) and read_json(folder / upload_state.STATE).get("offset") == size)
        assert stored(project).info.status == "RUNNING"
        until(
            lambda: steps_after_a_rest(serving) and any(name.startswith("system/cpu") for name in stored(project).data.metrics)
        )
        assert steps(serving) == 0, "it rests after each step"
    write_json(folder / "record.json", record(project, key="cnn-1"))
    until(lambda: steps(serving) and upload_state.uploaded(folder))
    check(project)


@pytest.mark.slow
def test_a_run_that_was_killed_is_closed(project, database, serve):
    folder = running(project, "cnn-1")
    queue = Queue.of(folder, record(project)["uri"])
    queue.put(folder)
    serve(queue)
    assert json.loads((folder / "record.json").read_text())["tags"]["end"] == "DIED"
    run = stored(project)
    assert (run.info.status, run.data.tags["end"]) == ("KILLED", "DIED")
    assert len(client(project).get_metric_history(run.info.run_id, "val/loss")) == POINTS


@pytest.mark.slow
def test_a_run_that_goes_on_is_the_same_run(project, database, serve):
    folder = run_folder(project)
    queue = Queue.of(folder, record(project)["uri"])
    queue.put(folder)
    serve(queue)
    write_json(folder / "record.json", record(project, status="RUNNING", ended=None))
    with Run(folder).lock(), loop(queue) as serving:
        queue.put(folder)
        until(lambda: steps(serving) and stored(project).info.status == "RUNNING")
        write_json(folder / "record.json", record(project, ended=10**12 + 10_000))
        until(lambda: steps(serving) and upload_state.uploaded(folder))
        serving.look()
        assert queue.entries(), "its process lives, and may have more to tell"
    serve(queue)
    assert queue.entries() == {}
    check(project)


@pytest.mark.slow
def test_a_database_that_was_deleted_is_noticed(project, database, serve):
    folder = run_folder(project)
    queue = Queue.of(folder, record(project)["uri"])
    queue.put(folder)
    with loop(queue) as serving:
        until(lambda: steps(serving) and upload_state.uploaded(folder))
        for path in project.glob("mlflow.db*"):
            path.unlink()
        queue.put(run_folder(project, "cnn-2", key="later"))
        serving.serve()
        assert serving.outdated


@pytest.mark.cluster
def test_the_next_run_after_a_deleted_database_is_in_the_new_one(project, monkeypatch):
    monkeypatch.setenv("UPLOADER_IDLE", "2")
    for number in range(2):
        for path in project.glob("mlflow.db*"):
            path.unlink()
        with recorded(f"cnn-{number}"):
            pass
        until(lambda number=number: upload_state.uploaded(Path(f"runs/cnn-{number}")))
        assert len(uploaders(project)) == 1
        with closing(sqlite3.connect("mlflow.db")) as database:
            assert database.execute("select name, status from runs").fetchall() == [(f"cnn-{number}", "FINISHED")]
    until(lambda: not uploaders(project))
