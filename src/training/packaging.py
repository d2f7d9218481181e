"""The whole predictor of a network, preprocessing included, as the record keeps it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


def package(task: Any, folder: Path, example: np.ndarray) -> Mapping[str, Any]:
    """Writes what a task on the CPU answers as an exported program; gives the names of its files.

    The weights lie in the order of their shapes afterwards: else torch warns that it finds no whole tensor.

    Args:
        example: some examples as they are stored, as float32; their number stays free.
    """
    answer = Answer(task).eval()
    answer.model.to(memory_format=torch.contiguous_format)
    batch = torch.export.Dim.AUTO
    program = torch.export.export(answer, (torch.from_numpy(example),), dynamic_shapes=[{0: batch}])
    folder.mkdir(parents=True, exist_ok=True)
    torch.export.save(program, folder / "model.pt2")
    np.save(folder / "example.npy", example)
    return {"flavour": "pytorch", "file": "model.pt2", "example": "example.npy"}


class Answer(nn.Module):
    """From examples as they are stored, as float32, to the one output that the task names as its answer."""

    def __init__(self, task: Any):
        super().__init__()
        self.preprocess, self.model, self._task = task.preprocess, task.model, [task]

    def forward(self, examples: Tensor) -> Tensor:
        task = self._task[0]
        return task.predict(self.preprocess(examples))[task.primary_output]
