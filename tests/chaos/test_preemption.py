"""A run that is preempted again and again, and one that is killed: what the record says, and that it goes on."""

import json
import signal
import subprocess
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest
from mlflow.entities import Run

from src.tracking.upload_state import uploaded
from tests import chaos
from tests.records import uploaders, whole_store

LONG = (*chaos.NET, "trainer.max_epochs=30")
pytestmark = pytest.mark.timeout(900)


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """A run that is stopped in its training, and has saved something since it was started."""
    return chaos.paused(folder, *LONG, *arguments, when=partial(saved_since, before=saved(folder)))


def saved(folder: Path) -> list[int]:
    return [path.stat().st_mtime_ns for path in folder.glob("runs/*/last.ckpt")]


def saved_since(folder: Path, *, before: Sequence[int]) -> bool:
    return saved(folder) != before


def stop(process: subprocess.Popen[str], number: int) -> int:
    """Resumes a stopped run and sends it a signal. Returns the exit code."""
    process.send_signal(number)
    chaos.resume(process)
    return process.wait()


def record(folder: Path) -> dict:
    return json.loads((chaos.run(folder) / "record.json").read_text())


@pytest.mark.cluster
def test_a_run_that_is_preempted_again_and_again_ends_as_if_it_had_not_been(tmp_path):
    expected = chaos.outcome(chaos.train(tmp_path / "whole", *LONG, chaos.NOWHERE))
    folder = tmp_path / "preempted"
    for number, code in ((signal.SIGTERM, 75), (signal.SIGUSR1, 75), (signal.SIGINT, 130)):
        assert stop(start(folder, chaos.NOWHERE), number) == code, chaos.output(folder)
        entry = record(folder)
        assert (entry["status"], entry["tags"]["end"], entry["tags"]["end.reason"]) == ("KILLED", "PREEMPTED", number.name)
        assert f"{number.name}: saving before the next block" in chaos.output(folder)
    assert "the same command continues" in chaos.output(folder)
    assert chaos.outcome(chaos.train(folder, *LONG, chaos.NOWHERE)) == expected
    assert record(folder)["status"] == "FINISHED"
    assert "end" not in record(folder)["tags"]


@pytest.mark.cluster
def test_mlflow_tells_of_a_preemption_and_of_a_death_and_forgets_them_when_the_run_goes_on(tmp_path):
    assert stop(start(tmp_path), signal.SIGTERM) == 75, chaos.output(tmp_path)
    run = stored(tmp_path)
    assert (run.info.status, run.data.tags["end"], run.data.tags["end.reason"]) == ("KILLED", "PREEMPTED", "SIGTERM")

    chaos.kill(start(tmp_path), uploader=True)
    assert record(tmp_path)["status"] == "RUNNING"
    run = stored(tmp_path)
    assert (run.info.status, run.data.tags["end"]) == ("KILLED", "DIED")
    assert "its process was gone" in run.data.tags["end.reason"]

    chaos.train(tmp_path, *LONG)
    run = stored(tmp_path)
    assert run.info.status == "FINISHED"
    assert not {"end", "end.reason", "failure"} & {*run.data.tags}
    chaos.check_store(tmp_path)


@pytest.mark.cluster
def test_a_record_that_a_kill_has_kept_from_the_store_is_sent_by_the_same_command(tmp_path):
    process = chaos.start(tmp_path, *chaos.NET, "tracking.wait=600")
    while not any(path.stat().st_size for path in tmp_path.glob("runs/*/metrics.jsonl")):  # it trains, and waits for nothing
        assert process.poll() is None, chaos.output(tmp_path)
        time.sleep(0.001)
    (uploader,) = uploaders(tmp_path)
    uploader.suspend()  # it would be as quick as the kill
    while not any((tmp_path / "runs").glob("*/record.json")) or record(tmp_path)["status"] != "FINISHED":
        assert process.poll() is None, chaos.output(tmp_path)
        time.sleep(0.01)
    chaos.kill(process, uploader=True)
    assert not uploaded(chaos.run(tmp_path))
    chaos.train(tmp_path, *chaos.NET)
    assert "This run exists" in chaos.output(tmp_path)
    chaos.check_store(tmp_path)


def stored(folder: Path) -> Run:
    client = whole_store(folder)
    (run,) = client.search_runs([client.get_experiment_by_name("athanor").experiment_id])
    return run
