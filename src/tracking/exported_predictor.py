"""Loads a logged network for `mlflow.pyfunc`; a copy of this file goes with each model, and needs torch and numpy alone.

MLflow's own loader imports Lightning where it is installed, and by it torchvision, whose import fails where it was built for
another torch.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.export.passes import move_to_device_pass

if TYPE_CHECKING:
    import pandas as pd


class ExportedPredictor:
    """Answers of an exported program.

    Args:
        path: of the program.
        device: that computes; the answers come back to the processor.
    """

    def __init__(self, path: Path, device: str | None):
        program = torch.export.load(path)
        self._device = torch.device(device or "cpu")
        self._module = (move_to_device_pass(program, self._device) if device else program).module()

    def predict(
        self, data: np.ndarray | dict[str, np.ndarray] | pd.DataFrame, params: dict[str, Any] | None = None
    ) -> np.ndarray:
        """The primary output for each example; a table has a row an example, a dictionary the fields of all examples."""
        inputs: Any
        if isinstance(data, dict):
            inputs = {name: torch.from_numpy(values).to(self._device) for name, values in data.items()}
        else:
            values = data if isinstance(data, np.ndarray) else data.to_numpy(dtype=np.float32)
            inputs = torch.from_numpy(values).to(self._device)
        with torch.no_grad():
            answers: np.ndarray = self._module(inputs).cpu().numpy()
        return answers


def _load_pyfunc(path: str, model_config: dict[str, Any] | None = None) -> ExportedPredictor:
    """What MLflow calls, with the folder of the program."""
    return ExportedPredictor(Path(path) / "model.pt2", (model_config or {}).get("device"))
