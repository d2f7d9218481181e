"""Classical classifiers: which are refused, and how many threads they use."""

import pytest
from sklearn.dummy import DummyClassifier
from sklearn.svm import LinearSVC
from threadpoolctl import threadpool_info, threadpool_limits

from src.errors import InputError
from src.estimators import base
from src.estimators.classifier import Classifier
from src.protocols import NullSink


def test_a_classifier_without_probabilities_is_refused(images):
    data = images()
    with pytest.raises(InputError, match=r"LinearSVC has no predict_proba\. Choose another one, or write a file"):
        Classifier(model=LinearSVC, data=data).check(data)


def threads() -> int:
    """Of the largest thread pool."""
    return max(pool["num_threads"] for pool in threadpool_info())


class CountingThreads(DummyClassifier):
    """Notes the threads that it may use."""

    def fit(self, x, y):
        self.threads = threads()
        return super().fit(x, y)


@pytest.mark.parametrize(("single_threaded", "expected"), [(2**22, 1), (100, 2)])
def test_few_values_are_fitted_in_one_thread(images, tmp_path, monkeypatch, single_threaded, expected):
    monkeypatch.setattr(base, "SINGLE_THREADED", single_threaded)
    data = images()
    learner = Classifier(model=CountingThreads, data=data)
    with threadpool_limits(2):
        learner.fit(data, folder=tmp_path, sink=NullSink())
        assert (learner.estimator.threads, threads()) == (expected, 2)
