"""How the processes of a training find each other, and the messages of the first one to the others."""

import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch.distributed import TCPStore

TIMEOUT = 30.0  # seconds that a process may take to receive a message, or to end after the training
CONNECT = timedelta(minutes=10)  # in which the first process must have begun to serve
AGENT_STORE = "TORCHELASTIC_USE_AGENT_STORE"


def rank() -> int:
    """The number of this process, 0 for the first one. A process that nobody has numbered is the only one."""
    return int(os.environ.get("RANK", 0))


def world_size() -> int:
    """How many processes were started together with this one, itself included."""
    return int(os.environ.get("WORLD_SIZE", 1))


def receive() -> dict[str, Any]:
    """The message of the first process, once it comes: what is to be fitted, or the code to end with."""
    from torch.distributed import DistNetworkError

    try:
        shared = store()
    except DistNetworkError as error:
        where = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
        print(f"error: process {rank()}: the first process does not answer at {where}: {error}", file=sys.stderr)
        return {"code": 1}
    try:
        shared.wait([key("message")], timedelta(days=7))  # preparing the data may take long
        message = json.loads(shared.get(key("message")))
        shared.add(key("received"), 1)
    except DistNetworkError:  # the first process serves the store itself, and is gone; its own code is what counts
        return {"code": 0}
    return message


def send(message: Mapping[str, object]) -> None:
    """Sends a message of the first process to all others."""
    store().set(key("message"), json.dumps(dict(message)))


def report_failure(reason: str) -> None:
    """Tells the first process that this one cannot take part; without effect once the training has begun."""
    store().set(key("failed"), f"process {rank()}: {reason}")


@contextmanager
def dismissing() -> Iterator[None]:
    """Ends the processes that still wait for a message with the exit code of the first one, when the block ends."""
    others, code = world_size() > 1, 1
    with _serving():
        try:
            yield
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
            raise
        finally:
            if others:
                send({"code": code})


def store() -> "TCPStore":
    """The store at MASTER_ADDR and MASTER_PORT, which whoever started the processes serves, or the first of them.

    It waits for no other process: one that never comes would keep the first from telling the rest.
    """
    return _open(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), serves=_serves())


def key(name: str) -> str:
    """A key of the store; a message belongs to one attempt of torchrun."""
    return f"athanor/{os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}/{name}"


def server() -> "TCPStore":
    """A store that the first process serves on a free port."""
    from torch.distributed import DistNetworkError

    host = os.environ.get("MASTER_ADDR", "127.0.0.1")
    while True:
        served = _open(host, 0, serves=True)
        # torch remembers the servers of this process by port, and keeps what it remembers of one that has ended: where the
        # system gives the same port again, the new server is not found by it, and whoever opens it next would serve it twice.
        try:
            _open(host, served.port, serves=True)
        except DistNetworkError:
            continue
        return served


def use_port(port: int) -> None:
    """Lets torch's process group use the store at this port.

    The one of torchrun still holds the addresses of an attempt whose processes were killed, and the next one would call them.
    """
    os.environ.update({"MASTER_PORT": str(port), AGENT_STORE: "False"})


def _serves() -> bool:
    return rank() == 0 and os.environ.get(AGENT_STORE) != "True"


@contextmanager
def _serving() -> Iterator[None]:
    """Serves the store where whoever started the processes does not, as srun, until each of them has received a message."""
    if world_size() == 1 or not _serves():
        yield
        return
    from torch.distributed import DistNetworkError

    try:
        served = store()  # it serves as long as it is held
    except DistNetworkError as error:
        where = f"MASTER_ADDR={os.environ['MASTER_ADDR']} MASTER_PORT={os.environ['MASTER_PORT']}"
        print(f"error: {where}: expected a free port of this machine: {error}. Choose another on every node.", file=sys.stderr)
        sys.exit(2)
    others = world_size() - 1
    try:
        yield
    finally:
        end = time.monotonic() + TIMEOUT
        while served.add(key("received"), 0) < others and time.monotonic() < end:
            time.sleep(0.02)


def _open(host: str, port: int, *, serves: bool) -> "TCPStore":
    from torch.distributed import TCPStore

    return TCPStore(host, port, is_master=serves, wait_for_workers=False, multi_tenant=True, timeout=CONNECT)
