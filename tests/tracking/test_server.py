"""The record in a real MLflow server on a real PostgreSQL, also when the server is killed in mid-run."""

import json
import os
import signal
import subprocess
import time

import mlflow
import pytest

from tests.records import whole_store
from tests.repository import ROOT, run, start
from tests.servers import free_port, mlflow_server, postgres

pytestmark = [pytest.mark.servers, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def database():
    with postgres() as url:
        yield url


def points(folder, name):
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return sorted((point["step"], point["value"]) for point in map(json.loads, lines) if point["name"] == name)


def test_a_run_is_recorded_by_a_server(database, tmp_path):
    with mlflow_server(tmp_path / "server", database) as (address, _):
        run(tmp_path, "python", "-m", "src.train", "+experiment=most_frequent", f"tracking.uri={address}", PYTHONPATH=str(ROOT))
        client = whole_store(tmp_path, address)
        (stored,) = client.search_runs([client.get_experiment_by_name("athanor").experiment_id])
        assert stored.info.status == "FINISHED"
        assert "predictions.parquet" in {artifact.path for artifact in client.list_artifacts(stored.info.run_id)}
        assert not (tmp_path / "mlflow.db").exists()


def test_a_server_that_is_killed_in_mid_run_loses_nothing(database, tmp_path):
    port, command = free_port(), ["python", "-m", "src.train", "+experiment=fnn", "trainer.max_epochs=150", "name=outage"]
    command.append("tracking.wait=600")
    with mlflow_server(tmp_path / "server", database, port) as (address, server):
        command.append(f"tracking.uri={address}")
        training = start(tmp_path, *command, stdout=None, stderr=subprocess.DEVNULL, PYTHONPATH=str(ROOT))
        while not list(tmp_path.glob("runs/*/.uploaded.json")):
            assert training.poll() is None
            time.sleep(0.1)
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()
        time.sleep(3)
    assert training.poll() is None, "the run ended before the outage did: lengthen it"
    (folder,) = tmp_path.glob("runs/[!.]*")
    with mlflow_server(tmp_path / "server", database, port) as (address, _):
        assert training.wait() == 0
        client = whole_store(tmp_path, address)
        state = json.loads((folder / ".uploaded.json").read_text())
        assert client.get_run(state["run"]).info.status == "FINISHED"
        for name in ("train/loss", "val/loss"):
            history = client.get_metric_history(state["run"], name)
            assert sorted((point.step, point.value) for point in history) == points(folder, name)


def test_a_deleted_database_is_filled_again_from_the_journals(tmp_path):
    run(tmp_path, "python", "-m", "src.train", "+experiment=most_frequent", PYTHONPATH=str(ROOT))
    whole_store(tmp_path)
    (folder,) = tmp_path.glob("runs/[!.]*")
    for path in tmp_path.glob("mlflow.db*"):
        path.unlink()
    printed = run(tmp_path, "python", "-m", "pipelines.sync", PYTHONPATH=str(ROOT)).stdout
    assert "1 records are whole" in printed
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    (stored,) = client.search_runs([client.get_experiment_by_name("athanor").experiment_id])
    assert stored.info.status == "FINISHED"
    assert len(client.get_metric_history(stored.info.run_id, "values/test/accuracy")) == 1
    assert json.loads((folder / "metrics.json").read_text())["test/accuracy"] == stored.data.metrics["values/test/accuracy"]
