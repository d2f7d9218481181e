"""A classical estimator as a learner: the same data, files and record as a network's."""

import time
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from src.data.base import Data
from src.errors import InputError
from src.protocols import Cost, Fit, Learner, Objective, Sink
from src.runs.files import write_atomic


class Estimator(Learner):
    """An estimator with scikit-learn's interface, fitted once on the training part, to normalised, flattened examples."""

    answer: str  # the predictor's method that gives its answer

    def __init__(
        self,
        *,
        model: Callable[[], Any],
        data: Data,
        objective: Objective,
        seed: int,
        augmentation: Any = None,
        averaging: Any = None,
        **_: Any,
    ):
        self.estimator = model()
        self._normalise = _normaliser(data)
        self._shape = tuple(data.shape)
        for name, given in (("augmentation", augmentation), ("averaging", averaging)):
            if given is not None:
                raise InputError(
                    f"trainer=classical: expected {name}=none; an estimator is fitted once, to the examples as they are. "
                    "Choose a network."
                )

    def check(self, data: Data) -> Cost:
        self.refuse(data)
        return Cost(parameters=0, flops=None)

    @abstractmethod
    def refuse(self, data: Data) -> None:
        """Refuses an estimator or data that it cannot learn from."""

    @abstractmethod
    def outputs(self, features: np.ndarray, data: Data) -> Mapping[str, np.ndarray]:
        """Outputs by name for some examples."""

    @abstractmethod
    def measure(self, outputs: Mapping[str, np.ndarray], target: np.ndarray) -> Mapping[str, float]:
        """Metrics of the validation part, by the names that a network's task gives them."""

    @abstractmethod
    def predictor(self) -> Any:
        """What is packaged: an estimator of scikit-learn's own, so that it can be loaded anywhere."""

    def fit(
        self,
        data: Data,
        *,
        folder: Path,
        sink: Sink,
        resume: Path | None = None,
    ) -> Fit:
        rows = data.rows("train")
        start = time.monotonic()
        self.estimator.fit(self._features(data, rows), data.targets(rows))
        seconds = time.monotonic() - start
        rows = data.rows("val")
        parts = list(self.predict(data, rows))
        outputs = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        sink.log({f"val/{name}": value for name, value in self.measure(outputs, data.targets(rows)).items()}, 1, 1)
        sink.flush()
        write_atomic(folder / "best.ckpt", _bytes(self.estimator))
        return Fit(epochs=1, best_epoch=1, steps=1, examples=len(data.rows("train")), seconds=seconds)

    def load(self, path: Path) -> None:
        """Takes the estimator from a file of this repository's own: unlike a network's checkpoint, it is a pickle."""
        self.estimator = joblib.load(path)

    def export(self, folder: Path) -> Path:
        write_atomic(folder / "weights.joblib", _bytes(self.estimator))
        return folder / "weights.joblib"

    def predict(self, data: Data, rows: np.ndarray) -> Iterator[Mapping[str, np.ndarray]]:
        for chunk in np.array_split(rows, max(1, len(rows) // 1024)):
            yield self.outputs(self._features(data, chunk), data)

    def package(self, folder: Path, example: np.ndarray) -> Mapping[str, Any]:
        write_atomic(folder / "model.joblib", _bytes(make_pipeline(self._normalise, self.predictor())))
        np.save(folder / "example.npy", example.reshape(len(example), -1))
        return {"flavour": "sklearn", "file": "model.joblib", "example": "example.npy", "answer": self.answer}

    def _features(self, data: Data, rows: np.ndarray) -> np.ndarray:
        return self._normalise.transform(data.inputs(rows).astype(np.float32).reshape(len(rows), -1))


class Classical(Estimator):
    """A classifier. Classes that the training part lacks get probability zero."""

    answer = "predict_proba"

    def refuse(self, data: Data) -> None:
        if not hasattr(self.estimator, self.answer):
            raise InputError(
                f"trainer=classical: expected a classifier that gives probabilities; {type(self.estimator).__name__} has no "
                f"{self.answer}. Choose another one, or a file in conf/model that has it as the estimator of a "
                "sklearn.calibration.CalibratedClassifierCV."
            )
        if not data.classes:
            raise InputError("trainer=classical: expected data with classes; this data set has none. Choose a network.")
        if data.targets(data.rows("train")[:1]).ndim != 1:
            raise InputError(
                "trainer=classical: expected data with one class for each example; this one has more. Choose a network."
            )

    def outputs(self, features: np.ndarray, data: Data) -> Mapping[str, np.ndarray]:
        given = self.estimator.predict_proba(features)
        probability = np.zeros((len(features), len(data.classes)), dtype=np.float64)
        probability[:, self.estimator.classes_] = given
        return {"probability": probability}

    def measure(self, outputs: Mapping[str, np.ndarray], target: np.ndarray) -> Mapping[str, float]:
        return {"accuracy": float((outputs["probability"].argmax(axis=1) == target).mean())}

    def predictor(self) -> Any:
        return self.estimator


class Projection(Estimator):
    """A linear method that goes to a latent by `transform` and back by `inverse_transform`: a principal component analysis."""

    answer = "predict"

    def refuse(self, data: Data) -> None:
        lacking = [name for name in ("transform", "inverse_transform") if not hasattr(self.estimator, name)]
        if lacking:
            raise InputError(
                f"trainer=projection: expected a model that latents examples and builds them up again; "
                f"{type(self.estimator).__name__} has no {' and no '.join(lacking)}. Choose model=pca."
            )

    def outputs(self, features: np.ndarray, data: Data) -> Mapping[str, np.ndarray]:
        latent = self.estimator.transform(features)
        made = self.estimator.inverse_transform(latent)
        error = np.square(made - features).mean(axis=1)
        return {"reconstruction": made.reshape(-1, *self._shape), "error": error, "latent": latent}

    def measure(self, outputs: Mapping[str, np.ndarray], target: np.ndarray) -> Mapping[str, float]:
        return {"error": float(outputs["error"].mean())}

    def predictor(self) -> Any:
        """The way there and back as one linear map, for MLflow's servers know `predict` and no `transform`."""
        size = self.estimator.n_features_in_
        shift, *rows = self.estimator.inverse_transform(self.estimator.transform(np.vstack([np.zeros(size), np.eye(size)])))
        linear = LinearRegression()
        linear.coef_, linear.intercept_, linear.n_features_in_ = (np.array(rows) - shift).T, shift, size
        return linear

    def generate(self, latents: np.ndarray, *, noise: bool = False) -> np.ndarray:
        """Pixels from 0 to 1 for latents, (count, latent_size)."""
        made = self._normalise.inverse_transform(self.estimator.inverse_transform(latents.astype(np.float64)))
        return (made / 255).clip(0, 1).astype(np.float32).reshape(-1, *self._shape)


def _normaliser(data: Data) -> StandardScaler:
    """The data's own normalisation as a step of a pipeline.

    Training and the packaged predictor share its arithmetic to the bit: a threshold of a tree between two grey
    levels may be a third one exactly, and a difference in the last digit would send examples the other way.
    """
    pixels = np.prod(data.shape[1:])
    scaler = StandardScaler()
    scaler.mean_ = np.repeat(255 * data.mean, pixels).astype(np.float64)
    scaler.scale_ = np.repeat(255 * data.std, pixels).astype(np.float64)
    scaler.n_features_in_ = len(scaler.mean_)
    return scaler


def _bytes(estimator: Any) -> bytes:
    buffer = BytesIO()
    joblib.dump(estimator, buffer)
    return buffer.getvalue()
