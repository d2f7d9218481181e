"""One run from the command line: its folder, its files, its record, and running it again."""

import json
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
import torch

from src.errors import InputError
from src.pretrained import weights
from src.runs import checkpoints
from src.runs.folder import Run
from tests.records import whole_store
from tests.repository import ROOT, run

SMALL = ("+experiment=cnn", "model.width=8", "trainer.max_epochs=2")


def train(folder: Path, *overrides: str, code: int = 0, **extra: str):
    return run(folder, "python", "-m", "src.train", *overrides, code=code, PYTHONPATH=str(ROOT), **extra)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Run, str]:
    """A folder with a space in its name, the run that a command left there, and what it printed."""
    folder = tmp_path_factory.mktemp("a folder")
    printed = train(folder, *SMALL).stdout
    return folder, Run(folder / printed.splitlines()[-1].removeprefix("run: ")), printed


def test_the_last_line_names_the_run_folder(finished):
    folder, run_, printed = finished
    assert run_.folder.parent == folder / "runs"
    assert run_.folder.name.startswith("cnn-")
    for name in ("best epoch", "val/accuracy", "test/accuracy", "training seconds", "parameters"):
        assert name in printed


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


def test_the_same_command_again_trains_nothing(finished):
    folder, run_, printed = finished
    before = run_.journal.read_bytes()
    again = train(folder, *SMALL)
    assert "exists" in again.stdout
    assert again.stdout.splitlines()[-1] == printed.splitlines()[-1]
    assert run_.journal.read_bytes() == before


def test_force_makes_the_next_folder_with_equal_weights(finished):
    folder, run_, _ = finished
    forced = train(folder, *SMALL, "force=true").stdout.splitlines()[-1].removeprefix("run: ")
    assert forced == f"runs/{run_.folder.name}.2"
    one, other = (checkpoints.read(path)["state_dict"] for path in (run_.best, folder / forced / "best.ckpt"))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert (folder / forced / "metrics.json").read_text() == run_.metrics.read_text()


def test_evaluating_again_gives_exactly_the_numbers_of_training(finished):
    folder, run_, _ = finished
    metrics, predictions = run_.metrics.read_text(), run_.predictions.read_bytes()
    for settings in (
        ["split=test"],
        [
            "split=val",
            "explanation=none",
            "robustness=default",
        ],
    ):
        run(folder, "python", "-m", "src.evaluate", f"run={run_.folder}", *settings, PYTHONPATH=str(ROOT))
    assert run_.metrics.read_text() == metrics
    assert run_.predictions.read_bytes() == predictions
    again = json.loads((run_.folder / "val/metrics.json").read_text())
    found = {name: again.pop(name) for name in list(again) if "_under_" in name or "_corrupted" in name}
    assert again.items() <= json.loads(metrics).items()
    assert 0 < found["val/accuracy_corrupted"] < again["val/accuracy"]
    assert (run_.folder / "val/tables/robustness.csv").is_file()
    assert not (run_.folder / "val/figures/explanation.png").exists()


@pytest.mark.filterwarnings("ignore:.*Any type hint is inferred.*")
def test_the_record_in_mlflow(finished, monkeypatch, tmp_path):
    folder, run_, _ = finished
    monkeypatch.chdir(tmp_path)  # another folder than the run's
    client = whole_store(folder)
    experiment = client.get_experiment_by_name("athanor")
    (found,) = [r for r in client.search_runs([experiment.experiment_id]) if r.info.run_name == run_.folder.name]
    assert found.info.status == "FINISHED"
    assert found.data.params["model.width"] == "8"
    assert {"device", "host", "data.content", "mlflow.source.git.commit", "mlflow.source.git.branch"} <= set(found.data.tags)
    assert found.inputs.dataset_inputs[0].dataset.name == "digits"
    assert any(name.startswith("system/cpu") for name in found.data.metrics)
    history = client.get_metric_history(found.info.run_id, "val/accuracy")
    assert [point.step for point in history] == [73, 146]
    names = {artifact.path for artifact in client.list_artifacts(found.info.run_id)}
    assert {"config.yaml", "versions.txt", "predictions.parquet", "metrics.json", "checkpoints", "figures"} <= names

    mlflow.set_tracking_uri(f"sqlite:///{folder / 'mlflow.db'}")
    (model,) = mlflow.search_logged_models([experiment.experiment_id], output_format="list",
                                           filter_string=f"source_run_id='{found.info.run_id}'")  # fmt: skip
    table = pd.read_parquet(run_.predictions)
    probability = table[[name for name in table if name.startswith("probability_")]].to_numpy()
    image = np.load(next(folder.glob("data/prepared/digits-*/image.npy")))[table["index"]].astype(np.float32)
    np.testing.assert_allclose(mlflow.pyfunc.load_model(model.model_uri).predict(image), probability, atol=1e-5)
    with torch.no_grad():
        answer = mlflow.pytorch.load_model(model.model_uri)(torch.from_numpy(image[:7])).numpy()
    np.testing.assert_allclose(answer, probability[:7], atol=1e-5)


def test_an_augmented_run_shows_what_it_was_trained_on(finished):
    folder, plain, _ = finished
    settings = ("augmentation=[light,mixup]", "augmentation.affine.degrees=20", "trainer.max_epochs=1")
    run_ = Run(folder / train(folder, *SMALL, *settings).stdout.splitlines()[-1].removeprefix("run: "))
    assert run_.folder.name != plain.folder.name
    assert "degrees: 20" in run_.config.read_text()
    assert (run_.figures / "augmentation.png").is_file()
    assert not (plain.figures / "augmentation.png").exists()
    client = whole_store(folder)
    experiment = client.get_experiment_by_name("athanor")
    (found,) = [r for r in client.search_runs([experiment.experiment_id]) if r.info.run_name == run_.folder.name]
    assert "figures/augmentation.png" in {artifact.path for artifact in client.list_artifacts(found.info.run_id, "figures")}
    predictions, metrics = run_.predictions.read_bytes(), run_.metrics.read_text()
    run(folder, "python", "-m", "src.evaluate", f"run={run_.folder}", PYTHONPATH=str(ROOT))
    assert run_.predictions.read_bytes() == predictions  # nothing is changed at random in evaluation
    assert run_.metrics.read_text() == metrics


@pytest.mark.filterwarnings("ignore:.*Any type hint is inferred.*")
def test_the_model_of_a_classical_estimator_gives_its_predictions(tmp_path, monkeypatch):
    printed = train(tmp_path, "+experiment=random_forest").stdout
    run_ = Run(tmp_path / printed.splitlines()[-1].removeprefix("run: "))
    whole_store(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path / 'mlflow.db'}")
    (model,) = mlflow.search_logged_models(["1"], output_format="list")
    table = pd.read_parquet(run_.predictions)
    probability = table[[name for name in table if name.startswith("probability_")]].to_numpy()
    image = np.load(next(tmp_path.glob("data/prepared/digits-*/image.npy")))[table["index"]].astype(np.float32)
    loaded = mlflow.pyfunc.load_model(model.model_uri).predict(image.reshape(len(image), -1))
    np.testing.assert_allclose(loaded, probability, atol=1e-12)


def test_a_run_begins_with_the_weights_of_another_one(finished):
    folder, run_, _ = finished
    begun = (*SMALL, "trainer.max_epochs=1", f"pretrained.weights={run_.folder.name}")
    frozen = ("pretrained.reinitialize=[classifier.4]", "callbacks=freeze", "callbacks.freeze.parts=[features]")
    second = Run(folder / train(folder, *begun, *frozen).stdout.splitlines()[-1].removeprefix("run: "))
    one, other = (checkpoints.read(path)["state_dict"] for path in (run_.best, second.best))
    kept = {name for name in one if torch.equal(one[name], other[name])}
    assert {name for name in one if name.startswith("model.features")} <= kept
    assert "model.classifier.4.weight" not in kept
    before = sorted((folder / "runs").iterdir())
    refused = train(folder, *begun, "model.width=4", code=2).stderr
    assert "expected features.0.weight of the network's shape [4, 1, 3, 3]; received [8, 1, 3, 3]" in refused
    assert "Traceback" not in refused
    assert sorted((folder / "runs").iterdir()) == before


@pytest.mark.filterwarnings("ignore:.*Any type hint is inferred.*")
def test_weights_that_mlflow_holds(finished):
    folder, run_, _ = finished
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    client = whole_store(folder)
    experiment = client.get_experiment_by_name("athanor")
    (found,) = [r for r in client.search_runs([experiment.experiment_id]) if r.info.run_name == run_.folder.name]
    mlflow.set_tracking_uri(uri)
    mlflow.register_model(f"runs:/{found.info.run_id}/model", "numbers")
    expected = weights.read(str(run_.folder), runs=folder)
    for name in ("models:/numbers/1", f"runs:/{found.info.run_id}/model", f"runs:/{found.info.run_id}/checkpoints/best.ckpt"):
        held = weights.read(name, runs=folder, tracking=uri)
        assert {key for key in expected if "num_batches" not in key} <= held.keys() <= expected.keys(), name
        assert all(torch.equal(tensor, expected[key]) for key, tensor in held.items()), name
    for name in ("models:/numbers/2", "models:/others/1", "runs:/0/model"):
        with pytest.raises(InputError, match=rf"{name}: expected something that sqlite:"):
            weights.read(name, runs=folder, tracking=uri)


def test_a_finished_run_is_evaluated_by_other_settings(tmp_path):
    command = ("+experiment=fnn", "trainer.max_epochs=1")
    plain = Run(tmp_path / train(tmp_path, *command).stdout.splitlines()[-1].removeprefix("run: "))
    weights_, numbers = plain.best.read_bytes(), json.loads(plain.metrics.read_text())
    assert not (plain.figures / "explanation.png").exists()
    train(tmp_path, *command, "evaluation.top_k=0", code=2)
    assert json.loads(plain.metrics.read_text()) == numbers  # what is refused costs nothing
    printed = train(tmp_path, *command, "explanation=default").stdout.splitlines()
    assert printed[0] == "This run exists; nothing is trained. Its evaluation has other settings, and is made anew."
    assert printed[-1] == f"run: runs/{plain.folder.name}"
    assert plain.best.read_bytes() == weights_
    found = json.loads(plain.metrics.read_text())
    assert found.items() > numbers.items()
    assert (plain.figures / "explanation.png").is_file()
    train(tmp_path, *command, "explanation=default", "explanation.right=1")
    changed = json.loads(plain.metrics.read_text())
    assert changed["test/saliency_randomised_correlation"] != found["test/saliency_randomised_correlation"]
    again = train(tmp_path, *command, "explanation=default", "explanation.right=1").stdout
    assert again.startswith("This run exists; nothing is trained. force=true")
    client = whole_store(tmp_path)
    (kept,) = client.search_runs([client.get_experiment_by_name("athanor").experiment_id])
    assert kept.info.status == "FINISHED"
    named = "test/saliency_randomised_correlation"
    assert kept.data.metrics[named] == pytest.approx(changed[named])  # the later value
    assert "figures/explanation.png" in {artifact.path for artifact in client.list_artifacts(kept.info.run_id, "figures")}
    run(tmp_path, "python", "-m", "src.evaluate", f"run={plain.folder}", "explanation=none", PYTHONPATH=str(ROOT))
    printed = train(tmp_path, *command, "explanation=default", "explanation.right=1").stdout
    assert "made anew" in printed  # by whatever command it was evaluated last
    assert json.loads(plain.metrics.read_text()) == changed


def test_an_evaluation_that_is_killed_trains_nothing_again(tmp_path):
    command = ("+experiment=most_frequent",)
    made = Run(tmp_path / train(tmp_path, *command).stdout.splitlines()[-1].removeprefix("run: "))
    before, record = made.best.stat(), json.loads(made.record.read_text())
    made.record.write_text(json.dumps({**record, "status": "RUNNING", "ended": None}))  # as a kill in the midst of it leaves it
    made.forget_test()
    train(tmp_path, *command, "evaluation.top_k=2")
    assert (made.best.stat().st_mtime_ns, made.best.stat().st_ino) == (before.st_mtime_ns, before.st_ino)
    assert "test/top_2_accuracy" in json.loads(made.metrics.read_text())
    assert json.loads(made.record.read_text())["status"] == "FINISHED"


def test_a_finished_run_is_trained_further(finished):
    folder, run_, _ = finished
    longer = train(folder, f"resume={run_.folder}", "trainer.max_epochs=3").stdout.splitlines()[-1].removeprefix("run: ")
    steps = [json.loads(line)["step"] for line in (folder / longer / "metrics.jsonl").read_text().splitlines()]
    assert max(steps) == 219
    assert min(steps) > 146
    assert json.loads((folder / longer / "metrics.json").read_text())["epochs"] == 3


def test_a_grid(tmp_path):
    done = train(tmp_path, "-m", "+experiment=most_frequent", "seed=0,1", "tracking.wait=0")
    assert done.stdout.count("run: runs/most_frequent-") == 2
    assert len(list((tmp_path / "runs").glob("most_frequent-*"))) == 2
    refused = train(tmp_path, "-m", "+experiment=fnn", "seed=0,1", "trainer.devices=2", code=2)
    assert "expected trainer.devices=1" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_help_and_the_resolved_configuration(tmp_path):
    text = train(tmp_path, "--help").stdout
    for name in ("cnn", "random_forest", "fashion_mnist", "lenet", "Exit codes"):
        assert name in text
    shown = train(tmp_path, "+experiment=cnn", "--cfg", "job", "--resolve").stdout
    assert "_target_: src.models.cnn.CNN" in shown
    assert "num_outputs: 10" in shown
    assert list(tmp_path.iterdir()) == []


@pytest.mark.cluster
@pytest.mark.filterwarnings("ignore")  # of the notebook's own machinery
def test_the_notebook_opens_a_run(finished, monkeypatch):
    import nbformat
    from nbclient import NotebookClient

    folder, _, _ = finished
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    notebook = nbformat.read(ROOT / "notebooks/open_a_run.ipynb", as_version=4)
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(folder)}}).execute()
    texts = [output["data"]["text/plain"] for cell in notebook.cells for output in cell.get("outputs", []) if "data" in output]
    assert any("runs/cnn-" in text for text in texts)
    assert any("test/accuracy" in text for text in texts)
    assert any("probability" in text for text in texts)
