"""The process of one trial: it trains, reports the value of each epoch to the search, and stops when it is pruned.

The process is forked from one that has imported everything already, so that a trial starts in hundredths of a second.
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
from dataclasses import asdict, dataclass
from itertools import pairwise
from multiprocessing.connection import Connection
from statistics import fmean, median
from typing import Any

import torch
from omegaconf import OmegaConf

from pipelines.sweep.messages import IntermediateValue, Training, TrialResult, TrialSpec
from src import signals
from src.config import assembly
from src.data.store import Prepared
from src.errors import InputError, InUse, ProcessLost, RunFailed, Stop
from src.evaluation.latency import latency
from src.experiment import Experiment
from src.protocols import Cost, Sink
from src.runs.files import no_link, read_json, write_atomic, write_json
from src.runs.folder import Run
from src.runs.masking import mask
from src.tracking.journal import read
from src.tracking.record import Record

RESULT = "trial.json"
PR_SET_PDEATHSIG = 1  # of prctl, in sys/prctl.h


@dataclass(frozen=True)
class TrainingResult:
    """How one training of a trial ended, as trial.json in its folder states it.

    Args:
        state: complete or pruned.
        values: of the objectives, by name.
        planned_epochs: those that it would have had without pruning or early stopping.
        epoch_seconds: of an epoch after the first, validation included; None where there was no second one.
    """

    state: str
    values: Mapping[str, float]
    epochs: int
    planned_epochs: int
    seconds: float
    epoch_seconds: float | None
    parameters: int

    @classmethod
    def read(cls, run: Run) -> TrainingResult | None:
        """The result of a training that is complete and recorded; None for any other."""
        content = read_json(run.folder / RESULT, remedy="Delete it; the same search then trains the trial again.")
        return cls(**content) if content.get("state") == "complete" and run.recorded else None


class TrialSink(Sink):
    """Records the metrics of a training, and reports each value of the first objective to the search, which may prune.

    Args:
        objective: the name of the metric that is reported.
        finished: the trainings of the trial before this one.
    """

    def __init__(self, record: Record, pipe: Connection, *, objective: str, finished: Sequence[TrainingResult]):
        self._record, self._pipe = record, pipe
        self._objective = objective
        self._before = [result.values[objective] for result in finished]
        self._epochs_before = sum(result.planned_epochs for result in finished)
        self.times: list[float] = []  # of the reports
        self.pruned = False

    def log(self, metrics: Mapping[str, Any], step: int, epoch: int) -> None:
        self._record.log(metrics, step, epoch)
        if self._objective in metrics:
            self.times.append(time.monotonic())
            value = float(metrics[self._objective])
            print(f"epoch {epoch}: {self._objective} {value:.6f}")
            mean = fmean([*self._before, value])
            self.pruned = _report(self._pipe, IntermediateValue(self._epochs_before + epoch, mean))

    def flush(self) -> None:
        self._record.flush()

    @property
    def should_stop(self) -> bool:
        return self.pruned

    @property
    def epoch_seconds(self) -> float | None:
        seconds = [after - before for before, after in pairwise(self.times)]
        return median(seconds) if seconds else None


def main(pipe: Connection, spec: TrialSpec) -> None:
    """Runs a trial and sends its result."""
    for number in signals.LEAVING:  # a scheduler may send them to every process; the search hears them, and stops its trials
        signal.signal(number, signal.SIG_IGN)
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # the fork server dies with the search
    os.environ.update(spec.environment, OMP_NUM_THREADS=str(spec.threads))  # for further processes of the trial
    torch.set_num_threads(spec.threads)
    spec.folder.mkdir(parents=True, exist_ok=True)
    log = open(spec.folder / "log.txt", "a", buffering=1, opener=no_link)  # noqa: SIM115 - it lives as long as the process
    os.dup2(log.fileno(), 1)
    os.dup2(log.fileno(), 2)
    pipe.send(_result(pipe, spec))


def _result(pipe: Connection, spec: TrialSpec) -> TrialResult:
    """The result of a trial, whatever ends it."""
    try:
        return _run(pipe, spec)
    except (ProcessLost, InUse) as lost:  # not because of the parameters: the trial is tried again
        return TrialResult("killed", reason=str(lost))
    except Stop as stop:  # NaN, or a network that does not fit the data: because of the parameters
        traceback.print_exc()
        state = "infeasible" if isinstance(stop, RunFailed | InputError) else "failed"
        return TrialResult(state, reason=str(stop))
    except (MemoryError, torch.OutOfMemoryError) as error:
        traceback.print_exc()
        return TrialResult("infeasible", reason=f"out of memory: {error}")
    except Exception as error:
        traceback.print_exc()
        if "can't allocate memory" in str(error):  # what torch raises on a CPU
            return TrialResult("infeasible", reason=f"out of memory: {error}")
        return TrialResult("failed", reason="".join(traceback.format_exception_only(error)).strip())


def _run(pipe: Connection, spec: TrialSpec) -> TrialResult:
    """Trains with one seed after another. An interrupted trial does not repeat the trainings that it has finished."""
    results: list[TrainingResult] = []
    for training in spec.trainings:
        results.append(TrainingResult.read(Run(training.folder)) or _train(pipe, spec, training, results))
        if results[-1].state == "pruned":
            break
    values = {name: fmean(result.values[name] for result in results) for name in spec.metrics}
    if not all(map(math.isfinite, values.values())):
        return TrialResult("infeasible", reason=f"expected finite objectives; received {values}")
    return TrialResult(
        results[-1].state,
        values=tuple(values.values()),
        by_seed=tuple(result.values[spec.metrics[0]] for result in results),
        epochs=sum(result.epochs for result in results),
        seconds=sum(result.seconds for result in results),
        epoch_seconds=results[-1].epoch_seconds,
        parameters=results[0].parameters,
        memory=1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,  # in KiB on Linux
    )


def _train(pipe: Connection, spec: TrialSpec, training: Training, finished: Sequence[TrainingResult]) -> TrainingResult:
    """Runs one training and records it.

    Args:
        finished: the trainings of the trial before this one.
    """
    run, prepared = Run(training.folder), Prepared(spec.prepared)
    with (
        run.lock(),
        Record.of(run, training.config, prepared.card, upload=False, tags=training.tags, code=spec.code) as record,
    ):
        experiment = assembly.build(OmegaConf.create(training.config), prepared)
        write_atomic(run.config, mask(OmegaConf.to_yaml(training.config)).encode())
        cost = experiment.learner.check(experiment.data)
        record.begin(device=experiment.learner.device)
        sink = TrialSink(record, pipe, objective=spec.metrics[0], finished=finished)
        fit = experiment.learner.fit(experiment.data, folder=run.folder, sink=sink)
        values, epochs = _values(experiment, run, spec.metrics, cost=cost, seconds=fit.seconds)
        result = TrainingResult(
            state="pruned" if sink.pruned else "complete",
            values=values,
            epochs=epochs,
            planned_epochs=training.config["trainer"].get("max_epochs") or epochs,
            seconds=fit.seconds,  # those before an interruption too
            epoch_seconds=sink.epoch_seconds,
            parameters=cost.parameters,
        )
        record.tag("trial.state", result.state.upper())
        write_json(run.folder / RESULT, asdict(result))
        record.artifact(run.folder / RESULT)
    return result


def _values(
    experiment: Experiment, run: Run, names: Sequence[str], *, cost: Cost, seconds: float
) -> tuple[dict[str, float], int]:
    """The values of the objectives, metrics as in the epoch of the best checkpoint; and the number of epochs.

    Raises:
        InputError: an objective that is neither logged nor measured.
    """
    objective = experiment.config["objective"]
    sign = 1 if objective["mode"] == "max" else -1
    points = [point for point in read(run.journal) if point["name"].startswith("val/")]
    history = [point for point in points if point["name"] == objective["metric"]]
    best_epoch = max(history, key=lambda point: -math.inf if math.isnan(point["value"]) else sign * point["value"])["epoch"]
    logged = {point["name"]: point["value"] for point in points if point["epoch"] == best_epoch}
    measured: dict[str, Callable[[], float]] = {
        "parameters": lambda: float(cost.parameters),
        "flops": lambda: float(cost.flops or 0),
        "latency_one_ms": lambda: latency(experiment)["latency_one_ms"],
        "latency_batch_ms": lambda: latency(experiment)["latency_batch_ms"],
        "seconds": lambda: seconds,
    }
    for name in names:
        if name not in logged and name not in measured:
            raise InputError(
                f"sweep.objectives: expected a metric that the task logs ({', '.join(sorted(logged))}) or one of "
                f"{', '.join(measured)}; received {name}."
            )
    return {name: logged[name] if name in logged else measured[name]() for name in names}, len(history)


def _report(pipe: Connection, value: IntermediateValue) -> bool:
    """Whether the trial is pruned. Where the search is gone, the process ends at once; another worker takes the trial over."""
    try:
        pipe.send(value)
        return pipe.recv()
    except (OSError, EOFError):
        os.kill(os.getpid(), signal.SIGKILL)
        raise
