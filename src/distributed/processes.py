"""The processes of one training: which of them this one is, how the others are started, and what the first tells them.

The first process alone composes, writes and evaluates. The others wait for its order, fit beside it, and end.
"""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from src.distributed import rendezvous
from src.distributed.rendezvous import AGENT, PATIENCE, count, rank
from src.errors import InputError, ProcessLost, RunFailed

ROOT = Path(__file__).resolve().parents[2]
MODULE = "src.launch.worker"  # what a further process runs
STARTING = 600.0  # seconds that the others may take from the order to the training
LOST = re.compile(r"gloo|NCCL|Connection (closed|reset|refused)|Broken pipe")  # what torch says where another one is gone
PLACE = ("RANK", "LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", AGENT)


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
            f"trainer.num_nodes={num_nodes}: expected a start by torchrun on each node, or cluster=slurm; this command runs on "
            "one alone."
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
            server = rendezvous.server()
            rendezvous.tell({**task, "port": server.port})
            _wait_for(number - 1, others)
            rendezvous.meet(server.port)
        else:
            rendezvous.store().add(rendezvous.key("ready"), 1)
            rendezvous.meet(rendezvous.order()["port"])
        try:
            yield
        except RuntimeError as error:
            _explain(error, others)
            raise
        finally:
            if distributed.is_initialized():  # the next fit of this process would meet the lost ones of this one
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
    store = rendezvous.server()  # it serves as long as it is held
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
    store, end = rendezvous.store(), time.monotonic() + STARTING
    while store.add(rendezvous.key("ready"), 0) < number:
        if store.check([rendezvous.key("failed")]):
            raise RunFailed(f"The training cannot begin. {store.get(rendezvous.key('failed')).decode()}")
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
