"""The load of a machine. One that trains beside the first process's: `python -m src.tracking.system_metrics runs/cnn-1a2b3c4d`.

It samples its own into the run folder until standard input ends, from where the first machine's courier ships it.
"""

import os
import platform
import select
import sys
from pathlib import Path
from typing import Any

from src.tracking import store
from src.tracking.journal import Journal, read

SAMPLING = 5  # seconds between samples


def name() -> str:
    """What this machine is called; as SLURM does, where it has started this process."""
    return os.environ.get("SLURMD_NODENAME") or platform.node()


def file(folder: Path, name: str) -> Path:
    """Where the samples of a machine lie in a run folder."""
    return folder / f"load-{name}.jsonl"


def monitors() -> list[Any]:
    from mlflow.system_metrics.metrics.cpu_monitor import CPUMonitor
    from mlflow.system_metrics.metrics.disk_monitor import DiskMonitor
    from mlflow.system_metrics.metrics.gpu_monitor import GPUMonitor
    from mlflow.system_metrics.metrics.network_monitor import NetworkMonitor

    monitors: list[Any] = [CPUMonitor(), DiskMonitor(), NetworkMonitor()]
    try:
        monitors.append(GPUMonitor())
    except (ImportError, RuntimeError):  # no NVIDIA library, or no GPU
        return monitors
    return monitors


def sample(monitors: list[Any], *, node: str | None = None) -> dict[str, float]:
    """One sample, under the names that MLflow's pages look for.

    Args:
        node: which of several machines this is.
    """
    prefix = f"system/{node}" if node else "system"
    values: dict[str, float] = {}
    for monitor in monitors:
        monitor.collect_metrics()
        values |= {f"{prefix}/{key}": float(value) for key, value in monitor.aggregate_metrics().items()}
        monitor.clear_metrics()
    return values


def main(folder: Path) -> None:
    os.nice(19)
    os.environ.update(store.ENVIRONMENT)
    node = name()
    path, found = file(folder, node), monitors()
    step = max((point["step"] for point in read(path)), default=-1)
    journal = Journal(path)
    while not select.select([sys.stdin], [], [], SAMPLING)[0]:
        step += 1
        journal.log(sample(found, node=node), step, 0)
        journal.write()
    journal.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
