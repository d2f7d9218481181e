"""Scores over all thresholds of a probability."""

import numpy as np
import pytest

from src.evaluation import thresholds


def test_scores_at_each_threshold():
    scores = thresholds.at_each(np.array([1, 0, 3]), np.array([5, 1, 0]))
    assert scores["precision"] == pytest.approx([4 / 10, 3 / 4, 1])
    assert scores["recall"] == pytest.approx([1, 3 / 4, 3 / 4])
    assert scores["dice"] == pytest.approx([8 / 14, 6 / 8, 6 / 7])
