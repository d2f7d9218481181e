"""The whole predictor of a network, preprocessing included, as the record keeps it."""

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from src.protocols import Fields
from src.tasks.base import Task


def package(task: Task, folder: Path, example: np.ndarray | Mapping[str, np.ndarray]) -> Mapping[str, Any]:
    """Writes the predictor of a task on the CPU as an exported program.

    The result names its files, the shapes of its inputs, the type and shape of its output, and the libraries that it needs. The
    weights are contiguous afterwards. Otherwise torch warns that it finds no whole tensor.

    Args:
        example: a few inputs, by name where an input has several fields. Their number stays free in the program, and so does
            each other size that a field need not have for the network.
    """
    predictor = PackagedModel(task).eval()
    predictor.model.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    free = torch.export.Dim.AUTO
    inputs: Fields
    dynamic: Any
    if isinstance(example, Mapping):
        inputs = {name: torch.from_numpy(values) for name, values in example.items()}
        dynamic = [{name: dict.fromkeys(range(values.ndim), free) for name, values in example.items()}]
    else:
        inputs, dynamic = torch.from_numpy(example), [{0: free}]
    program = torch.export.export(predictor, (inputs,), dynamic_shapes=dynamic)
    folder.mkdir(parents=True, exist_ok=True)
    torch.export.save(program, folder / "model.pt2")
    if isinstance(example, Mapping):
        np.savez(folder / "example.npz", allow_pickle=False, **example)
    else:
        np.save(folder / "example.npy", example)
    return {
        "flavour": "pytorch",
        "file": "model.pt2",
        "example": "example.npz" if isinstance(example, Mapping) else "example.npy",
        "inputs": _inputs(program, [*example] if isinstance(example, Mapping) else [""]),
        "output": _output(program),
        "requirements": {name: version(name) for name in ("torch", "numpy")},
    }


class PackagedModel(nn.Module):
    """From stored inputs, as float32, to the task's primary output."""

    def __init__(self, task: Task):
        super().__init__()
        self.preprocess, self.model, self._task = task.preprocess, task.model, [task]

    def forward(self, inputs: Fields) -> Tensor:
        task = self._task[0]
        return task.predict(self.preprocess(inputs))[task.primary_output]


def _inputs(program: torch.export.ExportedProgram, names: Sequence[str]) -> dict[str, list[int]]:
    """The shape of each field of an input; that of an input without fields has no name."""
    nodes = {node.name: node for node in program.graph_module.graph.find_nodes(op="placeholder")}
    ordered = tree_leaves({name: name for name in names})  # as torch orders the fields
    own = [nodes[name].meta["val"] for name in program.graph_signature.user_inputs]
    return {name: _sizes(value) for name, value in zip(ordered, own, strict=True)}


def _sizes(value: Tensor) -> list[int]:
    """A shape. A free size, as the number of examples, is -1, as MLflow writes it."""
    return [size if isinstance(size, int) else -1 for size in value.shape]


def _output(program: torch.export.ExportedProgram) -> dict[str, Any]:
    """The type and shape of the output."""
    (node,) = program.graph_module.graph.find_nodes(op="output")
    output = node.args[0][0].meta["val"]
    return {"dtype": str(output.dtype).removeprefix("torch."), "shape": _sizes(output)}
