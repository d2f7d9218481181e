"""The processes of one training: which of them this one is, how the others are started, and what the first tells them.

The first process alone composes, writes and evaluates. The others wait for its order, fit beside it, and end.
"""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

from src.errors import InputError, ProcessLost, RunFailed

ROOT = Path(__file__).resolve().parents[1]
MODULE = "src.launch.rank"  # what a further process runs
STARTING = 600.0  # seconds that the others may take from the order to the training
PATIENCE = 30.0  # seconds that a process may take to end after the training
LOST = re.compile(r"gloo|NCCL|Connection (closed|reset|refused)|Broken pipe")  # what torch says where another one is gone
AGENT = "TORCHELASTIC_USE_AGENT_STORE"
PLACE = ("RANK", "LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", AGENT)


def rank() -> int:
    """The number of this process among all, 0 for the first, which is also the only one where nobody says otherwise."""
    return int(os.environ.get("RANK", 0))


def count() -> int:
    """How many processes whoever started this one has started with it."""
    return int(os.environ.get("WORLD_SIZE", 1))


def wanted(devices: Any, num_nodes: Any) -> int:
    """How many processes a configuration asks for: its result depends on them, so a number must stand there."""
    for name, value in (("devices", devices), ("num_nodes", num_nodes)):
        if type(value) is not int or value < 1:
            raise InputError(f"trainer.{name}: expected a number from 1, which decides the result; received {value}.")
    return devices * num_nodes


def check(devices: Any, num_nodes: Any) -> None:
    """Refuses a start that does not fit the configuration."""
    number = wanted(devices, num_nodes)
    if count() not in (1, number):
        raise InputError(
            f"expected {number} processes, as trainer.devices={devices} and trainer.num_nodes={num_nodes} state; this "
            f"command was started {count()} times at once. Choose trainer=ddp, and devices as --nproc-per-node and "
            "num_nodes as --nnodes of torchrun."
        )
    if count() == 1 and num_nodes > 1:
        raise InputError(
            f"trainer.num_nodes={num_nodes}: expected a start by torchrun on each node; this command runs on one alone."
        )


@contextmanager
def together(devices: int, num_nodes: int, task: Mapping[str, Any]) -> Iterator[None]:
    """Holds the processes of a fit: the first tells the others what to do, after starting them where nobody else has.

    Args:
        task: of the first process to the others; theirs is ignored.

    Raises:
        ProcessLost: another process was lost.
    """
    check(devices, num_nodes)
    number = devices * num_nodes
    if number == 1:
        yield
        return
    from torch import distributed

    with _environment_kept(), _others(number) as others:
        os.environ.setdefault("NODE_RANK", str(rank() // devices))  # Lightning would take each node for the first
        os.environ.setdefault("LOCAL_RANK", str(rank() % devices))
        if rank() == 0:
            server = _server()
            _tell({**task, "port": server.port})
            _wait_for(number - 1, others)
            _meet(server.port)
        else:
            _store().add(_key("ready"), 1)
            _meet(order()["port"])
        try:
            yield
        except RuntimeError as error:
            _explain(error, others)
            raise
        distributed.destroy_process_group()
        for process in others:
            with suppress(subprocess.TimeoutExpired):  # it has done its part; it is ended now
                process.wait(PATIENCE)


def fitting(folder: Path, prepared: Path, start: Path | None) -> dict[str, str | None]:
    """The order to fit.

    Args:
        folder: of the run; it holds the configuration.
        prepared: the folder of the prepared data.
        start: the checkpoint to start from.
    """
    paths = {"folder": folder, "prepared": prepared, "start": start}
    return {name: str(path.resolve()) if path else None for name, path in paths.items()}


def order() -> dict[str, Any]:
    """What the first process tells this one, once it does: the order of a fit, or the code to end with."""
    from torch.distributed import DistNetworkError

    store = _store()
    try:
        store.wait([_key("order")], timedelta(days=7))  # preparing the data may take long
        found = json.loads(store.get(_key("order")))
        store.add(_key("heard"), 1)
    except DistNetworkError:  # the first process serves the store itself, and is gone; its own code is what counts
        return {"code": 0}
    return found


def failed(reason: str) -> None:
    """Tells the first process that this one cannot take part; without effect once the training has begun."""
    _store().set(_key("failed"), f"process {rank()}: {reason}")


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
                _tell({"code": code})


def _tell(order: Mapping[str, Any]) -> None:
    _store().set(_key("order"), json.dumps(dict(order)))


def _store() -> Any:
    """The store of whoever started the processes, at MASTER_ADDR and MASTER_PORT."""
    from torch.distributed import rendezvous

    store, _, _ = next(iter(rendezvous("env://", rank=rank(), world_size=count())))
    return store


@contextmanager
def _serving() -> Iterator[None]:
    """Serves the store where whoever started the processes does not, as srun, until each of them has had an order."""
    if count() == 1 or os.environ.get(AGENT) == "True":
        yield
        return
    from torch.distributed import TCPStore

    host, port, others = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), count() - 1
    store = TCPStore(host, port, is_master=True, wait_for_workers=False, multi_tenant=True)
    try:
        yield
    finally:
        end = time.monotonic() + PATIENCE
        while store.add(_key("heard"), 0) < others and time.monotonic() < end:
            time.sleep(0.02)


def _key(name: str) -> str:
    return f"athanor/{os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}/{name}"  # an order is of one attempt


def _server() -> Any:
    """A store that the first process serves on a free port."""
    from torch.distributed import TCPStore

    host = os.environ.get("MASTER_ADDR", "127.0.0.1")
    return TCPStore(host, 0, is_master=True, wait_for_workers=False, multi_tenant=True)


def _meet(port: int) -> None:
    """Lets torch's process group meet by a store of its own.

    In torchrun's, the addresses of an attempt whose processes were killed still stand, and the next one would call them.
    """
    os.environ.update({"MASTER_PORT": str(port), AGENT: "False"})


@contextmanager
def _environment_kept() -> Iterator[None]:
    before = {name: os.environ.get(name) for name in PLACE}
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)  # Lightning may have removed it already
            if value is not None:
                os.environ[name] = value


@contextmanager
def _others(number: int) -> Iterator[list[subprocess.Popen]]:
    """Starts the further processes on this machine, where nobody else has; none outlives the block."""
    if count() > 1:
        yield []
        return
    os.environ.pop("MASTER_ADDR", None)
    store = _server()  # it serves as long as it is held
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(store.port), "WORLD_SIZE": str(number), "NODE_RANK": "0"}
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    others: list[subprocess.Popen] = []
    try:
        for i in range(1, number):
            environment = {**os.environ, **place, "RANK": str(i), "LOCAL_RANK": str(i), "PYTHONPATH": path}
            others.append(subprocess.Popen([sys.executable, "-m", MODULE], env=environment, stdin=subprocess.DEVNULL))
        os.environ.update(place, RANK="0", LOCAL_RANK="0")
        yield others
    finally:
        for process in others:
            process.kill()  # it does nothing to one that has ended
            process.wait()


def _wait_for(number: int, others: list[subprocess.Popen]) -> None:
    """Until so many are about to fit: without this, one that fails before would be noticed by the timeout alone."""
    store, end = _store(), time.monotonic() + STARTING
    while store.add(_key("ready"), 0) < number:
        if store.check([_key("failed")]):
            raise RunFailed(f"The training cannot begin. {store.get(_key('failed')).decode()}")
        if any(process.poll() is not None for process in others):
            raise ProcessLost(f"{_ended(others)} before the training began, for the reason above.")
        if time.monotonic() > end:
            raise ProcessLost(f"The other processes were not ready after {STARTING:.0f} seconds. The same command tries again.")
        time.sleep(0.02)


def _explain(error: RuntimeError, others: list[subprocess.Popen]) -> None:
    """Raises the message for a lost process, where that is what torch says in its own words."""
    from torch.distributed import DistError

    if isinstance(error, DistError) or (LOST.search(str(error)) and not isinstance(error, RunFailed)):
        reason = str(error).strip().partition("\n")[0]
        raise ProcessLost(
            f"{_ended(others)}; the training cannot go on without it. The same command continues from the last checkpoint. "
            f"What torch says: {reason}"
        ) from error


def _ended(others: list[subprocess.Popen]) -> str:
    """Which process has ended, and how. Where torch notices first, its end may be a moment away."""
    end = time.monotonic() + 2
    while others and time.monotonic() < end and all(process.poll() is None for process in others):
        time.sleep(0.02)
    codes = {number: process.poll() for number, process in enumerate(others, start=1)}
    gone = [
        f"Process {number} of {len(others) + 1} ended with code {code}" for number, code in codes.items() if code is not None
    ]
    return ", ".join(gone) or "The connection to another process of this training was lost"
