"""Evaluated splits: predictions, scores and files."""

from types import SimpleNamespace

import pandas as pd
import pytest

from src.estimators.classifier import Classifier
from src.evaluation import predictions, scoring
from src.evaluation.classification import Classification
from src.evaluation.latency import latency
from src.runs.files import read_json


@pytest.fixture
def experiment(images):
    """A fitted classical estimator on random pictures, with what evaluation reads of an experiment."""
    from sklearn.neighbors import KNeighborsClassifier

    data = images()
    learner = Classifier(model=lambda: KNeighborsClassifier(1), data=data, objective={}, seed=0)
    learner.estimator.fit(learner._features(data, data.rows("train")), data.targets(data.rows("train")))
    evaluation = Classification(data=data, headline={"accuracy": "max"})
    config = {"evaluation": {"top_k": 3}, "robustness": None}
    return SimpleNamespace(data=data, prepared=data.prepared, learner=learner, evaluation=evaluation, config=config)


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_a_split_is_evaluated_row_by_row(experiment, split):
    result = scoring.evaluate(experiment, split)
    rows = experiment.prepared.index(split)
    assert result.table["index"].tolist() == rows.tolist()
    assert result.table["target"].tolist() == experiment.data.targets(rows).tolist()
    right = (result.table["target"] == result.table["prediction"]).mean()
    assert result.metrics[f"{split}/accuracy"] == pytest.approx(right)
    assert all(name.startswith(f"{split}/") for name in (*result.metrics, *result.intervals))
    assert right == 1 or split != "train"  # the nearest neighbour of a training example is itself


def test_saved_files_can_be_read_and_do_not_change(experiment, tmp_path):
    result = scoring.evaluate(experiment, "test", tmp_path)
    (tmp_path / "metrics.json").write_text('{"val/accuracy": 0.25, "test/accuracy": -1}')
    written = scoring.save(experiment, result, tmp_path)
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "predictions.parquet"), result.table)
    metrics = read_json(tmp_path / "metrics.json")
    assert metrics["val/accuracy"] == 0.25
    assert metrics["test/accuracy"] == result.metrics["test/accuracy"]
    assert set(read_json(tmp_path / "intervals.json")) == set(result.intervals)
    settings = {"evaluation": {"top_k": 3}, "explanation": None, "robustness": None}
    assert read_json(tmp_path / "evaluation_settings.json") == settings
    assert {path.name for path in written} == {"confusion.png", "reliability.png", "mistakes.png"}
    before = {path.name: path.read_bytes() for path in (*written, tmp_path / "predictions.parquet")}
    scoring.save(experiment, scoring.evaluate(experiment, "test", tmp_path), tmp_path)
    assert before == {path.name: path.read_bytes() for path in (*written, tmp_path / "predictions.parquet")}


def test_predictions_name_their_examples(experiment, monkeypatch):
    assert "example" not in predictions.predictions(experiment, "test")
    names = [f"label/{row}.png" for row in range(len(experiment.data))]
    monkeypatch.setattr(experiment.data, "prepared", SimpleNamespace(index=experiment.prepared.index, names=names))
    table = predictions.predictions(experiment, "test")
    assert table["example"].tolist() == [f"label/{row}.png" for row in experiment.prepared.index("test")]


@pytest.mark.parametrize("rows", [1, 5, 1000])
def test_predictions_are_written_in_pieces(experiment, tmp_path, monkeypatch, rows):
    whole = scoring.evaluate(experiment, "train")
    monkeypatch.setattr(predictions, "PIECE", rows)
    written = scoring.evaluate(experiment, "train", tmp_path)
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "predictions.parquet"), whole.table)
    pd.testing.assert_frame_equal(written.table, whole.table)
    assert written.metrics == whole.metrics


def test_interrupted_predictions_leave_the_file_as_it_was(experiment, tmp_path, monkeypatch):
    folder = tmp_path / "run"
    scoring.evaluate(experiment, "test", folder)
    before = (folder / "predictions.parquet").read_bytes()
    predict = experiment.learner.predict

    def broken(*arguments):
        yield next(predict(*arguments))
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(experiment.learner, "predict", broken)
    monkeypatch.setattr(predictions, "PIECE", 1)
    with pytest.raises(OSError, match="No space left"):
        scoring.evaluate(experiment, "train", folder)
    assert [path.name for path in folder.iterdir()] == ["predictions.parquet"]
    assert (folder / "predictions.parquet").read_bytes() == before


def test_latency_is_that_of_one_example_and_of_a_batch(experiment):
    medians = latency(experiment, budget=0.0)
    assert set(medians) == {"latency_one_ms", "latency_batch_ms", "latency_load_of_others"}
    assert min(medians.values()) > 0
