"""Starts runs quickly, kills them at any moment, and compares what must be equal at their end."""

import hashlib
import json
import pickle
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import mlflow
import psutil

from src.runs import checkpoints
from src.tracking import upload_state
from src.tracking.journal import read
from src.tracking.keys import metric_key
from tests import repository
from tests.chaos import observed
from tests.records import uploaders

# Dropout, batch normalisation, augmentation, averaged weights and a schedule by the step; several checkpoints an epoch, some
# within a block of the log's.
NET = (
    "+experiment=cnn",
    "scheduler=one_cycle",
    "augmentation=light",
    "averaging=ema",
    "model.width=4",
    "trainer.max_epochs=3",
    "trainer.limit_batches=14",
    "trainer.steps_per_call=3",
    "trainer.save_every_n_steps=4",
    "trainer.log_every_n_steps=2",
)
NOWHERE = "tracking.uri=http://127.0.0.1:9"  # a store that does not answer: the record stays in the run folder


def start(folder: Path, *arguments: str, pause: Callable[[Path], bool] | None = None) -> subprocess.Popen[str]:
    """Trains in a folder, in the background; what it prints goes to output.txt there.

    Args:
        pause: see `paused`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / observed.PHASE).write_bytes(bytes([observed.START]))
    (folder / observed.PAUSE).unlink(missing_ok=True)
    if pause is not None:
        (folder / observed.PAUSE).write_bytes(pickle.dumps(pause))
    command = ("python", "-m", "tests.chaos.observed", *arguments)
    with open(folder / "output.txt", "a") as file:
        return repository.start(folder, *command, stdout=file, stderr=subprocess.STDOUT, PYTHONPATH=str(repository.ROOT))


def paused(folder: Path, *arguments: str, when: Callable[[Path], bool]) -> subprocess.Popen[str]:
    """Trains in a folder up to a moment, at which the process stops itself, so that no delay here can miss it.

    Args:
        when: whether it has come, asked of the folder after each write of a journal or a checkpoint; a module's own function.
    """
    process = start(folder, *arguments, pause=when)
    while not _stopped(process):
        assert process.poll() is None, output(folder)
        time.sleep(0.01)
    return process


def resume(process: subprocess.Popen[str]) -> None:
    psutil.Process(process.pid).resume()


def kill(process: subprocess.Popen[str], *, uploader: bool) -> None:
    """kill -9, also of the uploader, as when the whole machine goes: neither learns of the other's end."""
    if uploader and process.poll() is None:
        with suppress(psutil.NoSuchProcess):
            training = psutil.Process(process.pid)
            training.suspend()
            for other in uploaders(Path(training.cwd())):
                kill_tree(other)
            kill_tree(training)
    process.kill()
    process.wait()


def kill_tree(process: psutil.Process) -> None:
    """kill -9 of a process and of all that it has started, which are stopped first, the one that starts them before all."""
    process.suspend()
    everything = [*process.children(recursive=True), process]
    for one in everything:
        with suppress(psutil.NoSuchProcess):
            one.kill()
    for one in everything:  # until then it holds its locks; on busy processors one of low priority takes seconds to end
        with suppress(psutil.NoSuchProcess):
            while one.status() != psutil.STATUS_ZOMBIE:
                time.sleep(0.01)


def train(folder: Path, *arguments: str, code: int = 0) -> Path:
    """Trains in a folder to the end, which must come with this code; the run's folder."""
    finish(folder, *arguments, code=code)
    return run(folder)


def finish(folder: Path, *arguments: str, code: int = 0) -> None:
    process = start(folder, *arguments)
    assert process.wait() == code, (process.returncode, output(folder))


def output(folder: Path) -> str:
    return (folder / "output.txt").read_text()


def run(folder: Path) -> Path:
    """The one run of a folder."""
    (run_folder,) = (folder / "runs").glob("[!.]*")
    return run_folder


def outcome(folder: Path) -> dict[str, str]:
    """SHA-256 of all results of a run, without its times."""
    assert any(name.startswith("test/") for name in json.loads((folder / "metrics.json").read_text()))
    return outcome_of_training(folder)


def outcome_of_training(folder: Path) -> dict[str, str]:
    """The same for a run whose test split may not have been evaluated."""
    weights = {name: _weights(folder / f"{name}.ckpt") for name in ("best", "last")}
    metrics = json.loads((folder / "metrics.json").read_text())
    return {**weights, "points": digest(points(folder)), "metrics": digest(metrics)}


def points(folder: Path) -> list[tuple[str, int, int, float]]:
    """The points of a run's journal, sorted by name and step, with duplicates."""
    journal = read(folder / "metrics.jsonl")
    kept = [(p["name"], p["step"], p["epoch"], p["value"]) for p in journal if not p["name"].startswith("timing/")]
    return sorted(kept)


def check_store(folder: Path, uri: str | None = None) -> None:
    """Checks that the store holds the folder's run, finished, with every point of its journal exactly once."""
    until = time.monotonic() + 400
    while not upload_state.uploaded(run(folder)):  # the uploader may be busy still
        assert time.monotonic() < until, "the record never reached the store"
        time.sleep(0.1)
    client = mlflow.MlflowClient(uri or f"sqlite:///{folder / 'mlflow.db'}")
    key = json.loads((run(folder) / "record.json").read_text())["key"]
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    (stored,) = client.search_runs(experiments, f"tags.record = '{key}'")
    assert stored.info.status == "FINISHED"
    assert json.loads((run(folder) / upload_state.STATE).read_text())["run"] == stored.info.run_id
    expected = [(*metric_key(point["name"], point["step"]), point["value"]) for point in read(run(folder) / "metrics.jsonl")]
    shown = [
        (point.key, point.step, point.value)
        for name in stored.data.metrics
        if not name.startswith("system/")
        for point in client.get_metric_history(stored.info.run_id, name)
    ]
    assert sorted(shown) == sorted(expected)


def digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _stopped(process: subprocess.Popen[str]) -> bool:
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(process.pid).status() == psutil.STATUS_STOPPED
    return False


def _weights(path: Path) -> str:
    content = checkpoints.read(path, exact=True)
    averaged = (content.get("averaging") or {}).get("weights", {})
    state = {**content["state_dict"], **{f"averaged {name}": tensor for name, tensor in averaged.items()}}
    parts: Sequence[bytes] = [name.encode() + state[name].contiguous().numpy().tobytes() for name in sorted(state)]
    return hashlib.sha256(b"".join(parts)).hexdigest()
