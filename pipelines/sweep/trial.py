"""One trial: a training in a process of its own, which tells its values as they come and stops when it is told to.

Its process is forked from one that has imported everything already, so that a trial starts in hundredths of a second.
"""

from __future__ import annotations

import ctypes
import math
import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from multiprocessing.connection import Connection
from statistics import fmean, median
from typing import Any

import torch
from omegaconf import OmegaConf

from pipelines.sweep.messages import End, Order, Training, Value
from src import signals
from src.config import assembly
from src.config.assembly import Experiment
from src.data.store import Prepared
from src.errors import InputError, InUse, ProcessLost, RunFailed, Stop
from src.evaluation.latency import latency
from src.protocols import Cost, Sink
from src.runs.files import read_json, write_atomic, write_json
from src.runs.folder import Run
from src.tracking.journal import read
from src.tracking.record import Record

RESULT = "trial.json"
PR_SET_PDEATHSIG = 1  # of prctl, in sys/prctl.h


class TrialSink(Sink):
    """Records the metrics of a training, and reports each value of the objective to the search, which may prune the trial.

    Args:
        objective: the metric that is reported.
        before: its values with the seeds before.
        passed: epochs of the trainings with these seeds.
    """

    def __init__(self, record: Record, pipe: Connection, *, objective: str, before: Sequence[float], passed: int):
        self._record = record
        self._pipe = pipe
        self._objective = objective
        self._before = before
        self._passed = passed
        self.times: list[float] = []
        self.pruned = False

    def log(self, metrics: Mapping[str, Any], step: int, epoch: int) -> None:
        self._record.log(metrics, step, epoch)
        if self._objective in metrics:
            self.times.append(time.monotonic())
            value = float(metrics[self._objective])
            print(f"epoch {epoch}: {self._objective} {value:.6f}")
            self.pruned = _ask(self._pipe, Value(self._passed + epoch, fmean([*self._before, value])))

    def flush(self) -> None:
        self._record.flush()

    @property
    def should_stop(self) -> bool:
        return self.pruned


def main(pipe: Connection, order: Order) -> None:
    """The main function of a trial's process."""
    for number in signals.LEAVING:  # a scheduler may send them to every process: they are the search's, which stops its trials
        signal.signal(number, signal.SIG_IGN)
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # the fork server dies with the search
    os.environ.update(order.environment, OMP_NUM_THREADS=str(order.threads))  # for further processes of the trial
    torch.set_num_threads(order.threads)
    order.folder.mkdir(parents=True, exist_ok=True)
    log = open(order.folder / "log.txt", "a", buffering=1)  # noqa: SIM115 - it lives as long as the process
    os.dup2(log.fileno(), 1)
    os.dup2(log.fileno(), 2)
    pipe.send(_end(pipe, order))


def _end(pipe: Connection, order: Order) -> End:
    try:
        return _train(pipe, order)
    except (ProcessLost, InUse) as lost:  # nothing of the point: it is tried again
        return End("killed", reason=str(lost))
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
    """Trains with one seed after another; the parts that an interrupted trial has behind it are not repeated."""
    results: list[dict[str, Any]] = []
    for training in order.trainings:
        result = read_json(training.folder / RESULT)
        if result.get("state") != "complete" or not Run(training.folder).recorded:
            result = _one(pipe, order, training, results)
        results.append(result)
        if result["state"] == "pruned":
            break
    values = tuple(fmean(result["values"][name] for result in results) for name in order.measures)
    if not all(map(math.isfinite, values)):
        return End("infeasible", reason=f"an objective is no number: {dict(zip(order.measures, values, strict=True))}")
    return End(
        results[-1]["state"],
        values=values,
        by_seed=tuple(result["values"][order.measures[0]] for result in results),
        epochs=sum(result["epochs"] for result in results),
        seconds=sum(result["seconds"] for result in results),
        pace=results[-1]["pace"],
        parameters=results[0]["parameters"],
        memory=1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,  # in KiB on Linux
    )


def _one(pipe: Connection, order: Order, training: Training, before: list[dict[str, Any]]) -> dict[str, Any]:
    """The result of one training, which is kept in its folder.

    Args:
        before: the results of the seeds before.
    """
    run, prepared = Run(training.folder), Prepared(order.prepared)
    first = order.measures[0]
    with (
        run.lock(),
        Record.of(run, training.config, prepared.card, courier=None, tags=training.tags, code=order.code) as record,
    ):
        experiment = assembly.build(OmegaConf.create(training.config), prepared)
        write_atomic(run.config, OmegaConf.to_yaml(training.config).encode())
        cost = experiment.learner.check(experiment.data)
        record.begin(device=experiment.learner.device)

        sink = TrialSink(
            record,
            pipe,
            objective=first,
            before=[result["values"][first] for result in before],
            passed=sum(result["span"] for result in before),
        )
        fit = experiment.learner.fit(experiment.data, folder=run.folder, sink=sink)
        state, times = "pruned" if sink.pruned else "complete", sink.times
        values, epochs = _values(experiment, run, order.measures, cost, fit.seconds)
        result = {
            "state": state,
            "values": values,
            "epochs": epochs,
            "span": training.config["trainer"].get("max_epochs") or epochs,
            "seconds": fit.seconds,  # with those before an interruption
            "pace": median(after - before for before, after in pairwise(times)) if len(times) > 1 else None,
            "parameters": cost.parameters,
        }
        record.tag("trial.state", state.upper())
        write_json(run.folder / RESULT, result)
        record.artifact(run.folder / RESULT)
    return result


def _values(experiment: Experiment, run: Run, names: Sequence[str], cost: Cost, seconds: float) -> tuple[dict[str, float], int]:
    """The objectives' values, those of the metrics in the epoch of the best checkpoint, and the number of epochs.

    Raises:
        InputError: an objective that is neither logged nor known.
    """
    objective = experiment.config["objective"]
    sign = 1 if objective["mode"] == "max" else -1
    points = [point for point in read(run.journal) if point["name"].startswith("val/")]
    told = [point for point in points if point["name"] == objective["metric"]]
    best = max(told, key=lambda point: sign * point["value"])["epoch"]
    found = {point["name"]: point["value"] for point in points if point["epoch"] == best}
    known: dict[str, Callable[[], float]] = {
        "parameters": lambda: float(cost.parameters),
        "flops": lambda: float(cost.flops or 0),
        "latency_one_ms": lambda: latency(experiment)["latency_one_ms"],
        "latency_batch_ms": lambda: latency(experiment)["latency_batch_ms"],
        "seconds": lambda: seconds,
    }
    for name in names:
        if name not in found and name not in known:
            raise InputError(
                f"sweep.objectives: expected a metric that the task logs ({', '.join(sorted(found))}) or one of "
                f"{', '.join(known)}; received {name}."
            )
    return {name: found[name] if name in found else known[name]() for name in names}, len(told)


def _ask(pipe: Connection, value: Value) -> bool:
    """Whether to stop. Where the search is gone, the trial goes at once, and leaves all to whoever takes it over."""
    try:
        pipe.send(value)
        return pipe.recv()
    except (OSError, EOFError):
        os.kill(os.getpid(), signal.SIGKILL)
        raise
