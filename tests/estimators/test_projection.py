"""Classical methods that encode and decode examples."""

import numpy as np
import pytest
import skops.io
from sklearn.decomposition import PCA, FastICA
from sklearn.linear_model import LogisticRegression

from src.errors import InputError
from src.estimators.projection import Projection
from tests.sinks import ListSink


@pytest.mark.parametrize("model", [lambda: PCA(5), lambda: FastICA(4, random_state=0, tol=0.5)], ids=["pca", "ica"])
def test_its_package_reconstructs_as_it_does(images, tmp_path, model):
    data = images()
    learner, sink = Projection(model=model, data=data), ListSink()
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
    predictor = skops.io.load(tmp_path / "model" / package["file"], trusted=package["trusted"])
    reconstruction = getattr(predictor, package["method"])(np.load(tmp_path / "model" / package["example"]))
    assert np.allclose(reconstruction, outputs["reconstruction"].reshape(len(rows), -1), atol=1e-5)


def test_a_method_without_an_inverse_is_refused(images):
    data = images()
    with pytest.raises(InputError, match=r"LogisticRegression has no transform and no inverse_transform\. Choose model=pca"):
        Projection(model=LogisticRegression, data=data).check(data)
