"""Trained weights by name, from a run, a file, MLflow or torchvision."""

import difflib
import hashlib
import sys
import zipfile
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

from src import pretrained_folders
from src.errors import InputError
from src.pretrained import exported_program
from src.runs import checkpoints, finding
from src.runs.folder import Run
from src.tracking import store

MODEL = "model."  # the attribute of a task that holds its network
EXAMPLES = ("ResNet18_Weights.IMAGENET1K_V1", "ViT_B_16_Weights.IMAGENET1K_V1")
PLACES = "position_ids"  # a buffer that older files of transformers have
SCHEMA = "schema.json"  # a file in the archive of an estimator, and not in that of tensors


def read(name: str, *, runs: Path, tracking: str | None = None) -> dict[str, Tensor]:
    """The weights of a network, on the CPU, by their names in the network.

    Args:
        name: a finished run, as `src.runs.finding` takes it; a folder that a train stage exported; a file of safetensors,
            torch.save or torch.export; `hf:NAME`, a pretrained model of Hugging Face (`src.pretrained_folders`);
            `models:/NAME/VERSION` or `runs:/ID/PATH` of MLflow; or weights that torchvision publishes, such as
            `torchvision:ResNet18_Weights.IMAGENET1K_V1`.
        runs: the folder of runs.
        tracking: the URI of MLflow's store; None for the default store of the runs.

    Raises:
        InputError: there are no such weights, or they cannot be read.
    """
    tensors = _tensors(name, runs, tracking)
    is_task = all(key.startswith(MODEL) for key in tensors)
    return {key.removeprefix(MODEL) if is_task else key: tensor for key, tensor in tensors.items()}


def digest(weights: Mapping[str, Tensor]) -> str:
    """SHA-256 of names, types, shapes and values, whatever their file and order."""
    content = hashlib.sha256()
    for name in sorted(weights):
        tensor = weights[name].detach().cpu().contiguous()
        content.update(f"{name}{tensor.dtype}{list(tensor.shape)}".encode())
        content.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return content.hexdigest()


def _tensors(name: str, runs: Path, tracking: str | None) -> Mapping[str, Tensor]:
    kind, _, rest = name.partition(":")
    if kind == "hf":
        return _from_hugging_face(rest)
    if kind == "torchvision":
        return _from_torchvision(rest)
    if (folder := finding.find(name, runs=runs)) is not None:
        return _from_folder(folder)
    if kind in ("models", "runs") and rest.startswith("/"):
        return _from_mlflow(name, store.address(tracking))
    if not Path(name).exists():
        raise InputError(
            f"pretrained.weights={name}: expected a run, the name of one in {runs}, or a file of weights; there is none. "
            f"`ls {runs}` shows the runs."
        )
    return _from_file(Path(name))


def _from_folder(folder: Path) -> Mapping[str, Tensor]:
    run, exported = Run(folder), folder / "weights.safetensors"
    if (folder / "weights.skops").is_file() or _is_estimator(run.best):
        raise InputError(
            f"pretrained.weights={folder}: expected a run of a network; this is the run of a classical estimator, which has no "
            "weights. Name a run of a network."
        )
    if run.best.is_file() and run.fitted:
        return checkpoints.read(run.best, exact=True)["state_dict"]
    if exported.is_file():
        return _from_file(exported)
    raise InputError(
        f"pretrained.weights={folder}: expected a finished run of a network, with best.ckpt and metrics.json, or a folder with "
        "weights.safetensors; this is neither. Train the run to its end first."
    )


def _is_estimator(path: Path) -> bool:
    """Whether best.ckpt is the file of an estimator. That of a network is an archive too."""
    if not path.is_file() or not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return SCHEMA in archive.namelist()


def _from_file(path: Path) -> Mapping[str, Tensor]:
    if checkpoints.own(path):
        return checkpoints.read(path, exact=True)["state_dict"]
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        if path.suffix == ".pt2":
            return exported_program.read(path)
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise InputError(
            f"pretrained.weights={path}: expected a complete file of tensors from safetensors or torch.save; {error}. Save the "
            "network's state_dict() again."
        ) from error
    tensors = content.get("state_dict", content) if isinstance(content, Mapping) else None
    if not tensors or not all(isinstance(tensor, Tensor) for tensor in tensors.values()):
        raise InputError(
            f"pretrained.weights={path}: expected tensors by name, at the top or under the key state_dict; received "
            f"{type(content).__name__}. Save the network's state_dict()."
        )
    return tensors


def _from_mlflow(name: str, uri: str) -> Mapping[str, Tensor]:
    """From a model that a run has logged, or from any other file of weights."""
    with store.fetched(name, uri, key="pretrained.weights") as path:
        programs = sorted(path.rglob("*.pt2")) if path.is_dir() else [path]
        if not programs:
            raise InputError(
                f"pretrained.weights={name}: expected the model of a run of a network, with a file .pt2; it has none. Name "
                "another model, or a file of weights."
            )
        return _from_file(programs[0])


def _from_hugging_face(name: str) -> Mapping[str, Tensor]:
    """From the files of safetensors in the folder of a pretrained model."""
    folder = pretrained_folders.find(name, key="pretrained.weights")
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise InputError(
            f"pretrained.weights=hf:{name}: expected model.safetensors in the folder; there is none. Save the model again by "
            "save_pretrained of transformers."
        )
    tensors = {key: tensor for file in files for key, tensor in _from_file(file).items()}
    return {key: tensor for key, tensor in tensors.items() if not key.endswith(PLACES)}


def _from_torchvision(name: str) -> Mapping[str, Tensor]:
    """By torchvision's own loader. Files can be put into its download folder by hand."""
    from torchvision.models import get_model_weights, get_weight, list_models

    try:
        weights = get_weight(name)
    except (ValueError, KeyError, AttributeError) as error:
        names = sorted({str(each) for model in list_models() for each in get_model_weights(model)})
        close = difflib.get_close_matches(name, names, cutoff=0.3)
        raise InputError(
            f"pretrained.weights=torchvision:{name}: expected the name of weights that torchvision publishes, "
            f"NETWORK_Weights.VERSION; nearest: {', '.join(close or EXAMPLES)}."
        ) from error
    path = Path(torch.hub.get_dir()) / "checkpoints" / Path(urlparse(weights.url).path).name
    try:
        with redirect_stdout(sys.stderr):
            return weights.get_state_dict(progress=False, check_hash=True, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, UnpicklingError) as error:
        raise InputError(
            f"pretrained.weights=torchvision:{name}: {weights.url} could not be downloaded, or {path} could not be read: "
            f"{error}. Download it elsewhere and put it there; TORCH_HOME names the folder above hub/."
        ) from error
