"""Normal and anomalous examples, told by their errors."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from sklearn.decomposition import PCA

from src.data.images import Images
from src.estimators.projection import Projection
from src.evaluation import scoring
from src.evaluation.anomaly import Anomaly
from src.protocols import NullSink
from tests.evaluation import data as predicted

DATA = predicted(["cat", "dog", "a fish"], keep={"train": [1]})
HEADLINE = {"auroc": "max"}


def table(target: list[int], error: list[float]) -> pd.DataFrame:
    evaluation = Anomaly(data=DATA, headline=HEADLINE)
    return pd.DataFrame(evaluation.columns({"error": np.array(error)}, np.array(target)))


def test_classes_that_were_not_trained_on_are_anomalous():
    assert table([0, 1, 2, 1], [0.1, 0.2, 0.3, 0.4])["anomalous"].tolist() == [True, False, True, False]


def test_errors_that_tell_them_apart_and_errors_that_do_not():
    target = [1] * 10 + [0] * 10 + [2] * 10
    apart = table(target, [*np.linspace(0, 1, 10), *np.linspace(2, 3, 10), *np.linspace(-2, -1, 10)])
    values, intervals = Anomaly(data=DATA, headline=HEADLINE).scores(apart)
    assert (values["auroc/cat"], values["auroc/a fish"], values["auroc"]) == (1, 0, 0.5)
    assert "auroc/dog" not in values
    assert values["average_precision"] > 0.5
    for name in ("auroc", "average_precision"):
        low, high = intervals[name]
        assert low < values[name] < high


def test_a_split_without_anomalies_has_its_errors_alone():
    values, intervals = Anomaly(data=DATA, headline=HEADLINE).scores(table([1, 1, 1], [0.1, 0.2, 0.6]))
    assert values == {"error": pytest.approx(0.3)}
    assert set(intervals) == {"error"}


@pytest.mark.parametrize("keep", [{}, {"val": [1]}])
def test_the_normal_classes_must_be_named(keep):
    with pytest.raises(ValueError, match=r"data\.keep\.train: expected the classes that count as normal"):
        Anomaly(data=predicted(DATA.classes, keep=keep), headline=HEADLINE)


@pytest.mark.parametrize("quantile", [0.0, 1.0, 5.0])
def test_a_quantile_that_is_none_is_refused(quantile):
    with pytest.raises(ValueError, match=r"evaluation\.quantile: expected a number between 0 and 1"):
        Anomaly(data=DATA, headline=HEADLINE, quantile=quantile)


@pytest.fixture
def experiment(images, tmp_path):
    """Principal components of the darkest pictures; the others are brighter."""
    whole = images(300)
    keep = {"train": [0], "val": [0]}
    data = Images(prepared=whole.prepared, shape=[1, 8, 8], num_classes=3, batch_size=16, keep=keep)
    learner = Projection(model=lambda: PCA(4), data=data, objective={}, seed=0)
    learner.fit(data, folder=tmp_path / "run", sink=NullSink())
    evaluation = Anomaly(data=data, headline=HEADLINE, quantile=0.9)
    return SimpleNamespace(
        data=data, prepared=data.prepared, learner=learner, evaluation=evaluation, config={"evaluation": {"quantile": 0.9}}
    )


@pytest.mark.slow
def test_the_threshold_is_a_quantile_of_validation(experiment, tmp_path):
    val, test = (scoring.evaluate(experiment, split) for split in ("val", "test"))
    threshold = np.quantile(val.table["prediction"], 0.9)
    assert val.metrics["val/threshold"] == test.metrics["test/threshold"] == pytest.approx(threshold)
    assert 0 < val.metrics["val/false_positive_rate"] <= 0.2
    assert "val/recall" not in val.metrics
    anomalies = test.table[test.table["anomalous"]]
    assert test.metrics["test/recall"] == pytest.approx((anomalies["prediction"] > threshold).mean())
    assert test.metrics["test/auroc"] > 0.8
    assert set(test.table["target"]) == {0, 1, 2}
    figures = {one.split: {path.stem for path in scoring.save(experiment, one, tmp_path / one.split)} for one in (val, test)}
    assert figures == {"val": {"scores", "reconstructions"}, "test": {"scores", "reconstructions", "roc", "misses"}}
