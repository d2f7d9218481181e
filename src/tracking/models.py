"""The trained predictor as an MLflow model, with its signature and an example of its input; and models that are there."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
from mlflow.exceptions import MlflowException
from mlflow.models import infer_signature

from src.errors import InputError


def log_model(uri: str, run: str, folder: Path, package: Mapping[str, Any]) -> None:
    """Logs what a learner packaged: the preprocessing and the model in one, from stored examples to answers."""
    mlflow.set_tracking_uri(uri)
    example = np.load(folder / package["example"])
    with mlflow.start_run(run_id=run, log_system_metrics=False):
        if package["flavour"] == "pytorch":
            _pytorch(folder / package["file"], example)
        else:
            _sklearn(folder / package["file"], example, package.get("answer", "predict_proba"))


@contextmanager
def fetched(name: str, uri: str) -> Iterator[Path]:
    """A file or folder of what MLflow calls `models:/NAME/VERSION` or `runs:/ID/PATH`, for as long as the block lasts.

    Args:
        uri: of the tracking store, which has the registry of models too.
    """
    mlflow.set_tracking_uri(uri)
    with tempfile.TemporaryDirectory() as folder:
        try:
            found = mlflow.artifacts.download_artifacts(artifact_uri=name, dst_path=folder)
        except (MlflowException, OSError) as error:
            raise InputError(f"{name}: expected something that {uri} has; {error}. `make ui` shows what is there.") from error
        yield Path(found)


def get_ready(flavour: str) -> None:
    """Imports and warms up what logging a model of this flavour will need."""
    if flavour == "pytorch":
        import torch

        torch.export.export(torch.nn.Identity(), (torch.zeros(2, 1),))  # the first export imports the compiler
    else:
        import skops.io  # noqa: F401 - it walks through all of scikit-learn


def _pytorch(path: Path, example: np.ndarray) -> None:
    import mlflow.pytorch
    import torch

    module = torch.export.load(path).module()
    with torch.no_grad():
        answer = module(torch.from_numpy(example)).numpy()
    mlflow.pytorch.log_model(
        module,
        name="model",
        input_example=example,
        signature=infer_signature(example, answer),
        pip_requirements=[f"torch=={version('torch')}", f"numpy=={version('numpy')}"],
    )


def _sklearn(path: Path, example: np.ndarray, answer: str) -> None:
    import joblib
    import mlflow.sklearn
    import skops.io

    estimator = joblib.load(path)
    trusted = skops.io.get_untrusted_types(data=skops.io.dumps(estimator))
    mlflow.sklearn.log_model(
        estimator,
        name="model",
        input_example=example,
        signature=infer_signature(example, getattr(estimator, answer)(example)),
        pyfunc_predict_fn=answer,
        serialization_format="skops",
        skops_trusted_types=trusted,
        pip_requirements=[f"{name}=={version(name)}" for name in ("scikit-learn", "skops", "numpy")],
    )
