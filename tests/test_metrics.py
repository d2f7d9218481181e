"""Metrics as pure functions, against scikit-learn's and by hand."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from sklearn import metrics as reference

from src import metrics

SIZES = st.tuples(st.integers(1, 60), st.integers(2, 7))
SEEDS = st.integers(0, 2**32 - 1)


@st.composite
def labels(draw) -> tuple[np.ndarray, np.ndarray, int]:
    count, classes = draw(SIZES)
    target, prediction = (draw(arrays.arrays(np.int64, count, elements=st.integers(0, classes - 1))) for _ in range(2))
    return target, prediction, classes


@st.composite
def probabilities(draw) -> tuple[np.ndarray, np.ndarray]:
    """Targets, and probabilities without ties that sum to 1."""
    count, classes = draw(SIZES)
    target = draw(arrays.arrays(np.int64, count, elements=st.integers(0, classes - 1)))
    logits = np.random.default_rng(draw(SEEDS)).normal(scale=draw(st.sampled_from([0.1, 1.0, 5.0])), size=(count, classes))
    weights = np.exp(logits)
    return target, weights / weights.sum(axis=1, keepdims=True)


@given(labels())
def test_confusion(case):
    target, prediction, classes = case
    expected = reference.confusion_matrix(target, prediction, labels=range(classes))
    assert np.array_equal(metrics.confusion(target, prediction, classes), expected)


@pytest.mark.slow
@given(labels())
def test_scores_from_a_confusion(case):
    target, prediction, classes = case
    scores = metrics.from_confusion(metrics.confusion(target, prediction, classes))
    present = np.unique(target)  # a class without examples is left out of the means
    scored = {"labels": range(classes), "average": None}
    each = (
        np.where(
            np.isin(range(classes), [*target, *prediction]),
            reference.precision_score(target, prediction, zero_division=0, **scored),
            np.nan,
        ),
        reference.recall_score(target, prediction, zero_division=np.nan, **scored),
        reference.f1_score(target, prediction, zero_division=np.nan, **scored),
    )
    mean = reference.precision_recall_fscore_support(target, prediction, labels=present, average="macro", zero_division=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about classes that are predicted and not there
        balanced = reference.balanced_accuracy_score(target, prediction)
    assert scores["accuracy"] == pytest.approx(reference.accuracy_score(target, prediction))
    assert scores["balanced_accuracy"] == pytest.approx(balanced)
    for i, name in enumerate(("precision", "recall", "f1")):
        assert scores[name] == pytest.approx(each[i], nan_ok=True)
        assert scores[f"{name}_macro"] == pytest.approx(mean[i])


@pytest.mark.slow
@given(st.lists(labels(), min_size=1, max_size=4))
def test_many_confusions_are_scored_independently(cases):
    counts = [metrics.confusion(target, prediction, 7) for target, prediction, _ in cases]
    together = metrics.from_confusion(np.stack(counts))
    for i, one in enumerate(counts):
        for name, value in metrics.from_confusion(one).items():
            assert together[name][i] == pytest.approx(value, nan_ok=True)


@given(probabilities())
def test_log_losses(case):
    target, probability = case
    losses = metrics.log_losses(target, probability)
    assert losses.shape == target.shape
    assert losses.mean() == pytest.approx(reference.log_loss(target, probability, labels=range(probability.shape[1])))


def test_a_log_loss_is_finite_where_the_true_class_has_probability_zero():
    assert metrics.log_losses(np.array([0]), np.array([[0.0, 1.0]])) == pytest.approx([-np.log(1e-12)])


@given(probabilities(), st.integers(1, 7))
def test_top_k(case, k):
    target, probability = case
    classes = probability.shape[1]
    hits = metrics.in_top_k(target, probability, k)
    assert set(hits) <= {0.0, 1.0}
    if k >= classes:
        assert hits.all()
    elif classes > 2:  # for two, scikit-learn expects only the second column
        assert hits.mean() == pytest.approx(reference.top_k_accuracy_score(target, probability, k=k, labels=range(classes)))


def test_top_k_breaks_ties_by_order():
    probability = np.array([[0.4, 0.4, 0.2], [0.2, 0.4, 0.4]])
    assert metrics.in_top_k(np.array([1, 2]), probability, 1).tolist() == [0, 0]
    assert metrics.in_top_k(np.array([0, 1]), probability, 1).tolist() == [1, 1]


def two_classes(*predictions: tuple[float, bool]) -> tuple[np.ndarray, np.ndarray]:
    """Predictions of class 0, each with its confidence and whether it is correct."""
    confidence = np.array([value for value, _ in predictions])
    return np.array([0 if correct else 1 for _, correct in predictions]), np.stack([confidence, 1 - confidence], axis=1)


@pytest.mark.parametrize(
    ("predictions", "expected"),
    [
        ([(1.0, True)] * 4, 0.0),
        ([(1.0, False)] * 4, 1.0),
        ([(0.75, True)] * 3 + [(0.75, False)], 0.0),  # confidence 75 %, accuracy 75 %
        ([(0.95, True), (0.95, False)], 0.45),
        ([(0.55, True), (0.55, True), (0.95, True), (0.95, False)], 0.5 * 0.45 + 0.5 * 0.45),
        ([(0.55, True), (0.95, True), (0.95, True), (0.95, False)], 0.25 * 0.45 + 0.75 * (0.95 - 2 / 3)),
        ([(0.62, True), (0.68, False)], 0.15),  # in one bin: confidence 65 %, accuracy 50 %
    ],
)
def test_calibration_error_by_hand(predictions, expected):
    assert metrics.calibration_error(*two_classes(*predictions)) == pytest.approx(expected)


def test_calibration_bins_by_hand():
    confidence, accuracy, count = metrics.calibration_bins(*two_classes((0.62, True), (0.68, False), (0.9, True), (1.0, True)))
    assert confidence == pytest.approx([0.65, 0.95])
    assert accuracy == pytest.approx([0.5, 1.0])
    assert count.tolist() == [2, 2]


@given(probabilities(), st.integers(1, 20))
def test_calibration_bins_hold_every_example(case, bins):
    target, probability = case
    confidence, accuracy, count = metrics.calibration_bins(target, probability, bins)
    assert count.sum() == len(target)
    assert count.min() > 0
    assert (confidence * count).sum() == pytest.approx(probability.max(axis=1).sum())
    assert (accuracy * count).sum() == pytest.approx((probability.argmax(axis=1) == target).sum())
    assert 0 <= metrics.calibration_error(target, probability, bins) <= 1


def test_the_frechet_distance_of_normal_distributions():
    rng = np.random.default_rng(0)
    one = rng.normal(size=(50_000, 3)) * [1.0, 2.0, 0.5]
    other = rng.normal(size=(50_000, 3)) * [2.0, 2.0, 1.5] + [0.0, 3.0, 0.0]
    assert metrics.frechet_distance(one, other) == pytest.approx(9 + 1 + 1, rel=0.02)  # between means, and deviations
    assert metrics.frechet_distance(one, one) == pytest.approx(0, abs=1e-9)
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    assert metrics.frechet_distance(one @ turn, other @ turn) == pytest.approx(metrics.frechet_distance(one, other))
    assert metrics.frechet_distance(one[:, :1], other[:, :1]) == pytest.approx(1, rel=0.05)


def test_the_frechet_distance_with_fewer_examples_than_features():
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=(10, 40)), rng.normal(size=(12, 40))
    spread, against = np.cov(one, rowvar=False), np.cov(other, rowvar=False)
    cross = np.sqrt(
        np.linalg.eigvals(spread @ against).real.clip(0)
    ).sum()  # of the root of the product, which is not symmetric
    apart = ((one.mean(axis=0) - other.mean(axis=0)) ** 2).sum()
    expected = apart + np.trace(spread) + np.trace(against) - 2 * cross
    assert metrics.frechet_distance(one, other) == pytest.approx(expected, rel=1e-4)


def test_precision_and_recall_of_generated_examples():
    rng = np.random.default_rng(0)
    real = np.concatenate([rng.normal(size=(200, 2)), rng.normal(size=(200, 2)) + 50])
    one_mode = rng.normal(size=(300, 2)) * 0.5
    precision, recall = metrics.precision_recall(real, one_mode)
    assert precision > 0.95
    assert 0.2 < recall < 0.55
    both = np.concatenate([real[:100] + 0.01, real[200:300] + 0.01, rng.normal(size=(200, 2)) + 500])
    precision, recall = metrics.precision_recall(real, both)
    assert precision == pytest.approx(0.5, abs=0.01)
    assert recall > 0.85
    assert metrics.precision_recall(real, real) == (1, 1)


def test_precision_and_recall_need_a_third_neighbour():
    points = np.random.default_rng(0).random((4, 2))
    assert np.isfinite(metrics.precision_recall(points, points)).all()
    assert np.isnan(metrics.precision_recall(points[:3], points)).all()
    assert np.isnan(metrics.precision_recall(points, points[:3])).all()


def test_the_area_under_the_curve_is_that_of_scikit_learn():
    rng = np.random.default_rng(0)
    target = rng.integers(0, 2, 200)
    score = (0.3 * target + rng.random(200)).round(1)  # many are equal
    repeats = rng.integers(0, 4, (20, 200))
    expected = [reference.roc_auc_score(target, score, sample_weight=row) for row in repeats]
    assert metrics.auroc(target, score, repeats) == pytest.approx(expected)
    assert np.isnan(metrics.auroc(np.zeros(200), score, repeats)).all()
