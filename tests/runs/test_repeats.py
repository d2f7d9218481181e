"""The mean over seeds or folds, and its interval."""

import numpy as np
import pytest
from scipy.stats import t

from src.runs.repeats import Mean, Value, mean


def test_one_run_has_no_interval():
    assert mean([Value(0.5, 0)]) == Mean(0.5, None, None)


def test_the_interval_over_seeds_is_that_of_student():
    scores = np.array([0.8, 0.9, 0.85, 0.7])
    result = mean([Value(score, None) for score in scores])
    assert (result.value, result.deviation) == pytest.approx((scores.mean(), scores.std(ddof=1)))
    expected = t.interval(0.95, 3, scores.mean(), scores.std(ddof=1) / 2)
    assert result.interval == pytest.approx(expected)
    assert mean([Value(score, 2) for score in scores]) == result, "seeds of one fold are seeds"


def test_folds_are_not_independent_and_seeds_of_a_fold_count_once():
    scores = np.array([0.8, 0.9, 0.85, 0.7, 0.75])
    reach = t.ppf(0.975, 4) * scores.std(ddof=1) * np.sqrt(1 / 5 + 1 / 4)
    folds = mean([Value(score, fold) for fold, score in enumerate(scores)])
    assert folds.interval == pytest.approx((0.8 - reach, 0.8 + reach))
    both = mean([Value(score + change, fold) for fold, score in enumerate(scores) for change in (-0.01, 0.01)])
    assert both.value == pytest.approx(0.8)
    assert both.interval == pytest.approx(folds.interval)
