"""The processes of one training: which of them this one is, how the others are started, and how their loss is noticed.

Only the first process composes, writes and evaluates. The others wait for its message, fit beside it, and end.
"""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from src.distributed import rendezvous
from src.distributed.rendezvous import AGENT_STORE, TIMEOUT, rank, world_size
from src.errors import InputError, ProcessLost, RunFailed

ROOT = Path(__file__).resolve().parents[2]
WORKER = "src.launch.worker"  # the module that a further process runs
START = 600.0  # seconds that the others may take from the message to the training
LOST = re.compile(r"gloo|NCCL|Connection (closed|reset|refused)|Broken pipe")  # in torch's errors where a process is gone
VARIABLES = ("RANK", "LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", AGENT_STORE)


def wanted(devices: object, num_nodes: object) -> int:
    """How many processes a configuration asks for. The result depends on them, so both must be numbers."""
    for name, value in (("devices", devices), ("num_nodes", num_nodes)):
        if type(value) is not int or value < 1:
            raise InputError(f"trainer.{name}: expected a number from 1, which decides the result; received {value}.")
    assert isinstance(devices, int)
    assert isinstance(num_nodes, int)
    return devices * num_nodes


def check(devices: object, num_nodes: object) -> None:
    """Refuses a start that does not fit the configuration."""
    number = wanted(devices, num_nodes)
    if world_size() not in (1, number):
        raise InputError(
            f"expected {number} processes, because trainer.devices={devices} and trainer.num_nodes={num_nodes}; this command "
            f"was started {world_size()} times at once. Choose trainer=ddp, devices as --nproc-per-node and num_nodes as "
            "--nnodes of torchrun."
        )
    if world_size() == 1 and num_nodes != 1:
        raise InputError(
            f"trainer.num_nodes={num_nodes}: expected a start by torchrun on each node, or cluster=slurm; received a start on "
            "this machine only."
        )


def check_processors(devices: int, *, oversubscribe: bool) -> None:
    """Refuses more processes than this machine has processors, where this command would start them.

    Args:
        oversubscribe: whether several processes may share a processor.
    """
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if world_size() == 1 and devices > processors and not oversubscribe:
        raise InputError(
            f"trainer.devices={devices}: expected at most {processors}, a process for each processor that it may use. "
            "Choose fewer, or let processes share a processor: trainer.oversubscribe=true."
        )


@contextmanager
def together(devices: int, num_nodes: int, message: Mapping[str, object]) -> Iterator[None]:
    """Holds the processes of a fit together: the first one starts the others where nobody else has, and tells them what to fit.

    Args:
        message: from the first process to the others; theirs is ignored.

    Raises:
        ProcessLost: another process was lost.
    """
    check(devices, num_nodes)
    number = devices * num_nodes
    if number == 1:
        yield
        return
    from torch import distributed

    with _environment_restored(), _workers(number) as workers:
        os.environ.setdefault("NODE_RANK", str(rank() // devices))  # Lightning would take each node for the first
        os.environ.setdefault("LOCAL_RANK", str(rank() % devices))
        if rank() == 0:
            server = rendezvous.server()
            rendezvous.send({**message, "port": server.port})
            _wait_until_ready(number - 1, workers)
            rendezvous.use_port(server.port)
        else:
            rendezvous.store().add(rendezvous.key("ready"), 1)
            rendezvous.use_port(rendezvous.receive()["port"])
        try:
            yield
        except RuntimeError as error:
            _explain(error, workers)
            raise
        finally:
            if distributed.is_initialized():  # the next fit of this process would wait for the lost processes of this one
                distributed.destroy_process_group()
        for process in workers:
            with suppress(subprocess.TimeoutExpired):  # it has done its part; it is ended now
                process.wait(TIMEOUT)


def fit_message(folder: Path, prepared: Path, start: Path | None) -> dict[str, str | None]:
    """The message that asks the other processes to fit.

    Args:
        folder: of the run; it holds the configuration.
        prepared: the folder of the prepared data.
        start: the checkpoint to start from.
    """
    paths = {"folder": folder, "prepared": prepared, "start": start}
    return {name: str(path.resolve()) if path else None for name, path in paths.items()}


@contextmanager
def _environment_restored() -> Iterator[None]:
    before = {name: os.environ.get(name) for name in VARIABLES}
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)  # Lightning may have removed it already
            if value is not None:
                os.environ[name] = value


@contextmanager
def _workers(number: int) -> Iterator[list[subprocess.Popen]]:
    """Starts the further processes on this machine, where nobody else has; none outlives the block."""
    if world_size() > 1:
        yield []
        return
    os.environ.pop("MASTER_ADDR", None)
    store = rendezvous.server()  # it serves as long as it is held
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(store.port), "WORLD_SIZE": str(number), "NODE_RANK": "0"}
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    workers: list[subprocess.Popen] = []
    try:
        for i in range(1, number):
            environment = {**os.environ, **shared, "RANK": str(i), "LOCAL_RANK": str(i), "PYTHONPATH": path}
            workers.append(subprocess.Popen([sys.executable, "-m", WORKER], env=environment, stdin=subprocess.DEVNULL))
        os.environ.update(shared, RANK="0", LOCAL_RANK="0")
        yield workers
    finally:
        for process in workers:
            process.kill()  # it does nothing to one that has ended
            process.wait()


def _wait_until_ready(number: int, workers: list[subprocess.Popen]) -> None:
    """Waits until so many processes are about to fit: otherwise only the timeout would notice one that fails before."""
    store, end = rendezvous.store(), time.monotonic() + START
    while store.add(rendezvous.key("ready"), 0) < number:
        if store.check([rendezvous.key("failed")]):
            raise RunFailed(f"The training cannot begin. {store.get(rendezvous.key('failed')).decode()}")
        if any(process.poll() is not None for process in workers):
            raise ProcessLost(f"{_ended(workers)} before the training began, for the reason above.")
        if time.monotonic() > end:
            raise ProcessLost(f"The other processes were not ready after {START:.0f} seconds. The same command tries again.")
        time.sleep(0.02)


def _explain(error: RuntimeError, workers: list[subprocess.Popen]) -> None:
    """Raises the message for a lost process, where torch's error is about one."""
    from torch.distributed import DistError

    if isinstance(error, DistError) or (LOST.search(str(error)) and not isinstance(error, RunFailed)):
        reason = str(error).strip().partition("\n")[0]
        raise ProcessLost(
            f"{_ended(workers)}; the training cannot go on without it. The same command continues from the last checkpoint. "
            f"What torch says: {reason}"
        ) from error


def _ended(workers: list[subprocess.Popen]) -> str:
    """Which process has ended, and how. Where torch notices first, its end may be a moment away."""
    end = time.monotonic() + 2
    while workers and time.monotonic() < end and all(process.poll() is None for process in workers):
        time.sleep(0.02)
    exit_codes = {number: process.poll() for number, process in enumerate(workers, start=1)}
    gone = [
        f"Process {number} of {len(workers) + 1} ended with code {code}"
        for number, code in exit_codes.items()
        if code is not None
    ]
    return ", ".join(gone) or "The connection to another process of this training was lost"
