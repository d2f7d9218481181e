"""Classical methods that code examples and build them up again."""

import joblib
import numpy as np
import pytest
from sklearn.decomposition import PCA, FastICA
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC

from src.errors import InputError
from src.estimators.classical import Classical, Projection
from src.protocols import NullSink, Objective
from tests.sinks import ListSink


def projection(images, model) -> tuple[Projection, object]:
    data = images()
    return Projection(model=model, data=data, objective=Objective("val/error", "min"), seed=0), data


@pytest.mark.parametrize("model", [lambda: PCA(5), lambda: FastICA(4, random_state=0, tol=0.5)], ids=["pca", "ica"])
def test_it_reconstructs_and_its_package_does_the_same(images, tmp_path, model):
    learner, data = projection(images, model)
    sink = ListSink()
    learner.fit(data, folder=tmp_path, sink=sink)
    rows = data.rows("val")
    (outputs,) = learner.predict(data, rows)
    original = data.normalise(data.inputs(rows))
    assert outputs["reconstruction"].shape == original.shape
    expected = np.square(outputs["reconstruction"] - original).mean(axis=(1, 2, 3))
    assert np.allclose(outputs["error"], expected, atol=1e-5)
    assert sink.metrics == [{"val/error": pytest.approx(expected.mean(), rel=1e-4)}]
    assert 0 < expected.mean() < original.var()
    pixels = data.inputs(rows) / 255 + (outputs["reconstruction"] - original) * data.std.reshape(1, -1, 1, 1)
    assert np.allclose(learner.generate(outputs["latent"]), pixels.clip(0, 1), atol=1e-4)
    package = learner.package(tmp_path / "model", data.inputs(rows).astype(np.float32))
    predictor = joblib.load(tmp_path / "model" / package["file"])
    made = getattr(predictor, package["answer"])(np.load(tmp_path / "model" / package["example"]))
    assert np.allclose(made, outputs["reconstruction"].reshape(len(rows), -1), atol=1e-5)


def test_it_comes_back_from_its_files(images, tmp_path):
    learner, data = projection(images, lambda: PCA(5))
    learner.fit(data, folder=tmp_path, sink=NullSink())
    (expected,) = learner.predict(data, data.rows("test"))
    for path in (tmp_path / "best.ckpt", learner.export(tmp_path / "exported")):
        learner.estimator = None
        learner.load(path)
        (found,) = learner.predict(data, data.rows("test"))
        assert np.array_equal(found["error"], expected["error"])


def test_what_cannot_come_back_is_refused(images):
    learner, data = projection(images, LogisticRegression)
    with pytest.raises(InputError, match=r"LogisticRegression has no transform and no inverse_transform\. Choose model=pca"):
        learner.check(data)


def test_a_classifier_without_probabilities_is_refused(images):
    learner = Classical(model=LinearSVC, data=(data := images()), objective=Objective("val/accuracy", "max"), seed=0)
    with pytest.raises(InputError, match=r"LinearSVC has no predict_proba\. Choose another one, or a file"):
        learner.check(data)
