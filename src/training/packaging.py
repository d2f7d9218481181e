"""The whole predictor of a network, preprocessing included, as the record keeps it."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from src.tasks.base import Task


def package(task: Task, folder: Path, example: np.ndarray) -> Mapping[str, str]:
    """Writes the predictor of a task on the CPU as an exported program, and gives the names of its files.

    The weights are contiguous afterwards. Otherwise torch warns that it finds no whole tensor.

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
    return {"flavour": "pytorch", "file": "model.pt2", "example": "example.npy"}


class Predictor(nn.Module):
    """From stored inputs, as float32, to the task's primary output."""

    def __init__(self, task: Task):
        super().__init__()
        self.preprocess, self.model, self._task = task.preprocess, task.model, [task]

    def forward(self, inputs: Tensor) -> Tensor:
        task = self._task[0]
        return task.predict(self.preprocess(inputs))[task.primary_output]
