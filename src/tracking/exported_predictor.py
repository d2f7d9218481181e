"""Loads a logged network for `mlflow.pyfunc`; a copy of this file goes with each model, and needs torch and numpy alone.

For raw inputs it needs what reads them too, as Pillow, and the code beside the model.

MLflow's own loader imports Lightning where it is installed, and by it torchvision, whose import fails where it was built for
another torch.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import ZipFile

import numpy as np
import torch
from torch.export.passes import move_to_device_pass

if TYPE_CHECKING:
    import pandas as pd


TOGETHER = 64  # raw inputs that are predicted at once


class ExportedPredictor:
    """Answers of an exported program.

    Args:
        folder: of the program.
        device: that computes; the answers come back to the processor.
    """

    def __init__(self, folder: Path, device: str | None):
        self._folder = folder
        program = torch.export.load(folder / "model.pt2")
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

    def get_raw_model(self) -> RawPredictor:
        """What `mlflow.pyfunc` gives by the method of this name: the same answers, for raw inputs."""
        return RawPredictor(self, self._folder)


class RawPredictor:
    """Answers for raw inputs, which are read as those of the training were.

    Args:
        folder: with the code that reads, and what the data set was like.

    Raises:
        ValueError: the model has no such code.
        ImportError: another package has the name of that code in this process.
    """

    def __init__(self, predictor: ExportedPredictor, folder: Path):
        if not (folder / "reading.json").is_file():
            raise ValueError("expected a model whose data can be read from raw inputs; this one takes arrays alone.")
        described = json.loads((folder / "reading.json").read_text())
        _provide(folder / "reading.zip")
        module, _, name = described["target"].rpartition(".")
        self._kind = getattr(import_module(module), name)
        self._reading, self._unseen = import_module("src.data.reading"), import_module("src.data.unseen")
        self._predictor, self._folder = predictor, folder
        self._card, self._arguments = described["card"], described["arguments"]
        self._reader = self._data(self._unseen.Unseen(folder, self._card)).reader()

    def predict(self, raw: Sequence[Any]) -> np.ndarray | list[np.ndarray]:
        """The primary output for each raw input; a list where they differ in shape.

        Args:
            raw: paths, the bytes of files, arrays, or rows by column, as the data take them.

        Raises:
            ValueError: some cannot be read.
        """
        answers: list[np.ndarray] = []
        for start in range(0, len(raw), TOGETHER):
            answers += self._answers(raw[start : start + TOGETHER], start)
        return np.stack(answers) if len({answer.shape for answer in answers}) == 1 else answers

    def _answers(self, raw: Sequence[Any], start: int) -> list[np.ndarray]:
        paths = bool(self._reader.suffixes)
        items = [(str(start + place), Path(one) if paths and isinstance(one, str) else one) for place, one in enumerate(raw)]
        read = self._reading.read(self._reader, items)
        if reasons := [f"number {name}: {fields}" for name, fields in read if isinstance(fields, str)]:
            raise ValueError("\n  ".join([f"{len(reasons)} of {len(raw)} raw inputs cannot be read:", *reasons]))
        names, fields = zip(*read, strict=True)
        data = self._data(self._unseen.together(self._folder, self._card, fields, names))
        rows = np.arange(len(data))
        outputs = self._predictor.predict(data.exported_example(rows))
        whole = data.assemble(rows, iter([{"output": outputs}]))
        return [answer for _, found, _ in whole for answer in found["output"]]

    def _data(self, prepared: Any) -> Any:
        return self._kind(prepared=prepared, **self._arguments)


def _provide(code: Path) -> None:
    """Lets the package src be imported from an archive.

    Raises:
        ImportError: this process has another package of that name, whose code is not that of the archive.
    """
    if "src" not in sys.modules:
        sys.path.insert(0, str(code))
        return
    roots = [Path(root) for root in sys.modules["src"].__path__]
    with ZipFile(code) as archive:
        for name in archive.namelist():
            content, (top, *within) = archive.read(name), Path(name).parts
            if top == "src" and content and not any(_content(root.joinpath(*within)) == content for root in roots):
                raise ImportError(
                    f"The model brings a package named src. This process has another one, whose {name} is not the same. Load "
                    "the model in a process of its own, outside the repository."
                )


def _content(path: Path) -> bytes | None:
    """The content of a file, which may be within an archive."""
    for parent in path.parents:
        if parent.suffix == ".zip":
            with ZipFile(parent) as archive:
                name = path.relative_to(parent).as_posix()
                return archive.read(name) if name in archive.namelist() else None
    return path.read_bytes() if path.is_file() else None


def _load_pyfunc(path: str, model_config: dict[str, Any] | None = None) -> ExportedPredictor:
    """What MLflow calls, with the folder of the program."""
    return ExportedPredictor(Path(path), (model_config or {}).get("device"))
