"""A task and a modality defined outside src go through compose, train, evaluate, record and report, which know none by name.

It goes by a real `dvc repro`, beside a classical baseline.
"""

import ast
import json
import re
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from src.data.store import Prepared
from tests.contracts.shipped import shipped
from tests.records import whole_store
from tests.repository import ROOT, clone, repro, run
from tests.tagging import FIRST, PADDING, write_configuration

EXPERIMENTS = ("toy", "most_frequent", "tags")


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.filterwarnings("ignore:.*Any type hint is inferred.*")
def test_a_toy_task_a_toy_modality_and_a_baseline_go_all_the_way(tmp_path):
    folder = clone(tmp_path)
    (folder / "conf/task/brightness.yaml").write_text(
        "# @package _global_\n"
        "objective: {metric: val/distance, mode: min}\n"
        "task: {_target_: tests.toy.Brightness}\n"
        "evaluation: {_target_: tests.toy.Distances, headline: {distance: min}}\n"
    )
    (folder / "conf/experiment/toy.yaml").write_text(
        "# @package _global_\n# How bright is a digit?\n"
        "defaults:\n  - override /task: brightness\n"
        "name: toy\nnum_outputs: 1\ntrainer: {max_epochs: 3}\n"
    )
    write_configuration(folder / "conf")
    # The sweep of an experiment that is not listed is ignored.
    (folder / "params.yaml").write_text(f"experiments: [{', '.join(EXPERIMENTS)}]\nsweeps: {{fnn: [+sweep=fnn]}}\n")
    refused = run(folder, "python", "-m", "pipelines.compose", code=2).stderr
    assert "received tests/__init__.py, an edit of which dvc would not notice. Add the line there: - tests\n" in refused
    pipeline = folder / "dvc.yaml"
    pipeline.write_text(pipeline.read_text().replace("      - conf\n", "      - conf\n      - tests\n", 1))
    stages = {f"{stage}@{name}" for stage in ("prepare", "train", "evaluate") for name in EXPERIMENTS}
    assert repro(folder) == {"compose", "sweep@fnn", *stages, "report"}
    assert repro(folder) == set()
    assert not [*(folder / "runs").glob("sweeps/*")]

    metrics = json.loads((folder / "results/toy/metrics.json").read_text())
    assert 0 <= metrics["test/distance"] < 1
    assert list(pd.read_parquet(folder / "results/toy/evaluation/predictions.parquet")) == ["index", "target", "prediction"]
    assert (folder / "results/toy/figures/brightness.png").is_file()
    tags = json.loads((folder / "results/tags/metrics.json").read_text())
    assert tags["test/accuracy"] > 0.9
    table = pd.read_parquet(folder / "results/tags/evaluation/predictions.parquet")
    assert tags["test/accuracy"] == pytest.approx(table["correct"].sum() / table["tokens"].sum())
    report = (folder / "reports/index.html").read_text()
    assert "distance" in report
    assert "most_frequent" in report
    client = whole_store(folder)
    records = client.search_runs([client.get_experiment_by_name("athanor").experiment_id])
    assert [record.info.status for record in records] == ["FINISHED"] * len(EXPERIMENTS)
    (toy,) = (record for record in records if record.info.run_name.startswith("toy"))
    model_of_the_toy_modality(folder, client, table, next(one for one in records if one.info.run_name.startswith("tags")))
    assert toy.data.metrics["values/test/distance"] == pytest.approx(metrics["test/distance"])
    assert run(folder, "git", "status", "--porcelain", "src", "pipelines").stdout == ""


def model_of_the_toy_modality(folder: Path, client: MlflowClient, table: pd.DataFrame, record: Run) -> None:
    """Its model in MLflow takes the fields of ragged rows in a dictionary, padded, and counts as many right tags as the run."""
    (model,) = client.search_logged_models(
        record.info.experiment_id.split(), filter_string=f"source_run_id='{record.info.run_id}'"
    )
    prepared = Prepared(next(folder.glob("data/prepared/sentences-*")))
    rows = table["index"].to_numpy()
    tokens, tags = prepared.column("tokens").take(rows), prepared.column("tags", padding=PADDING).take(rows)
    fields = {"tokens": tokens, "length": (tags != PADDING).sum(axis=1)}
    mlflow.set_tracking_uri(f"sqlite:///{folder / 'mlflow.db'}")
    loaded = mlflow.pyfunc.load_model(model.model_uri)
    assert {*loaded.metadata.signature.inputs.input_names()} == {*fields}
    logits = loaded.predict(fields)
    assert (logits.argmax(axis=2) == tags).sum(axis=1).tolist() == table["correct"].tolist()
    words = np.array([[1, 2, 3], [4, 5, 6]], dtype=np.int32)
    raw = loaded.get_raw_model().predict([{"words": " ".join(str(FIRST + word) for word in own)} for own in words])
    assert np.array_equal(raw, loaded.predict({"tokens": words, "length": np.array([3, 3])}))


def test_nothing_that_runs_knows_a_task_a_model_or_data_by_name():
    tasks = {path.stem for path in (ROOT / "conf/task").glob("*.yaml")}
    names = tasks.union(*map(shipped, ("model", "data", "experiment"))) - {"text"}  # a word of any code
    verbs = [ROOT / "src" / f"{verb}.py" for verb in ("prepare", "train", "evaluate")]
    paths = [*ROOT.glob("pipelines/**/*.py"), *verbs, *ROOT.glob("src/config/*.py"), *ROOT.glob("src/tracking/*.py")]
    assert len(names) > 40
    assert len(paths) > 30
    for path in paths:
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):  # a docstring may have an example
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node):
                del node.body[0]
        assert names & set(re.findall(r"\w+", ast.unparse(tree))) == set(), path
