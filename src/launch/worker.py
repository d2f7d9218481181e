"""A further process of a training: `python -m src.launch.worker`, which the first process or torchrun starts.

It waits for the order of the first one, fits beside it from the same configuration file, and ends. It writes nothing
and prints nothing but what went wrong with itself alone.
"""

import ctypes
import os
import signal
import subprocess
import sys
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from src.distributed import processes, rendezvous
from src.errors import InputError, ProcessLost, Stop
from src.protocols import NullSink

PR_SET_PDEATHSIG = 1  # of prctl, in sys/prctl.h


def main() -> int:
    """Takes part in the training that the first process orders; gives the exit code."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is the first process's, which ends the others
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    warnings.simplefilter("ignore")  # the first process has them all
    sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - it lives as long as the process
    try:
        order = rendezvous.order()
        if "code" in order:
            return order["code"]
        experiment = _build(order)
        devices = experiment.config["trainer"].get("devices", 1)
        os.environ.setdefault("LOCAL_RANK", str(rendezvous.rank() % devices))  # whoever started it may not say
    except ProcessLost as lost:
        return _left(lost)
    except Stop as stop:
        print(f"process {processes.rank()}: error: {stop}", file=sys.stderr)
        rendezvous.failed(str(stop))
        return stop.code
    try:
        start = Path(order["start"]) if order["start"] else None
        with _sampled(order["folder"]):
            experiment.learner.fit(experiment.data, folder=Path(order["folder"]), sink=NullSink(), resume=start)
    except ProcessLost as lost:
        return _left(lost)
    except Stop as stop:  # every process meets it alike, and the first one says so
        return stop.code
    except KeyboardInterrupt:  # a signal that all have agreed on; the last checkpoint is written
        return 0
    except Exception as error:
        print(f"process {processes.rank()}:", file=sys.stderr)
        traceback.print_exc()
        rendezvous.failed(repr(error))
        return 1
    return 0


def _left(lost: ProcessLost) -> int:
    """The exit code. The first process of a node says why: the one that says so otherwise may be out of its reach."""
    if int(os.environ.get("LOCAL_RANK", 0)) == 0:
        print(f"process {processes.rank()}: error: {lost}", file=sys.stderr)
    return lost.code


@contextmanager
def _sampled(folder: str) -> Iterator[None]:
    """Has the load of this machine sampled meanwhile by its first process; where that is the run's first, its courier does."""
    if os.environ.get("LOCAL_RANK") != "0":
        yield
        return
    path = os.pathsep.join(filter(None, [str(processes.ROOT), os.environ.get("PYTHONPATH")]))
    with subprocess.Popen(
        [sys.executable, "-m", "src.tracking.system_metrics", folder],
        stdin=subprocess.PIPE,  # its end is that of this process, however that comes
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        process_group=0,
    ):
        yield


def _build(order: dict[str, Any]) -> Any:
    from omegaconf import DictConfig, OmegaConf

    from src.config import assembly
    from src.data.store import Prepared

    config, prepared = Path(order["folder"]) / "config.yaml", Prepared(Path(order["prepared"]))
    for path in (config, prepared.folder / "card.json"):
        if not path.is_file():
            raise InputError(
                f"{path}: expected this file of the first process here too; there is none. Choose paths.runs and "
                "paths.prepared in a folder that all nodes share."
            )
    content = OmegaConf.load(config)
    assert isinstance(content, DictConfig)
    return assembly.build(content, prepared)


if __name__ == "__main__":
    sys.exit(main())
