"""Resampling, scores and tables of predictions."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from src.estimators.classical import Classical
from src.evaluation import core
from src.evaluation.classification import Classification
from src.evaluation.core import bootstrap, interval
from src.evaluation.reconstruction import Reconstruction
from src.protocols import Objective
from tests.evaluation import data as predicted

CLASSES = ["cat", "dog", "a fish"]
HEADLINE = {"accuracy": "max"}


def test_a_bootstrap_draws_as_many_rows_as_there_are():
    drawn = bootstrap(50, resamples=200)
    assert drawn.shape == (200, 50)
    assert (drawn.sum(axis=1) == 50).all()
    assert len(np.unique(drawn, axis=0)) == 200
    assert drawn.mean(axis=0) == pytest.approx(np.ones(50), abs=0.35)


def test_a_bootstrap_is_deterministic():
    assert np.array_equal(bootstrap(20, seed=3), bootstrap(20, seed=3))
    assert not np.array_equal(bootstrap(20, seed=3), bootstrap(20, seed=4))


def test_an_interval_holds_95_of_100_values():
    values = np.random.default_rng(0).normal(size=100_000)
    low, high = interval(values)
    assert (low, high) == (pytest.approx(-1.96, abs=0.03), pytest.approx(1.96, abs=0.03))
    assert ((values > low) & (values < high)).mean() == pytest.approx(0.95, abs=1e-3)


def test_an_interval_of_one_value_is_that_value():
    assert interval(np.full(10, 0.5)) == (0.5, 0.5)


def test_bootstrap_intervals_cover_the_true_value():
    """Of 200 samples from a known distribution, about 95 % of the intervals hold its mean."""
    rng, covered = np.random.default_rng(0), 0
    drawn = bootstrap(100, resamples=500)
    for _ in range(200):
        low, high = interval(drawn @ rng.binomial(1, 0.7, size=100) / 100)
        covered += low <= 0.7 <= high
    assert 180 <= covered <= 198


def table(target: list[int], probability: list[list[float]]) -> pd.DataFrame:
    evaluation = classification()
    outputs = {"probability": np.array(probability)}
    return pd.DataFrame({"index": range(len(target)), **evaluation.columns(outputs, np.array(target))})


def classification(**settings) -> Classification:
    return Classification(data=SimpleNamespace(classes=CLASSES), headline=HEADLINE, **settings)


def test_a_table_of_classes_has_the_promised_columns():
    found = table([0, 2], [[0.2, 0.7, 0.1], [0.1, 0.1, 0.8]])
    names = ["index", "target", "prediction", "probability_cat", "probability_dog", "probability_a fish"]
    assert list(found.columns) == names
    assert found["prediction"].tolist() == [1, 2]
    assert found["probability_dog"].tolist() == [0.7, 0.1]


def test_a_perfect_predictor():
    target = [0, 1, 2] * 10
    values, intervals = classification().scores(table(target, np.eye(3)[target].tolist()))
    for name in ("accuracy", "balanced_accuracy", "precision_macro", "recall_macro", "f1_macro", "top_3_accuracy"):
        assert values[name] == pytest.approx(1)
        assert intervals[name] == (pytest.approx(1), pytest.approx(1))
    assert values["log_loss"] == pytest.approx(0)
    assert values["calibration_error"] == 0
    assert values["f1/a fish"] == values["recall/cat"] == values["precision/dog"] == 1


def test_a_constant_predictor():
    target = [0] * 20 + [1] * 10 + [2] * 10
    values, intervals = classification(top_k=2).scores(table(target, [[0.5, 0.3, 0.2]] * 40))
    assert values["accuracy"] == pytest.approx(0.5)
    assert values["balanced_accuracy"] == values["recall_macro"] == pytest.approx(1 / 3)
    assert values["precision_macro"] == pytest.approx(0.5 / 3)
    assert values["f1_macro"] == pytest.approx(2 / 3 / 3)
    assert (values["recall/cat"], values["recall/dog"], values["precision/dog"]) == (1, 0, 0)
    assert values["top_2_accuracy"] == pytest.approx(0.75)
    assert values["log_loss"] == pytest.approx(-(20 * np.log(0.5) + 10 * np.log(0.3) + 10 * np.log(0.2)) / 40)
    assert values["calibration_error"] == pytest.approx(0)  # it says 50 %, and 50 % are right
    low, high = intervals["accuracy"]
    assert 0.3 < low < 0.5 < high < 0.7


def test_every_interval_holds_its_value_and_is_deterministic():
    rng = np.random.default_rng(0)
    probability = rng.dirichlet(np.ones(3), size=200)
    found = table(rng.integers(3, size=200).tolist(), probability.tolist())
    values, intervals = classification().scores(found)
    assert classification().scores(found) == (values, intervals)
    assert {"accuracy", "f1_macro", "log_loss", "top_3_accuracy"} <= set(intervals) <= set(values)
    for name, (low, high) in intervals.items():
        assert low <= values[name] <= high, name


def test_there_are_at_most_as_many_top_places_as_classes():
    values, _ = classification(top_k=5).scores(table([0, 1], [[0.9, 0.1, 0.0], [0.9, 0.1, 0.0]]))
    assert values["top_3_accuracy"] == 1
    assert "top_5_accuracy" not in values


def test_reconstructions():
    evaluation = Reconstruction(data=predicted(CLASSES), headline={"error": "min"})
    outputs = {"error": np.array([0.1, 0.3, 0.2]), "latent": np.arange(6).reshape(3, 2)}  # the first number is zero
    found = pd.DataFrame(evaluation.columns(outputs, np.array([0, 1, 2])))
    assert list(found.columns) == ["target", "prediction", "latent_0", "latent_1"]
    values, intervals = evaluation.scores(found)
    assert values.pop("active") == pytest.approx(5 / 6)
    assert values == {"error": pytest.approx(0.2), "error_worst": 0.3, "explained_variance": pytest.approx(0.8)}
    low, high = intervals["error"]
    assert 0.1 <= low < 0.2 < high <= 0.3
    assert intervals["explained_variance"] == (pytest.approx(1 - high), pytest.approx(1 - low))


@pytest.fixture
def experiment(images):
    """A fitted classical estimator on random pictures, with what evaluation reads of an experiment."""
    from sklearn.neighbors import KNeighborsClassifier

    data = images()
    learner = Classical(model=lambda: KNeighborsClassifier(1), data=data, objective=Objective("val/accuracy", "max"), seed=0)
    learner.estimator.fit(learner._features(data, data.rows("train")), data.targets(data.rows("train")))
    evaluation = Classification(data=data, headline=HEADLINE)
    config = {"evaluation": {"top_k": 3}, "robustness": None}
    return SimpleNamespace(data=data, prepared=data.prepared, learner=learner, evaluation=evaluation, config=config)


@pytest.mark.parametrize("part", ["train", "val", "test"])
def test_a_part_is_evaluated_row_by_row(experiment, part):
    result = core.evaluate(experiment, part)
    rows = experiment.prepared.index(part)
    assert result.table["index"].tolist() == rows.tolist()
    assert result.table["target"].tolist() == experiment.data.targets(rows).tolist()
    right = (result.table["target"] == result.table["prediction"]).mean()
    assert result.metrics[f"{part}/accuracy"] == pytest.approx(right)
    assert all(name.startswith(f"{part}/") for name in (*result.metrics, *result.intervals))
    assert right == 1 or part != "train"  # the nearest neighbour of a training example is itself


def test_what_is_saved_can_be_read_and_does_not_change(experiment, tmp_path):
    result = core.evaluate(experiment, "test", tmp_path)
    (tmp_path / "metrics.json").write_text('{"val/accuracy": 0.25, "test/accuracy": -1}')
    written = core.save(result, tmp_path, experiment)
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "predictions.parquet"), result.table)
    metrics = core.read_json(tmp_path / "metrics.json")
    assert metrics["val/accuracy"] == 0.25
    assert metrics["test/accuracy"] == result.metrics["test/accuracy"]
    assert set(core.read_json(tmp_path / "intervals.json")) == set(result.intervals)
    judged = {"evaluation": {"top_k": 3}, "explanation": None, "robustness": None}
    assert core.read_json(tmp_path / "evaluation_settings.json") == judged
    assert {path.name for path in written} == {"confusion.png", "reliability.png", "mistakes.png"}
    before = {path.name: path.read_bytes() for path in (*written, tmp_path / "predictions.parquet")}
    core.save(core.evaluate(experiment, "test", tmp_path), tmp_path, experiment)
    assert before == {path.name: path.read_bytes() for path in (*written, tmp_path / "predictions.parquet")}


@pytest.mark.parametrize("rows", [1, 5, 1000])
def test_predictions_are_written_in_pieces(experiment, tmp_path, monkeypatch, rows):
    whole = core.evaluate(experiment, "train")
    monkeypatch.setattr(core, "PIECE", rows)
    written = core.evaluate(experiment, "train", tmp_path)
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "predictions.parquet"), whole.table)
    pd.testing.assert_frame_equal(written.table, whole.table)
    assert written.metrics == whole.metrics


def test_predictions_that_break_off_leave_the_file_as_it_was(experiment, tmp_path, monkeypatch):
    folder = tmp_path / "run"
    core.evaluate(experiment, "test", folder)
    before = (folder / "predictions.parquet").read_bytes()
    predict = experiment.learner.predict

    def broken(*arguments):
        yield next(predict(*arguments))
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(experiment.learner, "predict", broken)
    monkeypatch.setattr(core, "PIECE", 1)
    with pytest.raises(OSError, match="No space left"):
        core.evaluate(experiment, "train", folder)
    assert [path.name for path in folder.iterdir()] == ["predictions.parquet"]
    assert (folder / "predictions.parquet").read_bytes() == before


def test_latency_is_that_of_one_example_and_of_a_batch(experiment):
    found = core.latency(experiment, budget=0.0)
    assert set(found) == {"latency_one_ms", "latency_batch_ms"}
    assert min(found.values()) > 0
