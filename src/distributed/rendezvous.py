"""Where the processes of a training meet, and what the first of them tells the others there."""

import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

PATIENCE = 30.0  # seconds that a process may take to hear an order, or to end after the training
ANSWER = timedelta(minutes=10)  # in which the first process must have begun to serve
AGENT = "TORCHELASTIC_USE_AGENT_STORE"


def rank() -> int:
    """The number of this process among all, 0 for the first, which is also the only one where nobody says otherwise."""
    return int(os.environ.get("RANK", 0))


def count() -> int:
    """How many processes whoever started this one has started with it."""
    return int(os.environ.get("WORLD_SIZE", 1))


def order() -> dict[str, Any]:
    """What the first process tells this one, once it does: the order of a fit, or the code to end with."""
    from torch.distributed import DistNetworkError

    try:
        place = store()
    except DistNetworkError as error:
        where = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
        print(f"error: process {rank()}: the first process does not answer at {where}: {error}", file=sys.stderr)
        return {"code": 1}
    try:
        place.wait([key("order")], timedelta(days=7))  # preparing the data may take long
        found = json.loads(place.get(key("order")))
        place.add(key("heard"), 1)
    except DistNetworkError:  # the first process serves the store itself, and is gone; its own code is what counts
        return {"code": 0}
    return found


def failed(reason: str) -> None:
    """Tells the first process that this one cannot take part; without effect once the training has begun."""
    store().set(key("failed"), f"process {rank()}: {reason}")


@contextmanager
def dismissing() -> Iterator[None]:
    """Lets the processes that still wait for an order end with the code of the first one."""
    others, code = count() > 1, 1
    with _serving():
        try:
            yield
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
            raise
        finally:
            if others:
                tell({"code": code})


def tell(order: Mapping[str, Any]) -> None:
    store().set(key("order"), json.dumps(dict(order)))


def store() -> Any:
    """The store of whoever started the processes or of the first of them, at MASTER_ADDR and MASTER_PORT.

    It waits for no other process: one that never comes would keep the first from telling the rest.
    """
    return _open(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), serves=_serves())


def _serves() -> bool:
    return rank() == 0 and os.environ.get(AGENT) != "True"


@contextmanager
def _serving() -> Iterator[None]:
    """Serves the store where whoever started the processes does not, as srun, until each of them has had an order."""
    if count() == 1 or not _serves():
        yield
        return
    from torch.distributed import DistNetworkError

    try:
        place = store()  # it serves as long as it is held
    except DistNetworkError as error:
        where = f"MASTER_ADDR={os.environ['MASTER_ADDR']} MASTER_PORT={os.environ['MASTER_PORT']}"
        print(f"error: {where}: expected a free port of this machine: {error}. Choose another on every node.", file=sys.stderr)
        sys.exit(2)
    others = count() - 1
    try:
        yield
    finally:
        end = time.monotonic() + PATIENCE
        while place.add(key("heard"), 0) < others and time.monotonic() < end:
            time.sleep(0.02)


def key(name: str) -> str:
    return f"athanor/{os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}/{name}"  # an order is of one attempt


def server() -> Any:
    """A store that the first process serves on a free port."""
    from torch.distributed import DistNetworkError

    host = os.environ.get("MASTER_ADDR", "127.0.0.1")
    while True:
        place = _open(host, 0, serves=True)
        # torch remembers the servers of this process by port, and keeps what it remembers of one that has ended: where the
        # system gives the same port again, the new server is not found by it, and whoever opens it next would serve it twice.
        try:
            _open(host, place.port, serves=True)
        except DistNetworkError:
            continue
        return place


def meet(port: int) -> None:
    """Lets torch's process group meet by a store of its own.

    In torchrun's, the addresses of an attempt whose processes were killed still stand, and the next one would call them.
    """
    os.environ.update({"MASTER_PORT": str(port), AGENT: "False"})


def _open(host: str, port: int, *, serves: bool) -> Any:
    from torch.distributed import TCPStore

    return TCPStore(host, port, is_master=serves, wait_for_workers=False, multi_tenant=True, timeout=ANSWER)
