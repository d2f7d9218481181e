"""The load of a machine. One that trains beside the first process's: `python -m src.tracking.system_metrics runs/cnn-1a2b3c4d`.

It samples its own into the run folder until standard input ends, from where the first machine's uploader takes it.
"""

import os
import platform
import select
import sys
import time
from pathlib import Path
from typing import Any

import psutil

from src.tracking.journal import Journal, read

SAMPLING = 5  # seconds between samples
Sample = tuple[str, float, int, int]  # the metric's name, its value, milliseconds, the step


def name() -> str:
    """What this machine is called; as SLURM does, where it has started this process."""
    return os.environ.get("SLURMD_NODENAME") or platform.node()


def file(folder: Path, name: str) -> Path:
    """Where the samples of a machine lie in a run folder."""
    return folder / f"load-{name}.jsonl"


class Monitor:
    """The load of this machine, under the names that MLflow's pages look for. MLflow's own monitors would import all of it."""

    def __init__(self) -> None:
        self._network = psutil.net_io_counters()
        self._gpus = _gpus()
        psutil.cpu_percent()  # the first call has nothing to compare with

    def sample(self, *, node: str | None = None) -> dict[str, float]:
        """One sample.

        Args:
            node: which of several machines this is.
        """
        prefix = f"system/{node}" if node else "system"
        values = {**self._machine(), **self._gpu()}
        return {f"{prefix}/{key}": round(float(value), 1) for key, value in values.items()}

    def _machine(self) -> dict[str, float]:
        memory, disk, network = psutil.virtual_memory(), psutil.disk_usage(os.sep), psutil.net_io_counters()
        return {
            "cpu_utilization_percentage": psutil.cpu_percent(),
            "system_memory_usage_megabytes": memory.used / 1e6,
            "system_memory_usage_percentage": 100 * memory.used / memory.total,
            "disk_usage_percentage": disk.percent,
            "disk_usage_megabytes": disk.used / 1e6,
            "disk_available_megabytes": disk.free / 1e6,
            "network_receive_megabytes": (network.bytes_recv - self._network.bytes_recv) / 1e6,
            "network_transmit_megabytes": (network.bytes_sent - self._network.bytes_sent) / 1e6,
        }

    def _gpu(self) -> dict[str, float]:
        values: dict[str, float] = {}
        if not self._gpus:
            return values
        import pynvml

        for number, gpu in enumerate(self._gpus):
            try:
                memory = pynvml.nvmlDeviceGetMemoryInfo(gpu)
                values[f"gpu_{number}_memory_usage_percentage"] = 100 * memory.used / memory.total
                values[f"gpu_{number}_memory_usage_megabytes"] = memory.used / 1e6
                values[f"gpu_{number}_utilization_percentage"] = pynvml.nvmlDeviceGetUtilizationRates(gpu).gpu
                power = pynvml.nvmlDeviceGetPowerUsage(gpu)
                values[f"gpu_{number}_power_usage_watts"] = power / 1000
                limit = pynvml.nvmlDeviceGetEnforcedPowerLimit(gpu)
                values[f"gpu_{number}_power_usage_percentage"] = 100 * power / limit
            except pynvml.NVMLError:  # this GPU does not tell the rest
                continue
        return values


class Others:
    """The share of this machine's processors that other processes have used since this was made.

    The processes that the run itself has started, and those of its loaders and its uploader, are others too.
    """

    def __init__(self) -> None:
        self._start = self._used()

    def load(self) -> float:
        """Between 0 and 1."""
        total, busy, own = (now - before for now, before in zip(self._used(), self._start, strict=True))
        return min(max((busy - own) / max(total, 1e-9), 0.0), 1.0)

    @staticmethod
    def _used() -> tuple[float, float, float]:
        """Seconds of all processors: in all, in use, and in use by this process."""
        times = psutil.cpu_times()
        idle = times.idle + getattr(times, "iowait", 0.0)
        total = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)  # these are in user and nice
        return total, total - idle, time.process_time()


def _gpus() -> list[Any]:
    """The GPUs that NVIDIA's library shows; none where it is not installed, or finds no driver."""
    try:
        import pynvml
    except ImportError:
        return []
    try:
        pynvml.nvmlInit()
        return [pynvml.nvmlDeviceGetHandleByIndex(number) for number in range(pynvml.nvmlDeviceGetCount())]
    except pynvml.NVMLError:
        return []


def main(folder: Path) -> None:
    os.nice(19)
    node = name()
    path, monitor = file(folder, node), Monitor()
    step = max((point["step"] for point in read(path)), default=-1)
    journal = Journal(path)
    while not select.select([sys.stdin], [], [], SAMPLING)[0]:
        step += 1
        journal.log(monitor.sample(node=node), step, 0)
        journal.write()
    journal.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
