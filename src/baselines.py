"""A classical estimator as a learner: the same data, files and record as a network's."""

import time
from collections.abc import Callable, Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from src.errors import InputError
from src.protocols import Fit
from src.runs import write_atomic


class Classical:
    """An estimator with scikit-learn's interface for classification, fitted once on the training part.

    It learns from normalised, flattened examples. Classes that the training part lacks get probability zero.
    """

    device = "cpu"

    def __init__(
        self,
        *,
        model: Callable[[], Any],
        data: Any,
        objective: Mapping[str, str],
        seed: int,
        augmentation: Any = None,
        averaging: Any = None,
        **_: Any,
    ):
        self.estimator = model()
        self.parameters = 0
        self._normalise = _normaliser(data)
        if data.num_classes is None:
            raise InputError("trainer=classical: expected data with classes; this data set has none. Choose a network.")
        if data.targets(data.rows("train")[:1]).ndim != 1:
            raise InputError(
                "trainer=classical: expected data with one class for each example; this one has more. Choose a network."
            )
        for name, given in (("augmentation", augmentation), ("averaging", averaging)):
            if given is not None:
                raise InputError(
                    f"trainer=classical: expected {name}=none; an estimator is fitted once, to the examples as they are. "
                    "Choose a network."
                )

    def fit(
        self,
        data: Any,
        *,
        folder: Path,
        log: Callable[[Mapping[str, Any], int, int], None],
        flush: Callable[[], None],
        resume: Path | None = None,
    ) -> Fit:
        rows = data.rows("train")
        start = time.monotonic()
        self.estimator.fit(self._features(data, rows), data.targets(rows))
        seconds = time.monotonic() - start
        rows = data.rows("val")
        probability = np.concatenate([part["probability"] for part in self.predict(data, rows)])
        log({"val/accuracy": float((probability.argmax(axis=1) == data.targets(rows)).mean())}, 1, 1)
        flush()
        write_atomic(folder / "best.ckpt", _bytes(self.estimator))
        return Fit(epochs=1, best_epoch=1, steps=1, seconds=seconds)

    def load(self, path: Path) -> None:
        """Takes the estimator from a file of this repository's own: unlike a network's checkpoint, it is a pickle."""
        self.estimator = joblib.load(path)

    def export(self, folder: Path) -> Path:
        write_atomic(folder / "weights.joblib", _bytes(self.estimator))
        return folder / "weights.joblib"

    def predict(self, data: Any, rows: np.ndarray) -> Iterator[Mapping[str, np.ndarray]]:
        for chunk in np.array_split(rows, max(1, len(rows) // 1024)):
            given = self.estimator.predict_proba(self._features(data, chunk))
            probability = np.zeros((len(chunk), data.num_classes), dtype=np.float64)
            probability[:, self.estimator.classes_] = given
            yield {"probability": probability}

    def package(self, folder: Path, example: np.ndarray) -> Mapping[str, Any]:
        write_atomic(folder / "model.joblib", _bytes(make_pipeline(self._normalise, self.estimator)))
        np.save(folder / "example.npy", example.reshape(len(example), -1))
        return {"flavour": "sklearn", "file": "model.joblib", "example": "example.npy"}

    def flops(self, data: Any) -> int | None:
        return None

    def _features(self, data: Any, rows: np.ndarray) -> np.ndarray:
        return self._normalise.transform(data.inputs(rows).astype(np.float32).reshape(len(rows), -1))


def _normaliser(data: Any) -> StandardScaler:
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
