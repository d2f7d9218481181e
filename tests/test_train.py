"""One run from the command line: its folder, its files, its record, and running it again."""

import json
import re
import sys
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from src import evaluate, predict
from src.config import command_line
from src.errors import InputError
from src.pretrained import weights
from src.runs import checkpoints
from src.runs.folder import Run
from src.tracking import journal
from src.train import train
from tests.conftest import AMBIENT
from tests.records import whole_store
from tests.repository import ROOT, run

SMALL = ("+experiment=cnn", "model.width=8", "trainer.max_epochs=2")


def command(folder: Path, *overrides: str, code: int = 0) -> str:
    """What the command prints, in a process of its own."""
    done = run(folder, "python", "-m", "src.train", *overrides, code=code, PYTHONPATH=str(ROOT))
    return done.stderr + done.stdout


def trained(*overrides: str) -> Run:
    """The run of a training in this process and in the working folder."""
    return train(command_line.configure(overrides))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Run, str]:
    """A folder with a space in its name, the run that a command left there, and what it printed."""
    folder = tmp_path_factory.mktemp("a folder")
    printed = command(folder, *SMALL)
    return folder, Run(folder / printed.splitlines()[-1].removeprefix("run: ")), printed


@pytest.fixture
def inside(finished, monkeypatch) -> Path:
    """That folder, as the working folder."""
    for name in AMBIENT:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(finished[0])
    return finished[0]


def test_the_last_line_names_the_run_folder(finished):
    folder, run_, printed = finished
    assert run_.folder.parent == folder / "runs"
    assert run_.folder.name.startswith("cnn-")
    assert all(name in printed for name in ("best epoch", "val/accuracy", "test/accuracy", "training seconds", "parameters"))


def test_a_line_says_what_goes_on_after_the_training(finished):
    lines = [line for line in finished[2].splitlines() if line.startswith(("evaluating", "analysing", "recording"))]
    assert lines == [
        "evaluating the val split, and packaging the model",
        "evaluating the test split",
        "analysing the test split: explanation",
        "recording the run",
    ]


@pytest.mark.slow
def test_overfitting_ends_with_the_training_loss(project, capsys):
    run_ = trained("+experiment=fnn", "+debug=overfit", "trainer.max_epochs=2", "trainer.accelerator=cpu")
    first, last = [point["value"] for point in journal.read(run_.journal) if point["name"] == "train/loss_epoch"]
    assert re.search(rf"^  training loss +{last:.4g}  \(first epoch: {first:.4g}\)$", capsys.readouterr().out, re.MULTILINE)


def test_the_folder_holds_what_is_promised(finished):
    _, run_, _ = finished
    for path in (run_.config, run_.best, run_.last, run_.metrics, run_.timings, run_.journal, run_.predictions):
        assert path.is_file(), path
    metrics = json.loads(run_.metrics.read_text())
    assert {"val/accuracy", "test/accuracy", "epochs", "parameters"} <= set(metrics)
    assert all(isinstance(value, int | float) for value in metrics.values())
    points = [json.loads(line) for line in run_.journal.read_text().splitlines()]
    assert all(set(point) == {"name", "step", "epoch", "time", "value"} for point in points)
    keys = [(point["name"], point["step"]) for point in points]
    assert len(keys) == len(set(keys))
    steps = {point["step"] for point in points if point["name"] == "val/accuracy"}
    assert steps == {73, 146}  # 1,168 examples in batches of 16, twice
    assert {path.name for path in run_.figures.iterdir()} >= {
        "confusion.png",
        "reliability.png",
        "mistakes.png",
        "learning.png",
        "explanation.png",
        "filters.png",
        "activations.png",
    }
    assert metrics["test/saliency_randomised_correlation"] < 0.5


def test_predictions_agree_with_the_metrics(finished):
    _, run_, _ = finished
    table = pd.read_parquet(run_.predictions)
    assert list(table.columns[:3]) == ["index", "target", "prediction"]
    probability = table[[name for name in table if name.startswith("probability_")]].to_numpy()
    np.testing.assert_allclose(probability.sum(axis=1), 1, atol=1e-5)
    accuracy = (table["target"] == table["prediction"]).mean()
    assert json.loads(run_.metrics.read_text())["test/accuracy"] == pytest.approx(accuracy, abs=1e-12)


@pytest.mark.slow
def test_the_same_command_again_trains_nothing(finished):
    folder, run_, printed = finished
    before = run_.journal.read_bytes()
    again = command(folder, *SMALL)
    assert "This run exists" in again
    assert again.splitlines()[-1] == printed.splitlines()[-1]
    assert run_.journal.read_bytes() == before


@pytest.mark.slow
def test_evaluating_again_gives_exactly_the_numbers_of_training(finished, inside):
    _, run_, _ = finished
    metrics, predictions = run_.metrics.read_text(), run_.predictions.read_bytes()
    assert evaluate.main([f"run={run_.folder}"]) == 0
    assert evaluate.main([f"run={run_.folder}", "split=val", "explanation=none", "robustness=default"]) == 0
    assert run_.metrics.read_text() == metrics
    assert run_.predictions.read_bytes() == predictions
    again = json.loads((run_.folder / "val/metrics.json").read_text())
    corrupted = {name: again.pop(name) for name in list(again) if "_under_" in name or "_corrupted" in name}
    assert again.items() <= json.loads(metrics).items()
    assert 0 < corrupted["val/accuracy_corrupted"] < again["val/accuracy"]
    assert (run_.folder / "val/tables/robustness.csv").is_file()
    assert not (run_.folder / "val/figures/explanation.png").exists()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*Any type hint is inferred.*")
def test_the_record_in_mlflow(finished, monkeypatch, tmp_path):
    folder, run_, _ = finished
    monkeypatch.chdir(tmp_path)  # another folder than the run's
    client = whole_store(folder)
    experiment = client.get_experiment_by_name("athanor")
    (recorded,) = [r for r in client.search_runs([experiment.experiment_id]) if r.info.run_name == run_.folder.name]
    assert recorded.info.status == "FINISHED"
    assert recorded.data.params["model.width"] == "8"
    assert {"device", "host", "data.content", "mlflow.source.git.commit", "mlflow.source.git.branch"} <= set(recorded.data.tags)
    assert recorded.inputs.dataset_inputs[0].dataset.name == "digits"
    assert any(name.startswith("system/cpu") for name in recorded.data.metrics)
    history = client.get_metric_history(recorded.info.run_id, "val/accuracy")
    assert [point.step for point in history] == [73, 146]
    names = {artifact.path for artifact in client.list_artifacts(recorded.info.run_id)}
    assert {"config.yaml", "versions.txt", "predictions.parquet", "metrics.json", "checkpoints", "figures"} <= names

    mlflow.set_tracking_uri(f"sqlite:///{folder / 'mlflow.db'}")
    (model,) = mlflow.search_logged_models([experiment.experiment_id], output_format="list",
                                           filter_string=f"source_run_id='{recorded.info.run_id}'")  # fmt: skip
    table = pd.read_parquet(run_.predictions)
    probability = table[[name for name in table if name.startswith("probability_")]].to_numpy()
    image = np.load(next(folder.glob("data/prepared/digits-*/image.npy")))[table["index"]].astype(np.float32)
    loaded = mlflow.pyfunc.load_model(model.model_uri)
    np.testing.assert_allclose(loaded.predict(image), probability, atol=1e-5)
    raw = loaded.get_raw_model()
    for number, one in enumerate(image[:3, 0].astype(np.uint8)):
        Image.fromarray(one).save(tmp_path / f"{number}.png")
    files = [tmp_path / "0.png", str(tmp_path / "1.png"), (tmp_path / "2.png").read_bytes()]
    np.testing.assert_allclose(raw.predict(files), probability[:3], atol=1e-5)
    np.testing.assert_allclose(raw.predict([*image[:, 0].astype(np.uint8)]), probability, atol=1e-5)
    with pytest.raises(ValueError, match="number 1: expected the content of an image; received something else"):
        raw.predict([*files[:1], b"text"])
    with torch.no_grad():
        predicted = mlflow.pytorch.load_model(model.model_uri)(torch.from_numpy(image[:7])).numpy()
    np.testing.assert_allclose(predicted, probability[:7], atol=1e-5)


@pytest.mark.cluster
def test_the_model_loads_in_a_process_that_imports_mlflow_alone(finished, tmp_path):
    """Whatever build of torchvision is beside torch there: nothing imports it."""
    folder, run_, _ = finished
    client = whole_store(folder)
    experiment = client.get_experiment_by_name("athanor").experiment_id
    (recorded,) = [r for r in client.search_runs([experiment]) if r.info.run_name == run_.folder.name]
    (model,) = client.search_logged_models([experiment], filter_string=f"source_run_id = '{recorded.info.run_id}'")
    script = f"""
import sys, mlflow, numpy as np
mlflow.set_tracking_uri("sqlite:///{folder / "mlflow.db"}")
loaded = mlflow.pyfunc.load_model("{model.model_uri}")
example = np.load("{run_.folder / "model/example.npy"}")
answers = loaded.predict(example)
assert answers.shape == (4, 10) and abs(answers.sum(1) - 1).max() < 1e-5, answers
print(*sorted({{"torchvision", "lightning", "src"}} & set(sys.modules)))
assert np.array_equal(loaded.get_raw_model().predict([*example[:, 0].astype("uint8")]), answers)
assert sys.modules["src.data.images"].__file__.endswith("reading.zip/src/data/images.py")
assert np.array_equal(loaded.get_raw_model().predict([*example[:, 0].astype("uint8")]), answers)
print(*sorted({{"torchvision", "lightning", "hydra"}} & set(sys.modules)))
"""
    assert run(tmp_path, sys.executable, "-c", script, fresh=True).stdout.strip() == ""
    other = tmp_path / "src/data/images.py"
    other.parent.mkdir(parents=True)
    other.write_text("SIZE = 8\n")
    script = f"import src\n{script.partition('assert answers')[0]}loaded.get_raw_model()"
    assert "This process has another one, whose src/" in run(tmp_path, sys.executable, "-c", script, fresh=True, code=1).stderr


@pytest.mark.slow
def test_an_augmented_run_shows_what_it_was_trained_on(finished, inside):
    folder, plain, _ = finished
    settings = ("augmentation=[light,mixup]", "augmentation.affine.degrees=20", "trainer.max_epochs=1")
    run_ = trained(*SMALL, *settings)
    assert run_.folder.name != plain.folder.name
    assert "degrees: 20" in run_.config.read_text()
    assert (run_.figures / "augmentation.png").is_file()
    assert not (plain.figures / "augmentation.png").exists()
    client = whole_store(folder)
    experiment = client.get_experiment_by_name("athanor")
    (recorded,) = [r for r in client.search_runs([experiment.experiment_id]) if r.info.run_name == run_.folder.name]
    assert "figures/augmentation.png" in {artifact.path for artifact in client.list_artifacts(recorded.info.run_id, "figures")}
    predictions, metrics = run_.predictions.read_bytes(), run_.metrics.read_text()
    assert evaluate.main([f"run={run_.folder}"]) == 0
    assert run_.predictions.read_bytes() == predictions  # nothing is changed at random in evaluation
    assert run_.metrics.read_text() == metrics


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*Any type hint is inferred.*")
def test_the_model_of_a_classical_estimator_gives_its_predictions(project, monkeypatch):
    run_ = Run(trained("+experiment=random_forest").folder.resolve())
    whole_store(project)
    (project / "elsewhere").mkdir()
    monkeypatch.chdir(project / "elsewhere")
    mlflow.set_tracking_uri(f"sqlite:///{project / 'mlflow.db'}")
    (model,) = mlflow.search_logged_models(["1"], output_format="list")
    table = pd.read_parquet(run_.predictions)
    probability = table[[name for name in table if name.startswith("probability_")]].to_numpy()
    image = np.load(next(project.glob("data/prepared/digits-*/image.npy")))[table["index"]].astype(np.float32)
    loaded = mlflow.pyfunc.load_model(model.model_uri).predict(image.reshape(len(image), -1))
    np.testing.assert_allclose(loaded, probability, atol=1e-12)


@pytest.mark.slow
def test_a_run_begins_with_the_weights_of_another_one(finished, inside):
    folder, run_, _ = finished
    begun = (*SMALL, "trainer.max_epochs=1", f"pretrained.weights={run_.folder.name}")
    frozen = ("pretrained.reinitialize=[classifier.4]", "callbacks=freeze", "callbacks.freeze.parts=[features]")
    second = trained(*begun, *frozen)
    one, other = (checkpoints.read(path)["state_dict"] for path in (run_.best, second.best))
    kept = {name for name in one if torch.equal(one[name], other[name])}
    assert {name for name in one if name.startswith("model.features")} <= kept
    assert "model.classifier.4.weight" not in kept
    before = sorted((folder / "runs").iterdir())
    with pytest.raises(InputError, match=r"features.0.weight of the network's shape \[4, 1, 3, 3\]; received \[8, 1, 3, 3\]"):
        trained(*begun, "model.width=4")
    assert sorted((folder / "runs").iterdir()) == before


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*Any type hint is inferred.*")
def test_weights_that_mlflow_holds(finished):
    folder, run_, _ = finished
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    client = whole_store(folder)
    experiment = client.get_experiment_by_name("athanor")
    (recorded,) = [r for r in client.search_runs([experiment.experiment_id]) if r.info.run_name == run_.folder.name]
    mlflow.set_tracking_uri(uri)
    mlflow.register_model(f"runs:/{recorded.info.run_id}/model", "numbers")
    expected = weights.read(str(run_.folder), runs=folder)
    own = f"runs:/{recorded.info.run_id}"
    for name in ("models:/numbers/1", f"{own}/model", f"{own}/checkpoints/best.ckpt"):
        held = weights.read(name, runs=folder, tracking=uri)
        assert {key for key in expected if "num_batches" not in key} <= held.keys() <= expected.keys(), name
        assert all(torch.equal(tensor, expected[key]) for key, tensor in held.items()), name
    for name in ("models:/numbers/2", "models:/others/1", "runs:/0/model"):
        with pytest.raises(InputError, match=rf"{name}: expected something that sqlite:"):
            weights.read(name, runs=folder, tracking=uri)


@pytest.mark.slow
def test_a_run_whose_folder_is_elsewhere_answers_from_mlflow(finished, tmp_path, inside, capsys):
    folder, run_, _ = finished
    client = whole_store(folder)
    experiment = client.get_experiment_by_name("athanor")
    (recorded,) = [r for r in client.search_runs([experiment.experiment_id]) if r.info.run_name == run_.folder.name]
    np.save(tmp_path / "zero.npy", np.zeros((1, 8, 8), dtype=np.uint8))
    capsys.readouterr()
    for name in (run_.folder.name, f"runs:/{recorded.info.run_id}"):
        assert predict.main([f"run={name}", f"input={tmp_path}/zero.npy"]) == 0
    run_.folder.rename(tmp_path / "elsewhere")
    try:
        assert predict.main([f"run=runs:/{recorded.info.run_id}", f"input={tmp_path}/zero.npy"]) == 0
        answers = capsys.readouterr().out.split("example ")[1:]
        assert len(answers) == 3
        assert len({*answers}) == 1
        assert predict.main(["run=runs:/0", f"input={tmp_path}/zero.npy"]) == 2
        assert "runs:/0/config.yaml: expected something that sqlite:" in capsys.readouterr().err
    finally:
        (tmp_path / "elsewhere").rename(run_.folder)


@pytest.mark.cluster
def test_a_grid(tmp_path):
    printed = command(tmp_path, "-m", "+experiment=most_frequent", "seed=0,1", "tracking.wait=0")
    assert re.search(
        r"^grid: 2 of 2 runs are finished\n.*test/accuracy.*\n  all seeds  2 .* 0\.1000 ± 0\.0000 ", printed, re.MULTILINE
    )
    assert printed.count("\nrun: runs/most_frequent-") == 2
    assert "new run: seed 0 -> 1 since most_frequent-" in printed
    assert len(list((tmp_path / "runs").glob("most_frequent-*"))) == 2
    refused = command(tmp_path, "-m", "+experiment=fnn", "seed=0,1", "trainer.devices=2", code=2)
    assert "expected trainer.devices=1" in refused
    assert "Traceback" not in refused


@pytest.mark.slow
def test_help_and_the_resolved_configuration(tmp_path):
    text = command(tmp_path, "--help")
    for name in ("cnn", "random_forest", "fashion_mnist", "lenet", "Exit codes"):
        assert name in text
    shown = command(tmp_path, "+experiment=cnn", "--cfg", "job", "--resolve")
    assert "_target_: src.models.cnn.CNN" in shown
    assert "num_outputs: 10" in shown
    assert list(tmp_path.iterdir()) == []


@pytest.mark.cluster
@pytest.mark.filterwarnings("ignore")  # of the notebook's own machinery
def test_the_notebook_trains_and_opens_a_run(finished, monkeypatch):
    import nbformat
    from nbclient import NotebookClient

    folder, _, _ = finished
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    notebook = nbformat.read(ROOT / "notebooks/open_a_run.ipynb", as_version=4)
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(folder)}}).execute()
    texts = [output["data"]["text/plain"] for cell in notebook.cells for output in cell.get("outputs", []) if "data" in output]
    assert any("logistic_regression-" in text and "\ncnn-" in text and "test/accuracy" in text for text in texts)
    assert any("PosixPath('runs/" in text for text in texts)
    assert any("probability" in text for text in texts)
