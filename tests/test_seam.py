"""A task defined outside src goes through compose, train, evaluate, record and report, which know none by name."""

import ast
import json
import re

import mlflow
import pandas as pd
import pytest

from tests.repository import ROOT, clone, repro, run


@pytest.mark.cluster
def test_a_toy_task_goes_all_the_way(tmp_path):
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
        "name: toy\nmodel: {num_outputs: 1}\ntrainer: {max_epochs: 3}\n"
    )
    (folder / "params.yaml").write_text("experiments: [toy]\nsweeps: {}\n")
    assert repro(folder) == {"compose", "prepare@toy", "sweep@toy", "train@toy", "evaluate@toy", "report"}
    metrics = json.loads((folder / "results/toy/metrics.json").read_text())
    assert 0 <= metrics["test/distance"] < 1
    assert list(pd.read_parquet(folder / "results/toy/evaluation/predictions.parquet")) == ["index", "target", "prediction"]
    assert (folder / "results/toy/figures/brightness.png").is_file()
    assert "distance" in (folder / "reports/index.html").read_text()
    client = mlflow.MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    (found,) = client.search_runs([client.get_experiment_by_name("athanor").experiment_id])
    assert found.info.status == "FINISHED"
    assert found.data.metrics["test/distance"] == pytest.approx(metrics["test/distance"])
    src = run(folder, "git", "status", "--porcelain", "src", "pipelines").stdout
    assert src == ""


def test_nothing_that_runs_knows_a_task_a_model_or_data_by_name():
    names = {path.stem for group in ("task", "model", "data", "experiment") for path in (ROOT / "conf" / group).glob("*.yaml")}
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
