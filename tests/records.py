"""What a tracking store holds of the runs of a folder, once all of it is there."""

import time
from pathlib import Path

import mlflow
import psutil

from tests.repository import ROOT, run

PATIENCE = 120  # seconds for couriers to end by themselves


def whole_store(folder: Path, uri: str | None = None) -> mlflow.MlflowClient:
    """A client of the store, by default of the folder's own, which every record of the folder has reached.

    A command waits for its courier only so long, and on a busy machine that is on its way still. It is waited for here, as
    one that begins only after `pipelines.sync` would open its record again, and no other samples the machine's load.
    """
    until = time.monotonic() + PATIENCE
    while _couriers(folder) and time.monotonic() < until:
        time.sleep(0.1)
    run(folder, "python", "-m", "pipelines.sync", PYTHONPATH=str(ROOT))
    return mlflow.MlflowClient(uri or f"sqlite:///{folder / 'mlflow.db'}")


def _couriers(folder: Path) -> list[psutil.Process]:
    """The living couriers that commands have left in a folder."""
    found = []
    for process in psutil.process_iter():
        try:
            if Path(process.cwd()) == folder.resolve() and any("src.tracking." in word for word in process.cmdline()):
                found.append(process)
        except psutil.Error:  # it has just ended, or is another user's
            continue
    return found
