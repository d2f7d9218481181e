"""Real servers for tests, each started in a temporary folder on a free port of the loopback address."""

import http.client
import itertools
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.repository import environment

PATIENCE = 240  # seconds for a server to answer
# Below those that systems give to clients (from 32768 on in Linux, from 49152 elsewhere): none of them takes a port before its
# server has, and none that dials the port of a server that is gone is given that same port, and answers itself. The workers
# of pytest-xdist have ports of their own, and processes besides take theirs in another order.
_worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 64
_below = range(10_000 + _worker, 32_000, 64)
_ports = itertools.cycle(random.Random(os.getpid()).sample(_below, len(_below)))


def require(condition: object, reason: str) -> None:
    """Skips a test that this machine cannot run, with the reason; in CI, which installs what tests need, that fails."""
    if condition:
        return
    if os.environ.get("CI"):
        pytest.fail(f"CI must not skip this test: {reason}")
    pytest.skip(reason)


def free_port() -> int:
    """A port that nothing uses, and another one each time."""
    for port in itertools.islice(_ports, len(_below)):
        with socket.socket() as server, suppress(OSError):
            server.bind(("", port))
            return port
    raise AssertionError("every port is in use")


@contextmanager
def postgres() -> Iterator[str]:
    """A PostgreSQL server; gives its URL. It refuses to run as root, so that it runs as the user postgres there.

    Its folder is not one of pytest's, which only their owner may enter.
    """
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    require(programs, "needs PostgreSQL: apt-get install postgresql")
    port = free_port()
    user = "postgres" if os.geteuid() == 0 else None
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if user:
            shutil.chown(folder, user)

        def call(program: str, *arguments: str) -> None:
            command = [str(programs[-1] / program), *arguments]
            subprocess.run(command, check=True, user=user, cwd=folder, stdout=subprocess.DEVNULL)

        call("initdb", "-A", "trust", "--no-sync", "-U", "postgres", "-D", str(folder / "data"))
        options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder} -c fsync=off"
        call("pg_ctl", "-D", str(folder / "data"), "-w", "-t", str(PATIENCE), "-l", str(folder / "log"), "-o", options, "start")
        try:
            yield f"postgresql+psycopg://postgres@127.0.0.1:{port}/postgres"
        finally:
            call("pg_ctl", "-D", str(folder / "data"), "-m", "immediate", "stop")


@contextmanager
def mlflow_server(folder: Path, store: str, port: int | None = None) -> Iterator[tuple[str, subprocess.Popen]]:
    """An MLflow server on a store; gives its address and its process, which leads a group of its own."""
    port = port or free_port()
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", store, "--workers", "1"]
    command += ["--port", str(port), "--artifacts-destination", str(folder / "artifacts")]
    with open(folder / "server.log", "a") as log:
        server = subprocess.Popen(
            command,
            cwd=folder,
            env=environment(MLFLOW_DISABLE_TELEMETRY="true"),
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    address = f"http://127.0.0.1:{port}"
    try:
        until = time.monotonic() + PATIENCE
        while not _answers(f"{address}/health"):
            assert server.poll() is None, (folder / "server.log").read_text()
            assert time.monotonic() < until, (folder / "server.log").read_text()
            time.sleep(0.2)
        yield address, server
    finally:
        if server.poll() is None:
            os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=5):
            return True
    except (OSError, http.client.HTTPException):  # it is not there yet, or not quite
        return False
