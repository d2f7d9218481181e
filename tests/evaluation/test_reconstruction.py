"""Scores of reconstructions."""

import numpy as np
import pandas as pd
import pytest

from src.evaluation.reconstruction import Reconstruction
from tests.evaluation import data as predicted


def test_a_table_of_reconstructions_gives_their_errors():
    evaluation = Reconstruction(data=predicted(["cat", "dog", "a fish"]), headline={"error": "min"})
    outputs = {"error": np.array([0.1, 0.3, 0.2]), "latent": np.arange(6).reshape(3, 2)}  # the first number is zero
    table = pd.DataFrame(evaluation.columns(outputs, np.array([0, 1, 2])))
    assert list(table.columns) == ["target", "prediction", "latent_0", "latent_1"]
    values, intervals = evaluation.scores(table)
    assert values.pop("active") == pytest.approx(5 / 6)
    assert values == {"error": pytest.approx(0.2), "error_worst": 0.3, "explained_variance": pytest.approx(0.8)}
    low, high = intervals["error"]
    assert 0.1 <= low < 0.2 < high <= 0.3
    assert intervals["explained_variance"] == (pytest.approx(1 - high), pytest.approx(1 - low))
