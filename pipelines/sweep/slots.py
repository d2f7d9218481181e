"""Processes for trials: forked from a server that has everything imported, one for each slot."""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.sweep.messages import End, Order, Value, work
from src.distributed import processes
from src.errors import InputError

if TYPE_CHECKING:
    from pipelines.sweep.setup import Setup

PRELOADED = "pipelines.sweep.trial"


class Process:
    """The process of one trial and this side of its pipe."""

    def __init__(self, context: Any, order: Order, trial: Any, place: int):
        self.trial, self.place = trial, place
        self.pipe, other = context.Pipe()
        self._process = context.Process(target=work, args=(other, order), daemon=True)
        self._process.start()
        other.close()  # else its death would not end the pipe

    def answer(self, stop: bool) -> None:
        try:
            self.pipe.send(stop)
        except OSError:  # it has died since; the next message says so
            return

    def stop(self) -> None:
        """Ends the process where it is; its last checkpoint stays."""
        self.leave()
        self._process.join()

    def leave(self) -> None:
        """Ends a process that has said everything, without waiting for its end."""
        self._process.kill()
        self.pipe.close()

    def died(self) -> End:
        """How a process ended that did not say so."""
        self._process.join()
        code = self._process.exitcode or 0
        name = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return End("killed", reason=f"its process ended by {name}" + (" (out of memory?)" if code == -signal.SIGKILL else ""))


class Slots:
    """So many processes at once, as there is room.

    Args:
        places: what the environment of each slot says, of the devices that are its own.
        processes: of one trial.
        modules: that trials use: imported once, before their processes are forked.
    """

    def __init__(self, places: Sequence[Mapping[str, str]], *, processes: int = 1, modules: Sequence[str] = ()):
        self.count = len(places)
        self.threads = max(1, _processors() // (self.count * processes))
        self.running: dict[Connection, Process] = {}
        self._places = [*places]
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload([PRELOADED, *modules])

    @classmethod
    def of(cls, setup: Setup) -> Slots:
        """The slots that a search asks for on this machine.

        Raises:
            InputError: more than it has room for.
        """
        trainer, sweep = setup.base.trainer, setup.sweep
        gpus = _gpus() if trainer.get("accelerator", "cpu") in ("auto", "gpu", "cuda") else []
        devices = processes.wanted(trainer.get("devices", 1), 1)
        found = places(sweep["workers"], gpus=gpus, devices=devices, per_gpu=sweep["slots_per_gpu"])
        return cls(found, processes=devices, modules=setup.modules())

    @property
    def free(self) -> int:
        return self.count - len(self.running)

    def start(self, order: Order, trial: Any) -> None:
        taken = [process.place for process in self.running.values()]
        place = next(number for number in range(self.count) if number not in taken)
        order = dataclasses.replace(order, environment={**order.environment, **self._places[place]})
        process = Process(self._context, order, trial, place)
        self.running[process.pipe] = process

    def each(self, orders: Sequence[Order]) -> Iterator[tuple[int, End]]:
        """Carries out orders that nobody prunes, as slots become free; gives the place in the list and the end of each."""
        waiting = deque(enumerate(orders))
        while waiting or self.running:
            while waiting and self.free:
                number, order = waiting.popleft()
                self.start(order, number)
            for process, message in self.messages(1.0):
                if isinstance(message, End):
                    yield process.trial, message
                else:
                    process.answer(False)

    def messages(self, timeout: float) -> Iterator[tuple[Process, Value | End]]:
        """What the trials say, waiting for it so long; one that has ended has left its slot."""
        for pipe in wait([*self.running], timeout):
            assert isinstance(pipe, Connection)
            process = self.running[pipe]
            try:
                message = pipe.recv()
            except EOFError:
                message = process.died()
            if isinstance(message, End):
                del self.running[pipe]
                process.leave()
            yield process, message

    def drop(self, process: Process) -> None:
        """Ends one process, where it has not ended."""
        if self.running.pop(process.pipe, None) is not None:
            process.stop()

    def stop(self) -> Iterator[Process]:
        for process in [*self.running.values()]:
            process.stop()
            yield process
        self.running.clear()


def places(workers: int | None, *, gpus: Sequence[str], devices: int, per_gpu: int) -> list[dict[str, str]]:
    """The environment of each slot: on a machine with GPUs, which of them it may use.

    Args:
        workers: how many slots; None for as many as the GPUs have room for, or one without.
        gpus: the names of those that trials may use.
        devices: that one trial uses.
        per_gpu: trials that share a GPU.

    Raises:
        InputError: more workers than the GPUs have room for.
    """
    if not gpus:
        return [{} for _ in range(workers or 1)]
    groups = [gpus[first : first + devices] for first in range(0, len(gpus) - devices + 1, devices)]
    found = [{"CUDA_VISIBLE_DEVICES": ",".join(group)} for _ in range(per_gpu) for group in groups]
    if not found or len(found) < (workers or 1):
        raise InputError(
            f"sweep.workers={workers}: expected at most {len(found)}, for {len(gpus)} GPUs have room for so many trials of "
            f"{devices} each, {per_gpu} at once on a GPU. Lower it, or raise sweep.slots_per_gpu."
        )
    return found[:workers]


def _gpus() -> list[str]:
    """The GPUs that this command may use; a scheduler names them, and CUDA itself is left to the trials."""
    stated = os.environ.get("CUDA_VISIBLE_DEVICES")
    if stated is not None:
        return [name for name in stated.split(",") if name not in ("", "-1")]
    return [str(number) for number, _ in enumerate(Path("/dev").glob("nvidia[0-9]*"))]


def _processors() -> int:
    """How many this command may use: OMP_NUM_THREADS where it is set, as where several commands share a machine."""
    stated = os.environ.get("OMP_NUM_THREADS", "")
    if stated.isdigit():
        return int(stated)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
