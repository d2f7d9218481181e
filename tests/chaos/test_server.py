"""An MLflow server that fails, dawdles, dies and comes back while a run is recorded by it."""

import http.client
import os
import signal
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests import chaos
from tests.servers import free_port, mlflow_server

pytestmark = [pytest.mark.servers, pytest.mark.timeout(900)]


class Proxy(ThreadingHTTPServer):
    """A proxy of a server. By its mode, it passes requests on, delays them, loses the response, or refuses them."""

    def __init__(self, port: int):
        super().__init__(("127.0.0.1", 0), Handler)
        self.behind = port
        self.mode = "pass"
        self.count: Counter[str] = Counter()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def suffer(self, mode: str, *, times: int = 2) -> None:
        """Treats requests in this mode until it has been used several times."""
        self.mode = mode
        wanted = self.count[mode] + times
        while self.count[mode] < wanted:
            time.sleep(0.05)
        self.mode = "pass"


class Handler(BaseHTTPRequestHandler):
    server: Proxy

    def do_GET(self) -> None:
        mode = self.server.mode
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        try:
            if mode == "fail":
                self._respond(500, b"{}")
                return
            if mode == "slow":
                time.sleep(1)
            status, content = self._behind(body)
            if mode == "lose":  # the server has handled the request, but the client does not learn of it
                self._respond(500, b"{}")
            else:
                self._respond(status, content)
        except OSError:  # the server is not there, or the client has left
            mode = "gone"
            self.close_connection = True
        finally:
            self.server.count[mode] += 1

    do_POST = do_PUT = do_PATCH = do_DELETE = do_GET

    def _behind(self, body: bytes) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.behind, timeout=30)
        headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
        try:
            connection.request(self.command, self.path, body, headers)
            response = connection.getresponse()
            return response.status, response.read()
        except http.client.HTTPException as error:
            raise ConnectionError(*error.args) from error
        finally:
            connection.close()

    def _respond(self, status: int, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Nothing on the tests' output."""


def test_a_run_is_whole_in_a_server_that_failed_in_every_way(tmp_path):
    arguments = (*chaos.NET, "trainer.max_epochs=30")
    expected = chaos.outcome(chaos.train(tmp_path / "undisturbed", *arguments, chaos.NOWHERE))
    port, store = free_port(), f"sqlite:///{tmp_path}/server.db"
    with Proxy(port) as proxy:
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        folder = tmp_path / "recorded"
        with mlflow_server(tmp_path / "server", store, port) as (_, server):
            proxy.mode = "lose"  # so the response to the creation of the run is lost too
            process = chaos.start(folder, *arguments, f"tracking.uri={proxy.address}", "tracking.wait=400")
            proxy.suffer("lose", times=4)
            for mode in ("fail", "slow"):
                proxy.suffer(mode)
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()
            proxy.suffer("gone")
        with mlflow_server(tmp_path / "server", store, port) as (address, _):
            assert process.wait() == 0, chaos.output(folder)
            assert chaos.outcome(chaos.run(folder)) == expected
            chaos.check_store(folder, address)
        proxy.shutdown()
