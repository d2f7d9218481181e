"""The file of an estimator gives back the same one, and makes nothing else."""

import io
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.decomposition import PCA
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import SVC

from src.errors import InputError
from src.estimators import skops_file
from src.estimators.classifier import Classifier
from src.protocols import NullSink
from tests.payloads import Payload
from tests.repository import ROOT

ESTIMATORS = {
    "forest": RandomForestClassifier(5, random_state=0),
    "boosting": HistGradientBoostingClassifier(max_iter=3, random_state=0),
    "linear": LogisticRegression(),
    "neighbours": KNeighborsClassifier(3),
    "tree of neighbours": KNeighborsClassifier(3, algorithm="kd_tree"),
    "ball tree": KNeighborsClassifier(3, algorithm="ball_tree"),
    "calibrated": CalibratedClassifierCV(SVC()),
    "projection": PCA(3, random_state=0),
}


def fitted(name: str):
    generator = np.random.default_rng(0)
    return ESTIMATORS[name].fit(generator.normal(size=(120, 8)).astype(np.float32), generator.integers(0, 3, 120))


@pytest.mark.parametrize("name", ESTIMATORS)
def test_the_same_estimator_is_read(tmp_path, name):
    estimator = fitted(name)
    (tmp_path / "best.ckpt").write_bytes(skops_file.dump(estimator))
    again = skops_file.load(tmp_path / "best.ckpt", type(estimator))
    method = "transform" if name == "projection" else "predict_proba"
    inputs = np.random.default_rng(1).normal(size=(50, 8)).astype(np.float32)
    assert np.array_equal(getattr(again, method)(inputs), getattr(estimator, method)(inputs))


@pytest.mark.parametrize("name", ["forest", "boosting", "linear", "neighbours", "projection"])
def test_equal_estimators_have_equal_files(tmp_path, name):
    """Also after they were read: the train stage exports what it has read from a checkpoint."""
    first = skops_file.dump(fitted(name))
    (tmp_path / "best.ckpt").write_bytes(first)
    again = skops_file.load(tmp_path / "best.ckpt", type(ESTIMATORS[name]))
    assert first == skops_file.dump(fitted(name)) == skops_file.dump(again)


class Foreign(DummyClassifier):
    """A class of someone else."""


def test_another_type_is_refused_by_its_name(tmp_path):
    path = tmp_path / "best.ckpt"
    estimator = DummyClassifier()
    estimator.function = os.system
    path.write_bytes(skops_file.dump(estimator))
    with pytest.raises(InputError, match=r"expected types of scikit-learn; received .*(posix|nt|os)\.system"):
        skops_file.load(path, DummyClassifier)
    path.write_bytes(skops_file.dump(Foreign()))
    with pytest.raises(InputError, match=r"received tests\.estimators\.test_skops_file\.Foreign"):
        skops_file.load(path, DummyClassifier)
    assert type(skops_file.load(path, Foreign)) is Foreign  # the class that the configuration names
    path.write_bytes(skops_file.dump(LogisticRegression()))
    with pytest.raises(InputError, match=r"expected a DummyClassifier, as config\.yaml beside it names; received a Logistic"):
        skops_file.load(path, DummyClassifier)


@pytest.mark.parametrize("name", ["best.ckpt", "weights.skops"])
def test_a_pickle_is_not_read(images, tmp_path, name):
    marker, path = tmp_path / "marker", tmp_path / name
    path.write_bytes(pickle.dumps(Payload(marker)))
    learner = Classifier(model=DummyClassifier, data=images())
    with pytest.raises(InputError, match=rf"{name}: expected an estimator in a file of skops"):
        learner.load(path)
    assert not marker.exists()


def test_what_a_learner_writes_holds_no_pickle(images, tmp_path):
    data = images()
    learner = Classifier(model=DummyClassifier, data=data)
    learner.fit(data, folder=tmp_path, sink=NullSink())
    package = learner.package(tmp_path / "model", data.inputs(data.rows("val")).astype(np.float32))
    for path in (tmp_path / "best.ckpt", learner.export(tmp_path), tmp_path / "model" / package["file"]):
        assert skops_file.holds(path)


@pytest.mark.slow
def test_no_walk_through_scikit_learn_imports_torch():
    code = "import sys; from src.estimators import skops_file as s; from sklearn.dummy import DummyClassifier as D; "
    code += "s.dump(D()); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(ROOT), check=False).returncode == 0


def test_what_lies_between_the_fields_of_records_is_left_out():
    """The nodes of a tree are such records. Memory that was used before is no reason for other bytes."""
    kind = np.dtype({"names": ["feature", "left"], "formats": ["<i8", "u1"], "itemsize": 16})
    contents = set()
    for byte in range(8):
        array = np.full(16 * 5, byte, np.uint8).view(kind)
        array["feature"], array["left"] = 3, 1
        buffer = io.BytesIO()
        np.save(buffer, array)
        np.full(16 * 5, byte, np.uint8)  # the next array of this size takes its memory
        contents.add(skops_file._without_padding(buffer.getvalue()))
    assert len(contents) == 1
