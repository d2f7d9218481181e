"""Scores of predicted numbers, against scikit-learn's."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as reference

from src import metrics
from src.errors import InputError
from src.evaluation.plotting import write
from src.evaluation.regression import Regression
from src.evaluation.resampling import bootstrap, sums

NAMES = ["age", "weight", "offset"]


def evaluation(names: list[str] | None, mean: Any = (), std: Any = ()) -> Regression:
    card = {"name": "animals", "target_names": names, "statistics": {"target": {"mean": mean, "std": std}}}
    return Regression(data=SimpleNamespace(prepared=SimpleNamespace(card=card)), headline={"rmse": "min"})


@pytest.fixture(params=[1, 3])
def predicted(request) -> tuple[Regression, pd.DataFrame, np.ndarray, np.ndarray]:
    """An evaluation, its table, targets and predictions: one number or three."""
    rng, count = np.random.default_rng(0), request.param
    target = (rng.normal(size=(200, 3)) * (2, 3000, 0.5) + (10, 0, 2000))[:, :count]
    prediction = target + (rng.normal(size=(200, 3)) * (1, 1000, 0.1))[:, :count]
    own = evaluation(NAMES[:count], [10, 0, 2000][:count], [2, 3000, 0.5][:count])
    return own, pd.DataFrame(own.columns({"prediction": prediction}, target)), target, prediction


def test_columns_bear_the_names_of_the_numbers(predicted):
    own, table, _, prediction = predicted
    assert list(table) == [f"{kind}_{name}" for kind in ("target", "prediction") for name in own.names]
    assert table[f"prediction_{own.names[-1]}"].tolist() == prediction[:, -1].tolist()


def test_scores_are_those_of_scikit_learn(predicted):
    own, table, target, prediction = predicted
    values, intervals = own.scores(table)
    assert values["rmse"] == pytest.approx(reference.root_mean_squared_error(target, prediction))
    assert values["mae"] == pytest.approx(reference.mean_absolute_error(target, prediction))
    assert values["r2"] == pytest.approx(reference.r2_score(target, prediction))
    mean = np.broadcast_to([10, 0, 2000][: len(own.names)], target.shape)
    assert values.pop("rmse_of_mean") == pytest.approx(reference.root_mean_squared_error(target, mean))
    if len(own.names) == 1:
        assert set(values) == {"rmse", "mae", "r2"}
    else:
        each = reference.r2_score(target, prediction, multioutput="raw_values")
        assert [values[f"r2/{name}"] for name in NAMES] == pytest.approx(each)
        assert values["rmse/weight"] > 100 * values["rmse/age"]
    assert set(intervals) == set(values)
    assert all(low < values[name] < high for name, (low, high) in intervals.items())


def test_scores_of_drawn_examples(predicted):
    _, _, target, prediction = predicted
    drawn = bootstrap(200, resamples=5)
    scores = metrics.regression_scores(target, prediction, lambda values: sums(drawn, values))
    for name, score in (
        ("rmse", reference.root_mean_squared_error),
        ("mae", reference.mean_absolute_error),
        ("r2", reference.r2_score),
    ):
        expected = [score(target, prediction, sample_weight=row, multioutput="raw_values") for row in drawn]
        assert np.allclose(scores[name], expected)


def test_numbers_that_do_not_differ_have_no_share_of_variance(predicted):
    own, _, target, prediction = predicted
    target = target.copy()
    target[:, 0] = 0.1
    values, _ = own.scores(pd.DataFrame(own.columns({"prediction": prediction}, target)))
    if len(own.names) == 1:
        assert np.isnan(values["r2"])
    else:
        assert np.isnan(values["r2/age"])
        assert values["r2"] == pytest.approx((values["r2/weight"] + values["r2/offset"]) / 2)
    assert np.isfinite(values["rmse"])


def test_the_largest_residuals_are_worth_a_closer_look(predicted):
    own, table, target, prediction = predicted
    chosen = own.examples(table, mistakes=3, right=2)
    error = (np.abs(prediction - target) / ([2, 3000, 0.5][: len(own.names)])).max(axis=1)
    order = np.argsort(-error)
    assert chosen.index.tolist() == [*order[:3], *order[:-3:-1]]
    row, number = order[0], int(chosen["prediction"].iloc[0])
    name = f"{own.names[number]} " if len(own.names) > 1 else ""
    assert chosen["caption"].iloc[0] == f"{name}{prediction[row, number]:.4g}\nis {target[row, number]:.4g}"
    assert len(own.examples(table.head(3), mistakes=2, right=5)) == 3


def test_its_figures_are_drawn(predicted, tmp_path):
    own, table, _, _ = predicted
    figures = own.figures(None, table)
    assert set(figures) == {"predictions", "residuals"}
    for name, figure in figures.items():
        assert write(figure, tmp_path / f"{name}.png").stat().st_size > 5000
        assert [ax.get_title() for ax in figure.axes if ax.get_visible()] == own.names


def test_data_without_numbers_are_refused():
    with pytest.raises(InputError, match="task=regression: expected data with numbers as targets; animals has none"):
        evaluation(None)
