"""What a tracking store holds of a folder's runs after all uploads."""

import re
import time
from contextlib import suppress
from pathlib import Path

import mlflow
import psutil

from tests.repository import ROOT, run

PATIENCE = 240  # seconds for an uploader to do its work


def whole_store(folder: Path, uri: str | None = None) -> mlflow.MlflowClient:
    """A client of the store, by default of the folder's own, which every record of the folder has reached.

    No command waits for its uploader. This function waits for it. Then `pipelines.sync` uploads what the uploader could not.
    """
    until = time.monotonic() + PATIENCE
    while any(entries(folder)) and uploaders(folder) and time.monotonic() < until:
        time.sleep(0.05)
    run(folder, "python", "-m", "pipelines.sync", *([f"uri={uri}"] if uri else []), PYTHONPATH=str(ROOT))
    return mlflow.MlflowClient(uri or f"sqlite:///{folder / 'mlflow.db'}")


def entries(folder: Path) -> list[str]:
    """What waits for an uploader in a folder."""
    return [path.name for path in folder.glob("runs/.uploader/*/entries/*")]


def uploaders(folder: Path) -> list[psutil.Process]:
    """The living uploaders of a folder's runs."""
    processes, pattern = [], re.compile(rf"tracking\.\w*uploader {re.escape(str(folder.absolute()))}/runs ")
    for process in psutil.process_iter():
        with suppress(psutil.Error):  # it has just ended, or is another user's
            if pattern.search(" ".join(process.cmdline())):
                processes.append(process)
    return processes
