"""Commands of several processes: how they are started, which process is which, and what must be equal at their end."""

import re
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

from src.runs.folder import Run
from tests import repository
from tests.nets import end, points, same
from tests.repository import ROOT

VERB = ("-m", "src.train", "+experiment=cnn", "trainer=ddp", "trainer.accelerator=cpu", "model.width=4", "tracking.wait=600")
LONG = (*VERB, "trainer.max_epochs=12", "trainer.save_every_n_minutes=0.0", "trainer.steps_per_call=4")
TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2")
STANDALONE = (*TORCHRUN, "--standalone", "--max-restarts=3")
EXTRA = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def runs(folder: Path) -> list[Run]:
    return [Run(path) for path in sorted((folder / "runs").glob("cnn-*"))]


def start(folder: Path, *command: str, **extra: str) -> subprocess.Popen[str]:
    folder.mkdir(exist_ok=True)
    return repository.start(folder, *command, **EXTRA, **extra)


def process(command: subprocess.Popen[str], rank: int) -> psutil.Process:
    """The process of this rank among those that the command has started.

    Raises:
        LookupError: there is none.
    """
    for child in psutil.Process(command.pid).children(recursive=True):
        with suppress(psutil.Error):  # it has just ended
            if child.environ().get("RANK") == str(rank) and re.search(r"src\.(train|launch)", " ".join(child.cmdline())):
                return child
    raise LookupError(f"no process has the rank {rank}")


def kill(command: subprocess.Popen[str], rank: int) -> None:
    """kill -9 of the process of this rank. Waits for it while torchrun starts it."""

    def killed() -> bool:
        with suppress(LookupError):
            process(command, rank).kill()
            return True
        return False

    until(killed, command)


def until(condition: Callable[[], bool], command: subprocess.Popen[str]) -> None:
    while not condition():
        assert command.poll() is None, command.communicate()
        time.sleep(0.05)


def reached(folder: Path, epoch: int) -> Callable[[], bool]:
    """Whether a run in the folder has a checkpoint and has logged something of the epoch."""
    wanted = re.compile(rf'"name": "val/loss".*"epoch": {epoch - 1},')

    def condition() -> bool:
        return any(run.last.is_file() and wanted.search(run.journal.read_text()) for run in runs(folder))

    return condition


def agrees(actual: Run, expected: Run) -> bool:
    assert actual.folder.name == expected.folder.name
    return ends_alike(actual, expected)


def ends_alike(actual: Run, expected: Run) -> bool:
    """Whether two runs have the same points, metrics and weights; their numbers of nodes and processes may differ."""
    one, other = (
        {key: point for key, point in points(run.folder).items() if not key[0].startswith("timing/")}
        for run in (actual, expected)
    )
    assert one == other
    assert actual.metrics.read_text() == expected.metrics.read_text()
    return all(same(end(actual.folder, name), end(expected.folder, name)) for name in ("last.ckpt", "best.ckpt"))
