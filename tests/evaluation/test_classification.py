"""Scores and figures of few classes and of many."""

import tracemalloc
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from src import metrics
from src.evaluation import core
from src.evaluation.classification import Classification
from src.evaluation.core import bootstrap, interval


def classification(count: int, **settings: Any) -> Classification:
    data = SimpleNamespace(classes=[f"class {number}" for number in range(count)])
    return Classification(data=data, headline={"accuracy": "max"}, **settings)


def table(evaluation: Classification, rows: int) -> pd.DataFrame:
    """Random answers, of which about half are right."""
    rng, count = np.random.default_rng(0), len(evaluation.classes)
    target = rng.integers(count, size=rows)
    probability = rng.dirichlet(np.ones(count), size=rows)
    probability[np.arange(rows), target] += rng.choice([0, 2], size=rows)
    outputs = {"probability": probability / probability.sum(axis=1, keepdims=True)}
    return pd.DataFrame({"index": range(rows), **evaluation.columns(outputs, target)})


def figures(evaluation: Classification, rows: int) -> Mapping[str, Any]:
    experiment: Any = SimpleNamespace(data=SimpleNamespace(inputs=lambda index: np.zeros((len(index), 1, 8, 8))))
    return evaluation.figures(table(evaluation, rows), experiment)


@pytest.mark.parametrize("rows", [5, 200])  # of 5 examples, many a resample lacks a class
def test_the_intervals_are_those_of_resampled_confusions(rows):
    evaluation = classification(4)
    found = table(evaluation, rows)
    pairs = found["target"] * 4 + found["prediction"]
    cells = np.stack([np.bincount(pairs, weights=row, minlength=16).reshape(4, 4) for row in bootstrap(rows)])
    expected = {name: interval(value) for name, value in metrics.from_confusion(cells).items() if value.ndim == 1}
    _, intervals = evaluation.scores(found)
    assert len(expected) == 5
    assert {name: intervals[name] for name in expected} == expected


def test_a_thousand_classes_are_scored_in_the_memory_of_few():
    evaluation = classification(1000)
    found = table(evaluation, 500)
    tracemalloc.start()
    try:
        values, intervals = evaluation.scores(found)
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
        assert core.draw(figure, tmp_path / "confusion.png").stat().st_size > 0


def test_a_right_class_among_the_first_none_is_refused():
    with pytest.raises(ValueError, match=r"evaluation\.top_k: expected a number of classes from 1; received 0"):
        classification(3, top_k=0)
