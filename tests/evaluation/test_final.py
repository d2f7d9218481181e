"""The final evaluation of a run, with its record."""

import json

import pytest

from src.evaluation.final import evaluate_test
from src.runs.files import read_json, write_atomic, write_json
from src.runs.folder import Run
from src.tracking.record import Record
from tests.repository import ROOT, run


@pytest.mark.slow
def test_an_evaluation_replaces_its_files_and_keeps_those_of_the_training(build, project):
    experiment = build("+experiment=k_nearest_neighbours", "robustness=default", "robustness.examples=20")
    own = Run(project / "runs/neighbours")
    write_json(own.metrics, {"best_epoch": 1, "epochs": 1, "steps": 1, "val/accuracy": 0.5})
    for file in ("figures/training/samples_epoch_0001.png", "figures/explanation.png", "tables/explanation.csv"):
        write_atomic(own.folder / file, b"of the training, or of an earlier evaluation")
    with Record.of(own, experiment.config, experiment.prepared.card, upload=False) as record:
        record.begin(device="cpu")
        evaluate_test(experiment, own, record)
    figures = {"confusion.png", "reliability.png", "mistakes.png", "robustness.png", "corruptions.png"}
    assert {path.name for path in own.figures.glob("*.png")} == figures
    assert [path.name for path in own.tables.iterdir()] == ["robustness.csv"]
    artifacts = read_json(own.record)["artifacts"]
    assert {"file": "figures/training/samples_epoch_0001.png", "folder": "figures/training"} in artifacts
    assert {entry["file"] for entry in artifacts} - {"uncommitted.diff", "versions.txt"} == {
        *(f"figures/{name}" for name in (*figures, "training/samples_epoch_0001.png")),
        *("tables/robustness.csv", "predictions.parquet", "metrics.json", "intervals.json", "timings.json"),
    }
    metrics = read_json(own.metrics)
    assert metrics["val/accuracy"] == 0.5
    assert set(read_json(own.timings)) == {
        "latency_one_ms",
        "latency_batch_ms",
        "latency_load_of_others",
        "evaluate_seconds",
    }
    recorded = {point["name"]: point["value"] for point in map(json.loads, own.journal.read_text().splitlines())}
    assert recorded["test/accuracy"] == metrics["test/accuracy"] > 0.9
    assert recorded["timing/latency_one_ms"] > 0


CLASSICAL = """
import sys
from pathlib import Path
from src.config import assembly, composition
from src.evaluation.final import evaluate_test
from src.protocols import NullSink
from src.runs.files import write_json
from src.runs.folder import Run
from src.tracking.record import Record
from tests.repository import ROOT, run
config = composition.compose(["+experiment=logistic_regression"])
prepared = assembly.prepare(config)
experiment = assembly.build(assembly.complete(config, prepared), prepared)
run = Run(Path("runs/logistic_regression"))
experiment.learner.fit(experiment.data, folder=run.folder, sink=NullSink())
write_json(run.metrics, {"best_epoch": 1, "epochs": 1, "steps": 1})
with Record.of(run, experiment.config, prepared.card, upload=False) as record:
    record.begin(device="cpu")
    evaluate_test(experiment, run, record)
print(*sys.modules)
"""


@pytest.mark.slow
def test_a_classical_run_and_its_figures_import_no_torch(project):
    modules = set(run(project, "python", "-c", CLASSICAL, fresh=True, PYTHONPATH=str(ROOT)).stdout.split())
    assert {"sklearn", "matplotlib"} <= modules
    assert not modules & {"torch", "lightning", "captum", "mlflow", "kornia", "matplotlib.pyplot"}
    assert (project / "runs/logistic_regression/figures/mistakes.png").is_file()
