"""The MLflow UI on this machine's runs: `python -m pipelines.ui`, or `make ui`. It says where as soon as it answers.

port=5000     the next free one, where that is taken
"""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from urllib.parse import quote
from urllib.request import urlopen

from pipelines.results import MODE
from src.config import command_line, composition
from src.errors import InputError, RunFailed
from src.runs.masking import mask
from src.tracking import store

HOST = "127.0.0.1"
LOOK = 0.2  # seconds between looks at a server that starts


def main(arguments: Sequence[str]) -> None:
    command_line.environment()
    options = command_line.keywords(arguments, port="5000")
    if not options["port"].isdecimal():
        raise InputError(f"port={options['port']}: expected a number, such as port=5000.")
    tracking = composition.compose([]).tracking
    uri = store.address(tracking.uri)
    if uri.startswith(("http:", "https:")):
        print(f"MLflow UI: {_page(mask(uri).rstrip('/'), tracking.experiment)} is that of your tracking server")
        return
    port = _free(int(options["port"]))
    # One worker and no runner of jobs, which are evaluations of language models: they take most of the time until it answers.
    environment = {**os.environ, **store.ENVIRONMENT, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    where = ["--backend-store-uri", uri, "--host", HOST, "--port", str(port)]
    how = ["--workers", "1", "--uvicorn-opts", "--log-level warning"]
    print("MLflow UI: starting", flush=True)
    with subprocess.Popen([sys.executable, "-m", "mlflow", "ui", *where, *how], env=environment) as server:
        try:
            with suppress(KeyboardInterrupt):  # its user ends it so, and that is no failure
                _wait(server, root := f"http://{HOST}:{port}")
                print(f"MLflow UI: {_page(root, tracking.experiment)} (Ctrl-C ends it)", flush=True)
                server.wait()
        finally:
            server.terminate()


def _wait(server: subprocess.Popen[bytes], root: str) -> None:
    """Waits until the server answers."""
    while server.poll() is None:
        try:
            with urlopen(f"{root}/health", timeout=5):
                return
        except OSError:
            time.sleep(LOOK)
    raise RunFailed(f"expected the MLflow UI to start; it ended with {server.returncode}. Its own message stands above.")


def _page(root: str, experiment: str) -> str:
    """The page of an experiment by its name, or of all experiments where the server has none of this name."""
    try:
        with urlopen(
            f"{root}/ajax-api/2.0/mlflow/experiments/get-by-name?experiment_name={quote(experiment)}", timeout=60
        ) as answer:
            return f"{root}/#/experiments/{json.load(answer)['experiment']['experiment_id']}/runs{MODE}"
    except OSError:
        return f"{root}/#/experiments{MODE}"


def _free(port: int) -> int:
    """The port, or another where a program listens on it."""
    for number in (port, 0):
        with socket.socket() as server:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                server.bind((HOST, number))
            except OSError:
                continue
            return int(server.getsockname()[1])
    raise RunFailed("expected a free port; this machine has none.")


if __name__ == "__main__":
    sys.exit(command_line.call(main, sys.argv[1:]))
