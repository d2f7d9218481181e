"""Where a library must be helped: torchvision beside a build of torch that its compiled operators do not fit.

PyPI's torchvision is built for CUDA. With a CPU build of torch its operators do not load, and its import fails, for it
describes an operator that is not there ("operator torchvision::nms does not exist"). torchmetrics, and by it Lightning,
imports torchvision wherever it is installed, so that nothing would train. Models and transforms need no such operator.
"""

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import EXTENSION_SUFFIXES, ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

DESCRIBED = ("nms", "qnms")  # the operators that torchvision describes at its import
SIGNATURE = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_kept: list[Any] = []  # a library of operators is gone when nothing refers to it


class BeforeTorchvision(MetaPathFinder):
    """Finds no module, but is asked before torchvision is imported by anybody, and declares what it lacks, once."""

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
    """Sees to it that torchvision can be imported later; imports nothing itself."""
    if "torchvision" not in sys.modules:
        sys.meta_path.insert(0, BeforeTorchvision())


def _operators_load(folders: Sequence[str]) -> bool:
    import torch  # torchvision, which is about to be imported, does it as well

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
    for name in DESCRIBED:
        library.define(f"{name}{SIGNATURE}")
    _kept.append(library)
