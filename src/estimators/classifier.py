"""A classifier of scikit-learn as a learner."""

from collections.abc import Mapping

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils import get_tags

from src.data.base import Data
from src.errors import InputError
from src.estimators.base import Estimator


class Classifier(Estimator):
    """A classifier with probabilities. Classes without training examples have probability zero."""

    method = "predict_proba"

    def validate(self, data: Data) -> None:
        if not hasattr(self.estimator, self.method):
            raise InputError(
                f"trainer=classical: expected a classifier with probabilities; {type(self.estimator).__name__} has no "
                f"{self.method}. Choose another one, or write a file in conf/model that wraps it in "
                "sklearn.calibration.CalibratedClassifierCV."
            )
        estimator = self.estimator[0] if isinstance(self.estimator, Pipeline) else self.estimator
        takes, has = ("texts" if texts else "numbers" for texts in (get_tags(estimator).input_tags.string, self.takes_texts))
        if takes != has:
            remedy = "model=tfidf_logistic" if has == "texts" else "model=logistic_regression"
            raise InputError(
                f"trainer=classical: expected data with {takes}, as the model takes them; those of {type(data).__name__} are "
                f"{has}. Choose {remedy}, or other data."
            )
        if not data.classes:
            raise InputError("trainer=classical: expected data with classes; this data set has none. Choose a network.")
        if data.targets(data.rows("train")[:1]).ndim != 1:
            raise InputError(
                "trainer=classical: expected data with one class for each example; this data set has more. Choose a network."
            )

    def outputs(self, features: np.ndarray, data: Data) -> Mapping[str, np.ndarray]:
        probability = np.zeros((len(features), len(data.classes)), dtype=np.float64)
        probability[:, self.estimator.classes_] = self.estimator.predict_proba(features)
        return {"probability": probability}

    def measure(self, outputs: Mapping[str, np.ndarray], target: np.ndarray) -> Mapping[str, float]:
        return {"accuracy": float((outputs["probability"].argmax(axis=1) == target).mean())}

    def predictor(self) -> BaseEstimator:
        return self.estimator
