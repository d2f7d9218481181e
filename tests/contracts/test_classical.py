"""What every classical estimator of conf/model must do."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skops.io
from hydra.utils import instantiate

from src.data import store
from src.data.images import Images
from src.errors import InputError
from src.estimators.classifier import Classifier
from src.estimators.projection import Projection
from tests import texts
from tests.contracts.models import CLASSICAL, PROJECTIONS, small
from tests.pictures import Arrays, noise
from tests.sinks import ListSink

Fitted = tuple[Any, Images, Path]


@pytest.fixture
def fitted(tmp_path) -> Callable[..., Fitted]:
    """Fits a classical model to random pictures, of which the training split may lack a class."""

    def fit(name: str, *, lacking: int | None = None, kind: type = Classifier, metric: str = "val/accuracy") -> Fitted:
        content = small(name)
        if "tokenizer" in content["data"]:
            return fit_texts(content, lacking, metric)
        classes, shape = content["data"]["num_classes"], content["data"]["shape"]
        image, target = noise(90, shape=shape, num_classes=classes)
        rows = np.arange(60)
        splits = {"train": rows[target[:60] != lacking], "val": np.arange(60, 75), "test": np.arange(75, 90)}
        source = Arrays(image, target, num_classes=classes, splits=splits)
        prepared = store.prepare(tmp_path / "d", source, name="noise", split={"seed": 0}, max_duplicates=0.0)
        data = Images(prepared=prepared, shape=shape, num_classes=classes, batch_size=8)
        model = instantiate(content["model"], _partial_=True)
        return train(kind(model=model, data=data), data, metric)

    def fit_texts(content: Any, lacking: int | None, metric: str) -> Fitted:
        table = texts.write(tmp_path / "texts.csv", 75)
        lines = table.read_text().splitlines()
        label = None if lacking is None else sorted(texts.OWN)[lacking]
        table.write_text("\n".join(line for line in lines if f"{label},train" not in line))
        data = texts.data(texts.prepare(tmp_path / "d", table))
        model = instantiate(content["model"], _partial_=True)
        return train(Classifier(model=model, data=data), data, metric)

    def train(learner: Any, data: Any, metric: str) -> Fitted:
        sink = ListSink()
        result = learner.fit(data, folder=tmp_path, sink=sink)
        assert (result.epochs, result.steps) == (1, 1)
        assert set(sink.metrics[0]) == {metric}
        return learner, data, tmp_path

    return fit


def probabilities(learner: Classifier, data: Images, split: str = "test") -> np.ndarray:
    return np.concatenate([outputs["probability"] for outputs in learner.predict(data, data.rows(split))])


@pytest.mark.parametrize("name", CLASSICAL)
def test_a_classical_model_predicts_probabilities(fitted, name):
    learner, data, _ = fitted(name)
    probability = probabilities(learner, data)
    assert probability.shape == (15, data.num_classes)
    assert np.allclose(probability.sum(axis=1), 1)
    assert probability.min() >= 0
    accuracy = (probabilities(learner, data, "train").argmax(axis=1) == data.targets(data.rows("train"))).mean()
    assert accuracy > 0.5 if name != "most_frequent" else accuracy == pytest.approx(1 / 3)


@pytest.mark.parametrize("name", CLASSICAL)
def test_a_class_that_was_not_trained_on_has_no_probability(fitted, name):
    learner, data, _ = fitted(name, lacking=1)
    probability = probabilities(learner, data)
    assert probability.shape == (15, data.num_classes)
    assert (probability[:, 1] == 0).all()
    assert np.allclose(probability.sum(axis=1), 1)


@pytest.mark.parametrize("name", CLASSICAL)
def test_a_classical_model_is_loaded_from_its_files(fitted, name):
    learner, data, folder = fitted(name)
    expected = probabilities(learner, data)
    for path in (folder / "best.ckpt", learner.export(folder / "exported")):
        learner.estimator = None
        learner.load(path)
        assert np.array_equal(probabilities(learner, data), expected)


@pytest.mark.parametrize("name", CLASSICAL)
def test_a_classical_package_answers_for_stored_examples(fitted, name):
    learner, data, folder = fitted(name)
    stored = learner.exported_example(data, data.rows("test"))
    package = learner.package(folder / "model", stored[:4])
    predictor = skops.io.load(folder / "model" / package["file"], trusted=package["trusted"])
    outputs = predictor.predict_proba(stored.reshape(len(stored), -1) if stored.ndim > 1 else stored)
    assert np.allclose(outputs, probabilities(learner, data), atol=1e-5)
    assert np.load(folder / "model" / package["example"]).size == stored[:4].size


@pytest.mark.parametrize(("name", "takes"), [("tfidf_logistic", "texts"), ("logistic_regression", "numbers")])
def test_a_model_of_other_data_is_refused(fitted, name, takes):
    _, data, _ = fitted("logistic_regression" if takes == "texts" else "tfidf_logistic")
    learner = Classifier(model=instantiate(small(name)["model"], _partial_=True), data=data)
    with pytest.raises(InputError, match=f"expected data with {takes}, as the model takes them"):
        learner.check(data)


@pytest.mark.parametrize("name", PROJECTIONS)
def test_a_projection_is_loaded_from_its_files(fitted, name):
    learner, data, folder = fitted(name, kind=Projection, metric="val/error")
    rows = data.rows("test")
    (outputs,) = learner.predict(data, rows)
    original = data.normalise(data.inputs(rows))
    assert outputs["reconstruction"].shape == original.shape
    assert outputs["latent"].shape == (len(rows), small(name)["model"]["n_components"])
    assert 0 < outputs["error"].mean() < original.var()
    for path in (folder / "best.ckpt", learner.export(folder / "exported")):
        learner.estimator = None
        learner.load(path)
        (again,) = learner.predict(data, rows)
        assert all(np.array_equal(again[key], outputs[key]) for key in outputs)
