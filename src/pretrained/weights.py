"""Trained weights by name, wherever they lie: in a run, in a file, in MLflow or among those that torchvision publishes."""

import difflib
import hashlib
import os
import sys
from collections.abc import Mapping
from contextlib import redirect_stdout
from pathlib import Path
from pickle import UnpicklingError
from typing import Any
from urllib.parse import urlparse

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from src.errors import InputError
from src.runs import checkpoints
from src.runs.folder import Run
from src.tracking import store

MODEL = "model."  # the task's name for its network
PICKLE = b"\x80"  # with which one begins (pickletools: PROTO)


def read(name: str, *, runs: Path, tracking: str | None = None) -> dict[str, Tensor]:
    """The weights of a network, on the CPU, by their names in it.

    Args:
        name: a finished run's folder, or its name in the folder of runs; the folder that a train stage left; a file of
            safetensors or of torch.save; MLflow's `models:/NAME/VERSION` and `runs:/ID/PATH`; or one of those that torchvision
            publishes, as `torchvision:ResNet18_Weights.IMAGENET1K_V1`.
        runs: the folder of runs.
        tracking: the URI of MLflow's store, None for the one that runs are recorded in by default.
    """
    found = _found(name, runs, tracking)
    whole = all(key.startswith(MODEL) for key in found)
    return {key.removeprefix(MODEL) if whole else key: tensor for key, tensor in found.items()}


def digest(weights: Mapping[str, Tensor]) -> str:
    """SHA-256 of names, types, shapes and values, in whatever file and order they stand."""
    content = hashlib.sha256()
    for name in sorted(weights):
        tensor = weights[name].detach().cpu().contiguous()
        content.update(f"{name}{tensor.dtype}{list(tensor.shape)}".encode())
        content.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return content.hexdigest()


def _found(name: str, runs: Path, tracking: str | None) -> Mapping[str, Tensor]:
    kind, _, rest = name.partition(":")
    if kind == "torchvision":
        return _published(rest)
    if kind in ("models", "runs") and rest.startswith("/"):
        return _recorded(name, store.address(tracking))
    path = next((path for path in (Path(name), runs / name) if path.exists()), None)
    if path is None:
        raise InputError(
            f"pretrained.weights={name}: expected a run, the name of one in {runs}, or a file of weights; there is none. "
            f"`ls {runs}` shows the runs."
        )
    return _of_folder(path) if path.is_dir() else _of_file(path)


def _of_folder(folder: Path) -> Mapping[str, Tensor]:
    run, exported = Run(folder), folder / "weights.safetensors"
    if (folder / "weights.joblib").is_file() or _pickled(run.best):
        raise InputError(
            f"pretrained.weights={folder}: expected a run of a network; this one is of a classical estimator, which has no "
            "weights to begin with. Name a run of a network."
        )
    if run.best.is_file() and run.fitted:
        return checkpoints.read(run.best, exact=True)["state_dict"]
    if exported.is_file():
        return _of_file(exported)
    raise InputError(
        f"pretrained.weights={folder}: expected a finished run of a network, with best.ckpt and metrics.json, or a folder with "
        "weights.safetensors; this is neither. Train the run to its end first."
    )


def _pickled(path: Path) -> bool:
    """Whether a run's best.ckpt is the pickle that an estimator leaves; a network's is an archive, be it damaged or whole."""
    if not path.is_file():
        return False
    with open(path, "rb") as file:
        return file.read(1) == PICKLE


def _of_file(path: Path) -> Mapping[str, Tensor]:
    if checkpoints.own(path):
        return checkpoints.read(path, exact=True)["state_dict"]
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        if path.suffix == ".pt2":
            return torch.export.load(path).state_dict
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise InputError(
            f"pretrained.weights={path}: expected a whole file of tensors by safetensors or torch.save; {error}. Save its "
            "state_dict() anew."
        ) from error
    found = content.get("state_dict", content) if isinstance(content, Mapping) else None
    if not found or not all(isinstance(tensor, Tensor) for tensor in found.values()):
        raise InputError(
            f"pretrained.weights={path}: expected tensors by their names, or such under the key state_dict; received "
            f"{type(content).__name__}. Save its state_dict()."
        )
    return found


def _recorded(name: str, uri: str) -> Mapping[str, Tensor]:
    """Of a model as runs log it, or of any other file of weights."""
    for key, value in {**store.ENVIRONMENT, "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false"}.items():
        os.environ.setdefault(key, value)
    if away := store.check(uri):
        raise InputError(
            f"pretrained.weights={name}: expected a tracking store that answers; {away}. Start it, or name a file."
        )
    from src.tracking import models  # it imports mlflow

    with models.fetched(name, uri) as path:
        programs = sorted(path.rglob("*.pt2")) if path.is_dir() else [path]
        if not programs:
            raise InputError(
                f"pretrained.weights={name}: expected a network as runs log it, with a file .pt2; there is none in it."
            )
        return _of_file(programs[0])


def _published(name: str) -> Mapping[str, Tensor]:
    """By torchvision's own loader, whose folder of downloads may be filled by hand."""
    from torchvision.models import get_model_weights, get_weight, list_models

    try:
        chosen = get_weight(name)
    except (ValueError, KeyError, AttributeError) as error:
        names = sorted({str(each) for model in list_models() for each in get_model_weights(model)})
        close = difflib.get_close_matches(name, names, cutoff=0.3)
        raise InputError(
            f"pretrained.weights=torchvision:{name}: expected weights that torchvision publishes; nearest: {', '.join(close)}."
        ) from error
    path = Path(torch.hub.get_dir()) / "checkpoints" / Path(urlparse(chosen.url).path).name
    try:
        with redirect_stdout(sys.stderr):
            return chosen.get_state_dict(progress=False, check_hash=True, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, UnpicklingError) as error:
        raise InputError(
            f"pretrained.weights=torchvision:{name}: {chosen.url} could not be fetched, or {path} could not be read: "
            f"{error}. Fetch it elsewhere and put it there; TORCH_HOME names the folder above hub/."
        ) from error
