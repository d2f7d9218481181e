"""The MLflow UI: where it is, said when it answers."""

import signal
import socket
import urllib.request
from urllib.parse import urlsplit

import pytest

from pipelines import ui
from src.errors import InputError
from src.tracking.mlflow_store import KIND, Store
from tests.repository import ROOT, start


@pytest.mark.servers
def test_it_names_its_page_when_it_answers(tmp_path):
    store = Store(f"sqlite:///{tmp_path / 'mlflow.db'}")
    number = store.experiment("athanor")
    assert KIND.items() <= store.client.get_experiment(number).tags.items()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        command = ("python", "-m", "pipelines.ui", f"port={port}")
        with start(tmp_path, *command, fresh=True, new_session=True, PYTHONPATH=str(ROOT)) as process:
            assert process.stdout.readline() == "MLflow UI: starting\n"
            line = next(line for line in process.stdout if line.startswith("MLflow UI: "))  # MLflow has its own to say
            page = urlsplit(line.split()[2])
            assert page.port != port
            assert page.fragment == f"/experiments/{number}/runs?workflowType=machine_learning"
            with urllib.request.urlopen(f"http://{page.netloc}/") as answer:
                assert b"MLflow" in answer.read()
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 0
    with socket.socket() as server, pytest.raises(ConnectionRefusedError):
        server.connect((page.hostname, page.port))


def test_the_page_of_a_tracking_server_is_named(project, monkeypatch, capsys):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@127.0.0.1:9/")
    ui.main([])
    assert capsys.readouterr().out == (
        "MLflow UI: http://me:***@127.0.0.1:9/#/experiments?workflowType=machine_learning is that of your tracking server\n"
    )
    with pytest.raises(InputError, match=r"port=x: expected a number, such as port=5000."):
        ui.main(["port=x"])
