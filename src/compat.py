"""Declares the operators of torchvision where they do not load, so that torchvision can be imported.

PyPI's torchvision is built for CUDA. With a CPU build of torch its compiled operators do not load, and its import fails
("operator torchvision::nms does not exist"). torchmetrics, and through it Lightning, imports torchvision wherever it is
installed, so nothing would train. Models and transforms need no such operator.
"""

import sys
from collections.abc import Sequence
from importlib.machinery import EXTENSION_SUFFIXES, ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch.library import Library

OPERATORS = ("nms", "qnms")  # torchvision registers them at its import
SIGNATURE = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_libraries: list["Library"] = []  # torch drops a library of operators that nothing refers to


class BeforeTorchvision:
    """Finds no module. Python asks it before torchvision is imported, and it then declares what is missing, once.

    It derives from nothing, because `importlib.abc` imports much, in every process of this package.
    """

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname == "torchvision":
            sys.meta_path.remove(self)
            spec = PathFinder.find_spec(fullname)
            if spec is not None and not _operators_load(spec.submodule_search_locations or []):
                _declare()
        return None


def help_libraries() -> None:
    """Lets torchvision be imported later; imports nothing itself."""
    if "torchvision" not in sys.modules:
        sys.meta_path.insert(0, BeforeTorchvision())


def _operators_load(folders: Sequence[str]) -> bool:
    import torch  # torchvision, which is about to be imported, imports it as well

    compiled = [Path(folder) / f"_C{suffix}" for folder in folders for suffix in EXTENSION_SUFFIXES]
    for path in filter(Path.is_file, compiled):
        try:
            torch.ops.load_library(path)
        except OSError:
            continue
        return True
    return False


def _declare() -> None:
    from torch.library import Library

    library = Library("torchvision", "DEF")
    for name in OPERATORS:
        library.define(f"{name}{SIGNATURE}")
    _libraries.append(library)
