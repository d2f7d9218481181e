"""Processes for trials: forked from a server that has imported everything, one in each slot."""

from __future__ import annotations

import dataclasses
import importlib
import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.sweep.messages import IntermediateValue, TrialResult, TrialSpec
from src.distributed import processes
from src.errors import InputError

if TYPE_CHECKING:
    from pipelines.sweep.setup import Setup

TRIAL = "pipelines.sweep.trial"


class TrialProcess:
    """The process of one trial, and this side of its pipe.

    Args:
        number: of the trial, as the caller counts.
        slot: in which it runs, counted from 0.
    """

    def __init__(self, context: ForkServerContext, spec: TrialSpec, number: int, slot: int):
        self.number, self.slot = number, slot
        self.pipe, other = context.Pipe()
        self._process = context.Process(target=_main, args=(other, spec), daemon=True)
        self._process.start()
        other.close()  # else its death would not end the pipe

    def reply(self, prune: bool) -> None:
        """Answers an intermediate value."""
        try:
            self.pipe.send(prune)
        except OSError:  # it has died since; the next message says so
            return

    def kill(self) -> None:
        """Ends the process. Its last checkpoint stays."""
        self.discard()
        self._process.join()

    def discard(self) -> None:
        """Ends a process that has sent its result, without waiting for its end."""
        self._process.kill()
        self.pipe.close()

    def death(self) -> TrialResult:
        """The result of a process that ended without sending one."""
        self._process.join()
        code = self._process.exitcode or 0
        name = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        hint = " (out of memory?)" if code == -signal.SIGKILL else ""
        return TrialResult("killed", reason=f"its process ended by {name}{hint}")


class TrialPool:
    """A fixed number of slots, each for the process of one trial.

    Args:
        environments: the variables of each slot, which name its devices.
        processes: of one trial.
        modules: that trials use; they are imported once, before any process is forked.
    """

    def __init__(self, environments: Sequence[Mapping[str, str]], *, processes: int = 1, modules: Sequence[str] = ()):
        self.slots = len(environments)
        self.threads = max(1, _processors() // (self.slots * processes))
        self.running: dict[Connection, TrialProcess] = {}
        self._environments = [*environments]
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload([__name__, TRIAL, *modules])

    @classmethod
    def of(cls, setup: Setup) -> TrialPool:
        """The pool that a search asks for on this machine.

        Raises:
            InputError: more workers than the GPUs have room for.
        """
        trainer, sweep = setup.base.trainer, setup.sweep
        gpus = _gpus() if trainer.get("accelerator", "cpu") in ("auto", "gpu", "cuda") else []
        devices = processes.wanted(trainer.get("devices", 1), 1)
        processes.check_processors(devices, oversubscribe=trainer.get("oversubscribe", False))
        environments = slot_environments(sweep["workers"], gpus=gpus, devices=devices, per_gpu=sweep["trials_per_gpu"])
        return cls(environments, processes=devices, modules=setup.modules())

    @property
    def free(self) -> int:
        return self.slots - len(self.running)

    def start(self, spec: TrialSpec, number: int) -> None:
        """Starts the trial with this number in a free slot."""
        occupied = [process.slot for process in self.running.values()]
        slot = next(index for index in range(self.slots) if index not in occupied)
        spec = dataclasses.replace(spec, environment={**spec.environment, **self._environments[slot]})
        process = TrialProcess(self._context, spec, number, slot)
        self.running[process.pipe] = process

    def run_all(self, specs: Sequence[TrialSpec]) -> Iterator[tuple[int, TrialResult]]:
        """Runs trials that are not pruned, as slots become free. Yields the index in the list and the result of each."""
        waiting = deque(enumerate(specs))
        while waiting or self.running:
            while waiting and self.free:
                number, spec = waiting.popleft()
                self.start(spec, number)
            for process, message in self.messages(1.0):
                if isinstance(message, TrialResult):
                    yield process.number, message
                else:
                    process.reply(False)

    def messages(self, timeout: float) -> Iterator[tuple[TrialProcess, IntermediateValue | TrialResult]]:
        """The messages of the trials, after waiting at most `timeout` seconds. A trial with a result has left its slot."""
        for pipe in wait([*self.running], timeout):
            assert isinstance(pipe, Connection)
            process = self.running[pipe]
            try:
                message = pipe.recv()
            except EOFError:
                message = process.death()
            if isinstance(message, TrialResult):
                del self.running[pipe]
                process.discard()
            yield process, message

    def kill(self, process: TrialProcess) -> None:
        """Ends one process if it is still running."""
        if self.running.pop(process.pipe, None) is not None:
            process.kill()

    def kill_all(self) -> list[TrialProcess]:
        """Ends all processes, and returns those that were running."""
        killed = [*self.running.values()]
        for process in killed:
            process.kill()
        self.running.clear()
        return killed


def slot_environments(workers: int | None, *, gpus: Sequence[str], devices: int, per_gpu: int) -> list[dict[str, str]]:
    """The environment variables of each slot. On a machine with GPUs they name those that the slot may use.

    Args:
        workers: how many slots; None for as many as the GPUs have room for, or one without GPUs.
        gpus: the names of those that trials may use.
        devices: that one trial uses.
        per_gpu: trials that share a GPU.

    Raises:
        InputError: more workers than the GPUs have room for.
    """
    if not gpus:
        return [{} for _ in range(workers or 1)]
    groups = [gpus[first : first + devices] for first in range(0, len(gpus) - devices + 1, devices)]
    environments = [{"CUDA_VISIBLE_DEVICES": ",".join(group)} for _ in range(per_gpu) for group in groups]
    if not environments or len(environments) < (workers or 1):
        raise InputError(
            f"sweep.workers={workers}: expected at most {len(environments)}. There are {len(gpus)} GPUs, a trial uses "
            f"{devices}, and {per_gpu} may share one. Lower sweep.workers, or raise sweep.trials_per_gpu."
        )
    return environments[:workers]


def _main(pipe: Connection, spec: TrialSpec) -> None:
    """The main function of a trial's process. The fork server has imported the module already; the search never does."""
    importlib.import_module(TRIAL).main(pipe, spec)


def _gpus() -> list[str]:
    """The GPUs that this command may use. A scheduler names them; CUDA itself is left to the trials."""
    stated = os.environ.get("CUDA_VISIBLE_DEVICES")
    if stated is not None:
        return [name for name in stated.split(",") if name not in ("", "-1")]
    return [str(number) for number, _ in enumerate(Path("/dev").glob("nvidia[0-9]*"))]


def _processors() -> int:
    """The number of processors that this command may use: OMP_NUM_THREADS where it is set, as on a shared machine."""
    stated = os.environ.get("OMP_NUM_THREADS", "")
    if stated.isdigit():
        return int(stated)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
