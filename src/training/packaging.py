"""The whole predictor of a network, preprocessing included, as the record keeps it."""

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from src.tasks.base import Task


def package(task: Task, folder: Path, example: np.ndarray) -> Mapping[str, Any]:
    """Writes the predictor of a task on the CPU as an exported program.

    The result names its files, the type and shape of its output, and the libraries that it needs. The weights are contiguous
    afterwards. Otherwise torch warns that it finds no whole tensor.

    Args:
        example: a few stored inputs, as float32; their number stays free in the program.
    """
    predictor = Predictor(task).eval()
    predictor.model.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    batch = torch.export.Dim.AUTO
    program = torch.export.export(predictor, (torch.from_numpy(example),), dynamic_shapes=[{0: batch}])
    folder.mkdir(parents=True, exist_ok=True)
    torch.export.save(program, folder / "model.pt2")
    np.save(folder / "example.npy", example)
    return {
        "flavour": "pytorch",
        "file": "model.pt2",
        "example": "example.npy",
        "output": _output(program),
        "requirements": {name: version(name) for name in ("torch", "numpy")},
    }


class Predictor(nn.Module):
    """From stored inputs, as float32, to the task's primary output."""

    def __init__(self, task: Task):
        super().__init__()
        self.preprocess, self.model, self._task = task.preprocess, task.model, [task]

    def forward(self, inputs: Tensor) -> Tensor:
        task = self._task[0]
        return task.predict(self.preprocess(inputs))[task.primary_output]


def _output(program: torch.export.ExportedProgram) -> dict[str, Any]:
    """The type and shape of the output. The number of examples is free, which MLflow writes as -1."""
    (node,) = program.graph_module.graph.find_nodes(op="output")
    output = node.args[0][0].meta["val"]
    return {"dtype": str(output.dtype).removeprefix("torch."), "shape": [-1, *(int(size) for size in output.shape[1:])]}
