"""What a command does where something outside it fails: a full disk, a second command, a kill, a store that is away."""

import fcntl
import json
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from src.config import command_line
from src.runs.folder import Run
from src.tracking import deferred_upload
from src.train import train
from tests import chaos, disks
from tests.records import PATIENCE
from tests.repository import ROOT, run, start

pytestmark = pytest.mark.timeout(900)


def refused(folder: Path, *overrides: str, code: int = 2, **extra: str) -> str:
    """The message with which a training command is refused."""
    done = run(folder, "python", "-m", "src.train", *overrides, code=code, PYTHONPATH=str(ROOT), **extra)
    assert "Traceback" not in done.stderr, done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, done.stderr
    return done.stderr


def runs(folder: Path) -> list[Path]:
    return sorted((folder / "runs").glob("[!.]*")) if (folder / "runs").is_dir() else []


@pytest.mark.cluster
def test_the_same_run_started_twice(tmp_path):
    """The first command is stopped while it trains. The second is refused, and does not disturb the first."""
    command = ["python", "-m", "src.train", "+experiment=fnn", "trainer.max_epochs=100000"]
    first = start(tmp_path, *command, stdout=None, stderr=subprocess.DEVNULL, PYTHONPATH=str(ROOT))
    try:
        while not list(tmp_path.glob("runs/*/record.json")):
            assert first.poll() is None
            time.sleep(0.05)
        message = refused(tmp_path, "+experiment=fnn", "trainer.max_epochs=100000", code=3)
        assert f"process {first.pid} on" in message
        assert first.poll() is None
    finally:
        first.kill()
        first.wait()
    (folder,) = runs(tmp_path)
    assert not Run(folder).locked()


@pytest.mark.servers
def test_a_tracking_store_that_cannot_be_reached(tmp_path):
    """The run continues, and its record is uploaded later: no result is lost."""
    command = ("+experiment=most_frequent", "tracking.uri=http://127.0.0.1:9")
    done = run(tmp_path, "python", "-m", "src.train", *command, PYTHONPATH=str(ROOT))
    assert "does not answer" in done.stderr
    assert "pipelines.sync" in done.stderr
    (folder,) = runs(tmp_path)
    assert json.loads((folder / "record.json").read_text())["status"] == "FINISHED"
    again = run(tmp_path, "python", "-m", "pipelines.sync", "uri=http://127.0.0.1:9", code=1, PYTHONPATH=str(ROOT))
    assert "Nothing is lost" in again.stderr
    moved = run(tmp_path, "python", "-m", "pipelines.sync", f"uri=sqlite:///{tmp_path}/mlflow.db", PYTHONPATH=str(ROOT))
    assert "1 records are whole" in moved.stdout


@pytest.mark.cluster
def test_a_full_disk_and_a_read_only_folder(tmp_path):
    with disks.small(tmp_path / "disk", size="300k") as disk:
        message = refused(tmp_path, "+experiment=cnn", "trainer.max_epochs=1", f"paths.runs={disk}/runs", code=1)
        assert f"write at {disk}/runs/" in message
        assert "is full" in message
        assert not list(disk.glob("runs/*/best.ckpt"))
        assert not list(disk.glob("runs/*/metrics.json"))
        shutil.rmtree(disk / "runs")
        while subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=False).returncode:
            time.sleep(0.1)  # the uploader leaves, for its folder is gone
        message = refused(tmp_path, "+experiment=fnn", f"paths.runs={disk}/runs", code=1)
        assert "is read-only" in message


def test_the_folder_on_the_disk_that_is_full_is_named(project, capsys):
    """That of the prepared data, while the working folder has room."""
    with disks.small(project / "disk", size="60k") as disk:
        config = command_line.configure(["+experiment=most_frequent", f"paths.prepared={disk}/prepared"])
        assert command_line.guard(lambda: train(config)) == 1
        message = capsys.readouterr().err
        assert f"permission to write at {disk}/prepared/digits-" in message
        assert "is full. Make room there, or name another folder" in message
        assert "Traceback" not in message
        assert [*(disk / "prepared").iterdir()] == []


@pytest.mark.cluster
def test_a_killed_run_does_not_stay_running(tmp_path):
    """kill -9 of run and uploader together, like a reboot. The next command closes the record with the true status."""
    command = ["python", "-m", "src.train", "+experiment=fnn", "trainer.max_epochs=100000"]
    started = start(tmp_path, *command, stdout=None, stderr=subprocess.DEVNULL, PYTHONPATH=str(ROOT))
    try:
        while not list(tmp_path.glob("runs/*/.uploaded.json")):
            assert started.poll() is None
            time.sleep(0.05)
    finally:
        chaos.kill(started, uploader=True)
    (folder,) = runs(tmp_path)
    assert json.loads((folder / "record.json").read_text())["status"] == "RUNNING"
    run(tmp_path, "python", "-m", "src.train", "+experiment=most_frequent", PYTHONPATH=str(ROOT))
    assert deferred_upload.settle(folder, seconds=PATIENCE, uri=f"sqlite:///{tmp_path}/mlflow.db")
    assert json.loads((folder / ".uploaded.json").read_text())["status"] == "KILLED"
    assert json.loads((folder / "record.json").read_text())["tags"]["end"] == "DIED"
    with open(folder / ".lock") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
