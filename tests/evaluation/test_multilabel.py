"""Scores of several labels, against scikit-learn's."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as reference

from src import metrics
from src.config import assembly, composition
from src.evaluation import scoring
from src.evaluation.multilabel import MultiLabel
from src.evaluation.plotting import write
from src.evaluation.resampling import bootstrap

CLASSES = ["cat", "dog", "fish"]


@pytest.fixture
def predicted() -> tuple[MultiLabel, pd.DataFrame, np.ndarray, np.ndarray]:
    """An evaluation, its table, targets and probabilities, some of which are equal."""
    rng = np.random.default_rng(0)
    target = (rng.random((200, 3)) < (0.5, 0.2, 0.05)).astype(np.uint8)
    probability = (0.4 * target + rng.random((200, 3)) * 0.6).round(2).astype(np.float32)
    evaluation = MultiLabel(data=SimpleNamespace(classes=CLASSES), headline={"f1_macro": "max"})
    return evaluation, pd.DataFrame(evaluation.columns({"probability": probability}, target)), target, probability


def test_scores_are_those_of_scikit_learn(predicted):
    evaluation, table, target, probability = predicted
    values, intervals = evaluation.scores(table)
    prediction = probability >= 0.5
    assert values["subset_accuracy"] == pytest.approx(reference.accuracy_score(target, prediction))
    assert values["label_accuracy"] == pytest.approx(1 - reference.hamming_loss(target, prediction))
    for kind in ("macro", "micro"):
        assert values[f"f1_{kind}"] == pytest.approx(reference.f1_score(target, prediction, average=kind))
    expected = reference.average_precision_score(target, probability, average=None)
    assert [values[f"average_precision/{name}"] for name in CLASSES] == pytest.approx(expected)
    assert values["average_precision_macro"] == pytest.approx(np.mean(expected))
    assert set(intervals) == set(values)
    assert all(low <= values[name] <= high for name, (low, high) in intervals.items())


def test_a_label_that_is_neither_true_nor_predicted_has_no_score(predicted):
    evaluation, _, target, probability = predicted
    target, probability = target.copy(), probability.copy()
    target[:, 2], probability[:, 2] = 0, 0.1
    values, _ = evaluation.scores(pd.DataFrame(evaluation.columns({"probability": probability}, target)))
    assert np.isnan(values["f1/fish"])
    assert values["f1_macro"] == pytest.approx((values["f1/cat"] + values["f1/dog"]) / 2)


def test_average_precision_of_drawn_examples(predicted):
    _, _, target, probability = predicted
    drawn = bootstrap(200, resamples=20)
    scores = metrics.average_precision(target[:, 1], probability[:, 1], drawn)
    expected = [reference.average_precision_score(target[:, 1], probability[:, 1], sample_weight=row) for row in drawn]
    assert scores == pytest.approx(expected)
    assert np.isnan(metrics.average_precision(np.zeros(200), probability[:, 1], drawn)).all()


def test_its_figures_are_drawn(predicted, tmp_path):
    evaluation, table, _, _ = predicted
    figures = evaluation.figures(None, table)
    assert set(figures) == {"thresholds", "labels"}
    for name, figure in figures.items():
        assert write(figure, tmp_path / f"{name}.png").stat().st_size > 5000


def test_the_surest_mistakes_are_worth_a_closer_look(predicted):
    evaluation, table, target, probability = predicted
    chosen = evaluation.examples(table, mistakes=4, right=3)
    rows, labels = chosen.index.to_numpy(), chosen["prediction"].to_numpy()
    off = np.abs(target - probability)
    wrong = ((probability >= 0.5) != target).any(axis=1)
    assert wrong[rows].tolist() == [True] * 4 + [False] * 3
    assert off[rows[:4]].max(axis=1).tolist() == sorted(off[wrong].max(axis=1), reverse=True)[:4]
    assert labels[:4].tolist() == off[rows[:4]].argmax(axis=1).tolist()
    for row, label, caption in zip(rows, labels, chosen["caption"], strict=True):
        there = "is there" if target[row, label] else "is not there"
        assert caption == f"{CLASSES[label]}, {probability[row, label]:.0%}\n{there}"


@pytest.mark.slow
def test_its_answers_are_explained(canvases, tmp_path):
    config, prepared = canvases
    config = composition.compose(["+experiment=multilabel", "explanation=default", "trainer.accelerator=cpu"])
    experiment = assembly.build(assembly.complete(config, prepared), prepared)
    result = scoring.analyse(experiment, scoring.evaluate(experiment, "test"), tmp_path)
    assert {"saliency_randomised_correlation", "grad_cam_randomised_correlation"} <= {
        name.partition("/")[2] for name in result.metrics
    }
    assert (tmp_path / "figures/explanation.png").is_file()
