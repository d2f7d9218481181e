"""A further process of a training: `python -m src.launch.worker`, which the first process or torchrun starts.

It waits for the message of the first one, fits beside it from the same configuration file, and ends. It writes nothing,
and prints only errors of its own.
"""

import ctypes
import os
import signal
import subprocess
import sys
import traceback
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from src.config.defects import origin
from src.distributed import processes, rendezvous
from src.errors import InputError, ProcessLost, Stop
from src.experiment import Experiment
from src.protocols import NullSink

PR_SET_PDEATHSIG = 1  # of prctl, in sys/prctl.h


def main() -> int:
    """Takes part in the training that the first process asks for; gives the exit code."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is the first process's, which ends the others
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    warnings.simplefilter("ignore")  # the first process prints them all
    sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - it lives as long as the process
    try:
        message = rendezvous.receive()
        if "code" in message:
            return message["code"]
        experiment = _build(message)
        devices = experiment.config["trainer"].get("devices", 1)
        os.environ.setdefault("LOCAL_RANK", str(rendezvous.rank() % devices))  # whoever started it may not state it
    except ProcessLost as lost:
        return _report(lost)
    except Stop as stop:
        print(f"process {processes.rank()}: error: {stop}", file=sys.stderr)
        rendezvous.report_failure(str(stop))
        return stop.code
    try:
        start = Path(message["start"]) if message["start"] else None
        with _system_metrics(message["folder"]):
            experiment.learner.fit(experiment.data, folder=Path(message["folder"]), sink=NullSink(), resume=start)
    except ProcessLost as lost:
        return _report(lost)
    except Stop as stop:  # every process raises it alike, and the first one prints it
        return stop.code
    except KeyboardInterrupt:  # a signal that all have agreed on; the last checkpoint is written
        return 0
    except Exception as defect:
        print(f"process {processes.rank()}: {origin(defect)}", file=sys.stderr)
        traceback.print_exc()
        rendezvous.report_failure(repr(defect))
        return 1
    return 0


def _report(lost: ProcessLost) -> int:
    """Prints the loss of another process, once on a node: the first process may be out of reach. Gives the exit code."""
    if int(os.environ.get("LOCAL_RANK", 0)) == 0:
        print(f"process {processes.rank()}: error: {lost}", file=sys.stderr)
    return lost.code


@contextmanager
def _system_metrics(folder: str) -> Iterator[None]:
    """Samples the load of a further node while the block lasts, in its first process; the uploader samples the first node."""
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


def _build(message: Mapping[str, Any]) -> Experiment:
    from omegaconf import DictConfig, OmegaConf

    from src.config import assembly
    from src.data.store import Prepared

    config, prepared = Path(message["folder"]) / "config.yaml", Prepared(Path(message["prepared"]))
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
