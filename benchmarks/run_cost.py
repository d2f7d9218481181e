"""What a short run costs in all: processor time and memory of the command, of the uploader and of all else that they start."""

import ctypes
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from benchmarks.pairs import alternate
from benchmarks.problem import ROOT, Platform
from src.runs.files import read_json
from src.tracking.queue import Queue
from src.tracking.upload_state import STATE, uploaded

PR_SET_CHILD_SUBREAPER = 36  # of prctl, in sys/prctl.h
IMPORTS = "import src, lightning.pytorch, mlflow"
MIB = 2**20


class Family:
    """The descendants of this process. It adopts their orphans, so that all processor time is counted."""

    def __init__(self) -> None:
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
        self._own = psutil.Process()
        self._ended = 0.0  # seconds of processor time of those that have ended
        self._exit_codes: dict[int, int] = {}
        self.peak = 0.0  # bytes of memory of all processes, with shared pages counted once

    def run(self, *arguments: str, folder: Path, until: Callable[[], bool] = lambda: True) -> float:
        """Seconds of processor time that a Python command costs until its end, and until more has come about."""
        before = self._seconds()
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "MLFLOW_DISABLE_TELEMETRY": "true"}
        with open(folder / "output.txt", "a") as output:
            command = subprocess.Popen([sys.executable, *arguments], cwd=folder, env=environment, stdout=output, stderr=output)
        command.returncode = 0  # this object waits for all its children itself
        while command.pid not in self._exit_codes or not until():
            self._look()
            time.sleep(0.05)
        assert self._exit_codes[command.pid] == 0, (folder / "output.txt").read_text()
        return self._seconds() - before

    def _look(self) -> None:
        memory = 0
        for process in self._own.children(recursive=True):
            with suppress(psutil.Error):  # it has just ended
                memory += process.memory_full_info().pss
        self.peak = max(self.peak, memory)
        self._reap()

    def _reap(self) -> None:
        with suppress(ChildProcessError):  # there is none
            while (ended := os.wait4(-1, os.WNOHANG))[0]:
                pid, status, usage = ended
                self._ended += usage.ru_utime + usage.ru_stime
                self._exit_codes[pid] = os.waitstatus_to_exitcode(status)

    def _seconds(self) -> float:
        """Of all processes so far, living and ended."""
        self._reap()
        total = self._ended
        for process in self._own.children(recursive=True):
            with suppress(psutil.Error):
                total += sum(process.cpu_times()[:4])  # also of the children that it has waited for
        return total


def experiment(name: str, *, rounds: int = 5) -> dict[str, Any]:
    """Processor time of a run on the digits, until its record is in the store, over that of the imports; the uploader lives."""
    family = Family()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        train = ("-m", "src.train", f"+experiment={name}", "force=true")
        family.run(*train, folder=folder, until=lambda: _stored(folder))
        bare, whole = [], []
        for _ in range(rounds):
            bare.append(family.run("-c", IMPORTS, folder=folder))
            whole.append(family.run(*train, folder=folder, until=lambda: _stored(folder)))
    ratios = [one / other for one, other in zip(whole, bare, strict=True)]
    return {
        "ratio": round(statistics.median(ratios), 3),
        "range": [round(min(ratios), 3), round(max(ratios), 3)],
        "platform_seconds": round(statistics.median(whole), 3),
        "bare_seconds": round(statistics.median(bare), 3),
        "peak_mib": round(family.peak / MIB),
        "rounds": rounds,
    }


def row(*, runs: int = 8) -> dict[str, Any]:
    """Memory of runs in a row with all that they leave behind, over 1 GiB, and how many uploaders there were."""
    family = Family()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for seed in range(runs):
            name = ("cnn", "logistic_regression")[seed % 2]
            family.run("-m", "src.train", f"+experiment={name}", f"seed={seed}", folder=folder)
        family.run("-c", "pass", folder=folder, until=lambda: _stored(folder))
        logs = [log.read_text() for log in folder.glob("runs/.uploader/*/log.txt")]
    ratio = round(family.peak / 2**30, 3)
    count = len({pid for log in logs for pid in re.findall(r"process (\d+) begins", log)})
    return {"ratio": ratio, "range": [ratio, ratio], "uploaders": count, "beside": f"uploaders: {count}", "runs": runs}


def epoch(*, epochs: int = 12, pairs: int = 5) -> dict[str, Any]:
    """An epoch of the MLP while the uploader uploads it and all earlier runs again, relative to one without a store."""
    with tempfile.TemporaryDirectory() as temporary:
        platform = Platform("mlp", Path(temporary))

        def beside() -> float:
            for path in platform.folder.glob("runs/*/record.json"):
                (path.parent / STATE).unlink(missing_ok=True)
                Queue.of(path.parent, read_json(path)["uri"]).put(path.parent)
            return platform.train(epochs=epochs)[0]

        return alternate(beside, lambda: platform.train("tracking.uri=http://127.0.0.1:9", epochs=epochs)[0], pairs=pairs)


def _stored(folder: Path) -> bool:
    """Whether every record of a folder is whole in its store."""
    return all(uploaded(path.parent) for path in folder.glob("runs/*/record.json"))
