"""Records of runs that never were, and what a store must hold of them."""

import json
from pathlib import Path
from typing import Any

import mlflow
import numpy as np

from src.runs.files import write_json

POINTS = 2500
TRACKING = {"uri": None, "experiment": "made up", "wait": 0.0}
DATA = {"name": "noise", "content": "c" * 64, "source": "here", "counts": {"train": 3}}


def record(project: Path, **more: Any) -> dict[str, Any]:
    """The content of record.json of a run that has ended.

    Args:
        project: the folder of the tracking store.
    """
    return {
        "uri": f"sqlite:///{project}/mlflow.db",
        "experiment": "made up",
        "name": "cnn-1",
        "key": "k",
        "params": {"lr": "0.1"},
        "dataset": {"name": "noise", "content": "c" * 64, "source": "here", "counts": {"train": 3}},
        "tags": {"host": "this one"},
        "started": 10**12,
        "artifacts": [{"file": "note.txt", "folder": ""}],
        "model": None,
        "status": "FINISHED",
        "ended": 10**12 + 9000,
        **more,
    }


def run_folder(project: Path, name: str = "cnn-1", **more: Any) -> Path:
    """The folder of a run that has ended, with a long journal and an artifact."""
    folder = project / "runs" / name
    points = [{"name": "val/loss", "step": n, "epoch": 1, "time": 10**12 + n, "value": n / 3} for n in range(POINTS)]
    folder.mkdir(parents=True)
    (folder / "metrics.jsonl").write_text("".join(json.dumps(point) + "\n" for point in points))
    (folder / "note.txt").write_text("an artifact")
    write_json(folder / "record.json", record(project, **{"name": name, **more}))
    return folder


def package(folder: Path) -> dict[str, Any]:
    """What a learner returns that has packaged its predictor in a run folder."""
    (folder / "model").mkdir()
    (folder / "model" / "model.skops").write_bytes(b"a predictor")
    np.save(folder / "model" / "example.npy", np.zeros((4, 64), np.float32))
    return {
        "flavour": "sklearn",
        "file": "model.skops",
        "example": "example.npy",
        "method": "predict",
        "trusted": [],
        "output": {"dtype": "float32", "shape": [-1, 3]},
        "requirements": {"scikit-learn": "1.9.1"},
    }


def client(project: Path) -> mlflow.MlflowClient:
    """A client of the store, as another process would open it: of whatever database lies there now."""
    return mlflow.MlflowClient(f"sqlite:///{project}/mlflow.db")


def stored(project: Path, name: str = "cnn-1") -> mlflow.entities.Run:
    """The one run of this name in the store."""
    experiment = client(project).get_experiment_by_name("made up")
    (run,) = client(project).search_runs([experiment.experiment_id], f"attributes.run_name = '{name}'")
    return run


def check(project: Path, name: str = "cnn-1", **tags: str) -> None:
    """Checks that the store holds all of a run, each value exactly once."""
    run = stored(project, name)
    assert run.info.status == "FINISHED"
    assert run.data.params == {"lr": "0.1"}
    assert {"host": "this one", **tags}.items() <= run.data.tags.items()
    assert len(run.inputs.dataset_inputs) == 1
    history = client(project).get_metric_history(run.info.run_id, "val/loss")
    assert sorted((point.step, point.value) for point in history) == [(step, step / 3) for step in range(POINTS)]
    assert {"note.txt"} == {artifact.path for artifact in client(project).list_artifacts(run.info.run_id)}
