"""Real servers for tests, each started in a temporary folder on a free port of the loopback address."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.repository import environment


def require(condition: object, reason: str) -> None:
    """Skips a test that this machine cannot run, with the reason; in CI, which installs what tests need, that fails."""
    if condition:
        return
    if os.environ.get("CI"):
        pytest.fail(f"CI must not skip this test: {reason}")
    pytest.skip(reason)


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


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
        call("pg_ctl", "-D", str(folder / "data"), "-w", "-l", str(folder / "log"), "-o", options, "start")
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
        for _ in range(300):
            assert server.poll() is None, (folder / "server.log").read_text()
            try:
                with urllib.request.urlopen(f"{address}/health", timeout=1):
                    break
            except OSError:
                time.sleep(0.2)
        yield address, server
    finally:
        if server.poll() is None:
            os.killpg(server.pid, signal.SIGKILL)
        server.wait()
