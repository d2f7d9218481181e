"""A run that is preempted again and again, and one that is killed: what the record says, and that it goes on."""

import json
import os
import signal
import time
from multiprocessing.process import BaseProcess
from pathlib import Path

import mlflow
import pytest
from mlflow.entities import Run

from src.tracking.shipping import shipped
from tests import chaos, repository

LONG = (*chaos.NET, "trainer.max_epochs=30")


def start(folder: Path, *arguments: str) -> BaseProcess:
    """A run that trains, and has saved something since it was started."""
    before = saved(folder)
    process = chaos.start(folder, *LONG, *arguments)
    while saved(folder) == before:
        assert process.is_alive(), chaos.output(folder)
        time.sleep(0.01)
    return process


def saved(folder: Path) -> list[int]:
    return [path.stat().st_mtime_ns for path in folder.glob("runs/*/last.ckpt")]


def stop(process: BaseProcess, number: int) -> int | None:
    """Sends a signal; the code that it comes to."""
    assert process.pid is not None
    os.kill(process.pid, number)
    process.join()
    return process.exitcode


def record(folder: Path) -> dict:
    return json.loads((chaos.run(folder) / "record.json").read_text())


def test_a_run_that_is_preempted_again_and_again_ends_as_if_it_had_not_been(tmp_path):
    expected = chaos.outcome(chaos.train(tmp_path / "whole", *LONG, chaos.NOWHERE))
    folder = tmp_path / "preempted"
    for number, code in ((signal.SIGTERM, 75), (signal.SIGUSR1, 75), (signal.SIGINT, 130)):
        assert stop(start(folder, chaos.NOWHERE), number) == code, chaos.output(folder)
        found = record(folder)
        assert (found["status"], found["tags"]["end"], found["tags"]["end.reason"]) == ("KILLED", "PREEMPTED", number.name)
        assert f"{number.name}: saving before the next block" in chaos.output(folder)
    assert "the same command continues" in chaos.output(folder)
    assert chaos.outcome(chaos.train(folder, *LONG, chaos.NOWHERE)) == expected
    assert record(folder)["status"] == "FINISHED"
    assert "end" not in record(folder)["tags"]


@pytest.mark.cluster
def test_mlflow_tells_of_a_preemption_and_of_a_death_and_forgets_them_when_the_run_goes_on(tmp_path):
    assert stop(start(tmp_path), signal.SIGTERM) == 75, chaos.output(tmp_path)
    found = stored(tmp_path)
    assert (found.info.status, found.data.tags["end"], found.data.tags["end.reason"]) == ("KILLED", "PREEMPTED", "SIGTERM")

    process = start(tmp_path)
    chaos.kill(process, courier=True)
    assert record(tmp_path)["status"] == "RUNNING"
    repository.run(tmp_path, "python", "-m", "pipelines.sync", PYTHONPATH=str(repository.ROOT))
    found = stored(tmp_path)
    assert (found.info.status, found.data.tags["end"]) == ("KILLED", "DIED")
    assert "its process was gone" in found.data.tags["end.reason"]

    chaos.train(tmp_path, *LONG)
    found = stored(tmp_path)
    assert found.info.status == "FINISHED"
    assert not {"end", "end.reason", "failure"} & {*found.data.tags}
    chaos.check_store(tmp_path)


@pytest.mark.cluster
def test_a_record_that_a_kill_has_kept_from_the_store_is_sent_by_the_same_command(tmp_path):
    process = chaos.start(tmp_path, *chaos.NET)
    while not any((tmp_path / "runs").glob("*/record.json")) or record(tmp_path)["status"] != "FINISHED":
        time.sleep(0.001)
    chaos.kill(process, courier=True)
    assert not shipped(chaos.run(tmp_path))
    chaos.train(tmp_path, *chaos.NET)
    assert "This run exists" in chaos.output(tmp_path)
    chaos.check_store(tmp_path)


def stored(folder: Path) -> Run:
    client = mlflow.MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    (found,) = client.search_runs([client.get_experiment_by_name("athanor").experiment_id])
    return found
