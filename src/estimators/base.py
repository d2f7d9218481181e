"""A classical estimator as a learner: with the same data, files and record as a network."""

import time
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import version
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import ThreadpoolController

from src.data.base import Data
from src.errors import InputError
from src.estimators import skops_file
from src.learner import Learner
from src.protocols import Cost, Fit, Sink
from src.runs.files import write_atomic

# Training values up to which one thread computes. On so few values threads wait for each other longer than they compute, up
# to a hundred times as long. One thread also gives the same numbers on any number of processors.
SINGLE_THREADED = 2**22
EXAMPLES = 256  # that are predicted at a time
LINEAR = ("coef_", "intercept_", "components_", "mean_")  # attributes of scikit-learn's linear models


class Estimator(Learner):
    """An estimator with scikit-learn's interface, fitted once to the normalised, flattened training examples.

    Args:
        model: makes the estimator.
        augmentation, averaging: must be None, because they need a training in steps.
        unused: further settings, which only networks use.
    """

    method: str  # of the packaged predictor, which answers requests

    def __init__(
        self,
        *,
        model: Callable[[], BaseEstimator],
        data: Data,
        augmentation: object = None,
        averaging: object = None,
        **unused: object,
    ):
        for name, value in (("augmentation", augmentation), ("averaging", averaging)):
            if value is not None:
                raise InputError(
                    f"trainer=classical: expected {name}=none, because an estimator is fitted once to unchanged examples. "
                    "Choose a network."
                )
        self.estimator = model()
        self._kind = type(self.estimator)
        self._scaler = _scaler(data)  # None where features are no numbers
        self._shape = tuple(data.shape)
        self._thread_pools = ThreadpoolController()
        self._threads = 1 if data.prepared.card["counts"]["train"] * prod(data.shape) <= SINGLE_THREADED else None

    @property
    def takes_texts(self) -> bool:
        """Whether the features are no numbers."""
        return self._scaler is None

    def check(self, data: Data) -> Cost:
        self.validate(data)
        return Cost(parameters=0, flops=None)

    @abstractmethod
    def validate(self, data: Data) -> None:
        """Refuses an estimator without the necessary methods, and data that it cannot be fitted to.

        Raises:
            InputError: one of the two.
        """

    @abstractmethod
    def outputs(self, features: np.ndarray, data: Data) -> Mapping[str, np.ndarray]:
        """Outputs by name for some examples."""

    @abstractmethod
    def measure(self, outputs: Mapping[str, np.ndarray], target: np.ndarray) -> Mapping[str, float]:
        """Metrics of the validation split, by the names that the task of a network gives them."""

    @abstractmethod
    def predictor(self) -> BaseEstimator:
        """What is packaged. It is a class of scikit-learn, so that it can be loaded without this repository."""

    def fit(self, data: Data, *, folder: Path, sink: Sink, resume: Path | None = None) -> Fit:
        rows = data.rows("train")
        start = time.monotonic()
        with self._thread_pools.limit(limits=self._threads):
            self.estimator.fit(self._features(data, rows), data.targets(rows))
        _widen(self.estimator)
        seconds = time.monotonic() - start
        val = data.rows("val")
        batches = list(self.predict(data, val))
        outputs = {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}
        sink.log({f"val/{name}": value for name, value in self.measure(outputs, data.targets(val)).items()}, 1, 1)
        sink.flush()
        write_atomic(folder / "best.ckpt", skops_file.dump(self.estimator))
        return Fit(epochs=1, best_epoch=1, steps=1, examples=len(rows), seconds=seconds)

    def load(self, path: Path) -> None:
        """Loads the estimator: one of its own class, from a file that makes nothing but trusted types."""
        self.estimator = skops_file.load(path, self._kind)
        _widen(self.estimator)

    def export(self, folder: Path) -> Path:
        write_atomic(folder / "weights.skops", skops_file.dump(self.estimator))
        return folder / "weights.skops"

    def predict(self, data: Data, rows: np.ndarray, *, fill: bool = True) -> Iterator[Mapping[str, np.ndarray]]:
        for start in range(0, len(rows), EXAMPLES):
            chunk = rows[start : start + EXAMPLES]
            filled = np.append(chunk, chunk[-1:].repeat(EXAMPLES - len(chunk) if fill else 0))
            with self._thread_pools.limit(limits=self._threads):
                outputs = self.outputs(self._features(data, filled), data)
            yield {name: output[: len(chunk)] for name, output in outputs.items()}

    def exported_example(self, data: Data, rows: np.ndarray) -> np.ndarray | Mapping[str, np.ndarray]:
        return data.features(rows) if self._scaler is None else super().exported_example(data, rows)

    def package(self, folder: Path, example: np.ndarray | Mapping[str, np.ndarray]) -> Mapping[str, Any]:
        assert isinstance(example, np.ndarray), "an estimator gets features, one entry for each row"
        if self._scaler is None:
            pipeline, features = self.predictor(), example
        else:
            pipeline, features = make_pipeline(self._scaler, self.predictor()), example.reshape(len(example), -1)
        content = skops_file.dump(pipeline)
        write_atomic(folder / "model.skops", content)
        np.save(folder / "example.npy", features)
        outputs = getattr(pipeline, self.method)(features)
        return {
            "flavour": "sklearn",
            "file": "model.skops",
            "trusted": skops_file.types(content),
            "example": "example.npy",
            "method": self.method,
            "output": {"dtype": str(outputs.dtype), "shape": [-1, *outputs.shape[1:]]},
            "requirements": {name: version(name) for name in ("scikit-learn", "skops", "numpy")},
        }

    def _features(self, data: Data, rows: np.ndarray) -> np.ndarray:
        features = data.features(rows)
        return features if self._scaler is None else self._scaler.transform(features)


def _widen(estimator: BaseEstimator) -> None:
    """Gives a linear model its coefficients as float64. Last bits of products of float32 depend on the place."""
    for name in LINEAR:
        values = getattr(estimator, name, None)
        if isinstance(values, np.ndarray) and values.dtype == np.float32:
            setattr(estimator, name, values.astype(np.float64))


def _scaler(data: Data) -> StandardScaler | None:
    """The normalisation of the data as a step of a pipeline; None where the features are no numbers.

    Training and the packaged predictor use the same arithmetic, bit by bit. The threshold of a tree can be exactly a
    third grey level between two others, where a difference in the last digit changes the branch.
    """
    statistics = data.feature_statistics()
    if statistics is None:
        return None
    scaler = StandardScaler()
    scaler.mean_, scaler.scale_ = statistics
    scaler.n_features_in_ = len(scaler.mean_)
    return scaler
