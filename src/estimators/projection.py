"""A linear projection of scikit-learn, such as principal component analysis, as a learner."""

from collections.abc import Mapping

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.linear_model import LinearRegression

from src.data.base import Data
from src.errors import InputError
from src.estimators.base import Estimator
from src.learner import Generates


class Projection(Estimator, Generates):
    """A linear method that encodes by `transform` and decodes by `inverse_transform`."""

    method = "predict"

    def validate(self, data: Data) -> None:
        missing = [name for name in ("transform", "inverse_transform") if not hasattr(self.estimator, name)]
        if missing:
            raise InputError(
                f"trainer=projection: expected a model that encodes examples to latents and decodes them; "
                f"{type(self.estimator).__name__} has no {' and no '.join(missing)}. Choose model=pca."
            )

    def outputs(self, features: np.ndarray, data: Data) -> Mapping[str, np.ndarray]:
        latent = self.estimator.transform(features)
        reconstruction = self.estimator.inverse_transform(latent)
        error = np.square(reconstruction - features).mean(axis=1)
        outputs = {"reconstruction": reconstruction.reshape(-1, *self._shape), "error": error, "latent": latent}
        return {name: output.astype(np.float32) for name, output in outputs.items()}

    def measure(self, outputs: Mapping[str, np.ndarray], target: np.ndarray) -> Mapping[str, float]:
        return {"error": float(outputs["error"].mean())}

    def predictor(self) -> BaseEstimator:
        """Encoding and decoding as one linear map, because MLflow's servers call `predict` and not `transform`."""
        size = self.estimator.n_features_in_
        shift, *rows = self.estimator.inverse_transform(self.estimator.transform(np.vstack([np.zeros(size), np.eye(size)])))
        linear = LinearRegression()
        linear.coef_, linear.intercept_, linear.n_features_in_ = (np.array(rows) - shift).T, shift, size
        return linear

    def generate(self, latents: np.ndarray, *, noise: bool = False) -> np.ndarray:
        assert self._scaler is not None, "images are numbers"
        pixels = self._scaler.inverse_transform(self.estimator.inverse_transform(latents.astype(np.float64)))
        return (pixels / 255).clip(0, 1).astype(np.float32).reshape(-1, *self._shape)
