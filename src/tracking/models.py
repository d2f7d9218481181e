"""The trained predictor as an MLflow model, with its signature and an example of its input; and models that are there.

MLflow's own `log_model` would import torch or scikit-learn, load the predictor, write it once more and run it. What a learner
has packaged is complete, so the model is put together from files: see https://mlflow.org/docs/latest/ml/model/#mlmodel-file.
"""

import platform
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import yaml
from mlflow import MlflowClient
from mlflow.entities import LoggedModel, LoggedModelOutput, LoggedModelStatus
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature, infer_signature
from mlflow.models.utils import _save_example
from mlflow.types import Schema, TensorSpec
from mlflow.utils.environment import _mlflow_conda_env, _PythonEnv

from src.errors import InputError
from src.runs.files import confined

NAME = "model"
LOADER = Path(__file__).with_name("exported_predictor.py")


def log_model(client: MlflowClient, run: str, folder: Path, package: Mapping[str, Any], params: Mapping[str, str]) -> None:
    """Logs what a learner packaged: the preprocessing and the model in one, from stored examples to answers.

    Doing it again completes the model that an upload which was killed has begun.

    Args:
        run: the id of the run that the model is the output of.
        folder: of the packaged files.
        package: what `Learner.package` returned.
        params: of the model, as the run has them.
    """
    model = _logged(client, run, params)
    with tempfile.TemporaryDirectory() as name:
        write_model(Path(name), folder, package, model=model, run=run)
        client.log_model_artifacts(model.model_id, name)
    client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)


def write_model(target: Path, folder: Path, package: Mapping[str, Any], *, model: LoggedModel, run: str) -> None:
    """Writes the folder of an MLflow model: the predictor, MLmodel, an example and what must be installed."""
    described = Model(artifact_path=model.artifact_location, model_uuid=model.model_id, run_id=run, model_id=model.model_id)
    example, output = np.load(confined(folder, package["example"])), package["output"]
    if not isinstance(example, np.ndarray):  # several fields
        example = {name: example[name] for name in example.files}
    _save_example(described, example, str(target))
    output_spec = TensorSpec(np.dtype(output["dtype"]), tuple(output["shape"]))
    inputs, shapes = infer_signature(example).inputs, package.get("inputs")  # the example's own sizes may be free
    if shapes is not None:
        inputs = Schema([TensorSpec(one.type, tuple(shapes[one.name or ""]), one.name) for one in inputs.inputs])
    described.signature = ModelSignature(inputs, Schema([output_spec]))
    anywhere = {"python_version": platform.python_version(), "env": {"conda": "conda.yaml", "virtualenv": "python_env.yaml"}}
    versions = package["requirements"]
    if package["flavour"] == "pytorch":
        (target / "data").mkdir()
        shutil.copyfile(confined(folder, package["file"]), target / "data" / "model.pt2")
        for name in package.get("reading", ()):
            shutil.copyfile(confined(folder, name), target / "data" / Path(name).name)
        (target / "code").mkdir()
        shutil.copyfile(LOADER, target / "code" / LOADER.name)
        options = {"data": "data", "code": "code", "config": {"device": None}}
        described.add_flavor("python_function", loader_module=LOADER.stem, **options, **anywhere)
        described.add_flavor("pytorch", model_data="data", pytorch_version=versions["torch"], code=None)
    else:
        shutil.copyfile(confined(folder, package["file"]), target / "model.skops")
        options = {"model_path": "model.skops", "predict_fn": package["method"]}
        described.add_flavor("python_function", loader_module="mlflow.sklearn", **options, **anywhere)
        described.add_flavor(
            "sklearn",
            pickled_model="model.skops",
            sklearn_version=versions["scikit-learn"],
            serialization_format="skops",
            skops_trusted_types=package["trusted"],
            code=None,
        )
    described.model_size_bytes = sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
    described.save(target / "MLmodel")
    conda = _mlflow_conda_env(additional_pip_deps=[f"{name}=={version}" for name, version in versions.items()])
    (target / "conda.yaml").write_text(yaml.safe_dump(conda, default_flow_style=False))
    (target / "requirements.txt").write_text("\n".join(conda["dependencies"][-1]["pip"]))
    _PythonEnv.current().to_yaml(target / "python_env.yaml")


@contextmanager
def fetched(name: str, uri: str) -> Iterator[Path]:
    """A file or folder of what MLflow calls `models:/NAME/VERSION` or `runs:/ID/PATH`, for as long as the block lasts.

    Args:
        uri: of the tracking store, which has the registry of models too.
    """
    mlflow.set_tracking_uri(uri)
    with tempfile.TemporaryDirectory() as folder:
        try:
            path = mlflow.artifacts.download_artifacts(artifact_uri=name, dst_path=folder)
        except (MlflowException, OSError) as error:
            raise InputError(f"{name}: expected something that {uri} has; {error}. `make ui` shows what is there.") from error
        yield Path(path)


def _logged(client: MlflowClient, run: str, params: Mapping[str, str]) -> LoggedModel:
    """The model in the store, an output of its run; one that was begun before is found again."""
    stored = client.get_run(run)
    experiment = stored.info.experiment_id
    begun = client.search_logged_models([experiment], filter_string=f"source_run_id = '{run}' AND name = '{NAME}'")
    model = begun[0] if begun else client.create_logged_model(experiment, NAME, source_run_id=run, params=dict(params))
    outputs = stored.outputs.model_outputs if stored.outputs else []
    if model.model_id not in {output.model_id for output in outputs}:
        client.log_outputs(run, [LoggedModelOutput(model.model_id, step=0)])
    return model
