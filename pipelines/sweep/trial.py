"""One trial: a training in a process of its own, which tells its values as they come and stops when it is told to.

Its process is forked from one that has imported everything already, so that a trial starts in hundredths of a second.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
import time
import traceback
from multiprocessing.connection import Connection
from typing import Any

import torch
from omegaconf import OmegaConf

from pipelines.sweep.orders import End, Order, Value
from src import assembly, runs, signals, training  # noqa: F401 - the learner's module is imported before the fork
from src.data.store import Prepared
from src.errors import InputError, RunFailed, Stop
from src.runs import Run
from src.tracking.journal import read
from src.tracking.record import Record

PR_SET_PDEATHSIG = 1  # of prctl, in sys/prctl.h


class Pruned(Exception):
    """The search has given the trial up."""


def main(pipe: Connection, order: Order) -> None:
    """The main function of a trial's process."""
    for number in signals.LEAVING:  # a scheduler may send them to every process: they are the search's, which stops its trials
        signal.signal(number, signal.SIG_IGN)
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # the fork server dies with the search
    os.environ.update(order.environment)
    torch.set_num_threads(order.threads)
    order.folder.mkdir(parents=True, exist_ok=True)
    log = open(order.folder / "log.txt", "a", buffering=1)  # noqa: SIM115 - it lives as long as the process
    os.dup2(log.fileno(), 1)
    os.dup2(log.fileno(), 2)
    pipe.send(_end(pipe, order))


def _end(pipe: Connection, order: Order) -> End:
    try:
        return _train(pipe, order)
    except Stop as stop:  # NaN, or a network that does not fit the data: a property of the point
        traceback.print_exc()
        kind = "infeasible" if isinstance(stop, RunFailed | InputError) else "failed"
        return End(kind, reason=str(stop))
    except (MemoryError, torch.OutOfMemoryError) as error:
        traceback.print_exc()
        return End("infeasible", reason=f"out of memory: {error}")
    except Exception as error:
        traceback.print_exc()
        if "can't allocate memory" in str(error):  # what torch raises on a CPU
            return End("infeasible", reason=f"out of memory: {error}")
        return End("failed", reason="".join(traceback.format_exception_only(error)).strip())


def _train(pipe: Connection, order: Order) -> End:
    run = Run(order.folder)
    prepared = Prepared(order.prepared)
    metric, sign = _objective(order.config)
    with run.lock(), Record.of(run, order.config, prepared.card, courier=None, tags=order.tags) as record:
        experiment = assembly.build(OmegaConf.create(order.config), prepared)
        runs.write_atomic(run.config, OmegaConf.to_yaml(order.config).encode())
        record.begin(device=experiment.learner.device)

        def log(metrics: Any, step: int, epoch: int) -> None:
            record.log(metrics, step, epoch)
            if metric in metrics:
                print(f"epoch {epoch}: {metric} {float(metrics[metric]):.6f}")
                if _ask(pipe, Value(epoch, float(metrics[metric]))):
                    raise Pruned

        state, started = "complete", time.monotonic()
        try:
            experiment.learner.fit(experiment.data, folder=run.folder, log=log, flush=record.flush, resume=None)
        except Pruned:
            state = "pruned"
            record.flush()
        seconds = time.monotonic() - started
        values = [point["value"] for point in read(run.journal) if point["name"] == metric]
        record.tag("trial.state", state.upper())
        best = sign * max(sign * value for value in values)
        runs.write_json(run.folder / "trial.json", {"state": state, "value": best, "epochs": len(values)})
        record.artifact(run.folder / "trial.json")
    memory = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # in KiB on Linux
    return End(state, best, len(values), seconds, experiment.learner.parameters, memory)


def _ask(pipe: Connection, value: Value) -> bool:
    """Whether to stop. Where the search is gone, the trial goes at once, and leaves all to whoever takes it over."""
    try:
        pipe.send(value)
        return pipe.recv()
    except (OSError, EOFError):
        os.kill(os.getpid(), signal.SIGKILL)
        raise


def _objective(config: dict[str, Any]) -> tuple[str, int]:
    objective = config["objective"]
    return objective["metric"], 1 if objective["mode"] == "max" else -1
