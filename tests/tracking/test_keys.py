"""Names as MLflow takes them, from which the own ones can be read back."""

import re

import pytest
from mlflow.utils.validation import _validate_metric_name, _validate_param_name

from src.tracking.keys import metric_key, mlflow_key

NAMES = [
    *("optimizer.lr", "val/accuracy", "space.model=fnn.model.hidden", "space.model=cnn.model.hidden", "test/f1/T-shirt/top"),
    *("test/auroc/a:b", "test/auroc/a=b", "test/auroc/a_b", "test/auroc/a;3d;b", "test/auroc/a:3d:b", "test/auroc/{ü, %41}"),
    *("a//b", "a/b", "../a", "/a", ".", "..", "a/../b", "a/"),
]


@pytest.mark.parametrize("name", NAMES)
def test_mlflow_takes_it_and_it_can_be_read_back(name):
    key = mlflow_key(name)
    _validate_metric_name(key)
    _validate_param_name(key)
    assert re.sub(":([0-9a-f]+):", lambda match: chr(int(match[1], 16)), key) == name


def test_different_names_stay_different_and_plain_ones_as_they_are():
    assert len({mlflow_key(name) for name in NAMES}) == len(NAMES)
    assert mlflow_key("model.network.aux_logits") == "model.network.aux_logits"
    assert mlflow_key("a b/c-d_e.f") == "a b/c-d_e.f"
    long = "x" * 300
    assert len(mlflow_key(long)) == len(mlflow_key(f"{long}y")) == 250
    assert mlflow_key(long) != mlflow_key(f"{long}y")


def test_single_values_are_bars_behind_the_curves():
    curves = [metric_key("train/loss", 20), metric_key("val/f1/a=b", 73)]
    assert curves == [("train/loss", 20), ("val/f1/a:3d:b", 73)]
    singles = [metric_key("best/val/accuracy", 73), metric_key("test/f1/a=b", 73), metric_key("timing/fit_seconds", 73)]
    assert singles == [("values/best/val/accuracy", 0), ("values/test/f1/a:3d:b", 0), ("values/timing/fit_seconds", 0)]
    assert sorted([*singles, *curves]) == [*curves, *singles]
