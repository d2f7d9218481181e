"""Scores and figures of few classes and of many."""

import tracemalloc
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from src import metrics
from src.data.shown import Picture
from src.evaluation.classification import Classification
from src.evaluation.plotting import write
from src.evaluation.resampling import bootstrap, interval


def classification(count: int, **settings: Any) -> Classification:
    data = SimpleNamespace(classes=[f"class {number}" for number in range(count)])
    return Classification(data=data, headline={"accuracy": "max"}, **settings)


def table(evaluation: Classification, rows: int) -> pd.DataFrame:
    """Random predictions, of which about half are right."""
    rng, count = np.random.default_rng(0), len(evaluation.classes)
    target = rng.integers(count, size=rows)
    probability = rng.dirichlet(np.ones(count), size=rows)
    probability[np.arange(rows), target] += rng.choice([0, 2], size=rows)
    outputs = {"probability": probability / probability.sum(axis=1, keepdims=True)}
    return pd.DataFrame({"index": range(rows), **evaluation.columns(outputs, target)})


def figures(evaluation: Classification, rows: int) -> Mapping[str, Any]:
    experiment: Any = SimpleNamespace(data=SimpleNamespace(show=lambda row: Picture(np.zeros((8, 8), dtype=np.uint8))))
    return evaluation.figures(experiment, table(evaluation, rows))


@pytest.mark.parametrize("rows", [5, 200])  # of 5 examples, many a resample lacks a class
def test_the_intervals_are_those_of_resampled_confusions(rows):
    evaluation = classification(4)
    predictions = table(evaluation, rows)
    pairs = predictions["target"] * 4 + predictions["prediction"]
    cells = np.stack([np.bincount(pairs, weights=row, minlength=16).reshape(4, 4) for row in bootstrap(rows)])
    expected = {name: interval(value) for name, value in metrics.from_confusion(cells).items() if value.ndim == 1}
    _, intervals = evaluation.scores(predictions)
    assert len(expected) == 5
    assert {name: intervals[name] for name in expected} == expected


def test_a_thousand_classes_are_scored_in_the_memory_of_few():
    evaluation = classification(1000)
    predictions = table(evaluation, 500)
    tracemalloc.start()
    try:
        values, intervals = evaluation.scores(predictions)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert intervals["accuracy"][0] < values["accuracy"] < intervals["accuracy"][1]
    assert most < 300 * 2**20  # a confusion of each resample would take 7.5 GiB


@pytest.mark.parametrize(
    ("count", "inches", "names", "numbers"),
    [(4, (4.5, 4), 4, True), (20, (10.5, 10), 20, True), (60, (19.5, 19), 60, False), (1000, (19.5, 19), 0, False)],
)
def test_a_confusion_shows_what_can_be_read(count, inches, names, numbers, tmp_path):
    figure = figures(classification(count), 300)["confusion"]
    ax = figure.axes[0]
    shown = [label.get_text() for label in ax.get_yticklabels() if label.get_text().startswith("class ")]
    assert tuple(figure.get_size_inches()) == pytest.approx(inches)
    assert (len(shown), bool(ax.texts)) == (names, numbers)
    assert ("number" in ax.get_xlabel()) == (not names)
    if count == 1000:
        assert write(figure, tmp_path / "confusion.png").stat().st_size > 0


def test_a_right_class_among_the_first_none_is_refused():
    with pytest.raises(ValueError, match=r"evaluation\.top_k: expected a number of classes from 1; received 0"):
        classification(3, top_k=0)


def animals(**settings: Any) -> Classification:
    data: Any = SimpleNamespace(classes=["cat", "dog", "a fish"])
    return Classification(data=data, headline={"accuracy": "max"}, **settings)


def predicted(target: list[int], probability: list[list[float]]) -> pd.DataFrame:
    outputs = {"probability": np.array(probability)}
    return pd.DataFrame({"index": range(len(target)), **animals().columns(outputs, np.array(target))})


def test_a_table_of_classes_has_the_promised_columns():
    table = predicted([0, 2], [[0.2, 0.7, 0.1], [0.1, 0.1, 0.8]])
    names = ["index", "target", "prediction", "probability_cat", "probability_dog", "probability_a fish"]
    assert list(table.columns) == names
    assert table["prediction"].tolist() == [1, 2]
    assert table["probability_dog"].tolist() == [0.7, 0.1]


def test_a_perfect_predictor():
    target = [0, 1, 2] * 10
    values, intervals = animals().scores(predicted(target, np.eye(3)[target].tolist()))
    for name in ("accuracy", "balanced_accuracy", "precision_macro", "recall_macro", "f1_macro", "top_3_accuracy"):
        assert values[name] == pytest.approx(1)
        assert intervals[name] == (pytest.approx(1), pytest.approx(1))
    assert values["log_loss"] == pytest.approx(0)
    assert values["calibration_error"] == 0
    assert values["f1/a fish"] == values["recall/cat"] == values["precision/dog"] == 1


def test_a_constant_predictor():
    target = [0] * 20 + [1] * 10 + [2] * 10
    values, intervals = animals(top_k=2).scores(predicted(target, [[0.5, 0.3, 0.2]] * 40))
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
    table = predicted(rng.integers(3, size=200).tolist(), probability.tolist())
    values, intervals = animals().scores(table)
    assert animals().scores(table) == (values, intervals)
    assert {"accuracy", "f1_macro", "log_loss", "top_3_accuracy"} <= set(intervals) <= set(values)
    for name, (low, high) in intervals.items():
        assert low <= values[name] <= high, name


def test_there_are_at_most_as_many_top_places_as_classes():
    values, _ = animals(top_k=5).scores(predicted([0, 1], [[0.9, 0.1, 0.0], [0.9, 0.1, 0.0]]))
    assert values["top_3_accuracy"] == 1
    assert "top_5_accuracy" not in values
