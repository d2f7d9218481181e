"""What an undisturbed and a disturbed search leave behind."""

import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend

from tests import repository
from tests.records import whole_store
from tests.repository import ROOT, run

FNN = ("python", "-m", "pipelines.sweep", "+experiment=fnn")


def sweep(folder: Path, *settings: str, space: str = "fnn", code: int = 0) -> subprocess.CompletedProcess[str]:
    return run(folder, *FNN, f"+sweep={space}", *settings, code=code, PYTHONPATH=str(ROOT))


def start(folder: Path, *settings: str) -> subprocess.Popen[str]:
    """A search in the background."""
    return repository.start(folder, *FNN, "+sweep=fnn", *settings, PYTHONPATH=str(ROOT))


def study(folder: Path, name: str = "fnn") -> optuna.Study:
    journal = JournalFileBackend(str(folder / "runs/sweeps" / name / "study.journal"))
    return optuna.load_study(study_name=name, storage=JournalStorage(journal))


def trials(folder: Path, url: str | None, name: str = "fnn") -> list[optuna.trial.FrozenTrial]:
    """The trials in a database, or in the folder's journal."""
    if url is None:
        return study(folder, name).trials
    storage = RDBStorage(url)
    try:
        return optuna.load_study(study_name=name, storage=storage).trials
    finally:
        storage.remove_session()
        storage.engine.dispose()


def epochs(folder: Path, name: str = "fnn") -> dict[int, list[int]]:
    """The epochs that each trial trained, in order, repeated ones included."""
    trained = {}
    for log in sorted((folder / "runs/sweeps" / name).glob("trial-*/log.txt")):
        trained[int(log.parent.name.rpartition("-")[2])] = [int(n) for n in re.findall(r"^epoch (\d+):", log.read_text(), re.M)]
    return trained


def records(folder: Path, name: str = "fnn") -> dict[str, dict[str, Any]]:
    folders = (folder / "runs/sweeps" / name).glob("trial-*")
    return {path.name: json.loads((path / "record.json").read_text()) for path in sorted(folders)}


def tree(folder: Path, name: str = "fnn") -> dict[str, str]:
    """The nested runs by name, with the state that they are tagged with."""
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    client = whole_store(folder)
    runs = client.search_runs([experiment.experiment_id for experiment in client.search_experiments()])
    (parent,) = (one for one in runs if one.info.run_name == name)
    assert parent.info.status == "FINISHED"
    children = [one for one in runs if one.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    assert len({child.info.run_name for child in children}) == len(children)
    assert all(child.info.status == "FINISHED" for child in children)
    return {child.info.run_name: child.data.tags["trial.state"] for child in children}


def kill(process: subprocess.Popen[str], number: int = signal.SIGKILL) -> None:
    os.kill(process.pid, number)
    process.communicate()


def until(condition: Any, *, seconds: float = 600) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)
